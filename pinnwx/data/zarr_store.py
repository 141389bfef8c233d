"""Zarr stores on disk: their metadata are checked before zarr reads them, and no key leads out of the folder.

A store is untrusted: its chunks may be links to other files, or FIFOs.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import zarr
from zarr.storage import LocalStore

from pinnwx.data.chunks import require_chunks, require_coordinate
from pinnwx.data.formats import open_regular
from pinnwx.data.zarr_codecs import Declarations
from pinnwx.data.zarr_metadata import (
    LARGEST_METADATA,
    OF_ARRAYS,
    OF_GROUPS,
    coordinate_in,
    folders_in,
    is_metadata,
    parsed,
    require_usable,
)
from pinnwx.errors import DataError

_REFERENCES = "record_size"  # in the metadata of a kerchunk store


class ContainedStore(LocalStore):
    """A store in which every key is a regular file inside its folder; links inside the folder are followed.

    A chunk that is larger than the metadata of its array allow is neither read nor unpacked.
    """

    def __init__(self, root: Path | str, *, read_only: bool = True):
        super().__init__(root, read_only=read_only)
        self._real = os.path.realpath(root)
        self._declared = Declarations()

    def require_inside(self, key: str) -> None:
        """Raises:
        DataError: the key leads out of the store, is not a regular file, or is too large.
        """
        path = os.path.realpath(self.root / key)
        if path != self._real and not path.startswith(self._real + os.sep):
            raise DataError(
                f'"{key}" leads out of the store, to {path}; copy the store with cp -rL if that is intended'
            )
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError:
            return  # zarr treats it as absent
        if stat.S_ISDIR(status.st_mode):
            return
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f'"{key}" of the store is not a regular file; remove it')
        layout = None if is_metadata(key) else self._declared.layout_of(key)
        most = LARGEST_METADATA if layout is None else layout.largest(layout.chunk)
        if status.st_size > most:
            raise DataError(
                f'"{key}" of the store has {status.st_size:,} bytes, more than the {most:,} that it can need; is the '
                "store damaged?"
            )

    async def get(self, key: str, *args: Any, **options: Any) -> Any:
        self.require_inside(key)
        return self._checked(key, await super().get(key, *args, **options))

    def _checked(self, key: str, content: Any) -> Any:
        if content is None or not is_metadata(key):
            return content
        return type(content).from_bytes(self._declared.admitted(key, content.to_bytes(), consolidated=False))

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]) -> Any:
        ranges = list(key_ranges)
        for key, _ in ranges:
            self.require_inside(key)
        return await super().get_partial_values(prototype, ranges)

    def get_sync(self, key: str, **options: Any) -> Any:
        self.require_inside(key)
        return self._checked(key, super().get_sync(key, **options))


def open_contained(path: Path) -> ContainedStore:
    """Opens a store after its metadata are checked.

    Raises:
        DataError: a codec is not in `CODECS`, a key leads out of the store, or an array does not fit into memory.
        Exception: the metadata are invalid.
    """
    store = ContainedStore(path)
    if _REFERENCES in _document(store, ".zmetadata"):
        raise DataError("is a reference store (kerchunk), which points to other files; give those files")
    for name, document in _arrays(store):
        require_usable(name, document)
    return store


def groups_in(path: Path) -> list[str]:
    """The groups directly below the root; their arrays are not read."""
    store = ContainedStore(path)
    return [name for name in folders_in(path) if any(_is_group(_document(store, f"{name}/{key}")) for key in OF_GROUPS)]


def check_chunks(path: Path, arrays: Mapping[str, tuple[int, int]]) -> None:
    """Refuses a zarr store with absent chunks of arrays or coordinates that would read as values.

    `arrays` maps names to spatial axes.

    Raises:
        DataError: the message names the array and the number of absent chunks.
    """
    store = ContainedStore(path)
    for name, document in _arrays(store):
        array, layout = zarr.open_array(store, path=name, mode="r"), require_usable(name, document)
        if name in arrays:
            require_chunks(array, layout, arrays[name])
        elif any(coordinate_in(key, _document(store, key)) for key in (f"{name}/.zattrs", f"{name}/zarr.json")):
            require_coordinate(array, layout)


def _document(store: ContainedStore, key: str) -> dict[str, Any]:
    """The content of a metadata file; empty if there is none."""
    store.require_inside(key)
    path = store.root / key
    if not path.is_file():
        return {}
    with open_regular(path) as file:
        return parsed(key, file.read(LARGEST_METADATA))


def _arrays(store: ContainedStore) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, metadata) of each array directly below the root, where fields are read."""
    for name in folders_in(store.root):
        for key in OF_ARRAYS:
            document = _document(store, f"{name}/{key}")
            if "shape" in document:
                yield name, document


def _is_group(document: Mapping[str, Any]) -> bool:
    return bool(document) and "shape" not in document
