"""Chunks of HDF5 that unpack to far more than they declare, found before the library unpacks them.

The library gives deflate as much memory as it asks for: a chunk of 1 MiB may take 1 GiB, whatever its declared shape.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pinnwx.data.unpacking import exceeding
from pinnwx.errors import DataError
from pinnwx.runtime import memory_limit

_DEFLATE = 1  # the number of its HDF5 filter
_RATIO = 1032  # of deflate, at its best
_SLACK = 2**16  # bytes: what does not shrink grows by headers, checksums and less than 1 in 100
_PART = 2**20  # bytes unpacked at once


def require_deflated_as_declared(path: Path, names: Iterable[str]) -> None:
    """Of the variables that are read. What is within the declared size takes at most 1032 times that; where that does
    not fit into memory, the chunk is unpacked part by part first.

    Raises:
        DataError: with the variable; a chunk is larger, packed or unpacked, than its values.
        Exception: of the library, on a damaged file.
    """
    import h5py  # a quarter of a second

    with h5py.File(path, "r") as file:
        for name in sorted(names):
            dataset = file.get(name)
            if isinstance(dataset, h5py.Dataset) and dataset.chunks and dataset.compression == "gzip":
                _look_at(dataset, name)


def _look_at(dataset: Any, name: str) -> None:
    declared = math.prod(dataset.chunks) * dataset.id.get_type().get_size()
    most = declared + declared // 100 + _SLACK
    found: list[Any] = []
    dataset.id.chunk_iter(lambda chunk: found.append(chunk) if _RATIO * chunk.size > most else None)
    limit = memory_limit()
    for chunk in found:
        if chunk.size > most or (_RATIO * chunk.size > limit and _unpacks_to_more(dataset, chunk.chunk_offset, most)):
            raise DataError(exceeding(name, most))


def _unpacks_to_more(dataset: Any, offset: tuple[int, ...], most: int) -> bool:
    mask, packed = dataset.id.read_direct_chunk(offset)
    if mask:  # a filter was left out
        return False
    state, total = zlib.decompressobj(), 0
    while packed and total <= most:
        total += len(state.decompress(packed, _PART))
        packed = state.unconsumed_tail
    return total > most
