"""Extremes: the factors restore the power that smoothing removed, and counts are those of known events."""

import numpy as np
import pytest
from synthetic import smooth_noise

from experiments.studies.error_by_scale import amplitudes
from experiments.studies.extremes import (
    EVENTS,
    KINDS,
    LEADS,
    MODELS,
    counts,
    frequent,
    gains,
    matched,
    multiplied,
    success,
    table,
)
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


def test_a_forecast_without_power_stays_as_it_is(analyses):
    assert (gains(np.zeros_like(analyses[:, 0]), analyses[:, 0], GRID) == 1).all()
    assert np.abs(matched(np.zeros_like(analyses), analyses, GRID)).max() == 0


def test_events_count_by_area():
    """Two cells are right, one on the polar row; one is a false alarm beside the equator and one is missed there."""
    observed, forecast = np.zeros((2, 1, *GRID.shape), bool)
    middle = GRID.shape[0] // 2
    for row, column in ((0, 3), (middle, 3), (middle, 4)):
        observed[0, row, column] = True
    for row, column in ((0, 3), (middle, 3), (middle, 5)):
        forecast[0, row, column] = True
    polar, equatorial = GRID.area_weights[[0, middle], 0] / (GRID.shape[0] * GRID.shape[1])
    assert polar < 0.3 * equatorial
    each = {key: float(value[0]) for key, value in counts(forecast, observed, GRID).items()}
    assert each == pytest.approx(
        {"hits": polar + equatorial, "forecast": polar + 2 * equatorial, "observed": polar + 2 * equatorial}
    )
    assert success(*map(np.asarray, each.values())) == pytest.approx((polar + equatorial) / (polar + 3 * equatorial))


def test_forecast_events_become_as_frequent_as_observed_ones():
    """Forecasts of half the amplitude have the events of the analyses where the limit is halved."""
    values = smooth_noise(GRID, 40).reshape(40, *GRID.shape)
    limit = np.full(GRID.shape, np.quantile(values, 0.95))
    observed = values > limit
    assert (0.5 * values > limit).mean() < 0.2 * observed.mean()
    twice = np.concatenate([values, values])  # both halves are alike
    events = frequent(0.5 * twice, limit, np.concatenate([observed, observed]), GRID)
    assert (events != np.concatenate([observed, observed])).mean() < 1e-3


def test_a_table_marks_what_differs_from_the_reference():
    """The other model has twice the hits of the reference on every day."""

    def scores(hits):
        days = 60
        return [
            {"event": event, "lead": lead, "kind": kind, "hits": [hits + 0.001 * (day % 3) for day in range(days)],
             "forecast": [0.05] * days, "observed": [0.05] * days}
            for event in EVENTS for lead in LEADS for kind in KINDS
        ]  # fmt: skip

    figures = {
        f"{model}, seed {seed}": {"scores": scores(hits)}
        for model, hits in zip(MODELS, (0.01, 0.02), strict=True)
        for seed in (1, 2)
    }
    text = table(figures)
    assert "36 of 36 ratios differ from 1" in text
    assert "low pressure | 24 | 0.124 |" in text
    assert "1.00 and 1.00" in text


def test_low_pressure_is_low_and_wind_is_the_length_of_the_vector():
    names = ("msl", "u10", "v10", "t850")
    departures = np.stack([np.full(GRID.shape, value) for value in (-5.0, 1.0, 2.0, 7.0)])
    climatology = np.stack([np.full(GRID.shape, value) for value in (1e5, 2.0, 2.0, 280.0)])
    expected = {"low pressure": 5.0, "strong wind": 5.0, "warm": 7.0}
    for name, value in expected.items():
        np.testing.assert_allclose(EVENTS[name].values(departures, climatology, names), value)
