"""Storms and other extremes, where no forecast is rewarded for blur.

    python -m experiments.studies.extremes             the runs of `gcm_divergence` that are trained here and not yet
                                                       measured
    python -m experiments.studies.extremes --tables    only write the table

A smooth forecast misses extremes and gives no false alarms. So forecasts are compared as they are, and with the
variance of the analyses: the departures from climatology are multiplied, for each zonal wavenumber, by

    a_k = sqrt(E|O_k|^2 / E|F_k|^2),

where F and O are Fourier coefficients of forecasts and analyses along a row and E[.] is the mean over rows and
forecasts. The factors of each field and lead come from one half of the forecasts (in time) and are used on the other.

An event is a value beyond a quantile of the training time in its place: `low pressure` below the 5 % quantile of the
departures, `warm` and `moist` above the 95 % quantile at 850 hPa, and `strong wind` above the 95 % quantile of the
speed at 10 m. The score is the critical success index, hits / (hits + misses + false alarms), by area; 1 is perfect.
Beside it stands the frequency bias: the area where events are forecast, over the area where they happen.

Figures go to experiments/results/extremes.json, the table to experiments/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from experiments.studies import ablations
from experiments.studies.error_by_scale import amplitudes, daily_sums, forecast_starts, halves
from experiments.studies.harness import (
    DATA,
    README,
    RESULTS,
    StoredFigures,
    markdown_table,
    scoring_of,
    splice,
    study_parser,
)
from pinnwx.data.archive import Archive
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.predictor import Predictor, require_times
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.grid import Grid
from pinnwx.runtime import prepare
from pinnwx.verification.significance import BlockBootstrap, overlap_days

STUDY, REFERENCE, MODELS = "gcm_divergence", "neural", ("neural", "advective_and_radius")
LEADS = (24, 72, 120)
QUANTILE = 0.05
BATCH = 20
COUNTS = ("hits", "forecast", "observed")

Departures = Float[np.ndarray, "*batch field lat lon"]
"""Departures of all fields from climatology."""


class Event:
    """Values of one field, or the length of a vector, beyond a quantile of the training time."""

    def __init__(self, *fields: str, low: bool = False, speed: bool = False):
        self.fields, self.low, self.speed = fields, low, speed

    def values(self, departures: Departures, climatology: Departures, names: Sequence[str]) -> np.ndarray:
        """What the quantile is of: larger is more extreme."""
        rows = [names.index(field) for field in self.fields]
        if self.speed:
            return np.hypot(*np.moveaxis((departures + climatology)[..., rows, :, :], -3, 0))
        return (-1 if self.low else 1) * departures[..., rows[0], :, :]


EVENTS = {
    "low pressure": Event("msl", low=True),
    "strong wind": Event("u10", "v10", speed=True),
    "warm": Event("t850"),
    "moist": Event("q850"),
}


def gains(
    forecasts: Float[np.ndarray, "forecast lat lon"], analyses: Float[np.ndarray, "forecast lat lon"], grid: Grid
) -> Float[np.ndarray, " mode"]:
    """a_k of these forecasts; 1 where a forecast has no power."""
    own, true = (
        (grid.area_weights * np.abs(amplitudes(each, grid)) ** 2).mean((0, 1)) for each in (forecasts, analyses)
    )
    return np.sqrt(np.divide(true, own, out=np.ones_like(own), where=own > 0))


def multiplied(
    departures: Float[np.ndarray, "*batch lat lon"], factors: Float[np.ndarray, " mode"], grid: Grid
) -> Float[np.ndarray, "*batch lat lon"]:
    """The departures, with the area mean and each zonal wavenumber multiplied by its factor."""
    columns = grid.shape[1]
    mean = (grid.area_weights * departures).mean((-2, -1), keepdims=True)
    waves = np.fft.rfft(departures.astype(np.float64) - mean) * factors[1:]
    return np.fft.irfft(waves, n=columns) + factors[0] * mean


def matched(
    forecasts: Float[np.ndarray, "forecast field lat lon"],
    analyses: Float[np.ndarray, "forecast field lat lon"],
    grid: Grid,
) -> Float[np.ndarray, "forecast field lat lon"]:
    """Departures of forecasts of one lead, with the variance of those of the analyses at each zonal wavenumber."""
    result = np.empty_like(forecasts)
    for used, other in halves(len(forecasts)):
        for row in range(forecasts.shape[1]):
            factors = gains(forecasts[other, row], analyses[other, row], grid)
            result[used, row] = multiplied(forecasts[used, row], factors, grid)
    return result


def counts(
    forecast: Bool[np.ndarray, "forecast lat lon"], observed: Bool[np.ndarray, "forecast lat lon"], grid: Grid
) -> dict[str, Float[np.ndarray, " forecast"]]:
    """The fraction of the area with each of `COUNTS`."""
    each = (forecast & observed, forecast, observed)
    return {key: (grid.area_weights * events).mean((1, 2)) for key, events in zip(COUNTS, each, strict=True)}


def success(hits: np.ndarray, forecast: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """The critical success index."""
    return hits / (forecast + observed - hits)


def thresholds(trained: TrainedModel, archive: Archive) -> dict[str, Float[np.ndarray, "lat lon"]]:
    """The quantile of each event in the training time."""
    period = trained.config.data.train
    training = archive.select(period.start, period.end)
    climatology = trained.climatology.at(training.times)
    departures = training.fields - climatology
    return {
        name: np.quantile(event.values(departures, climatology, archive.names), 1 - QUANTILE, axis=0)
        for name, event in EVENTS.items()
    }


def measure(run: ablations.AblationRun) -> dict[str, Any]:
    """Daily sums of the counts of each event and lead, as forecast and with matched variance."""
    trained = Run.open(run.folder).load()
    archive = matching_archive(trained, DATA / scoring_of(run.base).folder)
    predictor, limits = Predictor(trained, LEADS), thresholds(trained, archive)
    starts = forecast_starts(predictor, archive)
    forecasts = np.concatenate(
        [predictor.from_archive(archive, starts[first : first + BATCH]) for first in range(0, len(starts), BATCH)]
    )
    entries = []
    for row, lead in enumerate(LEADS):
        valid = starts + np.timedelta64(lead, "h")
        expected, analyses = trained.climatology.at(valid), archive.fields[require_times(archive.times, valid)]
        true, own = analyses - expected, forecasts[:, row] - expected
        for kind, departures in (("as it is", own), ("matched", matched(own, true, archive.grid))):
            for name, event in EVENTS.items():
                forecast, observed = (
                    event.values(each, expected, archive.names) > limits[name] for each in (departures, true)
                )
                by_day = {
                    key: daily_sums(each, starts) for key, each in counts(forecast, observed, archive.grid).items()
                }
                entries.append({"event": name, "lead": lead, "kind": kind} | by_day)
    return {
        "updates": trained.manifest["updates"],
        "starts": len(starts),
        "first": str(starts[0])[:16],
        "scores": entries,
    }


def series(figures: Mapping[str, Any], model: str, seeds: Sequence[int], **which: object) -> list[np.ndarray]:
    """Each of `COUNTS` by seed and day."""
    entries = [
        next(one for one in figures[f"{model}, seed {seed}"]["scores"] if which.items() <= one.items())
        for seed in seeds
    ]
    return [np.array([entry[key] for entry in entries]) for key in COUNTS]


def table(figures: Mapping[str, Any]) -> str:
    """A row for each event and lead: the scores of the reference, and the ratio of the other's to them."""
    seeds_of = {
        model: {int(name.rpartition(" ")[2]) for name in figures if name.startswith(f"{model}, seed ")}
        for model in MODELS
    }
    seeds = sorted(set.intersection(*map(set, seeds_of.values())))
    if not seeds:
        return "Not run yet.\n"
    rows = []
    for event in EVENTS:
        for lead in LEADS:
            cells = []
            for kind in ("as it is", "matched"):
                reference, other = (
                    series(figures, model, seeds, event=event, lead=lead, kind=kind) for model in (REFERENCE, MODELS[1])
                )
                cells += [f"{float(success(*(each.sum() for each in reference))):.3f}", _ratio(other, reference, lead)]
                cells.append(" and ".join(f"{each[1].sum() / each[2].sum():.2f}" for each in (reference, other)))
            rows.append([event, lead, *cells])
    titles = ["event", "h"]
    for kind in ("as it is", "matched"):
        titles += [f"`{REFERENCE}`, {kind}", f"`{MODELS[1]}` over it", "frequency bias of both"]
    note = (
        f"Critical success index of `{REFERENCE}`, and that of `{MODELS[1]}` over it (above 1: better), with 95 % "
        f"bounds over days and seeds. Seeds {', '.join(map(str, seeds))}.\n"
    )
    return "\n".join([note, *markdown_table(titles, rows), ""])


def _ratio(other: Sequence[np.ndarray], reference: Sequence[np.ndarray], lead: int) -> str:
    days = np.arange(other[0].shape[1]).astype("datetime64[D]")
    value, low, high = BlockBootstrap().estimate(
        lambda *sums: success(*sums[:3]) / success(*sums[3:]), *other, *reference, overlap=overlap_days(days, lead)
    )
    return f"{value:.3f}" + ("" if low is None or high is None else f" ({low:.3f}-{high:.3f})")


def main() -> None:
    options = study_parser(__doc__, remeasure=True).parse_args()
    stored = StoredFigures(RESULTS / "extremes.json")
    if not options.tables:
        prepare()
        runs = ablations.runs_of(STUDY, ablations.read_studies()[STUDY])
        trained = [run for run in runs if run.name in MODELS and (run.folder / "live").is_file()]
        if not trained:
            raise SystemExit(f"no run of {STUDY} is trained here: python -m experiments.studies.ablations {STUDY}")
        stored.measure_missing(
            {f"{run.name}, seed {run.seed}": partial(measure, run) for run in trained}, again=options.again
        )
    splice(README, "extremes", table(stored.figures))


if __name__ == "__main__":
    main()
