"""Writes and reads small netCDF artefacts, which are complete and checksummed, or absent."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr
from xarray.backends import NetCDF4DataStore

from pinnwx.data.hdf5 import require_self_contained
from pinnwx.data.netcdf_bytes import netcdf_bytes
from pinnwx.enclosed import read_own
from pinnwx.errors import CheckpointError, DataError, LockedError, MissingInputError
from pinnwx.files import replacing

_LARGEST_RATIO = 1032  # of deflate
_CHECKED = {"zlib": True, "complevel": 4, "fletcher32": True, "_FillValue": None}


def write_netcdf(dataset: xr.Dataset, path: str | os.PathLike) -> None:
    """Writes a dataset with fletcher32 checksums on its numbers, so that reading a flipped bit raises an error.

    The content is encoded in memory first, which takes its packed size in addition to the fields.

    Raises:
        OutputError: the folder cannot be written.
    """
    encoding = {
        name: _CHECKED
        for name, array in dataset.variables.items()
        if array.ndim and (np.issubdtype(array.dtype, np.number) or array.dtype.kind == "M")
    }
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(netcdf_bytes(dataset, encoding))


def read_netcdf(path: str | os.PathLike, content: bytes | None = None) -> xr.Dataset:
    """Reads a whole artefact into memory; `content` are its bytes, if they were already read.

    Raises:
        MissingInputError: there is no such file.
        CheckpointError: the file is damaged, or `write_netcdf` did not write it: its numbers are in another file (HDF5
            external storage), or are more than a file of its size can hold.
    """
    path = Path(path)
    if content is None:
        content = read_own(path.parent, path.name)
        if content is None:
            raise MissingInputError(f"no file {path}")
    try:
        require_self_contained(path, content)  # no array may be stored in another file
        with contextlib.closing(NetCDF4DataStore(netCDF4.Dataset(path.name, memory=content))) as store:
            if problem := _not_ours(store.ds, len(content)):
                raise CheckpointError(f"{path.name} {problem}; restore it from a copy")
            return xr.open_dataset(store, decode_times=False, mask_and_scale=False).load()
    except (CheckpointError, LockedError):
        raise
    except DataError as error:
        raise CheckpointError(f"{path.name}: {error}") from error
    except Exception as error:  # the library raises several types on a damaged file
        raise CheckpointError(f"{path.name} is damaged ({error}); restore it from a copy") from error


def _not_ours(file: netCDF4.Dataset, size: int) -> str:
    """Why pinnwx cannot have written this file of `size` bytes; empty if it may have. No value is read."""
    total = 0
    if file.groups:
        return "contains groups"
    for name, variable in file.variables.items():
        if isinstance(variable.dtype, np.dtype):
            if variable.chunking() == "contiguous":
                return f"contains {name} without a checksum"
            total += variable.dtype.itemsize * int(np.prod(variable.shape, dtype=object))
    if total > _LARGEST_RATIO * size + 2**20:
        return f"declares {total:,} bytes of numbers, more than a file of {size:,} bytes can hold"
    return ""
