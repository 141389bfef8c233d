"""Recognises variables and their levels by the names and attributes in files; `pinnwx.data.units` handles units.

This module reads no file. It never guesses from the magnitude of values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pinnwx.data.units import conversion as conversion
from pinnwx.data.units import normalise_units as normalise_units
from pinnwx.variables import VARIABLES, Variable

Attributes = Mapping[Any, Any]

STATISTIC = "ensemble_statistic"  # an attribute of products of a forecast, which are no fields
LARGEST_LEVEL = 1100  # hPa; a larger number in a name is taken as a year


def names_of(base: str, variables: Mapping[str, Variable]) -> tuple[str, ...]:
    """Every lower-case name that a file may give the variable."""
    own = {base, *variables[base].aliases}
    return tuple(sorted((name.lower() for name in own), key=lambda name: (-len(name), name)))


def recognise(
    raw: str, attributes: Attributes, on_levels: bool, variables: Mapping[str, Variable]
) -> tuple[str, int | None] | None:
    """The variable that a raw name denotes and the level in that name, or None for an unknown variable.

    The name comes first, with or without a level after it (`Z`, `geopotential`, `t850`, `geopotential_500`). Otherwise
    the CF standard name is used, if exactly one variable of the table has it. `on_levels` is true if the array has a
    pressure coordinate. A height above ground is not a pressure level: `u100` with the long name "100 metre U wind" is
    unknown.
    """
    name = raw.lower()
    bases = sorted(variables, key=lambda base: variables[base] is VARIABLES.get(base))  # user-defined first
    for base in bases:
        if name in names_of(base, variables):
            return base, None
    match = re.fullmatch(r"(.+?)_?(\d+)(hpa|mb)?", name)
    above_ground = re.search(r"\b\d+ ?(m|met(re|er)s?)\b", str(attributes.get("long_name", "")).lower())
    if match and not above_ground and 0 < int(match[2]) <= LARGEST_LEVEL:
        for base in bases:
            if variables[base].on_pressure_levels and match[1] in names_of(base, variables):
                return base, int(match[2])
    standard = attributes.get("standard_name")
    alike = [entry for entry in variables.values() if standard and entry.standard_name == standard]
    if on_levels:
        alike = [entry for entry in alike if entry.on_pressure_levels]
    return (alike[0].name, None) if len(alike) == 1 and alike[0].on_pressure_levels == on_levels else None


def level_from_text(text: str, names: Iterable[str]) -> int | None:
    """The pressure level [hPa] in a folder or file name such as `geopotential_500`, `NCEP_T850.nc` or `x_850hPa.nc`.

    `names` are the names of the variable in lower case. A number above 1,100 is a year, not a level.
    """
    pattern = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    match = re.search(rf"(?:^|[^a-z0-9])(?:{pattern})[_-]?(\d{{1,4}})(?:hpa|mb)?(?![a-z0-9]|\.\d+deg)", text.lower())
    match = match or re.search(r"(?<![a-z0-9])(\d{1,4}) ?(?:hpa|mb)(?![a-z0-9])", text.lower())
    return int(match[1]) if match and 0 < int(match[1]) <= LARGEST_LEVEL else None
