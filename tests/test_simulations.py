"""What studies make of a general circulation model: pressure levels, sea level pressure, means over cells, winds."""

import numpy as np
import pytest
import xarray as xr

from experiments.studies import primitive_equations, simulate_climate
from experiments.studies.paradis import Variables
from pinnwx.constants import DRY_AIR_GAS_CONSTANT, STANDARD_GRAVITY
from pinnwx.grid import Grid

SIGMA = np.array([0.025, 0.095, 0.2, 0.34, 0.51, 0.685, 0.835, 0.95])


def standard_atmosphere(height: np.ndarray, sea_level: float = 101_325.0) -> xr.Dataset:
    """States of a resting atmosphere with a constant lapse rate over ground of this height, (lat, lon)."""
    lapse, ground = simulate_climate.LAPSE_RATE, 288.15
    exponent = STANDARD_GRAVITY / (DRY_AIR_GAS_CONSTANT * lapse)
    surface = sea_level * (1 - lapse * height / ground) ** exponent
    pressure = SIGMA[:, None, None] * surface
    altitude = ground / lapse * (1 - (pressure / sea_level) ** (1 / exponent))
    on_levels = {
        "u_wind": 0 * altitude, "v_wind": 0 * altitude, "specific_humidity": 0 * altitude,
        "temperature": ground - lapse * altitude, "geopotential": STANDARD_GRAVITY * altitude,
    }  # fmt: skip
    at_surface = {"normalized_surface_pressure": surface / simulate_climate.REFERENCE_PRESSURE}
    at_surface |= dict.fromkeys(simulate_climate.AT_THE_SURFACE.values(), surface)
    latitude = np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(len(height))[0]))
    longitude = 360 / height.shape[1] * np.arange(height.shape[1])
    return xr.Dataset(
        {name: (("time", "level", "lat", "lon"), values[None]) for name, values in on_levels.items()}
        | {name: (("time", "lat", "lon"), values[None]) for name, values in at_surface.items()},
        {"level": SIGMA, "lat": latitude, "lon": longitude, "time": [np.datetime64("2001-08-01", "ns")]},
    )


def hills(rows: int = 48) -> np.ndarray:
    x = 2 * np.pi * np.arange(2 * rows) / (2 * rows)
    return 1500 * (1 + np.sin(x)) * np.hanning(rows)[:, None]


def test_pressure_over_hills_is_that_of_the_sea_level():
    fields = simulate_climate.fields_of(standard_atmosphere(hills()))
    np.testing.assert_allclose(fields["msl"], 101_325.0, rtol=1e-6)


def test_fields_at_pressure_are_those_of_the_atmosphere():
    """Between levels temperature is nearly linear in ln p; the height of 500 hPa is that of the formula."""
    fields = simulate_climate.fields_of(standard_atmosphere(np.zeros((48, 96))))
    exponent = STANDARD_GRAVITY / (DRY_AIR_GAS_CONSTANT * simulate_climate.LAPSE_RATE)
    altitude = 288.15 / simulate_climate.LAPSE_RATE * (1 - (500 / 1013.25) ** (1 / exponent))
    np.testing.assert_allclose(fields["z500"], STANDARD_GRAVITY * altitude, rtol=2e-3)
    np.testing.assert_allclose(fields["t500"], 288.15 - simulate_climate.LAPSE_RATE * altitude, atol=0.3)


def test_a_profile_linear_in_ln_p_is_exact_and_ends_are_held():
    ln_pressure = np.log(1e5 * SIGMA)[None, :, None, None]
    values = 3.0 * ln_pressure - 7.0
    assert simulate_climate.at_pressure(values, ln_pressure, 700.0).item() == pytest.approx(3 * np.log(7e4) - 7)
    for level, end in ((1000.0, -1), (10.0, 0)):
        assert simulate_climate.at_pressure(values, ln_pressure, level).item() == values[0, end, 0, 0]


def test_means_over_cells_keep_the_mean_over_the_globe():
    """The mean of the Gaussian rows by their quadrature is that of the cells by their area."""
    states = standard_atmosphere(hills())
    weights = np.polynomial.legendre.leggauss(48)[1] / 2
    target = Grid.parse("5.625deg")
    averaged, plain = simulate_climate.averaged(states, target), simulate_climate.fields_of(states)
    for name in ("t2m", "z500"):
        expected = (weights[:, None] * plain[name][0]).sum(0).mean()
        assert (target.area_weights * averaged[name][0]).mean() == pytest.approx(expected, rel=1e-9)


def test_winds_survive_their_cartesian_components():
    names = ("z500", "u500", "v500", "u850", "v850", "u10", "v10", "t850")
    grid = Grid.parse("22.5deg")
    variables = Variables(names, grid)
    fields = np.random.default_rng(0).standard_normal((2, len(names), *grid.shape)).astype(np.float32)
    assert variables.cartesian(fields).shape == (2, 2 + 9, *grid.shape)
    np.testing.assert_allclose(variables.canonical(variables.cartesian(fields)), fields, atol=1e-5)


def test_cartesian_winds_are_the_tangential_part_of_a_vector():
    """A vector of space, seen from every place as wind, gives its part along the surface."""
    grid, names = Grid.parse("22.5deg"), ("u500", "v500", "u850", "v850", "u10", "v10")
    latitude, longitude = np.broadcast_arrays(grid.latitude_radians[:, None], grid.longitude_radians)
    upward = np.stack([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)])
    fields = np.zeros((len(names), *grid.shape))
    fields[0], fields[1] = np.cos(longitude), -np.sin(latitude) * np.sin(longitude)  # of the unit vector along y
    expected = np.array([0.0, 1.0, 0.0])[:, None, None] - upward[1] * upward
    np.testing.assert_allclose(Variables(names, grid).cartesian(fields)[:3], expected, atol=1e-6)


@pytest.mark.parametrize("height", [0.0, 1000.0])
def test_an_isothermal_atmosphere_in_hydrostatic_balance_stays_at_rest(height):
    """Over a long hill too, where the pressure gradient along the sigma levels balances that of the height."""
    pytest.importorskip("dinosaur", reason="needs dinosaur: pip install jcm")
    grid, temperature = Grid.parse(primitive_equations.GRID), 280.0
    hill = height * np.cos(grid.latitude_radians)[:, None] ** 2 * (1 + np.cos(grid.longitude_radians))
    fields = np.zeros((len(primitive_equations.FIELDS), *grid.shape), np.float32)
    levels = len(primitive_equations.LEVELS)
    fields[2 * levels : 3 * levels] = temperature
    fields[-1] = 1e5 * np.exp(-STANDARD_GRAVITY * hill / (DRY_AIR_GAS_CONSTANT * temperature))
    change = np.asarray(primitive_equations.adiabatic_tendency(fields, hill))
    slope = STANDARD_GRAVITY * 2 * height / 6.371e6  # m s-2, of the hill alone
    beside_poles = change[: 2 * levels, 4:-4]  # on the poles rounding is divided by the cosine of latitude
    assert np.abs(beside_poles).max() < 0.01 * slope + 2e-5
    assert np.abs(change[-1]).max() < 1e-3
