"""Extremes at matched variance: what blur takes, the factors give back, and counts are those of known events."""

import numpy as np
import pytest
from synthetic import smooth_noise

from experiments.studies.error_by_scale import amplitudes
from experiments.studies.extremes import EVENTS, counts, gains, matched, multiplied, success
from pinnwx.grid import Grid

GRID = Grid.parse("22.5deg")


@pytest.fixture(scope="module")
def analyses():
    """(forecast, field, lat, lon)"""
    return smooth_noise(GRID, 8).reshape(4, 2, *GRID.shape).astype(np.float64)


def test_each_wavenumber_has_its_factor(analyses):
    modes = GRID.shape[1] // 2 + 2
    factors = np.linspace(0.2, 3.0, modes)
    changed = amplitudes(multiplied(analyses, factors, GRID), GRID)
    np.testing.assert_allclose(changed, factors * amplitudes(analyses, GRID), atol=1e-9)


def test_a_blurred_forecast_gets_the_variance_of_the_analyses_by_wavenumber(analyses):
    """Each half is blurred by the same known factors, so those of the other half undo them."""
    blur = np.linspace(1.0, 0.1, GRID.shape[1] // 2 + 2)
    doubled = np.concatenate([analyses, analyses])
    blurred = multiplied(doubled, blur, GRID)
    np.testing.assert_allclose(gains(blurred[:4, 0], analyses[:, 0], GRID), 1 / blur, rtol=1e-6)
    np.testing.assert_allclose(matched(blurred, doubled, GRID), doubled, atol=1e-9)


def test_factors_are_never_fitted_on_the_forecasts_that_use_them(analyses):
    scale = np.array([0.5, 0.5, 0.25, 0.25])[:, None, None, None]
    constant = np.concatenate([analyses[:2], analyses[:2]])
    np.testing.assert_allclose(matched(scale * constant, constant, GRID)[:2], 2.0 * constant[:2], rtol=1e-9, atol=1e-9)


def test_a_forecast_without_power_stays_zero(analyses):
    assert np.abs(matched(np.zeros_like(analyses), analyses, GRID)).max() == 0


def test_the_index_of_known_events():
    """The event has four columns; the forecast has three, two of them right."""
    observed, forecast = np.zeros((2, 1, *GRID.shape), bool)
    observed[..., :4], forecast[..., 2:5] = True, True
    each = counts(forecast, observed, GRID)
    columns = GRID.shape[1]
    assert {key: float(value[0]) * columns for key, value in each.items()} == pytest.approx(
        {"hits": 2, "forecast": 3, "observed": 4}
    )
    assert float(success(*each.values())[0]) == pytest.approx(2 / 5)


def test_low_pressure_is_low_and_wind_is_the_length_of_the_vector():
    names = ("msl", "u10", "v10", "t850")
    departures = np.stack([np.full(GRID.shape, value) for value in (-5.0, 1.0, 2.0, 7.0)])
    climatology = np.stack([np.full(GRID.shape, value) for value in (1e5, 2.0, 2.0, 280.0)])
    expected = {"low pressure": 5.0, "strong wind": 5.0, "warm": 7.0}
    for name, value in expected.items():
        np.testing.assert_allclose(EVENTS[name].values(departures, climatology, names), value)
