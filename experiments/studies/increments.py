"""The fraction of the variance of the change over one step that transport explains, with nothing trained.

    python -m experiments.studies.increments

For each hybrid experiment, with the wind of the start and of the midpoint of a step, and by semi-Lagrangian transport
with one sub-step for each wind. One factor is fitted for each field. The changes are those to the last `ANALYSES`
analyses of the training time, area-weighted, without the time-mean change at each place. With the wind of the
experiment, also by bands of latitude and of zonal wavenumber, with a factor and without any (`increments_bands`).
Figures go to experiments/results/increments.json by the equations that they were measured with, the table to
experiments/README.md, and the picture of the bands to experiments/results/increments.png.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.studies.harness import (
    DATA,
    EXPERIMENTS,
    README,
    RESULTS,
    StoredFigures,
    markdown_table,
    scoring_of,
    splice,
    study_parser,
)
from experiments.studies.increments_bands import Split, by_latitude, by_wavenumber
from experiments.studies.increments_pictures import figure
from pinnwx.config import Config, load_config
from pinnwx.data.archive import Archive
from pinnwx.data.windows import window_indices
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.preparation import training_archive
from pinnwx.model.interface import Forecaster
from pinnwx.model.step_context import StepContext
from pinnwx.reporting.style import save
from pinnwx.runtime import prepare
from pinnwx.time_features import TimeFeatures
from pinnwx.training.update import device_archive

EXPERIMENT_NAMES = ("era5_hybrid", "europe_hybrid", "gcm_flux")
WIND_TIMES = ("start", "midpoint")
SEMI_LAGRANGIAN = "semi_lagrangian"
TITLES = {"start": "wind of the start", "midpoint": "wind of the midpoint", SEMI_LAGRANGIAN: "semi-Lagrangian"}
# What the figures of the results file were measured with, newest last. A change of the equations adds a line.
EQUATIONS = (
    "before the corrections",
    "linear balance, automatic sub-steps",
    "linear balance, automatic sub-steps, kept waves",
    "these, structure inside polar groups, eight winds a day over Europe",
)
ANALYSES, BATCH = 240, 16
NO_TRANSPORT = ("equation_error", "network", "climate", "boundary", "bounds")

Changes = Float[np.ndarray, "time field lat lon"]
Bands = dict[str, Any]


def equations_of(config: Config, variant: str) -> Config:
    """The equations of an experiment without its network, with the wind of a time of the step or semi-Lagrangian."""
    changes: dict[str, Any] = {"wind_time": variant}
    if variant == SEMI_LAGRANGIAN:
        changes = {"method": SEMI_LAGRANGIAN, "substeps": config.model.physics.wind_intervals}
    return without_network(config, changes)


def without_network(config: Config, changes: Mapping[str, Any]) -> Config:
    """The equations of an experiment alone, with other settings of the physics."""
    physics = config.model.physics.model_copy(update=dict(changes))
    closure = config.model.closure.model_copy(update={"enabled": False})
    return config.with_model(physics=physics, closure=closure, networks=1)


def vorticity_alone(config: Config, **changes: Any) -> Config:
    """The equations of an experiment alone, with other settings of the transport of absolute vorticity."""
    transport = tuple(
        one.model_copy(update=changes) if one.absolute_vorticity else one for one in config.model.physics.transport
    )
    return without_network(config, {"transport": transport})


def transport_increment(
    model: Forecaster, analyses: Float[Array, "time input field lat lon"], time: TimeFeatures
) -> Float[Array, "time field lat lon"]:
    """The increment of a step by transport, from these analyses and with the middle of the step at these times."""
    context = StepContext(time)
    terms = model.explain(model.start(analyses, context), context).terms
    return sum((term for name, term in terms.items() if name not in NO_TRANSPORT), jnp.zeros_like(analyses[:, -1]))


def increments_and_changes(trained: TrainedModel, archive: Archive) -> tuple[Changes, Changes]:
    """Increments by transport, whose gate is 1 before training, and changes of the analyses."""
    model, settings = trained.model, trained.config.model
    source = device_archive(archive, settings.step_hours)
    windows = window_indices(archive.times, settings.step_hours, model.input_times)[-ANALYSES:]
    windows = windows[len(windows) % BATCH :]

    @jax.jit
    def increment(rows):
        return transport_increment(model, source.fields[rows[:, :-1]], source.time.select(rows[:, -2]))

    increments = jnp.concatenate([increment(rows) for rows in windows.reshape(-1, BATCH, windows.shape[1])])
    changes = source.fields[windows[:, -1]] - source.fields[windows[:, -2]]
    return np.asarray(increments, np.float64), np.asarray(changes, np.float64)


def explained_fractions(increments: Changes, changes: Changes, archive: Archive) -> dict[str, float]:
    """The fraction of the variance of each transported field's change: the squared correlation with its increment."""
    weights = archive.grid.area_weights

    def product(first: Changes, second: Changes) -> Float[np.ndarray, " field"]:
        return (weights * first * second).mean((0, 2, 3))

    moved = np.flatnonzero(product(increments, increments) > 0)
    variances = product(increments, increments)[moved] * product(changes, changes)[moved]
    fractions = product(increments, changes)[moved] ** 2 / variances
    return {archive.names[index]: round(float(value), 3) for index, value in zip(moved, fractions, strict=True)}


def in_bands(split: Split, increments: Changes, changes: Changes, archive: Archive) -> Bands:
    """The explained variance of each transported field by band; each entry is a list in the order of `bands`."""
    moved = np.flatnonzero(np.abs(increments).max((0, 2, 3)) > 0)
    explained = split(increments[:, moved], changes[:, moved], archive.grid)
    measures = {name: getattr(explained, name) for name in ("fraction", "as_it_is", "share")}
    return {"bands": [list(band) for band in explained.bands]} | {
        archive.names[index]: {name: [round(float(v), 3) for v in values[row]] for name, values in measures.items()}
        for row, index in enumerate(moved)
    }


def measure(name: str) -> dict[str, Any]:
    """The fractions of one experiment by variant; and by latitude and wavenumber with its own time of the wind."""
    config = load_config(EXPERIMENTS / f"{name}.toml")
    archive = training_archive(config, DATA / scoring_of(name).folder)
    trained = TrainedModel.initialise(equations_of(config, WIND_TIMES[0]), archive)
    figures: dict[str, Any] = {}
    for variant in TITLES:
        equations = trained.with_config(equations_of(config, variant))
        increments, changes = (values - values.mean(0) for values in increments_and_changes(equations, archive))
        figures[variant] = explained_fractions(increments, changes, archive)
        if variant == config.model.physics.wind_time:
            figures["by_latitude"] = in_bands(by_latitude, increments, changes, archive)
            figures["by_wavenumber"] = in_bands(by_wavenumber, increments, changes, archive)
    return figures


def table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """A row for each experiment and field, columns for the equations and the variants that were measured with them."""
    columns = [
        (equations, variant)
        for equations, measured in figures.items()
        for variant in TITLES
        if variant in WIND_TIMES or any(variant in one for one in measured.values())
    ]
    fields = {name: tuple(one[WIND_TIMES[0]]) for measured in figures.values() for name, one in measured.items()}
    rows = [
        [
            f"{name}, {field}",
            *(_percent(figures[equations].get(name, {}), variant, field) for equations, variant in columns),
        ]
        for name in fields
        for field in fields[name]
    ]
    titles = ["experiment, field", *(f"{equations}; {TITLES[variant]}" for equations, variant in columns)]
    return "\n".join(markdown_table(titles, rows)) + "\n"


def _percent(measured: Mapping[str, Any], variant: str, field: str) -> str:
    value = measured.get(variant, {}).get(field)
    return "-" if value is None else f"{value:.0%}"


def main() -> None:
    options = study_parser(__doc__, remeasure=True).parse_args()
    stored = StoredFigures(RESULTS / "increments.json")
    if not options.tables:
        prepare()
        section = stored.figures.setdefault(EQUATIONS[-1], {})
        measurements = {name: partial(measure, name) for name in EXPERIMENT_NAMES}
        stored.measure_missing(measurements, section=section, again=options.again)
    figures = {equations: stored.figures[equations] for equations in EQUATIONS if equations in stored.figures}
    splice(README, "increments", table(figures))
    save(figure(figures), RESULTS / "increments.png")


if __name__ == "__main__":
    main()
