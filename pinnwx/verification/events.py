"""Events, and the probabilities that an ensemble gives them.

An event is a field above or below a limit: a number (`t2m<273.15`), or a percentile of climatology at each place. Its
probability p is the fraction of the members in which it happens. Of M members, there are M + 1 probabilities; the area
in which each is forecast, n_p, and the part of it in which the event happened, o_p n_p, give all scores (sums over p,
with sum n_p = 1 and the frequency o of the event):

    brier              sum n_p [(p - o_p)^2 + o_p (1 - o_p)] - sum n_p p (1 - p) / (M - 1)         fair (Ferro 2014)
    brier_climatology  o (1 - o)
    roc_area           the area under hit rate against false alarm rate; 0.5 without skill
    slope              of o_p against p, weighted by n_p; 1 for reliable probabilities, below 1 for overconfident ones
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from pinnwx.data.archive import Archive
from pinnwx.forecasting.thresholds import Threshold
from pinnwx.verification.baselines import ClimatologyLike, climatology_at, departures

PERCENTS = (10, 90)  # of climatology, where no limit is given
_MOST_ANALYSES = 400  # of the training time, for a percentile


@runtime_checkable
class Event(Protocol):
    """The interface of an event; `forecasting.thresholds.Threshold` has it too."""

    @property
    def name(self) -> str:
        """To be read."""
        ...

    @property
    def variable(self) -> str:
        """Whose fields decide."""
        ...

    def happens(
        self, fields: Float[np.ndarray, "*batch lat lon"], when: np.datetime64
    ) -> Bool[np.ndarray, "*batch lat lon"]:
        """Where it happens in fields of the variable at this time."""
        ...


@dataclass(frozen=True, eq=False)
class BeyondPercentile:
    """A variable above, or below, a percentile of climatology at each place.

    Attributes:
        name: to be read.
        variable: whose fields decide.
        above: whether above.
        departure: of the percentile from climatology.
        expected: the climatology of all variables at a time.
        column: of the variable among them.
    """

    name: str
    variable: str
    above: bool
    departure: Float[np.ndarray, "lat lon"]
    expected: Callable[[np.datetime64], Float[np.ndarray, "field lat lon"]]
    column: int

    def happens(
        self, fields: Float[np.ndarray, "*batch lat lon"], when: np.datetime64
    ) -> Bool[np.ndarray, "*batch lat lon"]:
        """See `Event`."""
        limit = self.expected(when)[self.column] + self.departure
        return fields > limit if self.above else fields < limit


def events_of(
    thresholds: Sequence[str], names: Sequence[str], training: Archive | None, climatology: ClimatologyLike | None
) -> list[Event]:
    """Those of the thresholds that a user gave, and `percentile_events` where the training time is known.

    Raises:
        UsageError: as `Threshold.parse`.
    """
    events: list[Event] = [Threshold.parse(text, names) for text in thresholds]
    if training is None or climatology is None:
        return events
    return events + percentile_events(training, climatology)


def percentile_events(training: Archive, climatology: ClimatologyLike) -> list[Event]:
    """Every variable below the first and above the second percentile of its departures from climatology, `PERCENTS`.

    The percentiles are those of each place in the training time.
    """
    stride, a_day = -(-len(training.times) // _MOST_ANALYSES), max(round(24 / training.step_hours), 1)
    while math.gcd(stride, a_day) > 1:  # or one hour of the day would be chosen
        stride += 1
    rows = np.arange(0, len(training.times), stride)
    low, high = np.percentile(departures(climatology, training, rows), PERCENTS, axis=0).astype(np.float32)

    @lru_cache(maxsize=1)  # all events ask for one time after another
    def expected(when: np.datetime64) -> Float[np.ndarray, "field lat lon"]:
        fields = climatology_at(climatology, training, np.array([when]))
        assert fields is not None
        return fields[0]

    events: list[Event] = []
    for column, name in enumerate(training.names):
        for above, percent, limits in zip((False, True), PERCENTS, (low, high), strict=True):
            title = f"{name} {'>' if above else '<'} {percent}th percentile"
            events.append(BeyondPercentile(title, name, above, limits[column], expected, column))
    return events


def probability_table(
    event: Event,
    members: Float[np.ndarray, "member lat lon"],
    truth: Float[np.ndarray, "lat lon"],
    when: np.datetime64,
    weights: Float[np.ndarray, "lat 1"],
) -> Float[np.ndarray, "2 count"]:
    """n_p and o_p n_p of a forecast, for p = 0, 1/M, ..., 1."""
    size = len(members) + 1
    counts = event.happens(members, when).sum(axis=0).ravel()
    area = np.broadcast_to(weights, truth.shape).ravel() / truth.size
    happened = event.happens(truth, when).ravel()
    return np.stack([np.bincount(counts, weights=part, minlength=size) for part in (area, area * happened)])


Bounds = Callable[..., tuple[float | None, ...]]


def event_scores(event: Event, tables: Float[np.ndarray, "pair 2 count"], bounds: Bounds) -> dict[str, Any]:
    """The scores of an event from the tables of all forecasts; None where it never or always happened.

    `bounds(function, *values)` gives the value of a function of sums over forecasts, and its lower and upper bound.
    """
    forecast, observed = tables.mean(axis=0)
    size = len(forecast) - 1
    p = np.arange(size + 1) / size
    frequency, total = observed.sum(), forecast.sum()
    brier = (forecast * p**2 - 2 * observed * p + observed).sum() / total
    fair = brier - (forecast * p * (1 - p)).sum() / total / max(size - 1, 1)
    decided = 0 < frequency < total * (1 - 1e-9)
    with np.errstate(divide="ignore", invalid="ignore"):
        frequencies = np.where(forecast > 0, observed / forecast, np.nan)
    return {
        "event": event.name,
        "frequency": float(frequency / total),
        "brier": float(fair),
        "brier_climatology": float(frequency / total * (1 - frequency / total)),
        "roc_area": _roc_area(forecast - observed, observed) if decided else None,
        **dict(zip(("slope", "slope_low", "slope_high"), _slope(p, tables, bounds), strict=True)),
        "probabilities": p.tolist(),
        "areas": (forecast / total).tolist(),
        "frequencies": [None if np.isnan(one) else float(one) for one in frequencies],
    }


def _slope(p: np.ndarray, tables: np.ndarray, bounds: Bounds) -> tuple[float | None, ...]:
    """Of the frequencies against the probabilities, by least squares weighted by area; with its bounds."""
    forecast, observed = tables[:, 0], tables[:, 1]
    sums = [(each * p**power).sum(axis=1) for each, power in ((forecast, 0), (forecast, 1), (forecast, 2))]
    sums += [observed.sum(axis=1), (observed * p).sum(axis=1)]

    def slope(area, first, second, happened, product):
        return (product * area - happened * first) / (second * area - first**2)

    area, first, second = (one.sum() for one in sums[:3])
    if second * area - first**2 <= 1e-12 * area**2:
        return None, None, None
    return tuple(None if each is None or not np.isfinite(each) else each for each in bounds(slope, *sums))


def _roc_area(missed: np.ndarray, hit: np.ndarray) -> float:
    """By the trapezoidal rule, over all probabilities as thresholds."""
    sums = [np.concatenate([[0.0], np.cumsum(each[::-1])]) for each in (missed, hit)]
    false_alarms, hits = (each / each[-1] for each in sums)
    return float(np.clip(np.trapezoid(hits, false_alarms), 0, 1))
