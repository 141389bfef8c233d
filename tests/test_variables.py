"""The table of variables: names and levels, units for people, and that the table agrees with itself."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinnwx.errors import DataError
from pinnwx.variables import VARIABLES, Variable, describe, split_name

OZONE = Variable("ozone", "mass_fraction_of_ozone_in_air", "Ozone", "kg kg-1", 0.0, 1e-4, on_pressure_levels=True)


@pytest.mark.parametrize(
    ("name", "base", "level"),
    [
        ("z500", "z", 500),
        ("t850", "t", 850),
        ("vo850", "vo", 850),
        ("u10", "u10", None),  # ten metres, not ten hectopascals
        ("v10", "v10", None),
        ("u1000", "u", 1000),
        ("t2m", "t2m", None),
        ("t2", "t", 2),
        ("msl", "msl", None),
        ("orography", "orography", None),
    ],
)
def test_names_split_into_variable_and_level(name, base, level):
    assert split_name(name) == (base, level)
    assert describe(name).name == name
    assert describe(name).level == level


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("z", 'variable "z" needs its pressure level in hPa, as in "z500"'),
        ("msl500", 'unknown variable "msl500"'),
        ("temperature", 'unknown variable "temperature"; known are z, t, q'),
        ("Z500", 'unknown variable "Z500"'),
        ("z500hPa", "unknown variable"),
        ("z0500", "unknown variable"),
        ("", 'unknown variable ""'),
    ],
)
def test_names_that_are_none(name, message):
    with pytest.raises(DataError, match=re.escape(message)):
        describe(name)


@given(st.text(max_size=10) | st.from_regex(r"[a-z_]{1,3}[0-9]{0,4}", fullmatch=True))
def test_any_name_is_described_or_refused(name):
    try:
        entry = describe(name)
    except DataError:
        return
    assert entry.name == name


@given(st.sampled_from([name for name, entry in VARIABLES.items() if entry.on_pressure_levels]), st.integers(1, 1100))
def test_every_level_has_a_name_of_its_own(base, level):
    entry = describe(f"{base}{level}")
    if f"{base}{level}" in VARIABLES:  # u10 and v10
        assert entry.level is None
    else:
        assert (entry.name, entry.level) == (f"{base}{level}", level)
        assert entry.long_name == f"{VARIABLES[base].long_name} at {level} hPa"
        assert entry.standard_name == VARIABLES[base].standard_name


def test_a_table_of_the_users_own_is_used():
    own = {**VARIABLES, "ozone": OZONE}
    assert describe("ozone300", own).long_name == "Ozone at 300 hPa"
    assert describe("z500", own) == describe("z500")
    assert split_name("o3500", {**own, "o3": OZONE}) == ("o3", 500)
    with pytest.raises(DataError, match="unknown variable"):
        describe("ozone300")


@pytest.mark.parametrize(
    ("name", "value", "shown", "units"),
    [
        ("msl", 101325.0, 1013.25, "hPa"),
        ("t2m", 273.15, 0.0, "degC"),
        ("z500", 53936.575, 550.0, "gpdm"),
        ("t850", 273.15, 273.15, "K"),
        ("q850", 0.004, 4.0, "g kg-1"),
        ("vo850", 2.5e-5, 2.5, "1e-5 s-1"),
        ("u500", -3.0, -3.0, "m s-1"),
    ],
)
def test_values_are_shown_in_units_for_people(name, value, shown, units):
    entry = describe(name)
    assert entry.display(value) == pytest.approx(shown)
    np.testing.assert_allclose(entry.display(np.array([value, value])), [shown, shown])
    assert entry.shown_units == units


@pytest.mark.parametrize("entry", VARIABLES.values(), ids=VARIABLES)
def test_the_table_agrees_with_itself(entry):
    assert VARIABLES[entry.name] is entry
    assert entry.minimum < entry.maximum
    assert re.fullmatch(r"[a-z_]+", entry.standard_name)
    assert entry.long_name[0].isupper() or entry.long_name[0].isdigit()
    assert not (entry.static and entry.on_pressure_levels)
    assert entry.diverging == (entry.minimum == -entry.maximum)  # a colour scale about zero for what has either sign
    assert (entry.display_factor, entry.display_offset) == (1, 0) or entry.display_units


def test_an_alias_or_name_means_one_variable():
    names = [name for entry in VARIABLES.values() for name in (entry.name, *entry.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("z500", (46000, 60000)), ("z50", (180000, 205000)), ("z1000", (-4500, 4000)), ("t850", (220, 310)),
        ("t2m", (184, 330)), ("msl", (87000, 108500)), ("q850", (0, 0.02)), ("u250", (-60, 115)),
        ("vo850", (-1e-3, 1e-3)), ("u10", (-50, 50)), ("orography", (-430, 8850)), ("lsm", (0, 1)),
    ],
)  # fmt: skip
def test_what_has_been_seen_on_earth_is_plausible(name, values):
    entry = describe(name)
    assert entry.minimum <= values[0]
    assert values[1] <= entry.maximum


@pytest.mark.parametrize(("name", "value"), [("t2m", 15.0), ("msl", 1013.0), ("q850", 8.0), ("lsm", 100.0)])
def test_values_in_the_wrong_units_are_not(name, value):
    entry = describe(name)
    assert not entry.minimum <= value <= entry.maximum


@pytest.mark.parametrize(
    ("name", "parities"), [("z500", (1, 1)), ("u850", (-1, 1)), ("v10", (-1, -1)), ("vo850", (1, -1)), ("q850", (1, 1))]
)
def test_factors_across_a_pole_and_the_equator(name, parities):
    entry = describe(name)
    assert (entry.pole_parity, entry.equator_parity) == parities
