"""Reads the output of `explain`: the parts of a budget, their shares, global and zonal means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from pinnwx.constants import SECONDS_PER_HOUR
from pinnwx.errors import DataError
from pinnwx.grid import Grid
from pinnwx.text import decimals_for, with_decimals
from pinnwx.variables import VARIABLES, Variable, difference_units

TOTAL, RESIDUAL, TENDENCY = "total", "residual", "_tendency_"
SENSITIVITY, ATTRIBUTION = "_sensitivity", "_attribution"
COLUMNS = ("field", "part", "rms in 6 h", "share of the change")
TARGET = "target"  # the attribute that describes the target of an attribution


def budget_fields(dataset: xr.Dataset) -> list[str]:
    """The fields with a budget in a dataset."""
    end = f"{TENDENCY}{TOTAL}"
    return [str(name).removesuffix(end) for name in dataset.data_vars if str(name).endswith(end)]


def parts_of(dataset: xr.Dataset, field: str) -> dict[str, xr.DataArray]:
    """The tendencies of a field by part, total and residual last; empty if the dataset has no budget of it."""
    start = f"{field}{TENDENCY}"
    return {str(name).removeprefix(start): dataset[name] for name in dataset.data_vars if str(name).startswith(start)}


def require_finite(dataset: xr.Dataset) -> None:
    """Raises:
    DataError: a value is not finite; a plot would hide it.
    """
    for name, array in dataset.data_vars.items():
        if bad := int((~np.isfinite(array.values)).sum()):
            raise DataError(f"{name} holds {bad} values that are not finite; run explain again")


def area_mean(dataset: xr.Dataset) -> xr.Dataset:
    """Means over the grid, weighted by cell area."""
    return dataset.weighted(_area_weights(dataset)).mean(("latitude", "longitude"), keep_attrs=True)


def zonal_mean(dataset: xr.Dataset) -> xr.Dataset:
    """Means over each circle of latitude."""
    return dataset.mean("longitude", keep_attrs=True)


@dataclass(frozen=True)
class Share:
    """The effect of a part on a field over a whole forecast.

    `rms` is the area-weighted root mean square of its tendency [units of the field per second]. `share` is its fraction
    of the mean square of the total, mean(part * total) / mean(total^2). The shares sum to 1. A share is negative if the
    part opposes the total.
    """

    field: str
    units: str
    part: str
    rms: float
    share: float


def shares(dataset: xr.Dataset) -> list[Share]:
    """The share of each part in the budget of each field, total and residual last."""
    weights, rows = _area_weights(dataset).values, []

    def mean(values: np.ndarray) -> float:
        return float(np.average(values.mean(axis=0), weights=weights))

    for field in budget_fields(dataset):
        parts = {name: _by_time(values) for name, values in parts_of(dataset, field).items()}
        whole = mean(parts[TOTAL] ** 2)
        for name, part in parts.items():
            share = mean(part * parts[TOTAL]) / whole if whole else 0.0
            rows.append(Share(field, dataset[field].attrs["units"], name, float(np.sqrt(mean(part**2))), share))
    return rows


def in_words(shares: Sequence[Share], variables: Mapping[str, Variable] = VARIABLES) -> list[tuple[str, ...]]:
    """Rows of text for `COLUMNS`, in display units; all parts of a field have the same number of decimals."""
    rows = []
    totals = {one.field: one.rms for one in shares if one.part == TOTAL}
    for one in shares:
        factor, units = difference_units(one.field, variables)
        units = one.units if units == "SI" else units  # a user-defined variable
        scale = factor * 6 * SECONDS_PER_HOUR
        size = f"{with_decimals(one.rms * scale, decimals_for([totals.get(one.field, one.rms) * scale]))} {units}"
        rows.append(
            (one.field, one.part.replace("_", " "), size, f"{round(100 * one.share, 1) + 0.0:.1f} %")
        )  # no -0.0
    return rows


def _by_time(array: xr.DataArray) -> np.ndarray:
    """The values in double precision, (step, lat, lon)."""
    values = array.transpose(..., "latitude", "longitude").values.astype(np.float64)
    return values.reshape(-1, *values.shape[-2:])


def _area_weights(dataset: xr.Dataset) -> xr.DataArray:
    grid = Grid.from_coordinates(dataset["latitude"].values, dataset["longitude"].values)
    place = {name: dataset[name] for name in ("latitude", "longitude")}
    return xr.DataArray(np.broadcast_to(grid.area_weights, grid.shape), place, tuple(place))
