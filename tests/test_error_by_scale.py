"""The error of forecasts by zonal wavenumber, and what is left of it where forecasts are damped."""

import numpy as np
import pytest
from synthetic import smooth_noise

from experiments.studies.error_by_scale import amplitudes, errors, products
from pinnwx.grid import Grid

GRID = Grid.parse("22.5deg")


@pytest.fixture(scope="module")
def analyses():
    return smooth_noise(GRID, 16).reshape(4, 2, 2, *GRID.shape)


def test_the_modes_hold_the_whole_mean_square(analyses):
    power, _, _ = products(analyses, analyses, GRID)
    whole = (GRID.area_weights * analyses**2).mean((-2, -1))
    np.testing.assert_allclose(power.sum(-1), whole, rtol=1e-6)


def test_a_constant_is_the_area_mean_and_nothing_else():
    modes = amplitudes(np.full(GRID.shape, 3.0), GRID)
    np.testing.assert_allclose(modes[:, 0], 3.0, rtol=1e-6)
    np.testing.assert_allclose(modes[:, 1:], 0.0, atol=1e-6)


def test_a_wave_is_in_its_mode():
    longitude = np.deg2rad(np.asarray(GRID.longitude))
    modes = amplitudes(np.broadcast_to(np.cos(3 * longitude), GRID.shape), GRID)
    share = (GRID.area_weights * np.abs(modes) ** 2).mean(0)
    np.testing.assert_allclose(share[4], 0.5, rtol=1e-6)
    np.testing.assert_allclose(np.delete(share, 4), 0.0, atol=1e-9)


def test_damping_is_fitted_on_one_half_and_used_on_the_other(analyses):
    """Twice the truth in the first two forecasts, four times in the others: the factors are 1/4 and 1/2."""
    scale = np.array([2.0, 2.0, 4.0, 4.0])[:, None, None, None, None]
    plain, damped = errors(*products(scale * analyses, analyses, GRID))
    whole = (GRID.area_weights * analyses**2).mean((-2, -1))
    np.testing.assert_allclose(plain.sum(-1), (scale[..., 0, 0] - 1) ** 2 * whole, rtol=1e-5)
    expected = np.array([0.25, 0.25, 1.0, 1.0])[:, None, None] * whole
    np.testing.assert_allclose(damped.sum(-1), expected, rtol=1e-5)


def test_what_has_nothing_of_the_weather_is_damped_away():
    """The weather itself plus as much noise: damping by half is best, and half of the error remains."""
    weather, noise = smooth_noise(GRID, 4000, waves=2).reshape(2, 500, 2, 2, *GRID.shape)
    plain, damped = errors(*products(weather + noise, weather, GRID))
    assert damped.sum(-1).mean() / plain.sum(-1).mean() == pytest.approx(0.5, abs=0.05)
