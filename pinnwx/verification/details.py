"""The place, the size and the scale of errors, which one RMSE hides.

A forecast may have a low RMSE because it is smooth, because little happens in most places, or because it is right
nearly everywhere and wrong in a few places. These numbers show it, for the same pairs:

    regions      RMSE poleward of 20 degrees north, within 20 degrees of the equator, poleward of 20 degrees south
                 (the regions of WeatherBench 2)
    percentiles  of the absolute error, by area: 50, 90 and 99 %
    power_ratio  power of the forecasts over that of the truth, for each zonal wavenumber; 1 is as rough as the truth
    variance_ratio  the same for all waves up to zonal wavenumber 16 together
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from pinnwx.grid import Grid

REGIONS = {"north": (20.0, 90.0), "tropics": (-20.0, 20.0), "south": (-90.0, -20.0)}
PERCENTILES = (50, 90, 99)
LARGE_SCALES = 16  # zonal wavenumber up to which variance is compared

PairFields = Float[np.ndarray, "pair field lat lon"]


def detail_statistics(
    forecast: PairFields, truth: PairFields, grid: Grid
) -> dict[str, Float[np.ndarray, "pair field part"]]:
    """The statistics of each pair from which `details` are computed; `regions` and `percentiles` are errors."""
    error = np.abs(forecast - truth)
    statistics = {"regions": _regional_rmse(error, grid), "percentiles": _percentiles(error, grid)}
    if grid.is_periodic:
        statistics |= {"forecast_power": zonal_power(forecast, grid), "truth_power": zonal_power(truth, grid)}
    return statistics


def details(pairs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The details of one variable and lead as JSON values: means over pairs and ratios of sums over pairs.

    `pairs` contains the `detail_statistics` of one field, each with the shape (pair, part).
    """
    regions, percentiles = pairs["regions"].mean(axis=0), pairs["percentiles"].mean(axis=0)
    values: dict[str, Any] = {
        "regions": {name: float(value) for name, value in zip(REGIONS, regions, strict=True) if np.isfinite(value)},
        "percentiles": {str(p): float(value) for p, value in zip(PERCENTILES, percentiles, strict=True)},
    }
    if "truth_power" in pairs:
        forecast, truth = pairs["forecast_power"].sum(axis=0), pairs["truth_power"].sum(axis=0)
        values["variance_ratio"] = ratio(large_scale_variance(forecast), large_scale_variance(truth))
        values["power_ratio"] = [ratio(f, t) for f, t in zip(forecast, truth, strict=True)]
    return values


def zonal_power(fields: Float[np.ndarray, "*batch lat lon"], grid: Grid) -> Float[np.ndarray, "*batch wavenumber"]:
    """Power of each zonal wavenumber, 0 to half the columns, of the departure from the area mean.

    It is |c_m|^2 summed over both signs of m and averaged over the rows by area. Its sum over m is the area-weighted
    variance (Parseval).
    """
    weights = grid.area_weights
    departure = fields - (weights * fields).mean((-2, -1), keepdims=True)
    columns = grid.shape[1]
    power = np.abs(np.fft.rfft(departure.astype(np.float64)) / columns) ** 2
    power[..., 1 : (columns + 1) // 2] *= 2
    return (weights * power).mean(axis=-2)


def large_scale_variance(power: Float[np.ndarray, "*batch wavenumber"]) -> Float[np.ndarray, "*batch"] | np.floating:
    """The part of the variance in zonal wavenumbers up to `LARGE_SCALES`."""
    return power[..., : LARGE_SCALES + 1].sum(axis=-1)


def _regional_rmse(error: PairFields, grid: Grid) -> Float[np.ndarray, "pair field region"]:
    latitude, weights = np.asarray(grid.latitude), grid.area_weights
    parts = []
    for south, north in REGIONS.values():
        rows = (latitude >= south) & (latitude <= north)
        if rows.any():
            square = (weights[rows] * error[..., rows, :] ** 2).mean((-2, -1)) / weights[rows].mean()
            parts.append(np.sqrt(square))
        else:
            parts.append(np.full(error.shape[:2], np.nan))
    return np.stack(parts, axis=-1)


def _percentiles(error: PairFields, grid: Grid) -> Float[np.ndarray, "pair field percentile"]:
    """The area percentiles of the error: the error is at most this value in p % of the area."""
    flat = error.reshape(*error.shape[:2], -1)
    order = np.argsort(flat, axis=-1)
    area = np.broadcast_to(grid.area_weights, grid.shape).reshape(-1)
    covered = np.cumsum(area[order], axis=-1) / area.sum()
    sorted_errors = np.take_along_axis(flat, order, axis=-1)
    first = [(covered < percent / 100).sum(axis=-1).clip(max=flat.shape[-1] - 1) for percent in PERCENTILES]
    return np.stack([np.take_along_axis(sorted_errors, k[..., None], axis=-1)[..., 0] for k in first], axis=-1)


def ratio(above: Any, below: Any) -> float | None:
    """The ratio; None where it is not defined."""
    return float(above / below) if below > 0 else None
