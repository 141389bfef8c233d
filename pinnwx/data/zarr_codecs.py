"""Codecs of zarr stores that never unpack a chunk to more than its array declares.

The store replaces the codec names in the metadata of an array by these codecs before zarr reads the metadata.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numcodecs
from numcodecs.abc import Codec
from zarr.abc.codec import BytesBytesCodec
from zarr.registry import register_codec

from pinnwx.data.unpacking import PACKING, unpack
from pinnwx.data.zarr_metadata import ArrayLayout, array_in, coordinate_in, described, parsed, require_usable

_NAME = "pinnwx.bounded"


class BoundedCodec(Codec):
    """Replaces a compressing codec of zarr v2; after any other codec, it checks the input of that codec."""

    codec_id = _NAME

    def __init__(self, codec: Mapping[str, Any], most: int, array: str) -> None:
        self.codec, self.most, self.array = codec, most, array

    def decode(self, buf: Any, out: Any = None) -> Any:  # noqa: ARG002
        return unpack(buf, self.most, self.codec, self.array)

    def encode(self, buf: Any) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class BoundedBytes(BytesBytesCodec):
    """The same, for zarr v3."""

    codec: Mapping[str, Any]
    most: int
    array: str
    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: Any) -> BoundedBytes:
        return cls(**data["configuration"])

    def to_dict(self) -> dict[str, Any]:
        return {"name": _NAME, "configuration": {"codec": self.codec, "most": self.most, "array": self.array}}

    def _decode_sync(self, chunk_data: Any, chunk_spec: Any) -> Any:
        content = unpack(chunk_data.as_numpy_array(), self.most, self.codec, self.array)
        return chunk_spec.prototype.buffer.from_bytes(content)

    async def _decode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    async def _encode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        raise NotImplementedError

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        raise NotImplementedError


numcodecs.register_codec(BoundedCodec)
register_codec(_NAME, BoundedBytes)


class Declarations:
    """The metadata of a store, checked and recorded when zarr reads them."""

    def __init__(self) -> None:
        self.layouts: dict[str, ArrayLayout] = {}
        self.coordinates: set[str] = set()

    def admitted(self, key: str, content: bytes, *, consolidated: bool) -> bytes:
        """The metadata file that zarr reads; `consolidated` is true if zarr uses its consolidated metadata.

        Raises:
            DataError: the metadata name an unknown codec, or an array that does not fit into memory.
            Exception: the metadata are invalid.
        """
        document, has_arrays = parsed(key, content), False
        for inner, one in described(key, document) if consolidated else [(key, document)]:
            if (name := array_in(inner, one)) is not None:
                self.layouts[name] = layout = require_usable(name, one)
                _bound(one, layout)
                has_arrays = True
            if (name := coordinate_in(inner, one)) is not None:
                self.coordinates.add(name)
        return json.dumps(document).encode() if has_arrays else content

    def layout_of(self, key: str) -> ArrayLayout | None:
        """The layout of the array to which a chunk belongs."""
        return next((self.layouts[name] for name in map(str, PurePosixPath(key).parents) if name in self.layouts), None)


def _bound(document: Any, layout: ArrayLayout) -> None:
    """Replaces the codecs of an array."""
    if document.get("zarr_format") != 2:
        document["codecs"] = list(_of_v3(document["codecs"], layout, layout.largest(layout.chunk)))
        return

    def bounded(codec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        own = {"id": _NAME, "codec": codec, "most": layout.largest(layout.inner), "array": layout.name}
        return [own] if codec["id"] in PACKING else [codec, own]

    packing = document.get("compressor")
    document["compressor"] = None if packing is None else bounded(packing)[0]
    document["filters"] = [one for codec in document.get("filters") or () for one in bounded(codec)] or None


def _of_v3(codecs: list[Any], layout: ArrayLayout, most: int) -> Iterator[Any]:
    for codec in codecs:
        name = str(codec if isinstance(codec, str) else codec["name"]).removeprefix("numcodecs.")
        options = {} if isinstance(codec, str) else dict(codec.get("configuration") or {})
        if name == "sharding_indexed":
            options["codecs"] = list(_of_v3(options["codecs"], layout, layout.largest(layout.inner)))
            yield {"name": name, "configuration": options}
            continue
        if name not in PACKING:
            yield codec
        if name in PACKING or name == "vlen-utf8":
            own = {"codec": {**options, "id": name}, "most": most, "array": layout.name}
            yield {"name": _NAME, "configuration": own}
