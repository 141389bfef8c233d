"""Checks the metadata of zarr arrays (codecs, sizes, positions of values) before zarr uses them.

The metadata are untrusted. They may name a codec that runs code (`pickle`), or shapes that do not fit into memory.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Bool

from pinnwx.data.sizes import Declared, require_readable
from pinnwx.errors import DataError

# All codecs that only unpack bytes to numbers or text, with their names in zarr v2 and v3.
CODECS = frozenset((
    "blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd",
    "adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3",
    "astype", "bitround", "delta", "fixedscaleoffset", "packbits", "quantize", "shuffle",
    "bytes", "transpose", "sharding_indexed", "vlen-utf8",
))  # fmt: skip
OF_ARRAYS, OF_GROUPS = (".zarray", "zarr.json"), (".zgroup", "zarr.json")
LARGEST_METADATA = 64 * 2**20  # bytes
_NAMES = {*OF_ARRAYS, *OF_GROUPS, ".zattrs", ".zmetadata"}
_NOWHERE = 2**64 - 1  # offset and length of an inner chunk that a shard does not hold
_WIDEST, _TEXT = 16, 1024  # bytes of a number, and of a text whose length is not declared
_BYTES_PER_CHUNK, _BYTES_PER_OBJECT = 64, 2**16  # more than any codec adds, in addition to 1 %
_TYPES = ("dtype", "astype", "encode_dtype", "decode_dtype")  # in the configuration of a codec


@dataclass(frozen=True)
class ShardIndex:
    """The index of a shard: offset and length of each inner chunk, in C order."""

    grid: tuple[int, ...]
    byte_order: str
    has_checksum: bool
    at_start: bool

    @property
    def size(self) -> int:
        """The size of the index in bytes."""
        return 16 * math.prod(self.grid) + 4 * self.has_checksum

    def of_shard(self, shard: bytes) -> bytes:
        return shard[: self.size] if self.at_start else shard[-self.size :]

    def present(self, index: bytes, shard_size: int | None = None) -> Bool[np.ndarray, "*grid"]:
        """True for the inner chunks that the shard holds completely; a chunk beyond the end of the shard is absent.

        Raises:
            DataError: the index is truncated.
        """
        if len(index) != self.size:
            raise DataError(f"the index of a shard has {len(index):,} bytes, not {self.size:,}; fetch the store again")
        count = math.prod(self.grid)
        places = np.frombuffer(index, f"{self.byte_order}u8", 2 * count).reshape(*self.grid, 2)
        start, length = places[..., 0], places[..., 1]
        there = (start != _NOWHERE) & (length != _NOWHERE) & (length > 0)
        if shard_size is not None:
            there &= (length <= shard_size) & (start <= shard_size - np.minimum(length, shard_size))
        return there


@dataclass(frozen=True)
class ArrayLayout:
    """How an array is stored: in objects of shape `chunk`. If there is an `index`, these are shards of inner chunks.

    `widest` is the largest size [bytes] of a value before, between and after the codecs. `absent_is_missing` is true if
    an absent chunk reads as NaN.
    """

    name: str
    shape: tuple[int, ...]
    itemsize: int
    widest: int
    chunk: tuple[int, ...]
    inner: tuple[int, ...]
    index: ShardIndex | None
    absent_is_missing: bool

    @property
    def objects(self) -> tuple[int, ...]:
        """The number of objects along each axis."""
        return tuple(-(-length // each) for length, each in zip(self.shape, self.chunk, strict=True))

    @property
    def chunks(self) -> tuple[int, ...]:
        """The number of chunks (of shards: inner chunks) along each axis."""
        return tuple(-(-length // each) for length, each in zip(self.shape, self.inner, strict=True))

    def largest(self, chunk: tuple[int, ...]) -> int:
        """The largest size [bytes] of a chunk of this shape (`chunk` or `inner`), packed or unpacked."""
        inner = 1 if self.index is None or chunk == self.inner else math.prod(self.index.grid)
        values = self.widest * math.prod(chunk)
        return _BYTES_PER_OBJECT + _BYTES_PER_CHUNK * inner + values + values // 100


def is_metadata(key: str) -> bool:
    return key.rpartition("/")[2] in _NAMES


def parsed(key: str, text: bytes) -> dict[str, Any]:
    """Raises:
    ValueError: the text is not a JSON object.
    """
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError(f"{key} is not a JSON object")
    return document


def described(key: str, document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(key, content) of a metadata file, and of all metadata that are consolidated in it."""
    group, _, file = key.rpartition("/")
    if file == ".zmetadata":
        yield from document["metadata"].items()
        return
    yield key, document
    consolidated = document.get("consolidated_metadata") or {}
    for name, one in consolidated.get("metadata", {}).items():
        yield from described("/".join(part for part in (group, name, file) if part), one)


def array_in(key: str, document: Mapping[str, Any]) -> str | None:
    """The name of the array that a metadata file describes; None if it describes none."""
    group, _, file = key.rpartition("/")
    return group if file in OF_ARRAYS and "shape" in document else None


def coordinate_in(key: str, document: Mapping[str, Any]) -> str | None:
    """The name of the array if a metadata file declares it the coordinate of its dimension; else None."""
    group, _, file = key.rpartition("/")
    dims = document.get("_ARRAY_DIMENSIONS" if file == ".zattrs" else "dimension_names")
    return group if dims == [group.rpartition("/")[2]] else None


def require_usable(name: str, document: Mapping[str, Any]) -> ArrayLayout:
    """The storage layout of an array, from metadata in the form of zarr v2 or v3.

    Raises:
        DataError: the metadata name a codec that is not in `CODECS`, or the array does not fit into memory.
        Exception: the metadata are invalid.
    """
    codecs = list(_codecs(document))
    _require_known(name, codecs)
    layout = _layout(name, document, _widest(codecs))
    if layout.index is not None:
        require_readable([Declared(f"the index of {name}", (2 * math.prod(layout.index.grid),), 8)])
    require_readable([Declared(name, layout.shape, layout.itemsize, layout.inner)])
    return layout


def _require_known(name: str, codecs: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    for codec, options in codecs:
        if codec.removeprefix("numcodecs.") not in CODECS:
            raise DataError(
                f'the array "{name}" is packed by the codec "{codec[:40]}", which is not supported; rewrite the '
                "store with zstd or blosc"
            )
        if _widest([(codec, options)]) > _WIDEST:
            raise DataError(f'the codec "{codec}" of the array "{name}" produces values of more than {_WIDEST} bytes')


def _widest(codecs: Iterable[tuple[str, Mapping[str, Any]]]) -> int:
    """The size [bytes] of the widest type that a codec converts from or to; 1 if none converts types."""
    return max((_itemsize(options[key]) for _, options in codecs for key in _TYPES if options.get(key)), default=1)


def _codecs(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(name, configuration) of all codecs, including those inside shards."""
    for codec in (document.get("compressor"), *(document.get("filters") or ())):
        if codec is not None:
            yield str(codec["id"]), codec
    for codec in (*document.get("codecs", ()), *document.get("index_codecs", ())):
        options = {} if isinstance(codec, str) else codec.get("configuration") or {}
        yield _name_of(codec), options
        yield from _codecs(options)


def _layout(name: str, document: Mapping[str, Any], widest: int) -> ArrayLayout:
    shape = tuple(map(int, document["shape"]))
    old = document.get("zarr_format") == 2
    dtype = document["dtype" if old else "data_type"]
    chunk = _sizes(document["chunks"] if old else document["chunk_grid"]["configuration"]["chunk_shape"])
    shards = [] if old else [one for one in document["codecs"] if _name_of(one) == "sharding_indexed"]
    inner, index, size = chunk, None, _itemsize(dtype)
    for shard in shards:
        inner = _sizes(shard["configuration"]["chunk_shape"])
        index = _shard_index(name, chunk, shard["configuration"])
    widest = max(widest, size, _TEXT if dtype in ("|O", "string") else 1)
    return ArrayLayout(name, shape, size, widest, chunk, inner, index, _reads_as_nan(dtype, document))


def _shard_index(name: str, chunk: tuple[int, ...], shard: Mapping[str, Any]) -> ShardIndex:
    if any(_name_of(one) == "sharding_indexed" for one in shard["codecs"]):
        raise DataError(f'the array "{name}" has shards inside shards, which are not supported; rewrite the store')
    first, *further = shard.get("index_codecs") or ("bytes", "crc32c")
    if _name_of(first) != "bytes" or [_name_of(one) for one in further] not in ([], ["crc32c"]):
        raise DataError(
            f'the array "{name}" has shards with a packed index, which are not supported; rewrite the store'
        )
    grid = tuple(-(-outer // one) for outer, one in zip(chunk, _sizes(shard["chunk_shape"]), strict=True))
    big = isinstance(first, dict) and (first.get("configuration") or {}).get("endian") == "big"
    return ShardIndex(grid, ">" if big else "<", bool(further), shard.get("index_location", "end") == "start")


def _sizes(shape: Iterable[Any]) -> tuple[int, ...]:
    return tuple(max(1, int(size)) for size in shape)


def _name_of(codec: Any) -> str:
    return str(codec if isinstance(codec, str) else codec["name"])


def _reads_as_nan(dtype: Any, document: Mapping[str, Any]) -> bool:
    fill = document.get("fill_value")
    is_nan = fill == "NaN" or (isinstance(fill, float) and math.isnan(fill))
    try:
        return is_nan and np.dtype(dtype).kind == "f"
    except (TypeError, ValueError):
        return False


def _itemsize(dtype: Any) -> int:
    """The size [bytes] of a type in the notation of zarr v2 or v3; 8 for a type without a size, such as text."""
    options: dict[str, Any] = dtype.get("configuration") or {} if isinstance(dtype, dict) else {}
    fields = options.get("fields") or (dtype if isinstance(dtype, list) else ())
    if fields:
        return sum(_itemsize(kind) * math.prod(_sizes(*shape)) for _, kind, *shape in fields)
    if isinstance(dtype, str) and dtype[:1] == "r" and dtype[1:].isdigit():  # the number of bits
        return int(dtype[1:]) // 8
    try:
        return (
            int(options["length_bytes"]) if "length_bytes" in options else max(1, np.dtype(cast(Any, dtype)).itemsize)
        )
    except (TypeError, ValueError):
        return 8


def folders_in(path: Path) -> list[str]:
    """The names of the folders of a store, sorted."""
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())


def metadata_files(path: Path) -> Iterator[Path]:
    """The folders of the arrays, and the metadata files of the store and its arrays."""
    for name in ("", *folders_in(path)):
        folder = path / name
        yield folder
        yield from (
            folder / key for key in (".zattrs", ".zmetadata", *OF_ARRAYS, ".zgroup") if (folder / key).is_file()
        )
