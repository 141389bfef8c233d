"""One canonical field of one file, read lazily.

Reading a block decodes the packing, converts units, orders the axes as ascending (time, latitude, longitude) and
returns float32. Every operation works element by element, so the same field in another order or orientation gives
identical bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float32

from pinnwx.data.packing import DECIMALS, Precision, decode, packed_span, precision_of
from pinnwx.data.readers import reading
from pinnwx.errors import DataError
from pinnwx.grid import Grid
from pinnwx.variables import Variable

_BLOCK_VALUES = 8_000_000  # read at once: 64 MB in float64


@dataclass(frozen=True, eq=False)
class SourceField:
    """`times` is None for a static field, although its file may hold several steps of it.

    `selection` fixes the level and the dimensions of length one. `dims` names the dimensions of time (if any), latitude
    and longitude in `array`. `rows` and `columns` bring its latitudes and longitudes into the order of `grid`.
    Canonical values are raw * `factor` + `offset`. `repeated` pairs each raw column that repeats a meridian with the
    column that is used. `preliminary` marks the steps that their producer may still replace (None: none).
    `packing_step` is the spacing of values [raw units] in a format with its own packing.
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
    preliminary: Bool[np.ndarray, " time"] | None = None
    packing_step: float | None = None

    @property
    def name(self) -> str:
        return self.variable.name

    @property
    def steps(self) -> int:
        """The number of steps; 1 without a time dimension."""
        return 1 if self.dims[0] is None else self.array.sizes[self.dims[0]]

    @property
    def spatial_axes(self) -> tuple[int, int]:
        """The positions of latitude and longitude among the dimensions of the stored array."""
        order = list(self.array.dims)
        return order.index(self.dims[1]), order.index(self.dims[2])

    @cached_property
    def precision(self) -> Precision:
        """The precision of the values, in canonical units."""
        digits = {key: self.array.encoding[key] for key in (DECIMALS,) if key in self.array.encoding}
        precision = precision_of(self.array.dtype, self.array.attrs | digits, self.packing_step)
        return Precision(
            precision.absolute * abs(self.factor) + precision.relative * abs(self.offset), precision.relative
        )

    @property
    def packed_span(self) -> float | None:
        """The range of canonical values that packed integers can represent; None for other types."""
        span = packed_span(self.array.dtype, self.array.attrs)
        return None if span is None else span * abs(self.factor)

    def blocks(self, first: int, last: int) -> Iterator[slice]:
        """Slices of time from `first` to before `last`, each small enough to read at once."""
        length = max(1, _BLOCK_VALUES // (self.rows.size * self.columns.size))
        for start in range(first, last, length):
            yield slice(start, min(start + length, last))

    def read(self, block: slice) -> Float32[np.ndarray, "time lat lon"]:
        """Canonical values of these steps.

        Raises:
            DataError: the file is damaged, or has two values for one place.
        """
        time, latitude, longitude = self.dims
        with reading(self.raw):
            lazy = self.array.isel(dict(self.selection))
            if time is not None:
                # Load before the transposition: a lazy transposed store is read point by point.
                lazy = lazy.isel({time: block}).load().transpose(..., time, latitude, longitude)
            else:
                lazy = lazy.load().transpose(..., latitude, longitude)
            values = decode(lazy.to_numpy(), self.array.attrs)
        if (self.factor, self.offset) != (1.0, 0.0):
            values = values.astype(np.float64) * self.factor + self.offset
        with np.errstate(over="ignore"):  # values beyond float32 become infinite, which the quality check refuses
            values = values.astype(np.float32, copy=False).reshape(-1, *values.shape[-2:])
        for left_out, retained in self.repeated:
            if not np.array_equal(values[..., left_out], values[..., retained], equal_nan=True):
                raise DataError(
                    f"columns {retained} and {left_out} have the same meridian but differ; correct the longitudes"
                )
        return np.ascontiguousarray(values[:, _selector(self.rows)][..., _selector(self.columns)])


def _selector(order: np.ndarray) -> np.ndarray | slice:
    """The selection as a slice, if it is the identity or a reversal; a slice is much faster than a gather."""
    everything = np.arange(order.size)
    if np.array_equal(order, everything):
        return slice(0, order.size)
    if np.array_equal(order, everything[::-1]):
        return slice(order.size - 1, None, -1)
    return order
