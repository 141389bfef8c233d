"""Recognises preliminary data (ERA5T), which ECMWF replaces by final ERA5 data two to three months later.

The label `expver` is 1 (final) or 5 (preliminary). It may apply to the whole file, vary along time, or be a dimension
of its own, in any encoding. A step without a label is treated as preliminary. A copy of ARCO-ERA5 states instead the
date until which its data are final.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Shaped

from pinnwx.data.packing import decode
from pinnwx.errors import DataError

LABEL = "expver"
MARK = "preliminary"  # the attribute of datasets of pinnwx
_PRELIMINARY = "5"
_ARCO_FINAL_UNTIL, _ARCO_PRELIMINARY_UNTIL = "valid_time_stop", "valid_time_stop_era5t"  # dates, both included


@dataclass(frozen=True)
class Version:
    """A part of an array: its selection, and which of its steps are preliminary (one value without time)."""

    selection: Mapping[str, int]
    preliminary: Bool[np.ndarray, " time"]


def versions_of(
    dataset: xr.Dataset, array: xr.DataArray, times: Shaped[np.ndarray, " time"] | None, time_dim: str | None
) -> list[Version]:
    """The versions that an array holds: one, or one for each position along a dimension `expver`."""
    count = 1 if times is None else times.size
    dims, labels = labels_of(dataset, array)
    if LABEL in array.dims:
        each = labels if dims == (LABEL,) else np.full(array.sizes[LABEL], "")
        return [Version({LABEL: index}, np.full(count, _is_preliminary(label))) for index, label in enumerate(each)]
    preliminary = np.array([_is_preliminary(label) for label in labels.ravel()], dtype=bool)
    if dims == (time_dim,) and times is not None:
        return [Version({}, preliminary)]
    if preliminary.size:
        return [Version({}, np.full(count, preliminary.any()))]
    return [Version({}, _after_final_data(dataset, times, count))]


def labels_of(dataset: xr.Dataset, array: xr.DataArray) -> tuple[tuple[str, ...], np.ndarray]:
    """(dimensions, labels without leading zeros); a missing label is "". The labels are empty if the file has none."""
    if LABEL in dataset.variables:
        variable = dataset[LABEL]
        values, dims = variable.to_numpy(), tuple(map(str, variable.dims))
        if values.dtype == np.dtype("S1") and dims and dims[-1] not in array.dims:  # an array of characters
            values, dims = _joined(values), dims[:-1]
        if values.dtype.kind in "fiu":
            values = decode(values, variable.attrs)
        return dims, np.array([_label(each) for each in values.ravel().tolist()], dtype=object).reshape(values.shape)
    for attributes in (array.attrs, dataset.attrs):
        for key in (LABEL, f"GRIB_{LABEL}"):
            if key in attributes:
                return (), np.array(_label(attributes[key]), dtype=object)
    is_marked = str(dataset.attrs.get(MARK, "")) == "yes"  # a file written by pinnwx
    return ((), np.array(_PRELIMINARY, dtype=object)) if is_marked else ((), np.empty(0, dtype=object))


def _joined(characters: np.ndarray) -> np.ndarray:
    joined = np.ascontiguousarray(characters).view(f"S{characters.shape[-1]}")
    return joined.reshape(characters.shape[:-1])


def _label(value: Any) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    text = text.strip(" \0\t\n")
    try:
        number = float(text)
    except ValueError:
        return "" if text.lower() in ("none", "--", "n/a") else text
    return "" if np.isnan(number) else f"{number:g}"


def _is_preliminary(label: str) -> bool:
    return label in (_PRELIMINARY, "")


def _after_final_data(
    dataset: xr.Dataset, times: Shaped[np.ndarray, " time"] | None, count: int
) -> Bool[np.ndarray, " time"]:
    """True for the steps after the day until which a copy of ARCO-ERA5 is declared final."""
    if times is None or not {_ARCO_FINAL_UNTIL, _ARCO_PRELIMINARY_UNTIL} <= set(dataset.attrs):
        return np.zeros(count, dtype=bool)
    text = str(dataset.attrs[_ARCO_FINAL_UNTIL])
    try:
        last = np.datetime64(text[:10], "D")
    except ValueError as error:
        raise DataError(f'{_ARCO_FINAL_UNTIL} "{text[:40]}" is not a date; correct this attribute') from error
    return times >= last + np.timedelta64(1, "D")
