"""Detects HDF5 chunks that unpack to more than they declare, before the library unpacks them.

The library allocates as much memory as a filter requests. A chunk of 1 MiB may take many GiB, whatever its shape.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable
from typing import Any

import zstandard

from pinnwx.data.unpacking import exceeding, unpack
from pinnwx.errors import DataError
from pinnwx.runtime import memory_limit

_RATIO = 1032  # the largest compression ratio of deflate
_SLACK = 2**16  # bytes: incompressible content grows by headers, checksums and less than 1 %
_HEADER = 18  # bytes of the longest header (Zstandard)
_DEFLATE, _SZIP, _NBIT, _SCALE_OFFSET, _BZIP2, _BLOSC, _ZSTD = 1, 4, 5, 6, 307, 32001, 32015
_SIZES: dict[int, Callable[[bytes], int]] = {  # the unpacked size in the header of a chunk, which its filter allocates
    _SZIP: lambda header: struct.unpack_from("<I", header)[0],
    _BLOSC: lambda header: struct.unpack_from("<I", header, 4)[0],
    _ZSTD: zstandard.frame_content_size,
}
_STREAMS = {_DEFLATE: "zlib", _BZIP2: "bz2"}  # filters without a size in the header, with their names in zarr


def require_unpacked_as_declared(dataset: Any, name: str) -> None:
    """Checks the chunks of an `h5py.Dataset`; one that is not stored in chunks passes.

    A chunk packed by deflate unpacks to at most 1032 times its size. If that does not fit into memory, the chunk is
    unpacked up to the declared size.

    Raises:
        DataError: a chunk is larger, packed or unpacked, than its values; or it is packed twice.
        Exception: any error of the library, if the file is damaged.
    """
    if not dataset.chunks:
        return
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(index) for index in range(properties.get_nfilters())]
    declared = math.prod(dataset.chunks) * dataset.id.get_type().get_size()
    most = declared + declared // 100 + _SLACK
    for number, _, values, _ in filters:
        if number in (_NBIT, _SCALE_OFFSET) and math.prod(values[2:5:2]) > most:  # number of values x bytes of each
            raise DataError(exceeding(name, most, math.prod(values[2:5:2])))
    packing = [at for at, one in enumerate(filters) if one[0] in (*_SIZES, *_STREAMS)]
    if len(packing) > 1:
        raise DataError(f'"{name}" is packed twice; rewrite the file with deflate (nccopy -F none, then nccopy -d 4)')
    if packing:
        _check_chunks(dataset, name, most, packing[0], filters[packing[0]][0])


def _check_chunks(dataset: Any, name: str, most: int, place: int, number: int) -> None:
    """Checks each chunk; `place` is the position of the packing filter among the filters, `number` its identifier."""
    chunks: list[Any] = []
    least = most // _RATIO if number == _DEFLATE else 0
    dataset.id.chunk_iter(lambda chunk: chunks.append(chunk) if chunk.size > least else None)
    limit = memory_limit()
    for chunk in chunks:
        if chunk.size > most:
            raise DataError(exceeding(name, most))
        if chunk.filter_mask >> place & 1 or (number == _DEFLATE and _RATIO * chunk.size <= limit):
            continue
        if number in _STREAMS:
            unpack(dataset.id.read_direct_chunk(chunk.chunk_offset)[1], most, {"id": _STREAMS[number]}, name)
        elif (size := _SIZES[number](_header(dataset, chunk))) > most:
            raise DataError(exceeding(name, most, size))


def _header(dataset: Any, chunk: Any) -> bytes:
    """The header of a chunk, read from the file if the file begins with HDF5; otherwise the whole chunk is read."""
    if dataset.file.driver == "sec2" and not dataset.file.userblock_size:
        return os.pread(dataset.file.id.get_vfd_handle(), _HEADER, chunk.byte_offset)
    return dataset.id.read_direct_chunk(chunk.chunk_offset)[1][:_HEADER]
