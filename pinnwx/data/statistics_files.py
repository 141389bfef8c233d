"""Normalisation and climatology as checksummed netCDF: what is written is read back bit for bit."""

from __future__ import annotations

import os

import numpy as np
import xarray as xr

from pinnwx.data.field_statistics import STATISTICS
from pinnwx.data.storage import read_netcdf, write_netcdf
from pinnwx.errors import CheckpointError
from pinnwx.statistics import Climatology, Normalisation

_NORMALISATION = ("mean", "std", "increment_std", "mean_map")
_EXTREMES = ("minimum", "maximum")
_PLACE = ("field", "latitude", "longitude")


def write_normalisation(normalisation: Normalisation, path: str | os.PathLike) -> None:
    """Writes the file.

    Raises:
        OutputError: the folder cannot be written.
    """
    arrays = {key: getattr(normalisation, key) for key in _NORMALISATION}
    data = {key: (_PLACE[: values.ndim], values) for key, values in arrays.items()}
    write_netcdf(xr.Dataset(data, {"field": list(normalisation.names)}), path)


def read_normalisation(path: str | os.PathLike, content: bytes | None = None) -> Normalisation:
    """Reads the file; from `content`, where its bytes have been read already.

    Raises:
        MissingInputError: there is no such file.
        CheckpointError: it is damaged, or holds something else.
    """
    dataset = read_netcdf(path, content)
    complete = {"field", *_NORMALISATION} <= set(dataset.variables)
    if not complete or not all(np.isfinite(dataset[key]).all() for key in _NORMALISATION):
        raise CheckpointError(f"{os.fspath(path)} is no normalisation, or holds values that are not finite")
    return Normalisation(tuple(map(str, dataset["field"].values)), *(dataset[key].values for key in _NORMALISATION))


def write_climatology(climatology: Climatology, path: str | os.PathLike) -> None:
    """Writes the file.

    Raises:
        OutputError: the folder cannot be written.
    """
    data = {name: (_PLACE, getattr(climatology, name)) for name in _EXTREMES}
    data |= {"coefficients": (("basis", *_PLACE), climatology.coefficients)}
    data |= {"largest": (("statistic", "field"), climatology.largest), "mean_range": ("field", climatology.mean_range)}
    attributes = {"annual_harmonics": climatology.annual, "diurnal_harmonics": climatology.diurnal}
    coordinates = {"field": list(climatology.names), "statistic": list(STATISTICS)}
    write_netcdf(xr.Dataset(data, coordinates, attributes), path)


def read_climatology(path: str | os.PathLike, content: bytes | None = None) -> Climatology:
    """Reads the file; from `content`, where its bytes have been read already.

    Raises:
        MissingInputError: there is no such file.
        CheckpointError: it is damaged, or holds something else.
    """
    dataset = read_netcdf(path, content)
    try:
        annual, diurnal = int(dataset.attrs["annual_harmonics"]), int(dataset.attrs["diurnal_harmonics"])
        coefficients, names = dataset["coefficients"].values, tuple(map(str, dataset["field"].values))
        extremes = [dataset[name].values for name in (*_EXTREMES, "largest", "mean_range")]
        statistics = tuple(map(str, dataset["statistic"].values))
    except KeyError as error:
        raise CheckpointError(
            f"{os.fspath(path)} is no climatology of this pinnwx: {error} is missing; train again"
        ) from error
    finite = all(np.isfinite(values).all() for values in (coefficients, *extremes))
    if len(coefficients) != 1 + 2 * (annual + diurnal) or statistics != STATISTICS or not finite:
        raise CheckpointError(f"{os.fspath(path)}: coefficients of the wrong number, or not finite; train again")
    return Climatology(names, coefficients, annual, diurnal, *extremes)
