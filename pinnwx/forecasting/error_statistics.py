"""Mean and variance of forecast errors at each place, from few forecasts.

Forecasts of successive days share their errors, so P periods of `PERIOD_DAYS` count as P independent ones. The mean of
the errors e is shrunk towards zero by 1 - s^2 / (P e^2), at least 0 (James and Stein 1961), and their variance s^2
towards its mean over a band of latitude, which counts as `BAND_WORTH` periods.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

from pinnwx.grid import Grid

PERIOD_DAYS = 5
BAND_DEGREES, BAND_WORTH = 30.0, 10

Errors = Float[np.ndarray, "forecast *shape lat lon"]
Local = Float[np.ndarray, "*shape lat lon"]


def local_mean_and_variance(
    errors: Errors, initial_times: Shaped[np.ndarray, " forecast"], grid: Grid
) -> tuple[Local, Local]:
    """The shrunk mean and the shrunk variance of errors of forecasts from these times."""
    periods = len(np.unique(initial_times.astype("datetime64[D]").astype(np.int64) // PERIOD_DAYS))
    mean = errors.mean(axis=0, dtype=np.float64)
    variance = shrunk_to_bands(errors.var(axis=0, dtype=np.float64), periods, grid)
    with np.errstate(divide="ignore", invalid="ignore"):
        shrinkage = np.maximum(1 - variance / (periods * mean**2), 0)
    return np.nan_to_num(shrinkage) * mean, variance


def shrunk_to_bands(values: Local, periods: int, grid: Grid) -> Local:
    """Values that were estimated from so many periods, shrunk towards the area mean of their band of latitude."""
    return (periods * values + BAND_WORTH * _band_mean(values, grid)) / (periods + BAND_WORTH)


def _band_mean(values: Local, grid: Grid) -> Local:
    """The area mean of the band of each row."""
    bands, weights = np.floor((np.asarray(grid.latitude) + 90.0) / BAND_DEGREES), grid.area_weights[:, 0]
    result = np.empty_like(values)
    for band in np.unique(bands):
        rows = bands == band
        mean = np.average(values[..., rows, :].mean(axis=-1), axis=-1, weights=weights[rows])
        result[..., rows, :] = mean[..., None, None]
    return result
