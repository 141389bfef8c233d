"""Opens files with raw values; decoding happens later."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from pinnwx.data import hdf5
from pinnwx.data.netcdf3 import open_netcdf3
from pinnwx.data.sizes import require_readable
from pinnwx.errors import PinnwxError, UnreadableError

_OF_THE_DISK = {errno.EIO, errno.ESTALE, errno.EACCES, errno.EPERM, errno.ENXIO, errno.ETIMEDOUT}


@dataclass(frozen=True)
class Opened:
    """Lazy datasets with raw values and attributes, and the structure of the file."""

    path: Path
    format: str
    datasets: list[xr.Dataset]
    contents: hdf5.Contents | None = None

    def require_stored(self, arrays: Mapping[str, tuple[int, int]]) -> None:
        """Refuses variables whose values are absent or cannot be unpacked; `arrays` maps names to spatial axes.

        Raises:
            DataError: the message names the variable.
        """
        if self.format == "zarr":
            from pinnwx.data import zarr_store  # zarr is slow to import, and most data are in files

            with reading("this zarr store"):
                zarr_store.check_chunks(self.path, arrays)
        elif self.contents is not None:
            hdf5.require_filters(self.contents, arrays)
            with reading("this netCDF-4 file"):
                hdf5.require_bounded(self.path, arrays)

    @property
    def explanation(self) -> str:
        """The reason why no variable of the file is read, if its structure shows it; else empty."""
        contents = self.contents
        if self.format == "zarr":
            from pinnwx.data import zarr_store

            groups = zarr_store.groups_in(self.path)
        else:
            groups = contents.groups if contents else []
        has_fields = contents is not None and contents.has_fields
        if groups and not has_fields:
            return (
                f"its variables are in groups ({', '.join(groups[:3])}), which are not read; copy one out: "
                f"xarray.open_dataset(file, group={groups[0]!r}).to_netcdf(...)"
            )
        if contents is not None and has_fields and not contents.dimension_scales:
            return "is HDF5 without the coordinates of netCDF-4 (dimension scales); convert it to netCDF first"
        return ""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Converts any error of a decoding library inside the block to `UnreadableError`: the file is damaged."""
    try:
        yield
    except PinnwxError:
        raise
    except OSError as error:
        if error.errno in _OF_THE_DISK:
            raise UnreadableError(
                f"cannot read {what} ({error.strerror}); check the disk and the permissions"
            ) from error
        raise UnreadableError(_damaged(what, error)) from error
    except Exception as error:  # the libraries raise anything from OSError to struct.error on a damaged file
        raise UnreadableError(_damaged(what, error)) from error


def _damaged(what: str, error: Exception) -> str:
    return f"cannot read {what} ({first_line(error)}); the file is damaged or incomplete, fetch it again"


def first_line(error: Exception) -> str:
    """The first line of a library error, without the path, which the message of pinnwx already names."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.strip()
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def open_raw(path: Path, format: str) -> Opened:
    """Opens a file of a supported format other than GRIB.

    Raises:
        DataError: the file is damaged, points to other files, or does not fit into memory.
        LockedError: another program is writing it.
    """
    with reading(f"this {format} file"):
        if format == "netCDF-3":
            return Opened(path, format, [open_netcdf3(path)])
        if format == "zarr":
            from pinnwx.data import zarr_store

            store: Any = zarr_store.open_contained(path)  # xarray accepts stores, although its annotation does not
            options: dict[str, Any] = {"engine": "zarr", "chunks": None, "consolidated": False}
            return Opened(path, format, [xr.open_dataset(store, decode_cf=False, cache=False, **options)])
        contents = hdf5.contents_of(path)
        require_readable(contents.arrays.values())
        hdf5.require_filters(contents, [name for name, one in contents.arrays.items() if len(one.shape) < 2])
        return Opened(path, format, [xr.open_dataset(path, engine="netcdf4", decode_cf=False, cache=False)], contents)
