"""Validates the structure of a forecast file before use: its axes, its fields and its attributes.

A file may be untrusted, or from a tool that changes fields and preserves attributes. `pinnwx.forecasting.cf` follows
each of these rules when it writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from pinnwx.data.calendar import format_time
from pinnwx.data.conventions import STATISTIC
from pinnwx.errors import DataError
from pinnwx.grid import Grid
from pinnwx.records import ForecastAttributes, NotARecord, VariableAttributes, checked

REALIZATION = "realization"
QUANTILE = "quantile"  # a coordinate of `forecasting.products`
FIELD_DIMENSIONS = ("time", "latitude", "longitude")
_TIMES, _NUMBERS = "M", "iuf"  # kinds of numpy types
_AXES = {
    "time": (("time",), _TIMES),
    "latitude": (("latitude",), _NUMBERS),
    "longitude": (("longitude",), _NUMBERS),
    "forecast_reference_time": ((), _TIMES),
    "forecast_period": (("time",), _NUMBERS),
}
_LARGEST = 1e15  # of any field, in SI units; its square is finite in float32
_ROUNDING = 1e-3  # hours: a period may be stored as float32


def require_form(dataset: xr.Dataset) -> None:
    """Raises:
    DataError: the dataset is not a forecast, budget or attribution of pinnwx; the message gives the reason.
    """
    absent = [name for name in _AXES if name not in dataset.coords]
    if absent:
        raise DataError(f"it has no coordinate {', '.join(absent)}")
    for name, (dims, kinds) in _AXES.items():
        _require(dataset[name], dims, kinds)
    if REALIZATION in dataset.dims:
        _require(dataset[REALIZATION], (REALIZATION,), _NUMBERS)
    _require_times(dataset)
    Grid.from_coordinates(dataset["latitude"].values, dataset["longitude"].values)
    if not dataset.data_vars:
        raise DataError("it contains no field")
    for name, array in dataset.data_vars.items():
        own = {*array.dims} - {REALIZATION}
        if STATISTIC in array.attrs:
            own -= _product_dimensions(dataset, str(name))
        if own != {*FIELD_DIMENSIONS} or array.dtype.kind not in _NUMBERS:
            raise DataError(f"{name} is not a field of numbers along {', '.join(FIELD_DIMENSIONS)}")
        _require_attributes(array.attrs, VariableAttributes, f"{name}: ")
        _require_possible(array)
    edge = _require_attributes(dataset.attrs, ForecastAttributes).boundary_width
    if 2 * edge >= min(dataset.sizes["latitude"], dataset.sizes["longitude"]):
        raise DataError(f"boundary_width = {edge} covers its whole grid")


def _product_dimensions(dataset: xr.Dataset, name: str) -> set[str]:
    """The further dimension that a product of an ensemble may have; it has values."""
    field, _, side = name.rpartition("_probability_")
    allowed = {QUANTILE} if name.endswith(f"_{QUANTILE}") else {f"{field}_{side}"} if field else set()
    for dimension in allowed & {*map(str, dataset.dims)}:
        _require(dataset[dimension], (dimension,), _NUMBERS)
    return allowed


def in_order(dataset: xr.Dataset) -> xr.Dataset:
    """Transposes the fields to the dimension order of pinnwx."""
    return dataset.transpose(REALIZATION, ..., *FIELD_DIMENSIONS, missing_dims="ignore")


def _require(array: xr.DataArray, dims: tuple[str, ...], kinds: str) -> None:
    content = "times" if kinds == _TIMES else "numbers"
    if array.dims != dims or array.dtype.kind not in kinds or not array.size:
        along = f" along {dims[0]}" if dims else ""
        raise DataError(f"its coordinate {array.name} does not consist of {content}{along}")
    if not (np.isfinite(array.values).all()):
        raise DataError(f"its coordinate {array.name} lacks a value")


def _require_possible(array: xr.DataArray) -> None:
    values = array.values[np.abs(array.values) > _LARGEST]
    wrong = values[np.isfinite(values)]  # some callers allow values that are not finite
    if wrong.size:
        raise DataError(f"{array.name} reaches {float(wrong[0]):.6g}, which is impossible for any field")


def _require_times(dataset: xr.Dataset) -> None:
    times, start = dataset["time"].values, dataset["forecast_reference_time"].values
    if (np.diff(times) <= np.timedelta64(0)).any():
        raise DataError("its times do not ascend")
    hours = (times - start) / np.timedelta64(1, "h")
    wrong = np.abs(hours - dataset["forecast_period"].values) > _ROUNDING
    if wrong.any():
        place = int(wrong.argmax())
        raise DataError(
            f"{format_time(times[place])} is {hours[place]:g} h after {format_time(start)}, and its forecast_period is "
            f"{dataset['forecast_period'].values[place]:g} h"
        )


def _require_attributes(attributes: Mapping[str, Any], schema, where: str = ""):
    plain = {
        str(key): value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        for key, value in attributes.items()
    }
    try:
        return checked(plain, schema)
    except NotARecord as error:
        raise DataError(f"{where}attribute {error}") from None
