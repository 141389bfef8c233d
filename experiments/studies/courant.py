"""Hybrids over networks alone against the number of cells that a step crosses: one figure from stored scores.

    python -m experiments.studies.courant             measures the winds of the archives that are not measured yet
    python -m experiments.studies.courant --tables    only the figure and the table

The Courant number of a step is the wind of the equations times the step over the meridional spacing: its median over
the cells (by area) and the analyses of every fifteenth day of the training time. Each point is a hybrid and the network
alone with the same number of updates and the same seeds (`experiments.studies.ablations`). Between the archives more
differs than this number: fields, kind of wind, updates, rollouts in training; the three steps of the GCM archive differ
least. Courant numbers go to experiments/results/courant.json, the figure to courant.png beside it, the table to
experiments/README.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments.studies import ablations
from experiments.studies.harness import (
    DATA,
    README,
    RESULTS,
    StoredFigures,
    markdown_table,
    scoring_of,
    splice,
    study_parser,
    with_bounds,
)
from pinnwx.config import Config
from pinnwx.data.archive import Archive
from pinnwx.data.inputs import as_archive
from pinnwx.physics import geostrophic_wind, rotational_wind
from pinnwx.reporting.style import PART_COLOURS, save

LEADS = (24, 72)
DAYS = 15
TICKS = (0.2, 0.5, 1, 2, 5, 10)


@dataclass(frozen=True)
class Pair:
    """A hybrid and its reference in a study, and the fields of the figure."""

    label: str
    study: str
    hybrid: str
    reference: str
    variables: tuple[str, ...]

    def runs(self, name: str) -> list[ablations.AblationRun]:
        return [run for run in ablations.runs_in(self.study) if run.name == name]


PAIRS = (
    Pair("ERA5, 6 h", "days", "hybrid_60", "neural_60", ("msl",)),
    Pair("ERA5, 6 h, 2.8125 degrees", "era5_fine", "hybrid", "neural", ("msl",)),
    Pair("GCM, 6 h", "gcm_divergence", "advective_and_radius", "neural", ("z500", "t850", "q850")),
    Pair("GCM, 12 h", "gcm_half_day", "radius_two_winds", "neural", ("z500", "t850", "q850")),
    Pair("GCM, 24 h", "gcm_day", "radius_four_winds", "neural", ("z500", "t850", "q850")),
    Pair("Europe, 24 h", "europe_winds", "winds_of_the_midpoint", "neural", ("z500", "t850", "msl")),
)


def winds(archive: Archive) -> tuple[np.ndarray, np.ndarray]:
    """The winds of the equations at all levels [m s-1], with a leading axis of levels."""
    fields = {name: jnp.asarray(archive.fields[:, place]) for place, name in enumerate(archive.names)}
    if "u500" in fields:
        pairs = [(fields[f"u{level}"], fields[f"v{level}"]) for level in (500, 850)]
    elif "vo850" in fields:
        pairs = [rotational_wind(fields["vo850"], archive.grid)]
    else:
        pairs = [geostrophic_wind(fields["z500"], archive.grid)]
    east, north = zip(*pairs, strict=True)
    return np.stack(east), np.stack(north)


def courant_number(config: Config, folder: str) -> float:
    """The median number of rows that the wind crosses in a step."""
    data = config.data
    archive = as_archive(DATA / folder, data.fields, grid=data.grid, start=data.train.start, end=data.train.end)
    days = archive.times.astype("datetime64[D]").astype(int)
    chosen = np.flatnonzero((days - days[0]) % DAYS == 0)
    archive = Archive(archive.times[chosen], archive.fields[chosen], archive.names, archive.grid)
    speed = np.hypot(*winds(archive))
    crossed = speed * 3600 * config.model.step_hours / archive.grid.meridional_spacing
    area = np.broadcast_to(archive.grid.area_weights, crossed.shape).ravel()
    order = np.argsort(crossed, axis=None)
    middle = np.searchsorted(np.cumsum(area[order]), 0.5 * area.sum())
    return float(crossed.ravel()[order[middle]])


def measure(pair: Pair) -> float:
    run = pair.runs(pair.hybrid)[0]
    return courant_number(Config.model_validate(run.config()), scoring_of(run.base).folder)


def points(numbers: dict[str, float]) -> list[dict]:
    """A point for each pair, field and lead that is stored."""
    result = []
    for pair in PAIRS:
        scored = [ablations.scored(pair.runs(name)) for name in (pair.hybrid, pair.reference)]
        seeds = {run.seed for run, _ in scored[0]} & {run.seed for run, _ in scored[1]}
        if not seeds or pair.label not in numbers:
            continue
        first = scored[0][0][0]
        for variable in pair.variables:
            for lead in LEADS:
                value, low, high = ablations.paired_ratio(scored[0], scored[1], variable, lead) or (np.nan,) * 3
                result.append(
                    {"pair": pair.label, "courant": numbers[pair.label], "variable": variable, "lead": lead,
                     "seeds": len(seeds), "updates": ablations.cost_of(first)["updates"],
                     "ratio": value, "low": low, "high": high}
                )  # fmt: skip
    return result


def table(measured: list[dict]) -> str:
    rows = {}
    for point in measured:
        key = point["pair"], f"{point['courant']:.2f}", point["seeds"], point["updates"], point["variable"]
        rows.setdefault(key, []).append(with_bounds(point["ratio"], point["low"], point["high"]))
    titles = ["step", "Courant number", "seeds", "updates", "field", *(f"{lead} h" for lead in LEADS)]
    lines = markdown_table(titles, [[*key, *cells] for key, cells in rows.items()])
    return "\n".join([*lines, "\n![RMSE of hybrids over networks against the Courant number](results/courant.png)\n"])


def figure(measured: list[dict]) -> Figure:
    """A panel for each lead. Open circles have no bounds."""
    drawn = Figure(figsize=(9.5, 4.0), layout="constrained")
    names = list(dict.fromkeys(point["variable"] for point in measured))
    panels = drawn.subplots(1, len(LEADS), sharey=True)
    for axes, lead in zip(panels, LEADS, strict=True):
        labelled: dict[str, float] = {}
        for name, colour in zip(names, PART_COLOURS, strict=False):  # more colours than fields
            own = [point for point in measured if (point["variable"], point["lead"]) == (name, lead)]
            place = np.array([point["courant"] for point in own]) * (1 + 0.04 * names.index(name))
            ratios = np.array([point["ratio"] for point in own])
            reach = np.array([[point["ratio"] - point["low"], point["high"] - point["ratio"]] for point in own]).T
            bounded = np.isfinite(reach).all(axis=0)
            axes.errorbar(place[bounded], ratios[bounded], reach[:, bounded], fmt="o", color=colour, capsize=2)
            axes.plot(place[~bounded], ratios[~bounded], "o", color=colour, fillstyle="none")
            axes.plot([], [], "o", color=colour, label=name)
            labelled |= {point["pair"]: point["courant"] for point in own}
        for label, number in labelled.items():
            axes.annotate(label, (number, 0.845), rotation=90, fontsize="x-small", va="bottom", ha="right", color="0.4")
        axes.axhline(1, color="0.7", linewidth=0.8)
        axes.set(xscale="log", title=f"{lead} h", xlabel="Courant number of a step", ylim=(0.84, 1.06), xlim=(0.15, 12))
        axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axes.minorticks_off()
    panels[0].set_ylabel("RMSE, hybrid over network")
    panels[0].legend(frameon=False, fontsize="small", ncols=2, loc="upper left")
    return drawn


def main() -> None:
    options = study_parser(__doc__).parse_args()
    stored = StoredFigures(RESULTS / "courant.json")
    if not options.tables:
        stored.measure_missing({pair.label: partial(measure, pair) for pair in PAIRS})
    measured = points(stored.figures)
    save(figure(measured), RESULTS / "courant.png")
    splice(README, "courant", table(measured))


if __name__ == "__main__":
    main()
