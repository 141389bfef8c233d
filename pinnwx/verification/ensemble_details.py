"""Whether members are as likely as the truth: what the CRPS and the spread of an ensemble do not show.

For each variable and lead, with M members x_i, the truth y, and A the area mean over all forecasts:

    ranks            A of the truth at each rank among the members, M + 1 of them; 1 / (M + 1) each where members and
                     truth are drawn alike (Hamill 2001). Equal values share their ranks.
    outer_ranks      the first and the last over 2 / (M + 1): above 1, the truth is too often outside the ensemble
    spread_bins      spread, and error of the mean, in ten bins from the tenth of the area of each forecast with the
                     least spread to that with the largest: are they proportional?
    power_ratio      power of the members over that of the truth, for each zonal wavenumber; below 1 they are too smooth
    variance_ratio   the same of all waves up to wavenumber 16
    energy_score     A over forecasts of ||x_i - y|| - ||x_i - x_j|| / 2, fair, with ||d||^2 the area mean of d^2: of
                     whole fields (Gneiting and Raftery 2007)
    variogram_score  A (|y(a) - y(b)|^1/2 - mean |x_i(a) - x_i(b)|^1/2)^2 over pairs of cells a and b that are as many
                     rows, or columns, apart as 1,000 km at the equator: of relations between places (Scheuerer and
                     Hamill 2015)
    regions          crps, spread and error of the mean by the regions of `details`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from pinnwx.constants import EARTH_RADIUS
from pinnwx.grid import Grid
from pinnwx.verification.details import REGIONS, large_scale_variance, ratio, zonal_power
from pinnwx.verification.ensemble import crps, mean_square_error, mean_square_spread

BINS = 10  # of spread
_APART = 1e6  # m at the equator, the places of the variogram score

Members = Float[np.ndarray, "member lead field lat lon"]
Truth = Float[np.ndarray, "lead field lat lon"]
Statistics = dict[str, Float[np.ndarray, "lead field part"]]


def ensemble_statistics(members: Members, truth: Truth, grid: Grid) -> Statistics:
    """The statistics of one forecast from which `ensemble_details` are computed, one lead at a time."""
    parts = [_of_leads(members[:, [lead]], truth[[lead]], grid) for lead in range(len(truth))]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def _of_leads(members: Members, truth: Truth, grid: Grid) -> Statistics:
    weights = grid.area_weights
    statistics = {
        "ranks": _ranks(members, truth, weights),
        "spread_bins": _spread_bins(members, truth, weights),
        "scores": np.stack([_energy_score(members, truth, weights), _variogram_score(members, truth, grid)], axis=-1),
        "regions": _regions(members, truth, grid),
    }
    if grid.is_periodic:
        statistics["member_power"] = zonal_power(members, grid).mean(axis=0)
        statistics["member_truth_power"] = zonal_power(truth, grid)
    return statistics


def ensemble_details(pairs: Mapping[str, Float[np.ndarray, "pair part"]]) -> dict[str, Any]:
    """The details of one variable and lead as JSON values. `pairs` has the statistics of each forecast."""
    ranks = pairs["ranks"].mean(axis=0)
    spread, error = np.sqrt(pairs["spread_bins"].mean(axis=0).reshape(2, -1))
    energy, variogram = pairs["scores"].mean(axis=0)
    values: dict[str, Any] = {
        "ranks": ranks.tolist(),
        "outer_ranks": float((ranks[0] + ranks[-1]) * len(ranks) / 2),
        "spread_bins": {"spread": _listed(spread), "error": _listed(error)},
        "energy_score": float(energy),
        "variogram_score": float(variogram),
        "regions": _regional(pairs["regions"].mean(axis=0)),
    }
    if "member_power" in pairs:
        own, true = pairs["member_power"].sum(axis=0), pairs["member_truth_power"].sum(axis=0)
        values["variance_ratio"] = ratio(large_scale_variance(own), large_scale_variance(true))
        values["power_ratio"] = [ratio(x, y) for x, y in zip(own, true, strict=True)]
    return values


def _listed(values: Float[np.ndarray, " part"]) -> list[float | None]:
    """None for a bin without a cell."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _ranks(members: Members, truth: Truth, weights: np.ndarray) -> Float[np.ndarray, "lead field rank"]:
    """The area of each rank."""
    size = len(members) + 1
    first, last = (members < truth).sum(axis=0), (members <= truth).sum(axis=0)
    area = np.broadcast_to(weights, truth.shape) / weights[..., 0].sum() / truth.shape[-1]
    each = area / (last - first + 1)
    result = np.zeros((*truth.shape[:2], size + 1))
    for lead in range(truth.shape[0]):
        for field in range(truth.shape[1]):
            here = each[lead, field].ravel()
            result[lead, field] += np.bincount(first[lead, field].ravel(), here, size + 1)
            result[lead, field] -= np.bincount(last[lead, field].ravel() + 1, here, size + 1)
    return np.maximum(np.cumsum(result, axis=-1)[..., :size], 0)  # the sums cancel up to rounding


def _spread_bins(members: Members, truth: Truth, weights: np.ndarray) -> Float[np.ndarray, "lead field part"]:
    """Mean square spread in each bin, then mean square error of the mean."""
    count = len(members)
    shape = (*truth.shape[:2], -1)
    variance = ((count + 1) / count * members.var(axis=0, ddof=1, dtype=np.float64)).reshape(shape)
    error = ((members.mean(axis=0, dtype=np.float64) - truth) ** 2).reshape(shape)
    order = np.argsort(variance, axis=-1)
    area = np.broadcast_to(weights, truth.shape).reshape(shape)
    area, variance, error = (np.take_along_axis(each, order, axis=-1) for each in (area, variance, error))
    covered = np.cumsum(area, axis=-1) - area / 2
    bins = np.minimum((BINS * covered / area.sum(axis=-1, keepdims=True)).astype(int), BINS - 1)
    inside = bins[..., None, :] == np.arange(BINS)[:, None]
    sums = [(inside * (area * each)[..., None, :]).sum(axis=-1) for each in (np.ones_like(area), variance, error)]
    with np.errstate(invalid="ignore"):
        return np.concatenate([sums[1] / sums[0], sums[2] / sums[0]], axis=-1)


def _energy_score(members: Members, truth: Truth, weights: np.ndarray) -> Float[np.ndarray, "lead field"]:
    count = len(members)
    error = np.sqrt((weights * (members - truth).astype(np.float64) ** 2).mean((-2, -1))).mean(axis=0)
    apart = np.zeros(truth.shape[:2])
    for shift in range(1, count):
        difference = (np.roll(members, shift, axis=0) - members).astype(np.float64)
        apart += np.sqrt((weights * difference**2).mean((-2, -1))).mean(axis=0)
    return error - apart / (2 * (count - 1))


def _variogram_score(members: Members, truth: Truth, grid: Grid) -> Float[np.ndarray, "lead field"]:
    """The mean of the pairs along circles of latitude and of those along meridians."""
    weights, parts = np.broadcast_to(grid.area_weights, grid.shape), []
    for axis, spacing in ((-1, grid.longitude_spacing), (-2, grid.latitude_spacing)):
        size = truth.shape[axis]
        lag = min(max(round(_APART / (EARTH_RADIUS * np.radians(spacing))), 1), size - 1)
        near = np.arange(size if axis == -1 and grid.is_periodic else size - lag)

        def variogram(fields: np.ndarray, near: np.ndarray = near, lag: int = lag, axis: int = axis) -> np.ndarray:
            far = (near + lag) % fields.shape[axis]
            return np.sqrt(np.abs(np.take(fields, far, axis).astype(np.float64) - np.take(fields, near, axis)))

        area = np.take(weights, near, axis)
        parts.append((area * (variogram(truth) - variogram(members).mean(axis=0)) ** 2).sum((-2, -1)) / area.sum())
    return np.mean(parts, axis=0)


def _regions(members: Members, truth: Truth, grid: Grid) -> Float[np.ndarray, "lead field part"]:
    """CRPS, mean square spread and mean square error of the mean in each region."""
    latitude, parts = np.asarray(grid.latitude), []
    for south, north in REGIONS.values():
        rows = (latitude >= south) & (latitude <= north)
        if rows.any():
            weights = grid.area_weights[rows] / grid.area_weights[rows].mean()
            own, true = members[..., rows, :], truth[..., rows, :]
            parts += [
                crps(own, true, weights), mean_square_spread(own, weights), mean_square_error(own, true, weights)
            ]  # fmt: skip
        else:
            parts += [np.full(truth.shape[:2], np.nan)] * 3
    return np.stack(parts, axis=-1)


def _regional(parts: Float[np.ndarray, " part"]) -> dict[str, dict[str, float]]:
    return {
        name: {"crps": float(score), "spread": float(np.sqrt(spread)), "mean_rmse_pooled": float(np.sqrt(error))}
        for name, (score, spread, error) in zip(REGIONS, parts.reshape(-1, 3), strict=True)
        if np.isfinite(score)
    }
