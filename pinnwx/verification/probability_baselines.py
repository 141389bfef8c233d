"""Baselines of a probabilistic forecast: a dressed single forecast, and climatology.

**Dressed forecast.** A normal distribution about the single forecast,

    N(f + b, s^2),    b and s^2 the mean and the variance of t - f in the training time,

with a `b` and an `s` for each field, lead, band of 30 degrees of latitude and season (Gneiting et al. 2005, Monthly
Weather Review 133, 1098-1118, of a single forecast). It costs nothing and knows nothing of the day, so an ensemble is
worth its cost only if it is better. The errors must be those of weather that the networks were not trained on
(`training.cross_fitting`), because in their own training time they are too small.

**Climatology.** An ensemble of analyses of the training time, of the same time of day and season.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, Shaped

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import alike
from pinnwx.forecasting.out_of_fold import OutOfFold
from pinnwx.grid import Grid
from pinnwx.verification.ensemble import crps, gaussian_crps

SEASONS, BAND_DEGREES = 4, 30.0
FEWEST_FORECASTS = 30  # of a season; with fewer, those of the whole year serve
FEWEST_ANALYSES, MOST_ANALYSES = 8, 50  # of climatology

Fields = Float[np.ndarray, "lead field lat lon"]


class Case(NamedTuple):
    """What a baseline forecasts from one initial time, and what came.

    Attributes:
        single: the single forecast, where there is one.
        truth: the analyses of the valid times.
        valid_times: of each lead.
        lead_hours: the leads.
    """

    single: Fields | None
    truth: Fields
    valid_times: Shaped[np.ndarray, " lead"]
    lead_hours: Sequence[float]


@runtime_checkable
class ProbabilityBaseline(Protocol):
    """The interface of a baseline: its CRPS for one initial time."""

    def __call__(self, case: Case, /) -> Float[np.ndarray, "lead field"]:
        """The area mean of the CRPS, in the units of the field; NaN where the baseline is undefined."""
        ...


@dataclass(frozen=True, eq=False)
class DressedForecast:
    """The mean and the standard deviation of the error of a single forecast, by lead [h]."""

    grid: Grid
    lead_hours: tuple[float, ...]
    mean: Float[np.ndarray, "season lead field band"]
    std: Float[np.ndarray, "season lead field band"]

    @classmethod
    def fit(cls, parts: Iterable[OutOfFold], lead_hours: Sequence[float], grid: Grid) -> DressedForecast | None:
        """Fits on forecasts of the training time, at these leads; None without any."""
        sums: np.ndarray | None = None
        count, bands = np.zeros(SEASONS), _bands(grid)
        for part in parts:
            error = (part.truth - part.forecasts).astype(np.float64)
            moments = np.stack([_band_means(error, bands, grid), _band_means(error**2, bands, grid)])
            sums = np.zeros((2, SEASONS, *moments.shape[2:])) if sums is None else sums
            for row, season in enumerate(_season(part.initial_times)):
                sums[:, season] += moments[:, row]
                count[season] += 1
        if sums is None:
            return None
        few, whole = count < FEWEST_FORECASTS, sums.sum(axis=1, keepdims=True)
        sums, count = np.where(few[:, None, None, None], whole, sums), np.where(few, count.sum(), count)
        mean, square = sums / count[:, None, None, None]
        return cls(grid, tuple(map(float, lead_hours)), mean, np.sqrt(np.maximum(square - mean**2, 0)))

    def __call__(self, case: Case, /) -> Float[np.ndarray, "lead field"]:
        """See `ProbabilityBaseline`."""
        result = np.full(case.truth.shape[:2], np.nan)
        if case.single is None:
            return result
        bands = _bands(self.grid)
        for row, (lead, when) in enumerate(zip(case.lead_hours, case.valid_times, strict=True)):
            if float(lead) in self.lead_hours:
                own = self.lead_hours.index(float(lead))
                season = _season(np.array([when - np.timedelta64(round(3600 * lead), "s")]))[0]
                mean, std = (each[season, own][:, bands, None] for each in (self.mean, self.std))
                result[row] = gaussian_crps(case.single[row] + mean, std, case.truth[row], self.grid.area_weights)
        return result


@dataclass(frozen=True, eq=False)
class ClimatologicalEnsemble:
    """Analyses of the training time as members."""

    training: Archive

    def __call__(self, case: Case, /) -> Float[np.ndarray, "lead field"]:
        """See `ProbabilityBaseline`."""
        result = np.full(case.truth.shape[:2], np.nan)
        for row, when in enumerate(case.valid_times):
            rows = np.flatnonzero(alike(self.training.times, when))
            if len(rows) >= FEWEST_ANALYSES:
                chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_ANALYSES)).round().astype(int)]
                members = self.training.fields[chosen]
                result[row] = crps(members, case.truth[row], self.training.grid.area_weights)
        return result


def _season(times: Shaped[np.ndarray, " time"]) -> Int[np.ndarray, " time"]:
    """0 for December to February, and so on."""
    months = times.astype("datetime64[M]").astype(np.int64) % 12
    return (months + 1) % 12 // 3


def _bands(grid: Grid) -> Int[np.ndarray, " lat"]:
    """The number of the band of each row."""
    numbers = np.floor((np.asarray(grid.latitude) + 90.0) / BAND_DEGREES)
    return np.unique(np.minimum(numbers, 180 // BAND_DEGREES - 1), return_inverse=True)[1]


def _band_means(
    values: Float[np.ndarray, "batch lead field lat lon"], bands: Int[np.ndarray, " lat"], grid: Grid
) -> Float[np.ndarray, "batch lead field band"]:
    """The area mean of each band."""
    weights = np.broadcast_to(grid.area_weights, grid.shape)
    parts = [bands == number for number in range(bands.max() + 1)]
    means = [(weights[rows] * values[..., rows, :]).sum((-2, -1)) / weights[rows].sum() for rows in parts]
    return np.stack(means, axis=-1)
