"""Reads netCDF-3 by the offsets in its header.

Two libraries can read netCDF-3, but neither is safe. scipy either maps the file, so that a truncation during reading
ends the process by a signal, or loads it whole. The netCDF-4 library returns wrong values from a truncated file without
an error.
Format: https://docs.unidata.ucar.edu/netcdf-c/current/file_format_specifications.html
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from pinnwx.data.formats import open_regular
from pinnwx.data.sizes import Declared, require_readable

_TYPES = {1: "i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8", 7: "u1", 8: ">u2", 9: ">u4", 10: ">i8", 11: ">u8"}
_DIMENSIONS, _VARIABLES, _ATTRIBUTES = 10, 11, 12
_STREAMING = {4: 2**32 - 1, 8: 2**64 - 1}  # the number of records is not stated


@dataclass(frozen=True)
class Layout:
    """The position of a variable in the file; `record` is the distance between its records [bytes], or None."""

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype
    begin: int
    record: int | None
    attributes: dict[str, Any]

    @property
    def end(self) -> int:
        """The byte after the last value; the gaps between the records belong to other variables."""
        if math.prod(self.shape) == 0:
            return 0
        if self.record is None:
            return self.begin + math.prod(self.shape) * self.dtype.itemsize
        return self.begin + (self.shape[0] - 1) * self.record + math.prod(self.shape[1:]) * self.dtype.itemsize


def open_netcdf3(path: Path) -> xr.Dataset:
    """A lazy dataset with raw values and attributes.

    Raises:
        EOFError, ValueError: bytes are missing, or the header is invalid.
        DataError: an array is declared larger than memory.
    """
    with open_regular(path) as file:
        header = _Header(file)
        size = os.fstat(file.fileno()).st_size
    require_readable(Declared(one.name, one.shape, one.dtype.itemsize) for one in header.layouts)
    missing = max((one.end for one in header.layouts), default=0) - size
    if missing > 0:
        raise EOFError(f"{missing:,} bytes are missing at its end")
    variables = {
        one.name: xr.Variable(one.dims, indexing.LazilyIndexedArray(_Array(path, one)), one.attributes)
        for one in header.layouts
    }
    return xr.Dataset(variables, attrs=header.attributes)


class _Header:
    """Reads everything before the values."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        version = self._bytes(4)[3]
        self._width = 8 if version == 5 else 4  # bytes of a count
        self._offset = 4 if version == 1 else 8  # bytes of an offset
        records = self._number(self._width)
        self._dimensions = [(self._text(), self._number(self._width)) for _ in range(self._list_of(_DIMENSIONS))]
        self.attributes = self._attributes()
        raw = [self._variable() for _ in range(self._list_of(_VARIABLES))]
        self.layouts = self._with_records(raw, None if records == _STREAMING[self._width] else records)

    def _bytes(self, count: int) -> bytes:
        content = self._file.read(count) if count <= self._size else b""
        if len(content) < count:
            raise EOFError("its header is truncated")
        return content

    def _number(self, width: int) -> int:
        return int.from_bytes(self._bytes(width), "big")

    def _padded(self, count: int) -> bytes:
        return self._bytes(count + -count % 4)[:count]

    def _text(self) -> str:
        return self._padded(self._number(self._width)).decode("utf-8", "replace")

    def _list_of(self, expected: int) -> int:
        """The length of a list, which must be of the expected kind or absent."""
        kind, count = self._number(4), self._number(self._width)
        if kind not in (expected, 0) or (kind == 0 and count):
            raise ValueError(f"its header has the tag {kind} instead of {expected}")
        return count

    def _attributes(self) -> dict[str, Any]:
        return {self._text(): self._attribute() for _ in range(self._list_of(_ATTRIBUTES))}

    def _attribute(self) -> Any:
        dtype, count = self._type(), self._number(self._width)
        raw = self._padded(count * dtype.itemsize)
        if dtype.kind == "S":
            return raw.rstrip(b"\0").decode("utf-8", "replace")
        values = np.frombuffer(raw, dtype).copy()
        return values[0] if count == 1 else values

    def _type(self) -> np.dtype:
        return np.dtype(_TYPES[self._number(4)])

    def _variable(self) -> tuple[str, list[int], dict[str, Any], np.dtype, int]:
        name = self._text()
        dims = [self._number(self._width) for _ in range(self._number(self._width))]
        attributes, dtype = self._attributes(), self._type()
        self._number(self._width)  # its size, which overflows for large ones
        return name, dims, attributes, dtype, self._number(self._offset)

    def _with_records(self, raw: Sequence[tuple], records: int | None) -> list[Layout]:
        """The layouts of all variables. A dimension of length 0 is the record dimension: the records of all variables
        with this first dimension are interleaved."""
        lengths = [length for _, length in self._dimensions]

        def is_record(dims: list[int]) -> bool:
            return bool(dims) and lengths[dims[0]] == 0

        sizes = [
            math.prod(lengths[dim] for dim in dims[1:]) * dtype.itemsize
            for _, dims, _, dtype, _ in raw
            if is_record(dims)
        ]
        record = sizes[0] if len(sizes) == 1 else sum(size + -size % 4 for size in sizes)
        if records is None:
            first = min((begin for _, dims, _, _, begin in raw if is_record(dims)), default=0)
            records = (self._size - first) // record if record else 0
        layouts = []
        for name, dims, attributes, dtype, begin in raw:
            shape = tuple(lengths[dim] for dim in dims)
            shape = (records, *shape[1:]) if is_record(dims) else shape
            names = tuple(self._dimensions[dim][0] for dim in dims)
            layouts.append(Layout(name, names, shape, dtype, begin, record if is_record(dims) else None, attributes))
        return layouts


class _Array(BackendArray):
    """A lazy variable; each read opens the file again."""

    def __init__(self, path: Path, layout: Layout):
        self._path, self._layout = path, layout
        self.shape, self.dtype = layout.shape, layout.dtype.newbyteorder("=")

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[int | slice, ...]) -> np.ndarray:
        with open_regular(self._path) as file:
            return self._part(file, self._layout.begin, self.shape, key, self._layout.record)

    def _part(
        self, file: BinaryIO, begin: int, shape: tuple[int, ...], key: tuple[int | slice, ...], record: int | None
    ) -> np.ndarray:
        """The selection `key` of the array with this shape that starts at byte `begin`."""
        if not shape:
            return self._values(file, begin, ())
        rows, inner = range(shape[0])[key[0]], math.prod(shape[1:]) * self.dtype.itemsize
        stride = inner if record is None else record
        if isinstance(rows, int):
            return self._part(file, begin + rows * stride, shape[1:], key[1:], None)
        everything = all(range(size)[one] == range(size) for size, one in zip(shape[1:], key[1:], strict=True))
        if everything and stride == inner and rows and rows.step == 1:
            return self._values(file, begin + rows[0] * stride, (len(rows), *shape[1:]))
        if not rows:
            return np.empty((0, *shape[1:]), self.dtype)[(slice(None), *key[1:])]
        return np.stack([self._part(file, begin + row * stride, shape[1:], key[1:], None) for row in rows])

    def _values(self, file: BinaryIO, begin: int, shape: tuple[int, ...]) -> np.ndarray:
        file.seek(begin)
        values = np.fromfile(file, self._layout.dtype, math.prod(shape)).astype(self.dtype, copy=False)
        if values.size < math.prod(shape):
            raise EOFError("it was truncated while it was read")
        return values.reshape(shape)
