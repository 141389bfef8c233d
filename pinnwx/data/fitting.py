"""Normalisation and climatology of an archive, which must hold the training time only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64

from pinnwx.data.archive import Archive
from pinnwx.data.field_statistics import area_mean, field_statistics
from pinnwx.data.windows import window_indices
from pinnwx.errors import DataError
from pinnwx.grid import Grid
from pinnwx.statistics import Climatology, Normalisation, harmonic_basis

_ANNUAL = 2  # harmonics of the year
_DIURNAL = 2  # harmonics of the day, at most
_YEAR = np.timedelta64(365, "D")
_FOR_THE_DAY = np.timedelta64(10, "D")  # the shortest training time whose daily cycle is fitted
_CHUNK = 256  # times that are converted to float64 at once


def fit_normalisation(archive: Archive, step_hours: int | float) -> Normalisation:
    """Statistics in float64. Increments are those of pairs that are exactly one step apart.

    Raises:
        DataError: no two times are a step apart, or a field never changes.
    """
    pairs = window_indices(archive.times, step_hours, 1)
    if len(pairs) == 0:
        raise DataError(f"no two training times are {step_hours:g} h apart; their spacing is {archive.step_hours:g} h")
    weights = archive.grid.area_weights
    mean, std, increment_std, maps = [], [], [], []
    for index, name in enumerate(archive.names):
        values = archive.fields[:, index]
        maps.append(values.mean(axis=0, dtype=np.float64))
        centre = float((maps[-1] * weights).mean())
        mean.append(centre)
        std.append(_deviation((part - centre for part in _chunks(values)), weights))
        increments = (values[rows[:, 1]].astype(np.float64) - values[rows[:, 0]] for rows in _chunks(pairs))
        increment_std.append(_deviation(increments, weights))
        if std[-1] == 0 or increment_std[-1] == 0:
            raise DataError(f"{name} never changes in the training time; leave it out, or declare it static")
    return Normalisation(archive.names, *map(np.asarray, (mean, std, increment_std, maps)))


def fit_climatology(archive: Archive) -> Climatology:
    """A least-squares fit at every grid point.

    It has harmonics of the year where the training time spans one, and those of the day that its hours resolve where it
    spans ten days. Without either, the climatology is the mean.
    """
    annual, diurnal = _harmonics(archive.times)
    design = harmonic_basis(archive.times, annual, diurnal)
    inverse = np.linalg.pinv(design)
    coefficients, minimum, maximum, largest, mean_range = [], [], [], [], []
    for index in range(len(archive.names)):  # field by field, because float64 needs memory
        values = archive.fields[:, index].astype(np.float64)
        coefficients.append(np.tensordot(inverse, values, axes=1))
        departure = values - np.tensordot(design, coefficients[-1], axes=1)
        minimum.append(departure.min(axis=0))
        maximum.append(departure.max(axis=0))
        largest.append(_largest_statistics(departure, archive.grid))
        mean_range.append(np.ptp(area_mean(departure, archive.grid)))
    fitted, lowest, highest = (
        np.stack(parts, axis=-3).astype(np.float32) for parts in (coefficients, minimum, maximum)
    )
    statistics = np.stack(largest, axis=-1).astype(np.float32)
    ranges = np.asarray(mean_range, np.float32)
    return Climatology(archive.names, fitted, annual, diurnal, lowest, highest, statistics, ranges)


def _chunks(values: np.ndarray) -> Iterator[np.ndarray]:
    """Parts along the first axis: float64 sums without a float64 copy of the whole array."""
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))


def _deviation(parts: Iterator[np.ndarray], weights: np.ndarray) -> float:
    """Area-weighted standard deviation of the (time, lat, lon) parts taken together, about their mean."""
    count, total, squares = 0, 0.0, 0.0
    for part in parts:
        part = part.astype(np.float64)
        count += part.size
        total += float((part * weights).sum())
        squares += float((part**2 * weights).sum())
    return max(squares / count - (total / count) ** 2, 0.0) ** 0.5


def _largest_statistics(departure: Float64[np.ndarray, "time lat lon"], grid: Grid) -> np.ndarray:
    """The largest value of each of the `field_statistics`."""
    largest = [[values.max() for values in field_statistics(part, grid).values()] for part in _chunks(departure)]
    return np.max(largest, axis=0)


def _harmonics(times: np.ndarray) -> tuple[int, int]:
    """The numbers of harmonics of the year and of the day that these times determine."""
    if times.size < 2:
        return 0, 0
    span = times[-1] - times[0] + np.diff(times).min()
    hours = np.unique(times - times.astype("datetime64[D]")).size
    annual = _ANNUAL if span >= _YEAR else 0
    return annual, min(_DIURNAL, (hours - 1) // 2) if span >= _FOR_THE_DAY else 0
