"""Recognises vertical axes, so that only pressure levels are read as pressure levels.

In CF, units of pressure or a standard name make an axis vertical. Model levels are recognised before their units are
read, because some files state the pressure that a level would have at sea level (`1000*(A+B)`). Without units, `level`
is in hPa by the convention of ECMWF, NCEP and WeatherBench, but only if its numbers allow no other meaning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from pinnwx.data.conventions import LARGEST_LEVEL
from pinnwx.data.source_field import decode
from pinnwx.data.units import cut, normalise_units
from pinnwx.errors import DataError

Kind = Literal[
    "pressure levels", "model levels", "isentropic levels", "potential vorticity levels", "heights", "depths",
    "the surface", "mean sea level", "levels of an unknown kind", "levels that do not say what they are",
]  # fmt: skip
PRESSURE: Kind = "pressure levels"
UNSTATED: Kind = "levels that do not say what they are"

_IN_HECTOPASCALS = {"hPa": 1.0, "Pa": 0.01, "kPa": 10.0, "bar": 1000.0}
_NAMES: tuple[tuple[str, Kind], ...] = (
    (r"isobar.*|p_?levs?|p_?levels?|plevs?\d*|pressure|pressures|pressure_?levels?|air_?pressure|lv_isbl", PRESSURE),
    (
        r"(m|model)_?(lev|level)s?(_number)?|ml|hybrid.*|sigma.*|eta(_levels?)?|generalvertical.*|nhy[mi]|lv_(hybl|sigl)"
        r"|bottom_top(_stag)?|half_levels?|full_levels?|i_?lev",
        "model levels",
    ),
    (r"theta(_levels?)?|isentropic.*|potential_temperature|lv_thel", "isentropic levels"),
    (r"potentialvorticity|potential_vorticity.*|pv|lv_pvl", "potential vorticity levels"),
    (r"height.*|altitude.*|alt|lv_htgl", "heights"),
    (r"depth.*|soil.*|lv_dbll", "depths"),
    (r"surface", "the surface"),
    (r"mean_?sea", "mean sea level"),
    (r"levels?|levs?|lvl|layers?|nlevs?|vertical|zlev|z_level", UNSTATED),
)
_TEXTS: tuple[tuple[str, Kind], ...] = (
    (
        r".*\bhybrid\b.*|.*\b(sigma|eta) (levels?|layers?|coordinates?)\b.*|sigma|eta"
        r"|.*\b(model|half|full) (levels?|layers?)\b.*"
        r"|.*\b(levels?|layers?|pressure)\b.*\b(mid ?points?|interfaces?)\b.*",
        "model levels",
    ),
    (r".*\b(isentropic|potential temperature|theta)\b.*", "isentropic levels"),
    (r".*\bpotential vorticity\b.*", "potential vorticity levels"),
)  # fmt: skip
_STANDARD: Mapping[str, Kind] = {
    "air_pressure": PRESSURE, "model_level_number": "model levels", "air_potential_temperature": "isentropic levels",
    "height": "heights", "altitude": "heights", "geopotential_height": "heights", "depth": "depths",
    "hybrid_sigma_pressure": "model levels",
    "height_above_mean_sea_level": "heights", "height_above_geopotential_datum": "heights",
}  # fmt: skip
_REFERENCES = re.compile(r"\b(reference|surface|sea level|tropopause|nominal|standard|top|interface|base)\b")
_LEVEL_TYPES: tuple[tuple[str, Kind], ...] = (
    (r"isobaric.*", PRESSURE),
    (r"(hybrid|sigma|eta|generalvertical).*", "model levels"),
    (r"theta", "isentropic levels"),
    (r"potentialvorticity", "potential vorticity levels"),
    (r"heightabove.*", "heights"),
    (r"depthbelow.*", "depths"),
    (r"surface", "the surface"),
    (r"meansea", "mean sea level"),
)


@dataclass(frozen=True)
class VerticalAxis:
    """The vertical axis of an array; `dim` is None for a scalar, `values` is None without a coordinate."""

    kind: Kind
    name: str
    dim: str | None = None
    values: np.ndarray | None = None
    units: str | None = None

    @property
    def may_be_pressure(self) -> bool:
        return self.kind in (PRESSURE, UNSTATED)

    def __str__(self) -> str:
        extent = ""
        if self.values is not None and self.values.size:
            low, high = float(self.values.min()), float(self.values.max())
            extent = f" {low:g}" if low == high else f" {low:g} to {high:g}"
            extent += f" {self.units}" if self.units and self.may_be_pressure else ""
        return f"{self.kind}{extent} ({self.name})"


def vertical_axis(dataset: xr.Dataset, array: xr.DataArray) -> VerticalAxis | None:
    """The vertical axis of an array, of any kind; None if there is no evidence of one.

    A dimension takes precedence over a scalar coordinate, and pressure over other kinds. The attribute
    `GRIB_typeOfLevel` of the array decides the kind, if it is present.
    """
    axes = [axis for dim in array.dims if (axis := _along(dataset, str(dim))) is not None]
    if not any(axis.values is None or axis.values.size > 1 for axis in axes):
        axes += _scalars(dataset, array)
    axes.sort(key=lambda axis: (axis.kind != PRESSURE, axis.kind != UNSTATED, axis.dim is None))
    level_type = str(array.attrs.get("GRIB_typeOfLevel", "")).lower()
    kind = _kind_of(level_type, _LEVEL_TYPES)
    if level_type and level_type != "unknown" and kind is None:
        kind = "levels of an unknown kind"
    if kind is None or (kind == PRESSURE and not axes):
        return axes[0] if axes else None
    alike = [axis for axis in axes if axis.kind == kind or (kind == PRESSURE and axis.may_be_pressure)]
    return alike[0] if alike else VerticalAxis(kind, f"GRIB_typeOfLevel {cut(level_type)}")


def vertical_kind(name: str, attributes: Mapping[Any, Any], *, is_axis: bool = True) -> Kind | None:
    """The kind of levels of a coordinate, or None if it is not vertical.

    `is_axis` is true for the coordinate variable of a dimension. For it, units of pressure suffice, as in CF. Any other
    variable must have the name of an axis, because it may be a surface pressure or a reference pressure.
    """
    plain = re.sub(r"\d+$", "", name.lower()).rstrip("_")
    standard = str(attributes.get("standard_name", "")).lower()
    text = cut(str(attributes.get("long_name", "")).lower().replace("_", " "), 200)
    units = str(attributes.get("units", "")).strip()
    named = _kind_of(plain, _NAMES)
    if "formula_terms" in attributes or re.fullmatch(r"(atmosphere|ocean)_.*_coordinate", standard):
        return "model levels"
    declared = _STANDARD.get(standard) or _kind_of(text, _TEXTS)
    if declared not in (None, PRESSURE) and (is_axis or named):
        return declared
    if _spelt(units) in _IN_HECTOPASCALS:
        if is_axis or named == "model levels":
            return named if named == "model levels" else PRESSURE
        alien = _REFERENCES.search(f"{standard.replace('_', ' ')} {text}")
        return PRESSURE if not alien and (standard == "air_pressure" or named in (PRESSURE, UNSTATED)) else None
    if declared == PRESSURE and not units:
        return PRESSURE
    if named in (PRESSURE, UNSTATED) and units:
        return _kind_of_units(units)
    if named == UNSTATED and str(attributes.get("positive", "")).lower() == "up":
        return "levels of an unknown kind"
    return named


def _kind_of(text: str, patterns: Sequence[tuple[str, Kind]]) -> Kind | None:
    """The kind of the first pattern that matches the whole text."""
    for pattern, kind in patterns:
        if re.fullmatch(pattern, text):
            return kind
    return None


def levels_in_hectopascals(axis: VerticalAxis) -> tuple[list[tuple[int, int]], list[float]]:
    """(pairs of position and level in whole hPa, levels [hPa] that are not whole numbers).

    Raises:
        DataError: the levels are ambiguous, or cannot be pressures.
    """
    if axis.values is None:
        return [], []
    values = axis.values.astype(np.float64).ravel()
    if not np.isfinite(values).all():
        raise DataError(f"a level is not a number in {axis.name}; fetch the file again")
    units = _spelt(axis.units) if axis.units else _units_by_convention(axis, values)
    levels = values * _IN_HECTOPASCALS[units]
    if (levels > LARGEST_LEVEL).any() or (levels <= 0).any():
        worst = values[(levels > LARGEST_LEVEL) | (levels <= 0)][0]
        raise DataError(f"{axis.name} = {worst:g} {units} is not a pressure from 0 to {LARGEST_LEVEL} hPa")
    whole = np.abs(levels - np.round(levels)) <= 1e-3
    whole &= np.round(levels) >= 1
    places = [(int(place), round(float(levels[place]))) for place in np.flatnonzero(whole)]
    return places, [float(level) for level in levels[~whole]]


def _units_by_convention(axis: VerticalAxis, values: np.ndarray) -> str:
    """hPa or Pa for a pressure axis without units.

    Raises:
        DataError: the values may also be the numbers of model levels, sigma or heights.
    """
    if axis.kind == PRESSURE:
        return "hPa" if values.max(initial=0) <= LARGEST_LEVEL else "Pa"
    counted = np.array_equal(np.sort(values), np.arange(1, values.size + 1)) or values.max(initial=0) < 10
    usual = (values % 5 == 0) | (values < 10)
    if not counted and usual.all() and values.max(initial=0) <= LARGEST_LEVEL:
        return "hPa"
    if 30000 <= values.max(initial=0) <= 100 * LARGEST_LEVEL and (values % 100 == 0).all():
        return "Pa"
    shown = f"{values.min(initial=np.inf):g} to {values.max(initial=-np.inf):g}"
    raise DataError(
        f"{axis.name} ({shown}) has no units: it may be pressure, or the numbers of model levels; "
        "set its units to hPa if it is pressure"
    )


def _along(dataset: xr.Dataset, dim: str) -> VerticalAxis | None:
    """The vertical coordinate of a dimension: its coordinate variable, else a variable with the name of an axis."""
    if dim in dataset.variables:
        kind = vertical_kind(dim, dataset[dim].attrs)
        return None if kind is None else _axis(dataset[dim], kind, dim)
    for name, variable in dataset.variables.items():
        if variable.dims == (dim,):
            kind = vertical_kind(str(name), variable.attrs, is_axis=False)
            if kind is not None and variable.dtype.kind in "fiu":
                return _axis(dataset[name], kind, dim)
    kind = vertical_kind(dim, {})
    return None if kind is None else VerticalAxis(kind, f"dimension {dim}", dim)


def _scalars(dataset: xr.Dataset, array: xr.DataArray) -> Sequence[VerticalAxis]:
    """The scalar coordinates that the array lists in `coordinates`, and those that no array lists."""
    own = str(array.attrs.get("coordinates", "")).split()
    others = {name for each in dataset.variables.values() for name in str(each.attrs.get("coordinates", "")).split()}
    axes = []
    for name, scalar in dataset.variables.items():
        if scalar.ndim == 0 and scalar.dtype.kind in "fiu" and (name in own or name not in others):
            kind = vertical_kind(str(name), scalar.attrs, is_axis=False)
            if kind is not None:
                axes.append(_axis(dataset[name], kind, None))
    return axes


def _axis(coordinate: xr.DataArray, kind: Kind, dim: str | None) -> VerticalAxis:
    numbers = coordinate.dtype.kind in "fiu"
    values = decode(np.atleast_1d(coordinate.to_numpy()), coordinate.attrs) if numbers else None
    units = str(coordinate.attrs.get("units", "")).strip() or None
    return VerticalAxis(kind, str(coordinate.name), dim, values, units)


def _spelt(units: str) -> str:
    """The normalised units; a text that is not a unit is unchanged."""
    try:
        return normalise_units(units)
    except DataError:
        return cut(units)


def _kind_of_units(units: str) -> Kind:
    """The kind of a level axis whose units are not a pressure."""
    plain = _spelt(units)
    if plain in ("m", "km", "dam", "cm"):
        return "heights"
    if plain == "K":
        return "isentropic levels"
    if plain.lower() in ("1", "level", "levels", "layer", "layers", "sigma", "sigma_level", "hybrid", "model level"):
        return "model levels"
    return "levels of an unknown kind"
