"""Unpacks chunks of zarr stores up to a size limit, because a malicious chunk of 1 MiB may fill the memory.

Blosc and LZ4 declare their unpacked size, which is checked first. The other codecs stop at the limit.
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

_TEXT = 8  # bytes of memory for a text, in addition to its characters
Packed = Any  # bytes, or an array of them


def unpack(packed: Packed, most: int, codec: Mapping[str, Any], array: str) -> Packed:
    """The unpacked content of a chunk; `codec` is in the form of zarr v2. Codecs that do not compress have no effect.

    Raises:
        UnreadableError: the content takes more than `most` bytes.
        Exception: any error of the library, if the content is damaged.
    """
    name = codec["id"]
    size = _DECLARED[name](packed) if name in _DECLARED else 0
    content = _UNPACKED[name](packed, most + 1, codec) if size <= most and name in _UNPACKED else packed
    if max(size, memoryview(content).nbytes) > most:
        raise UnreadableError(exceeding(array, most, size))
    return content


def exceeding(array: str, most: int, size: int = 0) -> str:
    """The error message for a chunk that unpacks to more than `most` bytes; it declares `size`, if known."""
    amount = f"{size:,} bytes, more" if size > most else "more"
    return (
        f'"{array}" has a chunk that unpacks to {amount} than the {most:,} that its values can take; the file is '
        "damaged or malicious: fetch it again"
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


# Declared sizes: Blosc and LZ4 declare bytes, vlen-utf8 the number of texts.
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
