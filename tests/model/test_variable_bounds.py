"""Bounds of a variable hold in forecasts at any weights; and learning is not blind beyond them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact.programs import compiled
from synthetic import TRACER, config, forecaster, forecasts, randomise, states, step_features

from pinnwx.grid import Grid
from pinnwx.model.bounds import Bounds
from pinnwx.variables import VARIABLES

FRACTION = '[variables.cloud]\nunits = "1"\nminimum = 0.0\nmaximum = 1.0\n'
NAMES = ("msl", "q850", "tracer", "cloud")
KINDS = {
    "network": "",
    "four networks": "networks = 4",
    "second order": 'kind = "second_order"',
}


def wild(kind: str, scale: float, seed: int = 0) -> np.ndarray:
    """Eight steps of a model with random weights, (step, batch, field, lat, lon)."""
    settings = config(NAMES, extra=TRACER + FRACTION, model=KINDS[kind])
    model = forecaster(settings)
    randomise(model, seed, scale)
    fields = states(NAMES, Grid.parse(settings.data.grid), seed=seed)
    fields[:, 1], fields[:, 3] = 5e-3, 0.5
    return forecasts(model, fields[:, None], step_features(8, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_forecasts_keep_the_bounds_of_their_variables(kind):
    forecast = wild(kind, 0.3)
    assert np.isfinite(forecast).all()
    moisture, tracer, cloud = forecast[:, :, 1], forecast[:, :, 2], forecast[:, :, 3]
    assert moisture.min() == 0, "or the bound was never reached, and the test is empty"
    assert tracer.min() == 0
    assert cloud.min() == 0
    assert cloud.max() == 1
    pressure = forecast[:, :, 0]
    assert pressure.min() < VARIABLES["msl"].minimum, "plausible ranges are no bounds: there a forecast is refused"


def test_values_within_bounds_are_not_touched():
    bounds = compiled(Bounds([(0.0, 1.0), (-np.inf, np.inf)]).__call__)
    fields = np.random.default_rng(0).uniform(0, 1, (2, 2, 3, 4)).astype(np.float32)
    np.testing.assert_array_equal(bounds(fields), fields)
    odd = np.float32([[[[-1.0, 2.0, np.nan]], [[-1.0, 2.0, np.inf]]]])
    np.testing.assert_array_equal(bounds(odd)[0, :, 0], [[0, 1, np.nan], [-1, 2, np.inf]])


def test_a_model_without_bounded_fields_has_no_bounds():
    assert Bounds.of([(-np.inf, np.inf)]) is None
    assert Bounds.of([(0.0, np.inf)], exempt=[0]) is None
    assert forecaster(config()).bounds is None


def test_learning_sees_beyond_a_bound():
    """Rain that is forecast below nothing, where it rains, must become more."""
    bounds = Bounds([(0.0, np.inf)])

    def loss(fields):
        return jnp.sum((bounds(fields) - 2.0) ** 2)

    np.testing.assert_array_equal(jax.jit(jax.grad(loss))(np.full((1, 1, 1), -1.0, np.float32)), [[[-4.0]]])


def test_bounds_are_those_of_the_config():
    settings = config(NAMES, extra=TRACER + FRACTION)
    table = settings.variable_table()
    assert table["cloud"].forecast_bounds == (0.0, 1.0)
    assert VARIABLES["q"].forecast_bounds == (0.0, np.inf)
    assert VARIABLES["t2m"].forecast_bounds == (-np.inf, np.inf)
