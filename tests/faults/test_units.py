"""Units however they are spelt: converted to the right value, or refused; never read as something else."""

import sys
import time

import numpy as np
import pytest
from synthetic import wave_dataset

from pinnwx.constants import STANDARD_GRAVITY as G
from pinnwx.data.open import open_data
from pinnwx.data.units import conversion, normalise_units
from pinnwx.errors import DataError
from pinnwx.variables import VARIABLES, Variable

_KELVIN, _CELSIUS, _ONE, _KNOT = (1.0, 0.0), (1.0, 273.15), (1.0, 0.0), (1852 / 3600, 0.0)
_SPELT = {
    ("t2m", _KELVIN): "K|k|kelvins|Kelvin|KELVIN|K |degK|deg K|degrees Kelvin|°K|[K]|(K)|K.|K\0|K\n",
    ("t2m", _CELSIUS): "degrees C|deg C|°C|celsius|C|degC|deg_C|Degrees Celsius|DEGC|degs. C|ºC|℃|Â°C|K @ 273.15",
    ("t2m", (0.1, 273.15)): "0.1 degC|1e-1 deg C",
    ("t2m", (5 / 9, 459.67 * 5 / 9)): "F|degF|°F|degrees Fahrenheit",
    ("msl", _ONE): "Pa|PA|pascals|N m-2|N/m^2|N m**-2|kg m-1 s-2|newton/meter2|J m-3",
    ("msl", (100.0, 0.0)): "hPa|HPA|hpa|hectopascals|mb|MB|mbar|millibars|100 Pa",
    ("msl", (10.0, 0.0)): "daPa|0.1 hPa",
    ("msl", (101325.0, 0.0)): "atm",
    ("u10", _ONE): "m s-1|m/s|M/S|m.s-1|m s^-1|m s**-1|m*s**-1|meters/second|metre per second|m sec-1|m s⁻¹|m·s⁻¹|"
    "m s^{-1}|$m s^{-1}$|m\\,s$^{-1}$|m s{-1}|m s -1|m s ^-1|m s\u22121|[m/s]",
    ("u10", _KNOT): "kt|knots|KT|kts",
    ("u10", (1 / 3.6, 0.0)): "km/h|km h-1|km/hr|kph",
    ("u10", (0.01, 0.0)): "cm/s|1e-2 m/s",
    ("u10", (0.44704, 0.0)): "mph|miles/hour",
    ("z", _ONE): "m2 s-2|m2.s-2|m**2 s**-2|m^2/s^2|m²/s²|m² s⁻²|M2/S2|J/kg|J kg**-1|meter2 second-2",
    ("z", (G, 0.0)): "m|gpm|Gpm|metres|geopotential meters|gp m",
    ("z", (10 * G, 0.0)): "gpdam|gpdm|dam",
    ("z", (1000 * G, 0.0)): "km",
    ("q", _ONE): "kg kg-1|kg/kg|KG/KG|kg kg**-1|kg.kg-1|kg kg -1|g/g|1|none|-",
    ("q", (0.001, 0.0)): "g/kg|g kg-1|G/KG|grams/kg|1e-3 kg kg-1|0.001 kg/kg|10^-3|g.kg-1",
    ("vo", _ONE): "s-1|s**-1|1/s|/s|sec-1|1/sec|per second|rad s-1|s⁻¹",
    ("vo", (1e-5, 0.0)): "1e-5 s-1|10^-5 s-1|10**-5 s-1|10-5 s-1|1e-5/s|x10^-5 s-1",
    ("lsm", _ONE): "1|unitless|none|-|~|(0 - 1)|0-1|0 to 1|[0,1]|0/1|fraction|Proportion|dimensionless|m2 m-2|no units",
    ("lsm", (0.01, 0.0)): "%|percent|0.01",
    ("orography", _ONE): "m|gpm|meters",
    ("orography", (1 / G, 0.0)): "m2 s-2|m**2 s**-2|J/kg",
    ("orography", (0.3048, 0.0)): "ft|feet",
}


@pytest.mark.parametrize(
    ("name", "units", "wanted"),
    [(name, units, wanted) for (name, wanted), texts in _SPELT.items() for units in texts.split("|")],
)
def test_report_18_spellings_of_units_convert(name, units, wanted):
    np.testing.assert_allclose(conversion(units, VARIABLES[name]), wanted, rtol=1e-12)


_REFUSED = {
    "t2m": "Pa|1|none|degree|degrees|rad K|mol|s|K -1|-1 K|0 K|K2|lg(re 1 K)|K utc|days since 2000-01-01|widgets|nan K",
    "msl": "K|hPa s-1|Pa (gauge)|kg m-2|C",
    "u10": "m|m s|s m-1|m/s/s|m/s-1",
    "z": "s2 m-2|K|m2 s-1",
    "q": "mol mol-1|ppmv|m3 m-3|kg m-3|kg/kg-1|10e-3 kg kg-1",
    "vo": "s|10e-5 s-1|m s-1",
    "lsm": "code|K|m",
}


@pytest.mark.parametrize(
    ("name", "units"), [(name, units) for name, texts in _REFUSED.items() for units in texts.split("|")]
)
def test_what_has_another_dimension_or_two_meanings_is_refused(name, units):
    """UDUNITS takes seconds for their reciprocal, and an angle times a temperature for a temperature."""
    with pytest.raises(DataError, match=r"units .* (do not convert to|are ambiguous)"):
        conversion(units, VARIABLES[name])


@pytest.mark.parametrize(
    ("wanted", "units", "factor"),
    [
        ("mm", "m", 1000), ("mm", "m of water equivalent", 1000), ("mm", "mm w.e.", 1), ("mm", "inches", 25.4),
        ("m", "m of water equivalent", 1), ("kg m-2 s-1", "kg m**-2 s**-1", 1), ("W m-2", "kW/m^2", 1000),
        ("K m2 kg-1 s-1", "PVU", 1e-6), ("Pa s-1", "hPa/h", 1 / 36), ("%", "1", 100), ("mol mol-1", "mol/mol", 1),
        ("m2 s-2", "gpm", G), ("widgets", "widgets", 1),
    ],
)  # fmt: skip
def test_units_of_a_users_own_variable_convert_in_the_same_way(wanted, units, factor):
    factors = conversion(units, Variable("own", "", "", wanted, 0, 1))
    np.testing.assert_allclose(factors, (factor, 0.0), rtol=1e-12)


@pytest.mark.parametrize(
    ("wanted", "units"), [("mm", "kg m-2"), ("mm", "m2 s-2"), ("m2 s-2", "m"), ("m", "J/kg"), ("mol mol-1", "kg kg-1")]
)
def test_a_height_is_a_geopotential_only_for_fields_that_are_either(wanted, units):
    with pytest.raises(DataError, match="do not convert"):
        conversion(units, Variable("own", "", "", wanted, 0, 1))


@pytest.mark.parametrize(("units", "factor", "offset"), [("degrees C", 1, -273.15), ("deg C", 1, -273.15)])
def test_values_in_spelt_units_are_opened_right(tmp_path, units, factor, offset):
    dataset = wave_dataset(4)
    plain = open_data(_write(dataset, tmp_path / "plain.nc"))
    dataset["t850"] = (dataset["t850"].astype("f8") * factor + offset).assign_attrs(units=units)
    found = open_data(_write(dataset, tmp_path / "spelt.nc"))
    np.testing.assert_allclose(found["t850"].values, plain["t850"].values, rtol=1e-6)


def _write(dataset, path):
    dataset.to_netcdf(path)
    return path


@pytest.mark.parametrize("text", ["m" * 100_000, "m s-1 " * 20_000, "/" * 100_000, "1" * 100_000 + "x", "(" * 99])
def test_long_units_are_refused_at_once_with_a_cut_message(text):
    start = time.perf_counter()
    with pytest.raises(DataError, match="units") as caught:
        conversion(text, VARIABLES["u10"])
    assert time.perf_counter() - start < 1
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["\x1b[31mK", "K\0K", "K\x07", "\x9b2J"])
def test_units_with_control_characters_are_refused_without_printing_them(text):
    with pytest.raises(DataError, match="control characters") as caught:
        conversion(text, VARIABLES["t2m"])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["\x1b]0;x\x07", "K" * 100_000, "mol mol-1", "10e-5 K"])
def test_a_file_whose_units_are_none_is_refused_by_its_name(tmp_path, text):
    dataset = wave_dataset(4)
    dataset["t850"].attrs["units"] = text
    with pytest.raises(DataError, match=r"bad\.nc: t850: units"):
        open_data(_write(dataset, tmp_path / "bad.nc"), ["msl", "t850"])


def test_common_units_need_no_library(monkeypatch):
    """Start-up stays fast, and a machine that has no UDUNITS reads all common files."""
    monkeypatch.setitem(sys.modules, "cf_units", None)
    for name, units in [("t2m", "degC"), ("msl", "hPa"), ("z", "m"), ("u10", "m s**-1"), ("q", "g/kg"), ("lsm", "%")]:
        assert conversion(units, VARIABLES[name]) is not None
    with pytest.raises(DataError, match="pip install cf-units"):
        conversion("newton/meter2", VARIABLES["msl"])


def test_the_library_prints_nothing(capfd):
    for text in ("m^", "(0 -", "K K)", "0--1", "s^s", "m**", "lg(", "@", "K @"):
        with pytest.raises(DataError):
            conversion(text, VARIABLES["t2m"])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("text", ["furlongs", "K day-1", "10 m", "W m-2 sr-1", "widgets", "m3 s-1"])
def test_what_is_no_unit_of_the_table_stays_as_it_is(text):
    assert normalise_units(text) == text
