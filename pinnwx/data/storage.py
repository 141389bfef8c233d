"""Small artefacts as netCDF that is either whole and checksummed, or not there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import xarray as xr

from pinnwx.data.hdf5 import require_self_contained
from pinnwx.errors import CheckpointError, DataError, LockedError, MissingInputError
from pinnwx.files import replacing

_CHECKED = {"zlib": True, "complevel": 4, "fletcher32": True, "_FillValue": None}


def write_netcdf(dataset: xr.Dataset, path: str | os.PathLike) -> None:
    """Writes a dataset whose numbers carry fletcher32 checksums, so that a flipped bit raises when it is read.

    Raises:
        OutputError: the folder cannot be written.
    """
    encoding = {
        name: _CHECKED
        for name, array in dataset.variables.items()
        if array.ndim and np.issubdtype(array.dtype, np.number)
    }
    with replacing(Path(path)) as temporary:
        dataset.to_netcdf(temporary, engine="netcdf4", encoding=encoding)


def read_netcdf(path: str | os.PathLike) -> xr.Dataset:
    """The whole of an artefact, in memory.

    Raises:
        MissingInputError: there is no such file.
        CheckpointError: it is damaged, or points to other files.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingInputError(f"no file {path}")
    try:
        require_self_contained(path)
        with xr.open_dataset(path, engine="netcdf4", decode_times=False, mask_and_scale=False) as dataset:
            return dataset.load()
    except DataError as error:
        raise CheckpointError(f"{path.name}: {error}") from error
    except LockedError:
        raise
    except Exception as error:  # the library raises several types on a damaged file
        raise CheckpointError(f"{path.name} is damaged ({error}); restore it from a copy") from error
