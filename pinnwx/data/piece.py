"""One canonical field of one file, which knows how to read itself.

A piece is lazy. Reading a block of it decodes packing, merges preliminary data, converts units, turns the axes to
(time, latitude, longitude) ascending and returns float32. Every step works element by element, so the same field in
another order or orientation gives the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float32

from pinnwx.data.readers import reading
from pinnwx.errors import DataError
from pinnwx.grid import Grid
from pinnwx.variables import Variable

_BLOCK_VALUES = 8_000_000  # read at once: 64 MB in float64


@dataclass(frozen=True, eq=False)
class Piece:
    """`times` is None for a static field.

    `selection` fixes the level and the dimensions of length one; `dims` names the time (if any), latitude and
    longitude dimensions of `array`; `rows` and `columns` put its latitudes and longitudes in the order of `grid`;
    canonical = raw * `factor` + `offset`. `repeated` pairs each raw column that is left out, because its meridian
    stands twice, with the one that is kept.
    """

    variable: Variable
    raw: str
    file: str
    array: xr.DataArray
    selection: Mapping[str, int]
    dims: tuple[str | None, str, str]
    times: np.ndarray | None
    grid: Grid
    rows: np.ndarray
    columns: np.ndarray
    factor: float = 1.0
    offset: float = 0.0
    repeated: tuple[tuple[int, int], ...] = ()

    @property
    def name(self) -> str:
        return self.variable.name

    @property
    def precision(self) -> float:
        """Half a step of integer packing, in canonical units: two files of the same data may differ by as much."""
        if not np.issubdtype(self.array.dtype, np.integer):
            return 0.0
        return 0.5 * abs(float(self.array.attrs.get("scale_factor", 1.0)) * self.factor)

    def blocks(self, first: int, last: int) -> Iterator[slice]:
        """Slices of time from `first` to before `last`, small enough to read at once."""
        length = max(1, _BLOCK_VALUES // (self.rows.size * self.columns.size))
        for start in range(first, last, length):
            yield slice(start, min(start + length, last))

    def read(self, block: slice) -> Float32[np.ndarray, "time lat lon"]:
        """Canonical values of these time steps (of the only one, for a static field).

        Raises:
            DataError: the file is damaged, or holds two values for one place.
        """
        time, latitude, longitude = self.dims
        with reading(self.raw):
            lazy = self.array.isel(dict(self.selection))
            if time is not None:
                # Read before it is turned: a store that is turned first is read point by point.
                lazy = lazy.isel({time: block}).load().transpose(..., time, latitude, longitude)
            else:
                lazy = lazy.load().transpose(..., latitude, longitude)
            values = decode(lazy.to_numpy(), self.array.attrs)
            if "expver" in lazy.dims:
                values = _first_present(values, lazy["expver"].values if "expver" in lazy.coords else None)
        if (self.factor, self.offset) != (1.0, 0.0):
            values = values.astype(np.float64) * self.factor + self.offset
        with np.errstate(over="ignore"):  # what exceeds float32 becomes infinite, which the quality check refuses
            values = values.astype(np.float32, copy=False).reshape(-1, *values.shape[-2:])
        for left_out, kept in self.repeated:
            if not np.array_equal(values[..., left_out], values[..., kept], equal_nan=True):
                raise DataError(f"columns {kept} and {left_out} are of one meridian and differ; correct the longitudes")
        return np.ascontiguousarray(values[:, _selector(self.rows)][..., _selector(self.columns)])


def _selector(order: np.ndarray) -> np.ndarray | slice:
    """The same selection as a slice where it is everything in order, or in reverse: far faster than a gather."""
    everything = np.arange(order.size)
    if np.array_equal(order, everything):
        return slice(0, order.size)
    if np.array_equal(order, everything[::-1]):
        return slice(order.size - 1, None, -1)
    return order


def decode(raw: np.ndarray, attributes: Mapping[Any, Any]) -> np.ndarray:
    """Values of a packed array: raw * scale_factor + add_offset, NaN where raw is `_FillValue` or `missing_value`.

    Done here rather than by xarray, which drops a fill value that does not fit the packed type.

    Raises:
        DataError: the values are no numbers.
    """
    if raw.dtype.kind not in "fiu":
        raise DataError(f"values of type {raw.dtype} are not numbers")
    if raw.dtype.kind == "i" and str(attributes.get("_Unsigned", "")).lower() == "true":
        raw = raw.view(f"u{raw.dtype.itemsize}")
    absent = np.zeros(raw.shape, dtype=bool)
    for key in ("_FillValue", "missing_value"):
        for fill in np.atleast_1d(np.asarray(attributes.get(key, []), dtype=np.float64)):
            if not np.isnan(fill):
                absent |= raw == (raw.dtype.type(fill) if raw.dtype.kind == "f" else fill)
    values = raw
    if raw.dtype.kind in "iu" or "scale_factor" in attributes or "add_offset" in attributes:
        values = raw * np.float64(attributes.get("scale_factor", 1.0)) + np.float64(attributes.get("add_offset", 0.0))
    return np.where(absent, np.asarray(np.nan, values.dtype), values) if absent.any() else values


def _first_present(values: np.ndarray, versions: np.ndarray | None) -> np.ndarray:
    """Merges ERA5 (expver 1) and ERA5T (expver 5) along the first axis: the final value where there is one."""
    order = np.argsort(versions.astype(int)) if versions is not None else np.arange(values.shape[0])
    merged = values[order[0]]
    for index in order[1:]:
        merged = np.where(np.isnan(merged), values[index], merged)
    return merged
