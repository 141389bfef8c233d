"""Long rollouts of trained models: whether they stay finite, as lively as the weather, and near its climate.

    python scripts/rollouts.py                  every part, for the runs that `python scripts/results.py` has left
    python scripts/rollouts.py --parts year     only this part

Parts:
    ten_days    from every analysis of the validation time that ten days follow or not: variance up to zonal wavenumber
                16, at 24 h and at ten days, over that of the analyses
    year        365 days of the GCM hybrids: area means beside climatology, variance, spectra
    ensemble    20 of 20 members, spread evenly over the validation time: whether the spread tells the error, and the
                error of the mean and of the distribution beside those of a plain forecast

Figures go to experiments/results/rollouts.json, the picture of a year that stayed finite to
experiments/results/NAME_year.png, the table to experiments/README.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator

import numpy as np
from trial import DATA, EXPERIMENTS, RESULTS, RUNS, scoring_of, splice

from pinnwx.config import Period
from pinnwx.data.archive import Archive
from pinnwx.data.calendar import period_bounds
from pinnwx.forecasting.ensemble import Ensemble
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.stability import require_bounded
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.reporting.drift import drift_figure
from pinnwx.reporting.style import save
from pinnwx.runtime import prepare
from pinnwx.verification.details import large_scale_variance, zonal_power
from pinnwx.verification.ensemble import crps, mean_square_error, mean_square_spread
from pinnwx.verification.pairing import pair_by_time

STORED = RESULTS / "rollouts.json"
MODELS = ("era5_hybrid", "era5_neural", "gcm_hybrid", "gcm_neural", "gcm_year")
YEARS = ("gcm_hybrid", "gcm_year")
PARTS = ("ten_days", "year", "ensemble")
BATCH = 16
DAYS = 365
MEMBERS, ENSEMBLES = 20, 20
ENSEMBLE_LEADS = (24.0, 72.0, 120.0)


def trained_and_analyses(name: str) -> tuple[TrainedModel, Archive]:
    """The live model of a run, and all analyses there are of its fields."""
    trained = Run.open(RUNS / name).load()
    return trained, matching_archive(trained, DATA / scoring_of(name).folder)


def within(archive: Archive, period: Period | None) -> np.ndarray:
    """Which of the archive's times belong to a period of the config."""
    assert period is not None
    first, last = period_bounds(period.start, period.end)
    return (archive.times >= first) & (archive.times <= last)


def forecasts(predictor: Predictor, archive: Archive, starts: np.ndarray) -> Iterator[np.ndarray]:
    """(batch, lead, field, lat, lon), batch by batch; the last is filled up, so that nothing compiles anew."""
    for first in range(0, len(starts), BATCH):
        chosen = np.arange(first, first + BATCH).clip(max=len(starts) - 1)
        yield predictor.from_archive(archive, starts[chosen])[: len(starts) - first]


def ten_days(name: str) -> dict:
    """Variance of ten-day forecasts over that of the analyses of the validation time, by field."""
    trained, archive = trained_and_analyses(name)
    validating = within(archive, trained.config.data.validate_)
    starts = archive.times[validating]
    predictor = Predictor(trained, [24.0, 240.0])
    usual = large_scale_variance(zonal_power(archive.fields[validating], archive.grid)).mean(axis=0)
    variance, finite = [], 0
    for made in forecasts(predictor, archive, starts):
        finite += int(np.isfinite(made).all(axis=(1, 2, 3, 4)).sum())
        variance.append(large_scale_variance(zonal_power(made, archive.grid)))
    ratio = np.concatenate(variance) / usual
    found = {
        field: {
            "24 h": float(ratio[:, 0, i].mean()),
            "10 d": float(ratio[:, 1, i].mean()),
            "10 d, most": float(ratio[:, 1, i].max()),
        }
        for i, field in enumerate(archive.names)
    }
    return {"starts": len(starts), "finite": finite, "variance_ratio": found}


def year(name: str) -> dict:
    """A rollout of 365 days: area means in standard deviations from climatology, and variance over the analyses'.

    The bias is that of the time-mean map, its RMS over that of the departures of the analyses from climatology.
    """
    trained, archive = trained_and_analyses(name)
    start = archive.times[within(archive, trained.config.data.validate_)][:1]
    leads = 24.0 * np.arange(1, DAYS + 1)
    made = Predictor(trained, leads.tolist()).from_archive(archive, start)[0]
    finite = np.isfinite(made).all(axis=(1, 2, 3))
    days = len(finite) if finite.all() else int(np.argmin(finite))
    made, leads = made[:days], leads[:days]  # what follows is of the days before it blew up, if it did
    weights, grid = archive.grid.area_weights, archive.grid

    def area_mean(fields: np.ndarray) -> np.ndarray:
        return (weights * fields.astype(np.float64)).mean((-2, -1))

    seen, known = within(archive, trained.config.data.train), trained.climatology
    departures = archive.fields[seen] - known.at(archive.times[seen])
    sigma, spread = area_mean(departures).std(axis=0), departures[::8].std(axis=0, dtype=np.float64)
    usual_maps = known.at(start + leads.astype("timedelta64[h]"))
    usual = area_mean(usual_maps)
    departure = np.abs(area_mean(made) - usual) / sigma
    bias = (made - usual_maps).mean(axis=0, dtype=np.float64)
    bias = np.sqrt(area_mean(bias**2) / area_mean(spread**2))
    power = {
        "model": zonal_power(made, grid).mean(axis=0),
        "analyses": zonal_power(archive.fields[seen][::4], grid).mean(axis=0),
    }
    ratio = large_scale_variance(power["model"]) / large_scale_variance(power["analyses"])
    means = {"model": area_mean(made), "climatology": usual}
    if days == DAYS:
        save(drift_figure(archive.names, leads / 24, means, sigma, power), RESULTS / f"{name}_year.png")
    return {
        "start": str(start[0])[:16],
        "finite_days": days,
        "fields": {
            field: {
                "largest_departure": float(departure[:, i].max()),
                "days_within_3_sigma": int((departure[:, i] <= 3).sum()),
                "variance_ratio": float(ratio[i]),
                "bias": float(bias[i]),
            }
            for i, field in enumerate(archive.names)
        },
    }


def ensemble(name: str) -> dict:
    """Ensembles of the validation time, by field and lead; errors and spread pooled, over the error of one forecast."""
    trained, archive = trained_and_analyses(name)
    leads = np.array(ENSEMBLE_LEADS)
    members = Ensemble(trained, leads.tolist(), MEMBERS)
    wanted = archive.times[within(archive, trained.config.data.validate_)]
    pairs = pair_by_time(archive, wanted, ENSEMBLE_LEADS, inputs=members.predictor.needed_offsets)
    complete = (pairs.truth_indices >= 0).all(axis=1)
    starts, truths = archive.times[pairs.init_indices[complete]], pairs.truth_indices[complete]
    chosen = np.unique(np.linspace(0, len(starts) - 1, ENSEMBLES).round().astype(int))
    starts, truths = starts[chosen], truths[chosen]
    single = members.predictor.from_archive(archive, starts)
    weights = archive.grid.area_weights
    sums: dict[str, np.ndarray] = {}
    for start, rows, alone in zip(starts, truths, single, strict=True):
        truth, made = archive.fields[rows], members.forecast(archive, start)
        for one in made:
            require_bounded(one, leads.tolist(), trained, start)
        found = {
            "spread": mean_square_spread(made, weights),
            "error": mean_square_error(made, truth, weights),
            "single_error": mean_square_error(alone[None], truth, weights),
            "crps": crps(made, truth, weights),
            "single_crps": (weights * np.abs(alone - truth)).mean((-2, -1), dtype=np.float64),
        }
        sums = {key: sums.get(key, 0) + value / len(starts) for key, value in found.items()}
    rows = {
        field: {
            f"{lead:g} h": {
                "spread_over_error": float(np.sqrt(sums["spread"] / sums["error"])[k, i]),
                "error_over_single": float(np.sqrt(sums["error"] / sums["single_error"])[k, i]),
                "crps_over_single": float((sums["crps"] / sums["single_crps"])[k, i]),
            }
            for k, lead in enumerate(leads)
        }
        for i, field in enumerate(archive.names)
    }
    return {"starts": len(starts), "members": MEMBERS, "perturbation_scale": members.perturbation_scale, "fields": rows}


def table(stored: dict) -> str:
    """What was found, as Markdown."""
    lines = []
    if found := stored.get("ten_days"):
        lines += ["| ten-day rollouts | starts | all finite | variance at 24 h | at ten days | maximum |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        for name, entry in found.items():
            ratios = entry["variance_ratio"].values()
            cells = [span([ratio[key] for ratio in ratios]) for key in ("24 h", "10 d", "10 d, most")]
            finite = "yes" if entry["finite"] == entry["starts"] else f"{entry['finite']}"
            lines.append(f"| {name} | {entry['starts']} | {finite} | " + " | ".join(cells) + " |")
        lines += [
            "",
            "Variance up to zonal wavenumber 16 over that of the analyses: minimum and maximum over the fields.\n",
        ]
    for name, entry in stored.get("year", {}).items():
        days = entry["finite_days"]
        kept = "all finite" if days == DAYS else f"finite for the first {days} only; the table covers these"
        lines += [f"{DAYS} days of {name} from {entry['start']}, {kept}:\n"]
        lines += ["| field | largest departure of the area mean, sigma | days within 3 sigma | variance ratio | bias |"]
        lines += ["| --- | --- | --- | --- | --- |"]
        for field, row in entry["fields"].items():
            bias = f"{row['bias']:.2f}" if "bias" in row else "-"
            near = f"{row['largest_departure']:.3g} | {row['days_within_3_sigma']}"
            lines.append(f"| {field} | {near} | {row['variance_ratio']:.3g} | {bias} |")
        lines.append("")
    for name, entry in stored.get("ensemble", {}).items():
        lines += [f"{entry['starts']} ensembles of {entry['members']} members of {name}:\n"]
        columns = [
            f"{what}, {lead}" for what in ("spread over error", "CRPS") for lead in next(iter(entry["fields"].values()))
        ]
        lines += ["| field | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
        for field, row in entry["fields"].items():
            cells = [f"{row[h][key]:.2f}" for key in ("spread_over_error", "crps_over_single") for h in row]
            lines.append(f"| {field} | " + " | ".join(cells) + " |")
        lines += [
            "",
            "Spread over the error of the mean. CRPS over that of the single forecast, which is its absolute error.\n",
        ]
    return "\n".join(lines)


def span(values: list[float]) -> str:
    return f"{min(values):.2f}" if len(values) == 1 else f"{min(values):.2f} to {max(values):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="all, if none is named")
    parser.add_argument(
        "--models", nargs="+", default=list(MODELS), help="whose run folders to use, where there are any"
    )
    given = parser.parse_args()
    prepare()
    stored = json.loads(STORED.read_text()) if STORED.is_file() else {}
    for part, measure in (("ten_days", ten_days), ("year", year), ("ensemble", ensemble)):
        for name in given.models if part in given.parts else ():
            if (RUNS / name).is_dir() and (part != "year" or name in YEARS):
                print(f"{part}: {name}")
                stored.setdefault(part, {})[name] = measure(name)
                STORED.write_text(json.dumps(stored, indent=1) + "\n")
    splice(EXPERIMENTS / "README.md", "rollouts", table(stored))


if __name__ == "__main__":
    main()
