"""Finding files and opening them raw: nothing is decoded here except what GRIB decodes by itself.

A format is known by its first bytes, never by its name. netCDF-3 is read with scipy, because the netCDF-4 library
returns wrong values from a truncated netCDF-3 file without an error.
"""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xarray as xr

from pinnwx.errors import DataError, MissingInputError, PinnwxError, UnreadableError

Paths = str | os.PathLike | Iterable[str | os.PathLike]

_ZARR_MARKS = (".zgroup", ".zmetadata", "zarr.json", ".zarray")
_SUFFIXES = {".nc", ".nc4", ".nc3", ".netcdf", ".cdf", ".grib", ".grib1", ".grib2", ".grb", ".grb1", ".grb2"}
_ENGINES: dict[str, str] = {"netCDF-3": "scipy", "netCDF-4": "netcdf4", "zarr": "zarr"}


def find_files(paths: Paths) -> tuple[Path, ...]:
    """Files and zarr stores, from files, globs and folders (searched recursively); each once, sorted within a path.

    Hidden files and folders are passed over.

    Raises:
        MissingInputError: a path does not exist, a glob matches nothing, or there is no path.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: dict[Path, Path] = {}
    for entry in given:
        path = Path(entry).expanduser()
        matches = [path] if path.exists() else map(Path, sorted(glob.glob(str(path), recursive=True)))  # noqa: PTH207
        matches = list(matches)
        if not matches:
            raise MissingInputError(f"no such file or folder: {entry}")
        for match in matches:
            for file in _walk(match, set()):
                found.setdefault(file.resolve(), file)
    if not found:
        raise MissingInputError(f"no files in {', '.join(map(str, given)) or 'an empty list of paths'}")
    return tuple(found.values())


def _walk(path: Path, seen: set[Path]) -> Iterator[Path]:
    if path.is_file() or is_zarr(path):
        yield path
    elif path.is_dir() and path.resolve() not in seen:  # links may run in circles
        seen.add(path.resolve())
        try:
            children = sorted(path.iterdir())
        except OSError as error:
            raise MissingInputError(f"cannot list {path}: {error.strerror}") from error
        for child in children:
            if not child.name.startswith("."):
                yield from _walk(child, seen)


def is_zarr(path: Path) -> bool:
    return path.is_dir() and any((path / mark).exists() for mark in _ZARR_MARKS)


def identify(path: Path) -> str | None:
    """`netCDF-3`, `netCDF-4`, `zarr`, `GRIB`, or None for a file that is not gridded data.

    Raises:
        DataError: the file is named like gridded data but is something else.
    """
    if is_zarr(path):
        return "zarr"
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise DataError(f"cannot be opened ({error.strerror})") from error
    if head[:4] in (b"CDF\x01", b"CDF\x02"):
        return "netCDF-3"
    if head[:8] == b"\x89HDF\r\n\x1a\n":
        return "netCDF-4"
    if head[:4] == b"GRIB":
        return "GRIB"
    if path.suffix.lower() not in _SUFFIXES:
        return None
    if not head:
        raise DataError("the file is empty; fetch it again")
    if head[:4] == b"CDF\x05":
        raise DataError("netCDF-3 with 64-bit data (CDF-5) is not read; convert it with nccopy -k netCDF-4")
    kind = "an HTML page" if head.lstrip()[:1] == b"<" else f"something that starts with {head[:8]!r}"
    raise DataError(f"not netCDF, GRIB or zarr but {kind}; fetch it again")


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Any failure of a decoding library inside the block means that the file is damaged."""
    try:
        yield
    except PinnwxError:
        raise
    except Exception as error:  # the libraries raise anything from OSError to struct.error on a damaged file
        raise UnreadableError(
            f"cannot read {what} ({first_line(error)}); the file is damaged or incomplete, fetch it again"
        ) from error


def first_line(error: Exception) -> str:
    """What an error of a library says, in one line."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def open_raw(path: Path, format: str) -> list[xr.Dataset]:
    """Lazy datasets with raw values and attributes, of a file that is not GRIB.

    Raises:
        DataError: the file is damaged.
    """
    # A truncated netCDF-3 file leaves the reader half made; when that is collected, scipy warns about its memory map.
    warnings.filterwarnings("ignore", "Cannot close a netcdf_file opened with mmap=True", RuntimeWarning)
    options: dict[str, Any] = {"chunks": None, "consolidated": False} if format == "zarr" else {}
    with reading(f"this {format} file"):
        return [xr.open_dataset(path, engine=_ENGINES[format], decode_cf=False, cache=False, **options)]  # type: ignore[arg-type]


def check_chunks(path: Path, names: Iterable[str]) -> None:
    """Refuses a zarr store in which chunks of these arrays are absent: they would read as the fill value.

    Raises:
        DataError: with the array and the number of absent chunks.
    """
    import zarr

    for name in sorted(names):
        with reading("this zarr store"):
            array = zarr.open_array(path, path=name, mode="r")
            absent = array.nchunks - array.nchunks_initialized
        if absent:
            raise DataError(
                f'{absent} of {array.nchunks} chunks of "{name}" are absent; fetch the store again, '
                "or write it with write_empty_chunks=True if they are empty on purpose"
            )
