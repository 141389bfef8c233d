"""The table of variables: names, CF standard names, units, plausible ranges, display units.

Canonical names are WeatherBench short names with the pressure level in hPa appended: `z500`, `t850`, `vo850`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pinnwx.constants import STANDARD_GRAVITY
from pinnwx.errors import DataError

Direction = Literal["eastward", "northward"]
Parity = Literal[-1, 1]


@dataclass(frozen=True)
class Variable:
    """The properties of a variable.

    `minimum` and `maximum` bound plausible values on Earth in `units`, at any level. If `bounded` is true, they are
    physical bounds, and forecasts stay within them. A `nonnegative` quantity cannot be negative, although analyses may
    contain small negative values. `vector` is the direction of a component of a horizontal vector; a component changes
    its sign across a pole. `equator_parity` is the factor of the quantity under reflection in the equator: -1 for
    northward components and for pseudoscalars such as vorticity and potential vorticity. `aliases` are other names in
    files. Plots and tables use `display_units`: displayed value = value * `display_factor` + `display_offset`.
    """

    name: str
    standard_name: str
    long_name: str
    units: str
    minimum: float
    maximum: float
    on_pressure_levels: bool = False
    static: bool = False
    display_units: str = ""
    display_factor: float = 1.0
    display_offset: float = 0.0
    diverging: bool = False
    bounded: bool = False
    nonnegative: bool = False
    vector: Direction | None = None
    equator_parity: Parity = 1
    aliases: tuple[str, ...] = ()
    level: int | None = None

    @property
    def forecast_bounds(self) -> tuple[float, float]:
        """The minimum and maximum of a forecast; infinite if there is no bound."""
        low, high = (self.minimum, self.maximum) if self.bounded else (-math.inf, math.inf)
        return (max(low, 0.0) if self.nonnegative else low), high

    @property
    def pole_parity(self) -> Parity:
        """The factor of the quantity across a pole."""
        return 1 if self.vector is None else -1

    def display(self, values):
        """Values in display units."""
        return values * self.display_factor + self.display_offset

    @property
    def shown_units(self) -> str:
        return self.display_units or self.units


def _pressure(name, standard_name, long_name, units, low, high, **options) -> Variable:
    return Variable(name, standard_name, long_name, units, low, high, on_pressure_levels=True, **options)


_TABLE = (
    _pressure(
        "z", "geopotential", "Geopotential", "m2 s-2", -2.0e4, 5.0e5,
        aliases=("geopotential", "hgt", "gh", "zg", "geopotential_height"),
        display_units="gpdm", display_factor=0.1 / STANDARD_GRAVITY,
    ),
    _pressure(
        "t", "air_temperature", "Temperature", "K", 150.0, 350.0,
        aliases=("temperature", "air_temperature", "air", "ta"),
    ),
    _pressure(
        "q", "specific_humidity", "Specific humidity", "kg kg-1", -1.0e-3, 0.05,
        aliases=("specific_humidity", "shum", "hus"), display_units="g kg-1", display_factor=1e3, nonnegative=True,
    ),
    _pressure(
        "u", "eastward_wind", "Eastward wind", "m s-1", -200.0, 200.0,
        aliases=("u_component_of_wind", "uwnd", "ua"), diverging=True, vector="eastward",
    ),
    _pressure(
        "v", "northward_wind", "Northward wind", "m s-1", -200.0, 200.0,
        aliases=("v_component_of_wind", "vwnd", "va"), diverging=True, vector="northward", equator_parity=-1,
    ),
    _pressure(
        "vo", "atmosphere_relative_vorticity", "Relative vorticity", "s-1", -5.0e-3, 5.0e-3,
        aliases=("vorticity", "relative_vorticity"), display_units="1e-5 s-1", display_factor=1e5, diverging=True,
        equator_parity=-1,
    ),
    Variable(
        "msl", "air_pressure_at_mean_sea_level", "Mean sea level pressure", "Pa", 85000.0, 110000.0,
        aliases=("mean_sea_level_pressure", "slp", "prmsl", "mslp", "psl"), display_units="hPa", display_factor=0.01,
    ),
    Variable(
        "t2m", "air_temperature", "2 metre temperature", "K", 180.0, 340.0,
        aliases=("2m_temperature", "2t", "t_2m", "tas", "2_metre_temperature"),
        display_units="degC", display_offset=-273.15,
    ),
    Variable(
        "u10", "eastward_wind", "10 metre eastward wind", "m s-1", -100.0, 100.0,
        aliases=("10m_u_component_of_wind", "10u", "uas", "10_metre_u_wind_component"), diverging=True,
        vector="eastward",
    ),
    Variable(
        "v10", "northward_wind", "10 metre northward wind", "m s-1", -100.0, 100.0,
        aliases=("10m_v_component_of_wind", "10v", "vas", "10_metre_v_wind_component"), diverging=True,
        vector="northward", equator_parity=-1,
    ),
    Variable(
        "orography", "surface_altitude", "Height of the surface", "m", -500.0, 9000.0, static=True,
        aliases=(
            "oro", "geopotential_at_surface", "surface_geopotential", "surface_geopotential_height",
            "surface_altitude", "orog", "phis", "zsfc", "z_surface", "hgtsfc", "hgt_surface",
        ),
    ),
    Variable(
        "lsm", "land_area_fraction", "Land-sea mask", "1", -0.01, 1.01, static=True,
        aliases=("land_sea_mask", "sftlf", "land_area_fraction"),
    ),
)  # fmt: skip

VARIABLES: Mapping[str, Variable] = {variable.name: variable for variable in _TABLE}


def similar_variable(name: str, standard_name: str) -> Variable | None:
    """The built-in entry of this name, or the first of this standard name."""
    same = (entry for entry in _TABLE if entry.standard_name == standard_name)
    return VARIABLES.get(name) or next(same, None)


def split_name(name: str, variables: Mapping[str, Variable] = VARIABLES) -> tuple[str, int | None]:
    """`"z500"` -> `("z", 500)`; `"t2m"` -> `("t2m", None)`.

    Raises:
        DataError: the name is not in the table, or its level is missing or superfluous.
    """
    if name in variables and not variables[name].on_pressure_levels:
        return name, None
    bases = [base for base, entry in variables.items() if entry.on_pressure_levels and name.startswith(base)]
    for base in sorted(bases, key=len, reverse=True):  # a name may end in a digit: "o3500" is o3 at 500 hPa
        if re.fullmatch("[1-9][0-9]*", level := name.removeprefix(base)):
            return base, int(level)
    if name in variables:
        raise DataError(f'variable "{name}" needs its pressure level in hPa, as in "{name}500"')
    raise DataError(f'unknown variable "{name}"; known are {", ".join(variables)}, or describe it under [variables]')


def describe(name: str, variables: Mapping[str, Variable] = VARIABLES) -> Variable:
    """The entry of a canonical name, with its level in the long name: `describe("z500").level == 500`."""
    base, level = split_name(name, variables)
    entry = variables[base]
    if level is None:
        return entry
    return replace(entry, name=name, level=level, long_name=f"{entry.long_name} at {level} hPa")


def difference_units(name: str, variables: Mapping[str, Variable] = VARIABLES) -> tuple[float, str]:
    """(factor to display units, their name) for errors and changes, to which the offset of degC does not apply."""
    try:
        variable = describe(name, variables)
    except DataError:  # a user-defined variable, and the caller did not pass its table
        return 1.0, "SI"
    return variable.display_factor, "K" if variable.shown_units == "degC" else variable.shown_units
