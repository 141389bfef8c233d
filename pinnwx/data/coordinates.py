"""Axes of a raw array: which is which, the canonical grid, and real times."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import xarray as xr
from jaxtyping import Float, Int, Shaped

from pinnwx.data.conventions import coordinate_role, level_in_hectopascals
from pinnwx.data.piece import decode
from pinnwx.data.readers import reading
from pinnwx.errors import DataError, GridError
from pinnwx.grid import Grid

Axes = Mapping[str, tuple[str, xr.DataArray]]

_CALENDARS = ("standard", "gregorian", "proleptic_gregorian", "")
_LEAD_TIMES = ("step", "prediction_timedelta", "lead_time")
_SAME_MERIDIAN = 1e-3  # degrees


def axes_of(dataset: xr.Dataset, array: xr.DataArray) -> dict[str, tuple[str, xr.DataArray]]:
    """role -> (dimension, its coordinate), whatever their names; the valid time wins over other times."""
    axes: dict[str, tuple[str, xr.DataArray]] = {}
    for dim in map(str, array.dims):
        along = [name for name in map(str, dataset.variables) if dataset[name].dims == (dim,)]
        for name in sorted(along, key=lambda name: (name != "valid_time", name != dim)):
            role = coordinate_role(name, dataset[name].attrs)
            if role is not None and role not in axes:
                axes[role] = (dim, dataset[name])
                break
    return axes


def grid_of(axes: Axes) -> tuple[Grid, np.ndarray, np.ndarray, tuple[tuple[int, int], ...], list[str]]:
    """The canonical grid, the orders of raw rows and columns that give it, columns left out, and what was changed.

    A column is left out where its meridian stands twice; it is paired with the one that is kept.

    Raises:
        GridError: the coordinates are not finite, not evenly spaced or too few.
    """
    with reading("the coordinates"):
        north, east = (
            decode(axes[role][1].to_numpy(), axes[role][1].attrs).astype(np.float64)
            for role in ("latitude", "longitude")
        )
    if not (np.isfinite(north).all() and np.isfinite(east).all()):
        raise GridError("a latitude or longitude is not a number; fetch the file again")
    rows = np.argsort(north, kind="stable")
    columns, meridians = canonical_longitude(east)
    notes = []
    if rows.size > 1 and rows[0] > rows[-1]:
        notes.append("latitude turned to ascending")
    if columns.size < east.size:
        notes.append(f"{east.size - columns.size} repeated longitude column(s) dropped")
    if not np.allclose(east[columns], meridians, atol=_SAME_MERIDIAN):
        notes.append(f"longitude {east.min():g} to {east.max():g} wrapped to {meridians[0]:g} to {meridians[-1]:g}")
    return Grid.from_coordinates(north[rows], meridians), rows, columns, _repeated(east, columns), notes


def _repeated(east: Float[np.ndarray, " lon"], columns: Int[np.ndarray, " column"]) -> tuple[tuple[int, int], ...]:
    """Each raw column that is not among `columns`, with the one of the same meridian that is."""
    left_out = np.setdiff1d(np.arange(east.size), columns)
    apart = np.abs((east[left_out, None] - east[columns] + 180) % 360 - 180)
    return tuple(zip(left_out.tolist(), columns[apart.argmin(axis=1)].tolist(), strict=True))


def canonical_longitude(
    east: Float[np.ndarray, " lon"],
) -> tuple[Int[np.ndarray, " column"], Float[np.ndarray, " column"]]:
    """(order, degrees): ascending in [0, 360) around the globe; on a box contiguous, starting in [-180, 180).

    The box starts after the widest gap between its columns, so it may run across Greenwich or the date line. A
    repeated meridian (0 and 360) is kept once.
    """
    wrapped = np.round(east, 4) % 360
    order = np.argsort(wrapped, kind="stable")
    fresh = np.append(True, np.diff(wrapped[order]) > _SAME_MERIDIAN)
    if order.size > 1 and wrapped[order[0]] + 360 - wrapped[order[-1]] < _SAME_MERIDIAN:
        fresh[-1] = False
    order = order[fresh]
    wrapped = wrapped[order]
    gaps = np.diff(wrapped, append=wrapped[0] + 360)
    widest = int(gaps.argmax())
    if gaps[widest] <= 1.5 * np.median(gaps):
        return order, wrapped
    order, wrapped = np.roll(order, -widest - 1), np.roll(wrapped, -widest - 1)
    start = np.round((wrapped[0] + 180) % 360 - 180, 4)
    return order, np.round(start + (wrapped - wrapped[0]) % 360, 4)


def valid_times(dataset: xr.Dataset, axes: Axes) -> tuple[np.ndarray, str | None]:
    """(times, time dimension); a file of one time may hold it as a scalar, then there is no dimension.

    Raises:
        DataError: there is no time, or it is the start of a forecast.
    """
    if "time" in axes:
        dim, axis = axes["time"]
    else:
        scalars = [name for name in ("valid_time", "time") if name in dataset.variables and dataset[name].ndim == 0]
        if not scalars:
            raise DataError("has no time coordinate, and is not declared static")
        dim, axis = None, dataset[scalars[0]]
    for lead in _LEAD_TIMES:
        if lead in dataset.variables and axis.name != "valid_time" and np.any(dataset[lead].to_numpy().astype(float)):
            raise DataError(f'is a forecast (along "{lead}") without valid times; analyses are needed')
    return decode_times(axis), dim


def decode_times(axis: xr.DataArray) -> Shaped[np.ndarray, " time"]:
    """UTC instants of a time coordinate, to the nearest second.

    Raises:
        DataError: another calendar than the Gregorian one, no usable units, or a time that is missing.
    """
    values = np.atleast_1d(axis.to_numpy())
    if values.dtype.kind != "M":
        calendar = str(axis.attrs.get("calendar", "")).lower()
        if calendar not in _CALENDARS:
            raise DataError(
                f'times are in the calendar "{calendar}", whose days are not all real dates; '
                "convert them to the standard calendar first (xarray: convert_calendar)"
            )
        units = str(axis.attrs.get("units", ""))
        if " since " not in units:
            raise DataError(f'time has units "{units}"; something like "hours since 1900-01-01" is needed')
        raw = xr.Dataset({"t": ("t", values, {"units": units, "calendar": calendar or "standard"})})
        with reading("the times"), warnings.catch_warnings():
            warnings.simplefilter("ignore", xr.SerializationWarning)  # times out of range are refused below
            values = xr.decode_cf(raw)["t"].to_numpy()
    if values.dtype.kind != "M":
        raise DataError("times reach outside the years 1678 to 2261")
    if np.isnat(values).any():
        raise DataError("a time is missing; fetch the file again")
    years = values.astype("datetime64[Y]").astype(int) + 1970
    if years.min(initial=2000) < 1678 or years.max(initial=2000) > 2261:
        raise DataError(f"times reach from {years.min()} to {years.max()}, outside the years 1678 to 2261")
    seconds = np.round(values.astype("datetime64[ns]").astype(np.int64) / 1e9).astype(np.int64)
    return (seconds * 1_000_000_000).astype("datetime64[ns]")


def pressure_levels(dataset: xr.Dataset, axes: Axes) -> tuple[list[int], str | None]:
    """(levels in hPa, level dimension), from the level axis or a scalar coordinate; empty without either.

    Raises:
        DataError: the levels are no pressures in whole hPa.
    """
    if "level" in axes:
        dim, axis = axes["level"]
    else:
        scalars = [
            dataset[name]
            for name in map(str, dataset.variables)
            if dataset[name].ndim == 0 and coordinate_role(name, dataset[name].attrs) == "level"
        ]
        if not scalars:
            return [], None
        dim, axis = None, scalars[0]
    units = axis.attrs.get("units")
    values = np.atleast_1d(axis.to_numpy()).astype(float)
    return [level_in_hectopascals(float(value), units, str(axis.name)) for value in values], dim
