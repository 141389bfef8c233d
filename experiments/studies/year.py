"""A year of forecast from one analysis: does a model keep its climate, with and without the climate term?

    python -m experiments.studies.year             the runs of `gcm_latent_minutes` that are trained here and not yet
                                                   measured; may be interrupted
    python -m experiments.studies.year --tables    only write the table

Each model runs with the weights of ten minutes, alone and with the climate term: departures from climatology decay
within `CLIMATE`, and no value is clipped. The control is noise about climatology, one state a day:

    d(n + 1) = r d(n) + sqrt(1 - r^2) e(n)

e is the departure of an analysis of the training time, drawn at random, all fields together, so that each state has the
mean, the variance and the covariances of the analyses. r is the mean autocorrelation of departures over a day.
What the noise lacks are laws: `change` is the mean square change over a day over that of the analyses, and
`predicted` the fraction of this change that the equations of two coupled levels (`gcm_levels`) explain as they are.

Figures go to experiments/results/year.json, the table to experiments/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from experiments.studies import ablations
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
from experiments.studies.increments import transport_increment, without_network
from pinnwx.config import load_config
from pinnwx.config.model import ClimateSettings
from pinnwx.data.archive import Archive
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.runtime import prepare
from pinnwx.time_features import TimeFeatures
from pinnwx.verification.drift import measure_drift

STUDY, SEED = "gcm_latent_minutes", 1
EQUATIONS = "gcm_levels"
CLIMATE = ClimateSettings(relaxation_days=25, smoothing_hours=300, mean_relaxation_days=5)
START, DAYS = np.datetime64("2001-07-01", "ns"), 365
FIELDS = ("z500", "t850", "u500", "v850", "q850", "msl")
MEASURES = ("bias", "variance_ratio", "largest_departure", "change", "predicted")
DAY = np.timedelta64(1, "D")
BATCH = 16
LIMIT = 20  # standard deviations of a field; no analysis of the archive departs by more than 9 from climatology

States = Float[np.ndarray, "day field lat lon"]


@cache
def trained_run(name: str) -> tuple[TrainedModel, Archive]:
    """The live model of a run of the study, and all analyses of its fields."""
    run = next(run for run in ablations.runs_in(STUDY) if run.name == name)
    trained = Run.open(run.folder).load()
    return trained, matching_archive(trained, DATA / scoring_of(run.base).folder)


def with_climate(trained: TrainedModel) -> TrainedModel:
    """The same weights with the climate term."""
    changed = trained.with_config(trained.config.with_model(climate=CLIMATE))
    nnx.update(changed.model, nnx.state(trained.model, nnx.Param))
    return changed


def noise(trained: TrainedModel, analyses: Archive) -> States:
    """States about the climatology of the days of the forecast."""
    rows = np.flatnonzero(np.isin(analyses.times, analyses.times - DAY))  # with an analysis a day later
    departures = analyses.fields[rows] - trained.climatology.at(analyses.times[rows])
    later = np.searchsorted(analyses.times, analyses.times[rows] + DAY)
    after = analyses.fields[later] - trained.climatology.at(analyses.times[later])
    axes = (0, 2, 3)
    weights = analyses.grid.area_weights
    covariance = (weights * departures * after).mean(axes, dtype=np.float64)
    correlation = covariance / (weights * departures**2).mean(axes, dtype=np.float64)
    r = correlation.mean()
    drawn = np.random.default_rng(SEED).integers(len(rows), size=DAYS + 1)
    state, states = departures[drawn[0]], []
    for index in drawn[1:]:
        state = r * state + np.sqrt(1 - r**2) * departures[index]
        states.append(state)
    valid = START + DAY * np.arange(1, DAYS + 1)
    return np.stack(states) + trained.climatology.at(valid)


def forecast(trained: TrainedModel, archive: Archive) -> States:
    """The forecast of each day."""
    leads = 24.0 * np.arange(1, DAYS + 1)
    return Predictor(trained, leads.tolist()).from_archive(archive, np.array([START]))[0]


@cache
def explained_change(archive: Archive) -> Any:
    """A function of states a day apart: the change over the day that the equations explain, (day, field, lat, lon)."""
    config = load_config(EXPERIMENTS / f"{EQUATIONS}.toml").with_model(step_hours=24.0, input_times=1)
    equations = TrainedModel.initialise(without_network(config, {"substeps": 12, "wind_updates": 4}), archive)
    return jax.jit(lambda fields, time: transport_increment(equations.model, fields[:, None], time))


def predicted(states: States, archive: Archive, start: np.datetime64) -> Float[np.ndarray, " field"]:
    """The fraction of the change over a day that the equations explain as they are."""
    increment = explained_change(archive)
    left = whole = np.zeros(len(archive.names))
    weights = archive.grid.area_weights
    middle = TimeFeatures.of(start + DAY * np.arange(1, len(states)) + DAY // 2)
    for first in range(0, len(states) - 1, BATCH):
        rows = np.arange(first, min(first + BATCH, len(states) - 1))
        change = states[rows + 1] - states[rows]
        rest = change - np.asarray(increment(jnp.asarray(states[rows], jnp.float32), middle.select(rows)))
        left = left + (weights * rest**2).sum((0, 2, 3), dtype=np.float64)
        whole = whole + (weights * change**2).sum((0, 2, 3), dtype=np.float64)
    return 1 - left / np.maximum(whole, 1e-30)


def days_of_weather(states: States, trained: TrainedModel, start: np.datetime64) -> int:
    """The days before a value is not finite or more than `LIMIT` standard deviations of its field from climatology."""
    expected = trained.climatology.at(start + DAY * np.arange(1, len(states) + 1))
    within = np.abs(states - expected) <= LIMIT * trained.normalisation.std[:, None, None]  # false where not finite
    lost = np.flatnonzero(~within.all(axis=(1, 2, 3)))
    return int(lost[0]) if len(lost) else len(states)


def measures(states: States, trained: TrainedModel, archive: Archive, start: np.datetime64 = START) -> dict[str, Any]:
    """How the days of a forecast that look like weather differ from the climate of the analyses, by field."""
    days = days_of_weather(states, trained, start)
    if days < 2:  # no change between two days
        return {"days": days, "fields": {}}
    period = trained.config.data.train
    training = archive.select(period.start, period.end)
    leads = 24.0 * np.arange(1, days + 1)
    drift = measure_drift(states[:days], start, leads, training, trained.climatology)
    daily = training.fields[training.times == training.times.astype("datetime64[D]")]
    weights = archive.grid.area_weights
    changes = (
        (weights * np.diff(each, axis=0) ** 2).mean((0, 2, 3), dtype=np.float64) for each in (states[:days], daily)
    )
    ratio, explained = np.divide(*changes), predicted(states[:days], archive, start)
    by_field = {
        name: {
            "bias": float(drift.bias[row]),
            "variance_ratio": float(drift.variance_ratio[row]),
            "largest_departure": float(drift.departure[:, row].max()),
            "change": float(ratio[row]),
            "predicted": float(value),
        }
        for row, (name, value) in enumerate(zip(archive.names, explained, strict=True))
        if name in FIELDS
    }
    return {"days": days, "fields": by_field}


def measure(name: str, *, climate: bool) -> dict[str, Any]:
    trained, archive = trained_run(name)
    return measures(forecast(with_climate(trained) if climate else trained, archive), trained, archive)


def measure_noise(name: str) -> dict[str, Any]:
    trained, archive = trained_run(name)
    period = trained.config.data.train
    return measures(noise(trained, archive.select(period.start, period.end)), trained, archive)


def measure_analyses(name: str) -> dict[str, Any]:
    """A year of analyses, the last of the archive: what chance alone gives."""
    trained, archive = trained_run(name)
    rows = np.flatnonzero(archive.times == archive.times.astype("datetime64[D]"))[-DAYS:]
    return measures(archive.fields[rows], trained, archive, archive.times[int(rows[0])] - DAY)


def table(figures: Mapping[str, Any]) -> str:
    """A row for each forecast, and the range of each measure over the fields."""
    if not figures:
        return "Not run yet.\n"
    rows = []
    for name, entry in figures.items():
        values = [[field[key] for field in entry["fields"].values()] for key in MEASURES]
        cells = [f"{min(each):.2f} to {max(each):.2f}" if each else "-" for each in values]
        rows.append([name, entry["days"], *cells])
    titles = ["forecast", "days", *(key.replace("_", " ") for key in MEASURES)]
    fields = ", ".join(f"`{name}`" for name in FIELDS)
    note = (
        f"{DAYS} days from {str(START)[:10]}, or as many as have no value more than {LIMIT} standard deviations from "
        f"climatology; the smallest and the largest value of {fields}.\n"
    )
    return "\n".join([note, *markdown_table(titles, rows), ""])


def main() -> None:
    options = study_parser(__doc__, remeasure=True).parse_args()
    stored = StoredFigures(RESULTS / "year.json")
    if not options.tables:
        prepare()
        names = [run.name for run in ablations.trained_runs(STUDY, seed=SEED)]
        measurements: dict[str, Any] = {
            f"{name}, {label}": partial(measure, name, climate=climate)
            for name in names
            for label, climate in (("alone", False), ("climate term", True))
        }
        measurements |= {
            "noise about climatology": partial(measure_noise, names[0]),
            "analyses": partial(measure_analyses, names[0]),
        }
        stored.measure_missing(measurements, again=options.again)
    splice(README, "year", table(stored.figures))


if __name__ == "__main__":
    main()
