"""Decodes the values of messages lazily, one message at a time."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Float32
from xarray.backends import BackendArray
from xarray.core import indexing

from pinnwx.data.grib.eccodes import library, opened
from pinnwx.data.grib.geometry import LatLonLayout
from pinnwx.data.grib.messages import RawField, Span
from pinnwx.errors import UnreadableError

_MISSING = 3.0e38  # the value that ecCodes assigns to masked points of the bitmap
_LARGEST_FIELD = 100_000_000  # points: a global grid of 0.02 degrees, 0.8 GB during decoding
_SIMPLE = (0, 4)  # data representation templates whose size follows from the number of points: simple and IEEE


@dataclass(frozen=True)
class StoredField:
    """The position of one field in its file: `spans` are its sections, or the whole message if it has no other field.

    `step` is the packing step in the units of the message; 0 if the values are not packed.
    """

    place: str
    spans: tuple[Span, ...]
    head: bytes
    step: float


def stored(field: RawField) -> StoredField:
    """The position and packing step that are needed to decode the field later."""
    if field.alone:
        return StoredField(field.place, (field.message,), b"", _packing_step(field))
    spans = tuple(field.spans[index] for index in sorted(field.spans))
    return StoredField(field.place, spans, field.head[0][:8], _packing_step(field))


def why_not_decoded(field: RawField, points: int) -> str:
    """The reason why a field is not decoded: it declares more values than it holds or than the limit; else empty.

    ecCodes would allocate memory for the declared number of values, and end the process if there is too little.
    """
    if points > _LARGEST_FIELD:
        return f"declares {points:,} points; at most {_LARGEST_FIELD:,} are read"
    damaged = "declares {} values of {} bits, more than its data section holds; the file is damaged"
    if field.edition == 1:
        return _size_of_edition_1(field, points, damaged)
    packing, bitmap = field.head[5], field.head[6]
    coded, template = int.from_bytes(packing[5:9], "big"), int.from_bytes(packing[9:11], "big")
    if bitmap[5] not in (0, 255):
        return "uses a predefined bitmap, which is not in the file"
    if bitmap[5] == 0 and (field.spans[6].length - 6) * 8 < points:
        return f"has a bitmap shorter than its {points:,} points; the file is damaged"
    if coded > points or (bitmap[5] == 255 and coded != points):
        return f"declares {coded:,} values for {points:,} points; the file is damaged"
    if template in _SIMPLE:
        bits = packing[19] if template == 0 else {1: 32, 2: 64, 3: 128}.get(packing[11], 0)
        if coded * bits > (field.spans[7].length - 5) * 8:
            return damaged.format(f"{coded:,}", bits)
    return ""


def _size_of_edition_1(field: RawField, points: int, damaged: str) -> str:
    bitmap, data = field.head.get(3), field.head[4]
    if bitmap is not None:
        if int.from_bytes(bitmap[4:6], "big"):
            return "uses a predefined bitmap, which is not in the file"
        if (field.spans[3].length - 6) * 8 < points:
            return f"has a bitmap shorter than its {points:,} points; the file is damaged"
        return ""
    is_simple = not data[3] >> 4  # simple packing of a grid; without a bitmap, every point has a value
    if is_simple and points * data[10] > (field.spans[4].length - 11) * 8:
        return damaged.format(f"{points:,}", data[10])
    return ""


def _packing_step(field: RawField) -> float:
    """The spacing of packed values, in the units of the message."""
    if field.edition == 1:
        binary, decimal = field.head[4][4:6], field.head[1][26:28]
    elif int.from_bytes(field.head[5][9:11], "big") == 4 or len(field.head[5]) < 20:
        return 0.0
    else:
        binary, decimal = field.head[5][15:17], field.head[5][17:19]
    return math.ldexp(10.0 ** -max(-300, min(300, _signed(decimal))), max(-1000, min(1000, _signed(binary))))


def _signed(octets: bytes) -> int:
    """Decodes an integer from sign and magnitude, the representation in GRIB."""
    number = int.from_bytes(octets, "big")
    return -(number & 0x7FFF) if number & 0x8000 else number


class MessageArray(BackendArray):
    """Fields on one grid as a lazy array (time, row, column) of float32."""

    def __init__(self, path: Path, layout: LatLonLayout, fields: Sequence[StoredField]) -> None:
        self.path, self.layout, self.fields = path, layout, tuple(fields)
        self.shape = (len(fields), layout.rows, layout.columns)
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple) -> np.ndarray:
        which = np.arange(len(self.fields))[key[0]]
        with self.path.open("rb") as file:
            fields = [self._field(file.fileno(), self.fields[index]) for index in np.atleast_1d(which)]
        values = np.stack(fields) if fields else np.empty((0, *self.shape[1:]), np.float32)
        return (values if np.ndim(which) else values[0])[(..., *key[1:])]

    def _field(self, descriptor: int, field: StoredField) -> Float32[np.ndarray, "row column"]:
        values = _decoded(_message(descriptor, field), field.place, self.layout.rows * self.layout.columns)
        return self.layout.arranged(values)


def lazy_array(path: Path, layout: LatLonLayout, fields: Sequence[StoredField], name: str) -> xr.DataArray:
    """A lazy array (time, latitude, longitude), in the order of the fields and of the layout."""
    array = MessageArray(path, layout, fields)
    lazy = xr.Variable(("time", "latitude", "longitude"), indexing.LazilyIndexedArray(array))
    return xr.DataArray(lazy, name=name)


def _message(descriptor: int, field: StoredField) -> bytes:
    """A message that contains only this field.

    Raises:
        UnreadableError: the file was truncated after it was scanned.
    """
    parts = [os.pread(descriptor, span.length, span.start) for span in field.spans]
    if any(len(part) != span.length for part, span in zip(parts, field.spans, strict=True)):
        raise UnreadableError(f"{field.place} is missing; did the file change?")
    if not field.head:
        return parts[0]
    body = b"".join(parts) + b"7777"
    return field.head + (16 + len(body)).to_bytes(8, "big") + body


def _decoded(message: bytes, place: str, points: int) -> Float32[np.ndarray, " point"]:
    """The values in the order of the message; NaN where the bitmap masks a point.

    Raises:
        UnreadableError: the values cannot be decoded.
    """
    eccodes = library()
    try:
        with opened(message) as handle:
            identifier = handle.identifier
            eccodes.codes_set(identifier, "missingValue", _MISSING)
            if eccodes.codes_get_size(identifier, "values") != points:
                raise UnreadableError(f"{place} does not hold its {points:,} values; the file is damaged")
            values = eccodes.codes_get_values(identifier)
    except (eccodes.CodesInternalError, MemoryError) as error:
        raise UnreadableError(f"{place} cannot be decoded ({error}); the file is damaged, fetch it again") from error
    with np.errstate(over="ignore"):  # values beyond float32 become infinite, which the quality check refuses
        return np.where(values == _MISSING, np.nan, values).astype(np.float32)
