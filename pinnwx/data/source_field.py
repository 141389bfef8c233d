"""One canonical field of one file, which knows how to read itself.

A source field is lazy. Reading a block of it decodes packing, converts units, turns the axes to (time, latitude,
longitude) ascending and returns float32. Every step works element by element, so the same field in another order or
orientation gives the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float32

from pinnwx.data.packing import KEPT_DIGITS, Precision, decode, packed_span, precision_of
from pinnwx.data.readers import reading
from pinnwx.errors import DataError
from pinnwx.grid import Grid
from pinnwx.variables import Variable

_BLOCK_VALUES = 8_000_000  # read at once: 64 MB in float64


@dataclass(frozen=True, eq=False)
class SourceField:
    """`times` is None for a static field; its file may yet hold it at several steps.

    `selection` fixes the level and the dimensions of length one; `dims` names the time (if any), latitude and
    longitude dimensions of `array`; `rows` and `columns` put its latitudes and longitudes in the order of `grid`;
    canonical = raw * `factor` + `offset`. `repeated` pairs each raw column that is left out, because its meridian
    stands twice, with the one that is kept. `preliminary` marks the steps that may still be replaced by their producer
    (None: none). `packing_step` is the spacing of values, in raw units, of a format that packs by itself.
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
        """How many steps there are to read; 1 without a time dimension."""
        return 1 if self.dims[0] is None else self.array.sizes[self.dims[0]]

    @property
    def spatial_axes(self) -> tuple[int, int]:
        """Where latitude and longitude stand among the dimensions of the stored array."""
        order = list(self.array.dims)
        return order.index(self.dims[1]), order.index(self.dims[2])

    @cached_property
    def precision(self) -> Precision:
        """How far apart two files of the same data may be for this one's part, in canonical units."""
        digits = {key: self.array.encoding[key] for key in (KEPT_DIGITS,) if key in self.array.encoding}
        precision = precision_of(self.array.dtype, self.array.attrs | digits, self.packing_step)
        return Precision(
            precision.absolute * abs(self.factor) + precision.relative * abs(self.offset), precision.relative
        )

    @property
    def packed_span(self) -> float | None:
        """The range of canonical values that packed integers can hold; None where they are not integers."""
        span = packed_span(self.array.dtype, self.array.attrs)
        return None if span is None else span * abs(self.factor)

    def blocks(self, first: int, last: int) -> Iterator[slice]:
        """Slices of time from `first` to before `last`, small enough to read at once."""
        length = max(1, _BLOCK_VALUES // (self.rows.size * self.columns.size))
        for start in range(first, last, length):
            yield slice(start, min(start + length, last))

    def read(self, block: slice) -> Float32[np.ndarray, "time lat lon"]:
        """Canonical values of these steps.

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
        if (self.factor, self.offset) != (1.0, 0.0):
            values = values.astype(np.float64) * self.factor + self.offset
        with np.errstate(over="ignore"):  # what exceeds float32 becomes infinite, which the quality check refuses
            values = values.astype(np.float32, copy=False).reshape(-1, *values.shape[-2:])
        for left_out, retained in self.repeated:
            if not np.array_equal(values[..., left_out], values[..., retained], equal_nan=True):
                raise DataError(
                    f"columns {retained} and {left_out} are of one meridian and differ; correct the longitudes"
                )
        return np.ascontiguousarray(values[:, _selector(self.rows)][..., _selector(self.columns)])


def _selector(order: np.ndarray) -> np.ndarray | slice:
    """The same selection as a slice where it is everything in order, or in reverse: far faster than a gather."""
    everything = np.arange(order.size)
    if np.array_equal(order, everything):
        return slice(0, order.size)
    if np.array_equal(order, everything[::-1]):
        return slice(order.size - 1, None, -1)
    return order
