"""Chunks of zarr stores, unpacked to no more than a bound: one of 1 MiB may be made to fill the memory.

Blosc and LZ4 say how much they hold, and are asked first; the others are unpacked as far as the bound.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numcodecs
import zstandard

from pinnwx.errors import UnreadableError

_TEXT = 8  # bytes of memory that a text takes beside its letters
Packed = Any  # bytes, or an array of them


def unpack(packed: Packed, most: int, codec: Mapping[str, Any], array: str) -> Packed:
    """The content of a chunk; `codec` is in the form of zarr v2. Codecs that do not pack leave it as it is.

    Raises:
        UnreadableError: it takes more than `most` bytes.
        Exception: of the library, on damaged content.
    """
    name = codec["id"]
    size = _DECLARED[name](packed) if name in _DECLARED else 0
    content = _UNPACKED[name](packed, most + 1, codec) if size <= most and name in _UNPACKED else packed
    if max(size, memoryview(content).nbytes) > most:
        raise UnreadableError(exceeding(array, most, size))
    return content


def exceeding(array: str, most: int, size: int = 0) -> str:
    """What is said of a chunk that holds more than `most` bytes, of which `size` are declared."""
    amount = f"{size:,} bytes, more" if size > most else "more"
    return (
        f'"{array}" has a chunk that unpacks to {amount} than the {most:,} that its values can take; the file is '
        "damaged, or made to fill the memory: fetch it again"
    )


def _of_library(packed: Packed, _most: int, codec: Mapping[str, Any]) -> Packed:
    return numcodecs.get_codec({"id": codec["id"]}).decode(packed)


def _of_zlib(packed: Packed, most: int, _codec: Mapping[str, Any]) -> bytes:
    state = zlib.decompressobj()
    content = state.decompress(packed, most)
    if len(content) < most and not state.eof:
        raise zlib.error("the stream breaks off")
    return content


def _of_file(opened: Callable[..., Any]) -> Callable[[Packed, int, Mapping[str, Any]], bytes]:
    def read(packed: Packed, most: int, codec: Mapping[str, Any]) -> bytes:
        with opened(io.BytesIO(packed), **{key: codec[key] for key in ("format", "filters") if key in codec}) as file:
            return file.read(most)

    return read


def _zstd_file(packed: io.BytesIO) -> Any:
    return zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)


# Sizes as the content declares them: of Blosc and LZ4 in bytes, of text the number of texts.
_DECLARED: dict[str, Callable[[Packed], int]] = {
    "blosc": lambda packed: struct.unpack_from("<I", packed, 4)[0],
    "lz4": lambda packed: struct.unpack_from("<I", packed)[0],
    "vlen-utf8": lambda content: _TEXT * struct.unpack_from("<I", content)[0],
}
_UNPACKED = {
    "blosc": _of_library,
    "lz4": _of_library,
    "zlib": _of_zlib,
    "gzip": _of_file(lambda file: gzip.GzipFile(fileobj=file)),
    "bz2": _of_file(bz2.BZ2File),
    "lzma": _of_file(lzma.LZMAFile),
    "zstd": _of_file(_zstd_file),
}
PACKING = frozenset(_UNPACKED)
