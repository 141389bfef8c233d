"""Decodes time coordinates of files: instants ("hours since ...") and durations ("hours")."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Shaped

from pinnwx.data.calendar import FIRST_YEAR, LAST_YEAR
from pinnwx.data.readers import first_line
from pinnwx.data.source_field import decode
from pinnwx.data.units import cut
from pinnwx.errors import DataError

_CALENDARS = ("standard", "gregorian", "proleptic_gregorian", "")
_SECONDS: Mapping[str, float] = {
    **dict.fromkeys(("ns", "nanosecond", "nanoseconds"), 1e-9),
    **dict.fromkeys(("us", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("week", "weeks"), 604800.0),
}
_UNEVEN = ("month", "months", "year", "years", "common_year", "common_years", "yr", "yrs", "mon")
_LONGEST_UNITS = 200  # characters; no units are longer, and the pattern of the library is slow on long texts
_FARTHEST = 1e12  # seconds (about 30,000 years); the library overflows beyond that


def is_instant(coordinate: xr.DataArray) -> bool:
    """Whether the values are dates, or numbers since a date."""
    return coordinate.dtype.kind == "M" or " since " in _units(coordinate)


def is_duration(coordinate: xr.DataArray) -> bool:
    """Whether the values are lengths of time."""
    marked = str(coordinate.attrs.get("dtype", "")).startswith("timedelta64")  # written by xarray
    return coordinate.dtype.kind == "m" or marked or _units(coordinate).lower() in _SECONDS


def hours(coordinate: xr.DataArray) -> Float[np.ndarray, ...]:
    """A duration in hours, NaN where it is missing; without units, the raw numbers.

    Raises:
        DataError: the values are not numbers.
    """
    values = coordinate.to_numpy()
    if values.dtype.kind == "m":
        return np.asarray(np.where(np.isnat(values), np.nan, values / np.timedelta64(1, "h")))
    return np.asarray(_numbers(coordinate) * _SECONDS.get(_units(coordinate).lower(), 3600.0) / 3600)


def decode_times(axis: xr.DataArray) -> Shaped[np.ndarray, ...]:
    """UTC instants of a coordinate, to the nearest second, in its own shape.

    Raises:
        DataError: the calendar is not Gregorian, the units are unusable, a time is missing or not finite, or a year is
            outside 1678 to 2261 (the range of nanoseconds).
    """
    values = axis.to_numpy()
    if values.dtype.kind != "M":
        values = _decoded(values, axis)
    if np.isnat(values).any():
        raise DataError("a time is missing; fetch the file again")
    years = values.astype("datetime64[Y]").astype(int) + 1970
    if years.min(initial=LAST_YEAR) < FIRST_YEAR or years.max(initial=FIRST_YEAR) > LAST_YEAR:
        raise DataError(f"times reach from {years.min()} to {years.max()}, outside the years 1678 to 2261")
    seconds = np.round(values.astype("datetime64[ns]").astype(np.int64) / 1e9).astype(np.int64)
    return (seconds * 1_000_000_000).astype("datetime64[ns]")


def _decoded(values: np.ndarray, axis: xr.DataArray) -> np.ndarray:
    """Decodes numbers since a date; values that the library would misread are refused first."""
    name, units = str(axis.name), _units(axis)
    calendar = str(axis.attrs.get("calendar", "")).lower()
    if calendar not in _CALENDARS:
        raise DataError(
            f'times are in the calendar "{cut(calendar)}", whose days are not all real dates; '
            "convert them to the standard calendar first (xarray: convert_calendar)"
        )
    step, since, since_date = units.partition(" since ")
    if not since or len(units) > _LONGEST_UNITS:
        raise DataError(f'time has units "{cut(units)}"; something like "hours since 1900-01-01" is needed')
    if step.lower() in _UNEVEN:
        raise DataError(
            f'{name} has units "{cut(units)}": a {step.rstrip("s")} has no exact length; '
            "convert the times to days since a date first"
        )
    if step.lower() not in _SECONDS:
        raise DataError(
            f'{name} has units "{cut(units)}"; only seconds, minutes, hours, days or weeks since a date are understood'
        )
    numbers = _numbers(axis)
    if not np.isfinite(numbers).all():
        raise DataError(f"a time is missing or infinite in {name}; fetch the file again")
    if np.abs(numbers).max(initial=0) * _SECONDS[step.lower()] > _FARTHEST:
        raise DataError("times reach outside the years 1678 to 2261")
    if values.dtype.kind in "iu" and not {"scale_factor", "add_offset", "_Unsigned"} & set(axis.attrs):
        numbers = values  # whole numbers are decoded exactly
    if step.lower() in ("week", "weeks"):
        numbers, units = numbers * 7, f"days since {since_date}"
    raw = xr.Variable(axis.dims, numbers, {"units": units, "calendar": calendar or "standard"})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", xr.SerializationWarning)  # times out of range are refused
            decoded = xr.coders.CFDatetimeCoder().decode(raw).to_numpy()
    except Exception as error:  # the library raises any exception for an invalid date
        raise DataError(f'{name} has units "{cut(units)}", which are not understood ({first_line(error)})') from error
    if decoded.dtype.kind != "M":
        raise DataError("times reach outside the years 1678 to 2261")
    return decoded


def _numbers(coordinate: xr.DataArray) -> np.ndarray:
    """The unpacked numbers in the shape of the coordinate; NaN where missing."""
    values = coordinate.to_numpy()
    return decode(np.atleast_1d(values), coordinate.attrs).astype(np.float64).reshape(values.shape)


def _units(coordinate: xr.DataArray) -> str:
    """The units with single spaces between words."""
    units: Any = coordinate.attrs.get("units", "")
    return " ".join(str(units).split())
