"""Recognises the role of a coordinate (position, time, lead, ensemble member) by its CF attributes and its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import xarray as xr

from pinnwx.data.times import is_duration, is_instant
from pinnwx.data.units import cut

Attributes = Mapping[Any, Any]
Role = Literal["latitude", "longitude", "time", "reference time", "lead", "member"]

_STANDARD_NAMES: Mapping[str, Role] = {
    "latitude": "latitude",
    "longitude": "longitude",
    "time": "time",
    "forecast_reference_time": "reference time",
    "forecast_period": "lead",
    "realization": "member",
}
_NAMES: Mapping[str, Role] = {
    **dict.fromkeys(("latitude", "lat"), "latitude"),
    **dict.fromkeys(("longitude", "lon"), "longitude"),
    **dict.fromkeys(("number", "member", "members", "realization", "ensemble", "ens", "ensmember"), "member"),
}
# Names of times are compared without case, underscores and digits at their end: `initial_time0_hours`, `fhour`.
_VALID = {"time", "validtime", "valtime", "validdatetime", "forecastvalidtime", "verificationtime"}
_REFERENCE = re.compile(
    r"(forecast)?(reference|ref)(time|date|datetime)|(forecast)?init(ial(i[sz]ation)?)?(time|date|datetime)?(hours)?"
    r"|(base|analysis|run|modelrun|cycle)time|forecaststart(time|date)?|modelrun|cycle|run"
)
_LEAD = re.compile(
    r"(forecast|fcst|f)?(step|lead|leads|leadtimes?|leadhours?|leaddays?)(hours?|hrs?|days?)?|steps"
    r"|(forecast|fcst)(period|hours?|hrs?|days?|horizon|offset|time|timedelta|hourdelta)|fhours?|fhrs?|ftime"
    r"|prediction(timedelta|step|lead|horizon)|timedelta|leadtimedelta|valtimeoffset"
)
_LEAD_TEXT = re.compile(
    r"\b(lead( ?time)?|forecast (period|hour|step|lead|horizon)|prediction timedelta"
    r"|(time|hours|days) (since|from|after) (the )?(analysis|forecast|initial|reference|init|start of))"
)
_REFERENCE_TEXT = re.compile(
    r"\b(reference (date|time)|initial time|initiali[sz]ation time|(start|base|run) time|time of the analysis"
    r"|start of (the )?forecast|forecast start)"
)


def coordinate_role(coordinate: xr.DataArray) -> Role | None:
    """The role of a coordinate; None for any other coordinate, including levels.

    Rotated latitudes and longitudes have no role. A lead is a duration, or has an unambiguous name. A reference time is
    the instant at which forecasts start.
    """
    name, attributes = str(coordinate.name), coordinate.attrs
    standard = _text(attributes, "standard_name")
    if standard in ("grid_latitude", "grid_longitude"):
        return None
    units = _text(attributes, "units").replace("_", " ")
    if re.fullmatch(r"degrees? ?n(orth)?", units):
        return "latitude"
    if re.fullmatch(r"degrees? ?e(ast)?", units):
        return "longitude"
    role = _STANDARD_NAMES.get(standard) or _NAMES.get(name.lower())
    return _time_role(coordinate, name, role) if role in (None, "time") else role


def _time_role(coordinate: xr.DataArray, name: str, declared: Role | None) -> Role | None:
    """The role of a coordinate that may be a time; the name of a lead counts only if the values are not instants."""
    plain = re.sub(r"\d+$", "", re.sub(r"_|\d+(?=_)", "", name.lower()))
    text = _text(coordinate.attrs, "long_name").replace("_", " ")
    if is_instant(coordinate):
        if declared is None and (_REFERENCE.fullmatch(plain) or _REFERENCE_TEXT.search(text)):
            return "reference time"
        if plain == "time" and _REFERENCE_TEXT.search(text):
            return "reference time"
        return "time" if declared == "time" or plain in _VALID else None
    if declared == "time" or plain in _VALID:
        return "time"
    if _LEAD.fullmatch(plain):
        return "lead"
    return "lead" if is_duration(coordinate) and _LEAD_TEXT.search(text) else None


def names_a_lead(dimension: str) -> bool:
    """Whether a dimension without a coordinate is named like one of leads."""
    return _LEAD.fullmatch(re.sub(r"[_\d]", "", dimension.lower())) is not None


def _text(attributes: Attributes, key: str) -> str:
    return cut(str(attributes.get(key, "")).strip().lower(), 200)
