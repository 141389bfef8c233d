"""Recognises the variable of a message by its parameter and its type of level together.

Names are the short names of ecCodes. The aliases of the built-in table are not used: `ta`, for example, is a
temperature anomaly at ECMWF.
"""

from __future__ import annotations

from collections.abc import Mapping

from pinnwx.data.grib.headers import Header
from pinnwx.variables import VARIABLES, Variable

_LARGEST_LEVEL = 1100  # hPa
_IN_HECTOPASCALS = {"isobaricInhPa": 1.0, "isobaricInPa": 0.01}
_ON_PRESSURE_LEVELS = {"z": "z", "gh": "z", "t": "t", "q": "q", "u": "u", "v": "v", "vo": "vo"}
# short name -> (variable, {type of level: its level, or None for any})
_AT_ONE_LEVEL: Mapping[str, tuple[str, Mapping[str, float | None]]] = {
    "msl": ("msl", {"meanSea": None, "surface": None}),
    "prmsl": ("msl", {"meanSea": None}),
    "2t": ("t2m", {"heightAboveGround": 2.0, "surface": None}),
    "t": ("t2m", {"heightAboveGround": 2.0}),
    "10u": ("u10", {"heightAboveGround": 10.0, "surface": None}),
    "u": ("u10", {"heightAboveGround": 10.0}),
    "10v": ("v10", {"heightAboveGround": 10.0, "surface": None}),
    "v": ("v10", {"heightAboveGround": 10.0}),
    "z": ("orography", {"surface": None}),
    "gh": ("orography", {"surface": None}),
    "orog": ("orography", {"surface": None}),
    "lsm": ("lsm", {"surface": None}),
}
_LEVEL_TYPES = {
    "hybrid": "model levels", "hybridLayer": "model levels", "hybridPressure": "model levels", "eta": "model levels",
    "generalVertical": "model levels", "generalVerticalLayer": "model levels", "sigma": "sigma levels",
    "sigmaLayer": "sigma levels", "theta": "levels of potential temperature",
    "potentialVorticity": "levels of potential vorticity", "heightAboveGround": "heights above ground",
    "heightAboveSea": "heights above sea", "isobaricLayer": "layers between pressures", "surface": "the surface",
}  # fmt: skip


def recognise_parameter(header: Header, variables: Mapping[str, Variable]) -> tuple[str, int | None] | str | None:
    """(variable of the table, level in hPa or None); None for an unknown parameter.

    A variable on another kind of level, or not at a whole number of hPa, is not a field of the table. Then the result
    is a text that gives the reason.
    """
    name, level_type = header.short_name, header.level_type
    if own := _user_variable(header, variables):
        base, pressure_level = own.name, own.on_pressure_levels
        if not pressure_level:
            return (base, None) if level_type not in _IN_HECTOPASCALS else None
        return _on_pressure_level(base, header)
    if name in _ON_PRESSURE_LEVELS and level_type in _IN_HECTOPASCALS:
        base = _ON_PRESSURE_LEVELS[name]
        return _on_pressure_level(base, header) if base in variables else None
    base, levels = _AT_ONE_LEVEL.get(name, ("", {}))
    if base in variables and level_type in levels and levels[level_type] in (None, header.level):
        return base, None
    if _ON_PRESSURE_LEVELS.get(name) in variables:
        return _other_levels(header)
    return f"on an unsupported type of level ({level_type})" if base in variables else None


def _on_pressure_level(base: str, header: Header) -> tuple[str, int] | str:
    if header.level_type not in _IN_HECTOPASCALS:
        return _other_levels(header)
    level = (header.level or 0.0) * _IN_HECTOPASCALS[header.level_type]
    whole = round(level)
    if abs(level - whole) > 1e-6 or not 1 <= whole <= _LARGEST_LEVEL:
        return f"not at a whole number of hPa from 1 to {_LARGEST_LEVEL}"
    return base, whole


def _other_levels(header: Header) -> str:
    kind = _LEVEL_TYPES.get(header.level_type)
    return f"on {kind or 'levels of another kind'} ({header.level_type}), not on pressure levels"


def _user_variable(header: Header, variables: Mapping[str, Variable]) -> Variable | None:
    """The user-defined variable with this name or alias, or None."""
    header_names = {name.lower() for name in (header.short_name, *header.names)}
    header_names |= {name.replace(" ", "_") for name in header_names}
    for base, entry in variables.items():
        if entry is not VARIABLES.get(base) and header_names & {name.lower() for name in (base, *entry.aliases)}:
            return entry
    return None
