"""The fraction of the variance of the change over one step that transport explains, with nothing trained.

    python -m experiments.studies.increments

For each hybrid experiment, with the wind of the start and of the midpoint of a step. One factor is fitted for each
field. The changes are those to the last `ANALYSES` analyses of the training time, area-weighted, without the time-mean
change at each place. Figures go to experiments/results/increments.json, the table to experiments/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

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
from pinnwx.config import Config, load_config
from pinnwx.data.archive import Archive
from pinnwx.data.windows import window_indices
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.preparation import training_archive
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.model.step_context import StepContext
from pinnwx.runtime import prepare
from pinnwx.training.update import device_archive

EXPERIMENT_NAMES = ("era5_hybrid", "europe_hybrid", "gcm_hybrid")
WIND_TIMES = ("start", "midpoint")
ANALYSES, BATCH = 240, 16
NO_TRANSPORT = ("network", "climate", "boundary")

Changes = Float[np.ndarray, "time field lat lon"]


def with_wind_time(config: Config, wind_time: str) -> Config:
    """The same experiment with the wind of another time of the step."""
    physics = config.model.physics.model_copy(update={"wind_time": wind_time})
    return config.model_copy(update={"model": config.model.model_copy(update={"physics": physics})})


def increments_and_changes(config: Config, archive: Archive) -> tuple[Changes, Changes]:
    """Increments by transport and changes of the analyses; an untrained gate is 1, and an untrained network is 0."""
    model = networks_of(TrainedModel.initialise(config, archive).model)[0]
    source = device_archive(archive, config.model.step_hours)
    windows = window_indices(archive.times, config.model.step_hours, model.input_times)[-ANALYSES:]
    windows = windows[len(windows) % BATCH :]

    @jax.jit
    def increment(rows):
        terms = model.tendency_terms(source.fields[rows[:, :-1]], StepContext(source.time.select(rows[:, -2])))
        return sum(term for name, term in terms.items() if name not in NO_TRANSPORT)

    increments = jnp.concatenate([increment(rows) for rows in windows.reshape(-1, BATCH, windows.shape[1])])
    changes = source.fields[windows[:, -1]] - source.fields[windows[:, -2]]
    return np.asarray(increments, np.float64), np.asarray(changes, np.float64)


def explained_fractions(config: Config, archive: Archive) -> dict[str, float]:
    """The fraction of the variance of each transported field's change: the squared correlation with its increment."""
    increments, changes = (values - values.mean(0) for values in increments_and_changes(config, archive))
    weights = archive.grid.area_weights

    def product(first: Changes, second: Changes) -> Float[np.ndarray, " field"]:
        return (weights * first * second).mean((0, 2, 3))

    moved = np.flatnonzero(product(increments, increments) > 0)
    variances = product(increments, increments)[moved] * product(changes, changes)[moved]
    fractions = product(increments, changes)[moved] ** 2 / variances
    return {archive.names[index]: round(float(value), 3) for index, value in zip(moved, fractions, strict=True)}


def measure(name: str) -> dict[str, dict[str, float]]:
    """The fractions of one experiment by the time of the wind."""
    config = load_config(EXPERIMENTS / f"{name}.toml")
    archive = training_archive(config, DATA / scoring_of(name).folder)
    return {wind_time: explained_fractions(with_wind_time(config, wind_time), archive) for wind_time in WIND_TIMES}


def table(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """A row for each experiment and field."""
    rows = [
        [f"{name}, {field}", *(f"{by_wind_time[wind_time][field]:.0%}" for wind_time in WIND_TIMES)]
        for name, by_wind_time in figures.items()
        for field in by_wind_time[WIND_TIMES[0]]
    ]
    titles = ["experiment, field", *(f"wind of the {wind_time}" for wind_time in WIND_TIMES)]
    return "\n".join(markdown_table(titles, rows)) + "\n"


def main() -> None:
    options = study_parser(__doc__, remeasure=True).parse_args()
    stored = StoredFigures(RESULTS / "increments.json")
    if not options.tables:
        prepare()
        stored.measure_missing({name: partial(measure, name) for name in EXPERIMENT_NAMES}, again=options.again)
    splice(README, "increments", table(stored.figures))


if __name__ == "__main__":
    main()
