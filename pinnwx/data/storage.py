"""Small artefacts as netCDF that is either whole and checksummed, or not there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import xarray as xr

from pinnwx.errors import CheckpointError, MissingInputError, OutputError


def write_netcdf(dataset: xr.Dataset, path: str | os.PathLike) -> None:
    """Writes beside the target, then renames: a reader sees the old file or the complete new one.

    Numbers are deflated with fletcher32 checksums, so that a flipped bit raises when it is read.

    Raises:
        OutputError: the folder cannot be written.
    """
    path = Path(path)
    checked = {"zlib": True, "complevel": 4, "fletcher32": True}
    encoding = {
        name: checked
        for name, array in dataset.variables.items()
        if array.ndim and np.issubdtype(array.dtype, np.number)
    }
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    try:
        dataset.to_netcdf(temporary, engine="netcdf4", encoding=encoding)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def read_netcdf(path: str | os.PathLike) -> xr.Dataset:
    """The whole of an artefact, in memory.

    Raises:
        MissingInputError: there is no such file.
        CheckpointError: it is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingInputError(f"no file {path}")
    try:
        with xr.open_dataset(path, engine="netcdf4", decode_times=False) as dataset:
            return dataset.load()
    except Exception as error:  # the library raises several types on a damaged file
        raise CheckpointError(f"{path.name} is damaged ({error}); restore it from a copy") from error
