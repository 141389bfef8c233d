"""Inspects an HDF5 file before the netCDF-4 library reads it.

The library follows all references of a file. A dataset may store its values in another file of any kind, link to
another HDF5 file, or combine several files. A file from an untrusted source could thus expose local files as data.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pinnwx.data.inflation import require_unpacked_as_declared
from pinnwx.data.sizes import Declared, require_memory
from pinnwx.errors import DataError, LockedError

_BUILT_IN = {1, 2, 3, 5, 6}  # deflate, shuffle, fletcher32, nbit, scaleoffset
_OPTIONAL = {4: "szip", 307: "bzip2", 32001: "blosc", 32015: "zstd"}  # queried by netCDF4.Dataset.has_..._filter
_MOST_OBJECTS = 100_000
_COPY = "copy the values into this file"


@dataclass
class Contents:
    """`arrays` by their path in the file; `dimension_scales` distinguishes netCDF-4 from other HDF5."""

    arrays: dict[str, Declared] = field(default_factory=dict)
    dimension_scales: bool = False
    filters: dict[str, set[int]] = field(default_factory=dict)

    @property
    def groups(self) -> list[str]:
        """The groups below the root that hold fields."""
        fields = [path for path, one in self.arrays.items() if "/" in path and len(one.shape) > 1]
        return sorted({path.rpartition("/")[0] for path in fields})

    @property
    def has_fields(self) -> bool:
        """Whether the root group, the only one that is read, holds arrays of at least two dimensions."""
        return any("/" not in path and len(one.shape) > 1 for path, one in self.arrays.items())


def contents_of(path: Path, content: bytes | None = None, *, whole: bool = False) -> Contents:
    """Reads the structure of a file, without values, and follows no link out of the file.

    The unpacked size of chunks is checked for axes, or for all variables of a file that is read `whole`. `content` are
    the bytes of the file, if they are in memory.

    Raises:
        DataError: values or links are in other files, a group contains itself, or a chunk is larger than its values.
        LockedError: another program is writing the file.
        Exception: any error of the library, if the file is damaged.
    """
    import h5py  # a quarter of a second

    contents = Contents()
    try:
        with h5py.File(path if content is None else io.BytesIO(content), "r") as file:
            _look_into(file, contents, math.inf if whole else 1)
    except BlockingIOError as error:
        raise LockedError(f"{path.name} is being written by another program; try again when it is done") from error
    return contents


def require_self_contained(path: Path, content: bytes | None = None) -> None:
    """Checks a file that is loaded whole; `content` are its bytes, if they are in memory.

    Raises:
        DataError, LockedError, Exception: as `contents_of`; or the file does not fit into memory.
    """
    arrays = contents_of(path, content, whole=True).arrays.values()
    require_memory(sum(math.prod(one.shape) * one.itemsize for one in arrays), f"what {path.name} declares")


def require_bounded(path: Path, names: Iterable[str]) -> None:
    """Checks the chunks of the variables that are read.

    Raises:
        DataError: a chunk unpacks to more than its values; the message names the variable.
        Exception: any error of the library, if the file is damaged.
    """
    import h5py

    with h5py.File(path, "r") as file:
        for name in sorted(names):
            if isinstance(dataset := file.get(name), h5py.Dataset):
                require_unpacked_as_declared(dataset, name)


def _look_into(file: Any, contents: Contents, read: float) -> None:
    """Follows the hard links first: if no link leads out of the file, a link through another link does not either.

    The chunks of arrays with at most `read` dimensions are checked.
    """
    import h5py

    waiting, visited, links = [("", file)], {file.id}, []
    while waiting:
        prefix, group = waiting.pop()
        for name in group:
            path, link = f"{prefix}{name}", group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise DataError(f'"{path}" is a link into another file, {link.filename}; {_COPY}')
            if isinstance(link, h5py.SoftLink):
                links.append((path, link.path, group))
                continue
            child = group[name]
            if isinstance(child, h5py.Dataset):
                _add(child, path, contents, read)
            elif isinstance(child, h5py.Group):
                if child.id in visited:  # the netCDF-4 library would never finish
                    raise DataError(f'group "{path}" is in two places, or inside itself; the file is not netCDF-4')
                visited.add(child.id)
                waiting.append((f"{path}/", child))
            if len(contents.arrays) + len(visited) > _MOST_OBJECTS:
                raise DataError(f"holds more than {_MOST_OBJECTS:,} groups and variables; is the file damaged?")
    for path, target, group in links:
        child = group.get(path.rpartition("/")[2])
        if not isinstance(child, h5py.Dataset):
            raise DataError(
                f'"{path}" is a link to {target}, which is not a variable of the file; the file is not netCDF-4'
            )
        _add(child, path, contents, read)


def _add(dataset: Any, path: str, contents: Contents, read: float) -> None:
    properties = dataset.id.get_create_plist()
    if properties.get_external_count():
        other = properties.get_external(0)[0].decode(errors="replace")
        raise DataError(f'"{path}" stores its values in another file, {other}; {_COPY}')
    if dataset.is_virtual:
        others = [source.file_name for source in dataset.virtual_sources() if source.file_name != "."]
        if others:
            raise DataError(f'"{path}" is a virtual dataset of other files, the first {others[0]}; {_COPY}')
    contents.arrays[path] = Declared(path, dataset.shape or (), dataset.id.get_type().get_size(), dataset.chunks)
    contents.filters[path] = {properties.get_filter(index)[0] for index in range(properties.get_nfilters())}
    contents.dimension_scales |= dataset.is_scale
    if len(dataset.shape or ()) <= read:
        require_unpacked_as_declared(dataset, path)


def require_filters(contents: Contents, names: Iterable[str]) -> None:
    """Refuses variables with a compression filter that the netCDF-4 library does not have.

    Raises:
        DataError: the message names the variable and the filter.
    """
    for name in sorted(names):
        for number in contents.filters.get(name, set()) - _BUILT_IN:
            if _OPTIONAL.get(number) not in _installed():
                raise DataError(
                    f'"{name}" is compressed by the HDF5 filter {_OPTIONAL.get(number, number)}, which is not '
                    "installed; where it is, rewrite the file with deflate (nccopy -F none, then nccopy -d 4)"
                )


@cache
def _installed() -> frozenset[str]:
    """The optional filters that the netCDF-4 library has."""
    import netCDF4

    with netCDF4.Dataset("filters", "w", diskless=True) as library:
        return frozenset(name for name in _OPTIONAL.values() if getattr(library, f"has_{name}_filter")())
