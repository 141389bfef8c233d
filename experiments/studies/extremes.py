"""Extremes: low pressure, strong wind, warm and moist places, as forecast and without the reward of blur.

    python -m experiments.studies.extremes             the runs of `gcm_divergence` that are trained here and not yet
                                                       measured
    python -m experiments.studies.extremes --tables    only write the table

An event is a value beyond a quantile of the training time, all seasons, in its place: `low pressure` below the 5 %
quantile of the departures from climatology, `warm` and `moist` above the 95 % quantile at 850 hPa, and `strong wind`
above the 95 % quantile of the speed at 10 m. The score is the critical success index, hits / (hits + misses + false
alarms), by area; 1 is perfect. Beside it stands the frequency bias: the area where events are forecast, over the area
where they happen.

A smooth forecast misses events and gives few false alarms. So forecasts are compared in three ways:

- `as it is`;
- `matched variance`: the departures are multiplied, for each zonal wavenumber, by a_k = sqrt(E|O_k|^2 / E|F_k|^2). F
  and O are Fourier coefficients of forecasts and analyses along a row, E[.] the mean over rows and forecasts.
- `matched frequency`: a forecast event is a value above c times the threshold, with the c that gives forecasts as many
  events as the analyses have.

The factors of each field and lead come from one half of the forecasts (in time) and are used on the other. The bounds
leave out that the factors are uncertain.

Figures go to experiments/results/extremes.json, the table to experiments/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from experiments.studies import ablations
from experiments.studies.error_by_scale import BATCH, LEADS, STUDY, amplitudes, daily_sums, forecast_starts, halves
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
from pinnwx.data.archive import Archive
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.predictor import Predictor, require_times
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.grid import Grid
from pinnwx.runtime import prepare
from pinnwx.verification.significance import (
    FALSE_DISCOVERIES,
    BlockBootstrap,
    Measurement,
    adjusted,
    is_significant,
    overlap_days,
)

REFERENCE, OTHER = "neural", "advective_and_radius"
MODELS = (REFERENCE, OTHER)
QUANTILE = 0.05
KINDS = ("as it is", "matched variance", "matched frequency")
COUNTS = ("hits", "forecast", "observed")

Departures = Float[np.ndarray, "*batch field lat lon"]
"""Departures of all fields from climatology."""


class Event:
    """Values of one field, or the length of a vector, beyond a quantile of the training time."""

    def __init__(self, *fields: str, low: bool = False, speed: bool = False):
        self.fields, self.low, self.speed = fields, low, speed

    def values(self, departures: Departures, climatology: Departures, names: Sequence[str]) -> np.ndarray:
        """The quantity whose quantile defines the event; larger is more extreme."""
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


def frequent(
    values: Float[np.ndarray, "forecast lat lon"],
    limit: Float[np.ndarray, "lat lon"],
    observed: Bool[np.ndarray, "forecast lat lon"],
    grid: Grid,
) -> Bool[np.ndarray, "forecast lat lon"]:
    """Where forecasts exceed the limit, which is positive, times a factor.

    With the factor, the other half of the forecasts has as many events as were observed in its time.
    """
    events = np.empty_like(observed)
    for used, other in halves(len(values)):
        ratio = values[other] / limit
        order = np.argsort(ratio, axis=None)
        area = np.broadcast_to(grid.area_weights, ratio.shape).ravel()[order]
        wanted = (grid.area_weights * observed[other]).sum()
        place = np.searchsorted(np.cumsum(area[::-1]), wanted)  # from the most extreme on
        factor = ratio.ravel()[order][::-1][min(place, area.size - 1)]
        events[used] = values[used] > factor * limit
    return events


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
    """Daily sums of the counts of each event, lead and kind of forecast."""
    trained = Run.open(run.folder).load()
    archive = matching_archive(trained, DATA / scoring_of(STUDY).folder)
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
        rescaled = matched(own, true, archive.grid)
        for name, event in EVENTS.items():
            values, varied, happened = (event.values(each, expected, archive.names) for each in (own, rescaled, true))
            observed = happened > limits[name]
            forecasts_of_kind = {
                "as it is": values > limits[name],
                "matched variance": varied > limits[name],
                "matched frequency": frequent(values, limits[name], observed, archive.grid),
            }
            for kind, forecast in forecasts_of_kind.items():
                by_area = counts(forecast, observed, archive.grid)
                by_day = {key: daily_sums(each, starts) for key, each in by_area.items()}
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
    seeds = sorted(set.intersection(*seeds_of.values()))
    if not seeds:
        return "Not run yet.\n"
    keys = [(event, lead, kind) for event in EVENTS for lead in LEADS for kind in KINDS]
    sums = {
        key: [series(figures, model, seeds, event=key[0], lead=key[1], kind=key[2]) for model in (REFERENCE, OTHER)]
        for key in keys
    }
    ratios = {key: _ratio(other, reference, key[1]) for key, (reference, other) in sums.items()}
    p_values = adjusted([ratio.p_value(1.0) for ratio in ratios.values()])
    stars = {key: "*" if is_significant(p) else "" for key, p in zip(keys, p_values, strict=True)}
    rows: dict[tuple[str, int], list[str]] = {}
    for (event, lead, kind), (reference, other) in sums.items():
        key = event, lead, kind
        value, low, high = ratios[key].estimate(0.95)
        assert value is not None
        rows.setdefault((event, lead), []).extend(
            [
                f"{float(success(*(each.sum() for each in reference))):.3f}",
                f"{with_bounds(value, low, high)}{stars[key]}",
                " and ".join(f"{each[1].sum() / each[2].sum():.2f}" for each in (reference, other)),
            ]
        )
    titles = ["event", "h"]
    for kind in KINDS:
        titles += [f"`{REFERENCE}`, {kind}", f"`{OTHER}` over it", "frequency bias of both"]
    note = (
        f"Critical success index of `{REFERENCE}`, and that of `{OTHER}` over it (above 1: better), with 95 % bounds "
        f"over days and seeds. Seeds {', '.join(map(str, seeds))}. `*`: {sum(map(bool, stars.values()))} of "
        f"{len(keys)} ratios differ from 1 with a false discovery rate of {100 * FALSE_DISCOVERIES:.0f} %.\n"
    )
    return "\n".join([note, *markdown_table(titles, [[*key, *cells] for key, cells in rows.items()]), ""])


def _ratio(other: Sequence[np.ndarray], reference: Sequence[np.ndarray], lead: int) -> Measurement:
    days = np.arange(other[0].shape[1]).astype("datetime64[D]")
    return BlockBootstrap().measure(
        lambda *sums: success(*sums[:3]) / success(*sums[3:]), *other, *reference, overlap=overlap_days(days, lead)
    )


def main() -> None:
    options = study_parser(__doc__, remeasure=True).parse_args()
    stored = StoredFigures(RESULTS / "extremes.json")
    if not options.tables:
        prepare()
        runs = ablations.trained_runs(STUDY, MODELS)
        stored.measure_missing(
            {f"{run.name}, seed {run.seed}": partial(measure, run) for run in runs}, again=options.again
        )
    splice(README, "extremes", table(stored.figures))


if __name__ == "__main__":
    main()
