"""Small artefacts as netCDF that is either whole and checksummed, or not there."""

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

_MOST_OF_ITS_SIZE = 1032  # deflate, at its best
_CHECKED = {"zlib": True, "complevel": 4, "fletcher32": True, "_FillValue": None}


def write_netcdf(dataset: xr.Dataset, path: str | os.PathLike) -> None:
    """Writes a dataset whose numbers carry fletcher32 checksums, so that a flipped bit raises when it is read.

    The content is made in memory first (a month that `fetch` writes: its packed size, beside the fields themselves).

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
    """The whole of an artefact, in memory; of `content`, where its bytes were read already.

    Raises:
        MissingInputError: there is no such file.
        CheckpointError: it is damaged, or not as `write_netcdf` writes: numbers that stand elsewhere (HDF5's external
            storage), or more of them than a file of its size can hold.
    """
    path = Path(path)
    if content is None:
        content = read_own(path.parent, path.name)
        if content is None:
            raise MissingInputError(f"no file {path}")
    try:
        require_self_contained(path, content)  # no array in it may stand in another file
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
    """Why this library did not write a file of this many bytes; empty if it did. No value is read."""
    total = 0
    if file.groups:
        return "holds groups"
    for name, variable in file.variables.items():
        if isinstance(variable.dtype, np.dtype):
            if variable.chunking() == "contiguous":
                return f"holds {name} without a checksum"
            total += variable.dtype.itemsize * int(np.prod(variable.shape, dtype=object))
    if total > _MOST_OF_ITS_SIZE * size + 2**20:
        return f"tells of {total:,} bytes of numbers, more than its {size:,} can hold"
    return ""
