"""Converts files, xarray datasets and archives to a canonical dataset or an archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import period_mask
from pinnwx.data.find import Paths
from pinnwx.data.open import open_data
from pinnwx.data.regrid import regrid
from pinnwx.data.units import conversion
from pinnwx.errors import DataError, GridError, UnavailableError
from pinnwx.grid import Grid
from pinnwx.variables import VARIABLES, Variable, describe

Data = Paths | xr.Dataset | Archive
IN_MEMORY = (xr.Dataset, Archive)
_AXES = ("latitude", "longitude")


def as_archive(data: Data, fields: Sequence[str], static: Sequence[str] = (), **options: Any) -> Archive:
    """The named fields of files, a dataset or an archive; `options` are those of `open_data`.

    Raises:
        DataError, GridError, UnavailableError, MissingInputError: as `open_data` and `Archive.from_dataset`.
    """
    if not isinstance(data, Archive):
        return Archive.from_dataset(as_dataset(data, fields, static=static, **options), fields, static)
    archive = data.select(options.get("start"), options.get("end"))
    missing = [name for name in (*fields, *static) if name not in (*data.names, *data.static)]
    if missing:
        raise DataError(f"{', '.join(missing)} not in the archive; it holds {', '.join((*data.names, *data.static))}")
    _require_grid(archive.grid, options.get("grid", "native"))
    columns = [archive.names.index(name) for name in fields]
    values = archive.fields if tuple(fields) == archive.names else archive.fields[:, columns]
    return replace(archive, fields=values, names=tuple(fields), static={name: archive.static[name] for name in static})


def as_dataset(data: Paths | xr.Dataset, fields: Sequence[str], **options: Any) -> xr.Dataset:
    """The named fields in the form of `open_data`, from files or from a dataset with the same names.

    Raises:
        DataError, GridError, UnavailableError, MissingInputError: as `open_data`.
    """
    if not isinstance(data, xr.Dataset):
        return open_data(data, fields, **options)
    return _canonical(
        data,
        (*fields, *options.get("static", ())),
        options.get("grid", "native"),
        options.get("variables", VARIABLES),
        (options.get("start"), options.get("end")),
    )


def _canonical(
    dataset: xr.Dataset,
    names: Sequence[str],
    grid: str | Grid,
    variables: Mapping[str, Variable],
    period: tuple[str | None, str | None],
) -> xr.Dataset:
    """The named variables of a dataset, with ascending axes, in SI units, for a period and on a grid."""
    missing = [name for name in names if name not in dataset.data_vars]
    if missing:
        available = ", ".join(map(str, dataset.data_vars)) or "none"
        raise DataError(
            f"the dataset has no variable {', '.join(missing)}, only {available}; pinnwx.open_data(files) gives a "
            "dataset with canonical names"
        )
    lacking = [name for name in ("time", *_AXES) if name not in dataset.coords or dataset[name].dims != (name,)]
    if lacking:
        raise DataError(f"the dataset has no coordinate {', '.join(lacking)} along a dimension of that name; rename it")
    dataset = dataset[list(names)].sortby(["time", *_AXES])
    times = dataset["time"].values
    if not np.issubdtype(times.dtype, np.datetime64) or (times[1:] == times[:-1]).any():
        raise DataError("the times of the dataset are not unique datetime64 values; decode them, or drop duplicates")
    inside = period_mask(times, *period)
    if not inside.any():
        raise UnavailableError(f"no data from {period[0]} to {period[1]} in the dataset of {times.size} times")
    dataset = dataset.isel(time=inside)
    scaled = {name: _in_si(dataset[name], describe(name, variables)) for name in names}
    return _on_grid(dataset.assign(scaled), grid)


def _in_si(values: xr.DataArray, variable: Variable) -> xr.DataArray:
    units = values.attrs.get("units")
    if units is None or units == variable.units:
        return values.astype(np.float32)
    factor, offset = conversion(str(units), variable)
    scaled = values.astype(np.float64) * factor + offset
    return scaled.astype(np.float32).assign_attrs(values.attrs, units=variable.units)


def _on_grid(dataset: xr.Dataset, grid: str | Grid) -> xr.Dataset:
    """The dataset averaged onto the cells of `grid`, if that differs from its own grid."""
    own = Grid.from_coordinates(dataset["latitude"].values, dataset["longitude"].values)
    target = own if grid == "native" else Grid.parse(grid) if isinstance(grid, str) else grid
    if own == target:
        return dataset
    averaged = {}
    for name, values in dataset.data_vars.items():
        values = values.transpose(..., *_AXES)
        averaged[name] = (values.dims, regrid(values.values, own, target), values.attrs)
    at = {"time": dataset["time"].values, "latitude": list(target.latitude), "longitude": list(target.longitude)}
    return xr.Dataset(averaged, at, dataset.attrs)


def _require_grid(own: Grid, grid: str | Grid) -> None:
    target = own if grid == "native" else Grid.parse(grid) if isinstance(grid, str) else grid
    if own != target:
        raise GridError(
            f"the archive is on {own}, not on {target}; give files or a dataset, which are averaged onto it"
        )
