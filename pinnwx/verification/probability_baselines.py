"""Baselines of a probabilistic forecast: a dressed single forecast, and climatology.

**Dressed forecast.** A normal distribution about the single forecast f,

    N(f + b, (r s)^2),    b and s the mean and the standard deviation of t - f in the training time

at each place, by field and lead (`forecasting.error_statistics`). The factor r, by field, lead and season, has the
least CRPS in the training time (Gneiting et al. 2005, Monthly Weather Review 133, 1098-1118). The distribution knows
nothing of the day, so an ensemble is worth its cost only if it is better. The errors must be those of weather that the
networks were not trained on (`forecasting.out_of_fold`), because in their own training time they are too small.

**Climatology.** An ensemble: the climatology of the valid time, plus departures from climatology in the training time,
of the same time of day and season.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, Shaped

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import same_hour_and_season
from pinnwx.forecasting.error_statistics import local_mean_and_variance
from pinnwx.forecasting.out_of_fold import OutOfFold
from pinnwx.grid import Grid
from pinnwx.verification.baselines import ClimatologyLike, climatology_at, departures
from pinnwx.verification.ensemble import crps, gaussian_crps
from pinnwx.verification.pairing import lead_deltas

FEWEST_FORECASTS = 30  # of a dressing, and of a season with a factor of its own
FACTORS = np.geomspace(0.4, 2.5, 21)
MOST_FOR_FACTORS = 64  # forecasts of a season
FEWEST_ANALYSES, MOST_ANALYSES = 8, 50  # of climatology
APART = np.timedelta64(1, "D")  # of those analyses from the valid time, at least: none is the truth
_SEASONS = 4

Fields = Float[np.ndarray, "lead field lat lon"]


class Case(NamedTuple):
    """What a baseline forecasts, and what came.

    Attributes:
        single: the single forecast, where there is one.
        truth: the analyses of the valid times.
        initial_time: of the forecast.
        lead_hours: the leads.
    """

    single: Fields | None
    truth: Fields
    initial_time: np.datetime64
    lead_hours: Sequence[float]


@runtime_checkable
class ProbabilityBaseline(Protocol):
    """The interface of a baseline: its CRPS for one initial time."""

    def __call__(self, case: Case, /) -> Float[np.ndarray, "lead field"]:
        """The area mean of the CRPS, in the units of the field; NaN where the baseline is undefined."""
        ...


@dataclass(frozen=True, eq=False)
class DressedForecast:
    """The distribution of the error of a single forecast.

    Attributes:
        grid: of the fields.
        lead_hours: the leads.
        forecasts: the number of forecasts that it was fitted on.
        bias: the mean.
        std: the standard deviation, without the factor.
        factor: of the standard deviation.
    """

    grid: Grid
    lead_hours: tuple[float, ...]
    forecasts: int
    bias: Float[np.ndarray, "lead field lat lon"]
    std: Float[np.ndarray, "lead field lat lon"]
    factor: Float[np.ndarray, "season lead field"]

    @classmethod
    def fit(cls, parts: Iterable[OutOfFold], lead_hours: Sequence[float], grid: Grid) -> DressedForecast | None:
        """Fits on forecasts of the training time at these leads; None if there are fewer than `FEWEST_FORECASTS`."""
        samples = [(part.initial_times, part.truth - part.forecasts) for part in parts]
        if sum(len(times) for times, _ in samples) < FEWEST_FORECASTS:
            return None
        times, errors = (np.concatenate(each) for each in zip(*samples, strict=True))
        bias, variance = local_mean_and_variance(errors, times, grid)
        std = np.sqrt(variance)
        seasons = [np.flatnonzero(_season(times) == season) for season in range(_SEASONS)]
        every = np.arange(len(times))
        chosen = [rows if len(rows) >= FEWEST_FORECASTS else every for rows in seasons]
        factors = [_best_factor(errors[_spread(rows, MOST_FOR_FACTORS)] - bias, std, grid) for rows in chosen]
        return cls(grid, tuple(map(float, lead_hours)), len(times), bias, std, np.stack(factors))

    def __call__(self, case: Case, /) -> Float[np.ndarray, "lead field"]:
        """See `ProbabilityBaseline`."""
        result = np.full(case.truth.shape[:2], np.nan)
        if case.single is None:
            return result
        (season,) = _season(np.array([case.initial_time]))
        for row, lead in enumerate(map(float, case.lead_hours)):
            if lead in self.lead_hours:
                own = self.lead_hours.index(lead)
                std = self.factor[season, own][:, None, None] * self.std[own]
                centre = case.single[row] + self.bias[own]
                result[row] = gaussian_crps(centre, std, case.truth[row], self.grid.area_weights)
        return result


@dataclass(frozen=True, eq=False)
class ClimatologicalEnsemble:
    """Departures of the training time about the climatology of the valid time."""

    training: Archive
    climatology: ClimatologyLike

    def __call__(self, case: Case, /) -> Float[np.ndarray, "lead field"]:
        """See `ProbabilityBaseline`."""
        result = np.full(case.truth.shape[:2], np.nan)
        times = self.training.times
        for row, when in enumerate(case.initial_time + lead_deltas(case.lead_hours)):
            rows = np.flatnonzero(same_hour_and_season(times, when) & (np.abs(times - when) >= APART))
            if len(rows) >= FEWEST_ANALYSES:
                chosen = _spread(rows, MOST_ANALYSES)
                centre = climatology_at(self.climatology, self.training, np.array([when]))
                assert centre is not None
                members = centre + departures(self.climatology, self.training, chosen)
                result[row] = crps(members, case.truth[row], self.training.grid.area_weights)
        return result


def _spread(rows: Int[np.ndarray, " row"], most: int) -> Int[np.ndarray, " row2"]:
    """At most so many of them, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(int)]


def _best_factor(
    errors: Float[np.ndarray, "forecast lead field lat lon"], std: Fields, grid: Grid
) -> Float[np.ndarray, "lead field"]:
    """The factor of the standard deviation with the least CRPS."""
    weights, zero = grid.area_weights, np.zeros_like(errors)
    scores = [gaussian_crps(zero, factor * std[None], errors, weights).mean(axis=0) for factor in FACTORS]
    return FACTORS[np.argmin(scores, axis=0)]


def _season(times: Shaped[np.ndarray, " time"]) -> Int[np.ndarray, " time"]:
    """0 for December to February, and so on."""
    months = times.astype("datetime64[M]").astype(np.int64) % 12
    return (months + 1) % 12 // 3
