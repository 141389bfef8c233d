"""Names, units and levels as archives write them."""

import pytest

from pinnwx.data.conventions import (
    level_from_text,
    names_of,
    normalise_units,
    recognise,
)
from pinnwx.variables import VARIABLES


@pytest.mark.parametrize(
    ("name", "attributes", "on_levels", "wanted"),
    [
        ("z", {}, False, ("z", None)), ("T", {}, False, ("t", None)), ("2T", {}, False, ("t2m", None)),
        ("SLP", {}, False, ("msl", None)), ("t850", {}, False, ("t", 850)), ("geopotential_500", {}, False, ("z", 500)),
        ("vo850", {}, False, ("vo", 850)), ("u10", {}, False, ("u10", None)), ("v10", {}, False, ("v10", None)),
        ("10m_u_component_of_wind", {}, False, ("u10", None)), ("temperature_850hPa", {}, False, ("t", 850)),
        ("u100", {"long_name": "100 metre U wind component"}, False, None), ("u100", {}, False, ("u", 100)),
        ("var130", {"standard_name": "air_temperature"}, True, ("t", None)),
        ("var130", {"standard_name": "air_temperature"}, False, None),
        ("var151", {"standard_name": "air_pressure_at_mean_sea_level"}, False, ("msl", None)),
        ("lat2d", {}, False, None), ("sst", {}, False, None), ("t2000", {}, False, None),
        ("orog", {}, False, ("orography", None)),
    ],
)  # fmt: skip
def test_names(name, attributes, on_levels, wanted):
    assert recognise(name, attributes, on_levels, VARIABLES) == wanted


@pytest.mark.parametrize(
    ("text", "base", "level"),
    [
        ("geopotential_500", "z", 500), ("geopotential_500_2000_5.625deg", "z", 500), ("NCEP_T850", "t", 850),
        ("z500_2000-2008_1.5deg_daily12z", "z", 500), ("era5_vo850_20251201", "vo", 850), ("t-850", "t", 850),
        ("temperature_2000_5.625deg", "t", None), ("temperature_5.625deg", "t", None), ("wind_850hPa", "u", 850),
        ("2m_temperature_2000", "t", None), ("era5_z850", "t", None), ("t_1000", "t", 1000), ("download", "z", None),
    ],
)  # fmt: skip
def test_levels_in_paths(text, base, level):
    assert level_from_text(text, names_of(base, VARIABLES)) == level


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("m**2 s**-2", "m2 s-2"), ("m^2/s^2", "m2 s-2"), ("m2/s2", "m2 s-2"), ("m s**-1", "m s-1"), ("m/s", "m s-1"),
        ("kg kg**-1", "kg kg-1"), ("kg/kg", "kg kg-1"), ("degK", "K"), ("Kelvin", "K"), ("degrees_celsius", "degC"),
        ("millibars", "hPa"), ("hPa", "hPa"), ("Pa", "Pa"), ("s**-1", "s-1"), ("1/s", "s-1"), ("J/kg", "m2 s-2"),
        ("(0 - 1)", "1"), ("%", "%"),
    ],
)  # fmt: skip
def test_units(text, wanted):
    assert normalise_units(text) == wanted
