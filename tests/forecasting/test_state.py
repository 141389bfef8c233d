"""States and rollouts: the forecast itself, and its tangent-linear model and adjoint."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import synthetic

from pinnwx.data.archive import Archive
from pinnwx.errors import UnavailableError, UsageError
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.state import State
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.grid import Grid

GRID = Grid.parse("22.5deg")
STEPS = 2
DATASET_TIME = str(synthetic.times(6)[3])


@pytest.fixture(scope="module")
def archive() -> Archive:
    names = ("msl", "t850")
    return Archive(synthetic.times(6), synthetic.states(names, GRID, 6), names, GRID)


@pytest.fixture(scope="module")
def trained(archive) -> TrainedModel:
    physics = synthetic.transport("t850", wind="none", learned_wind=True)
    model = TrainedModel.initialise(synthetic.config(physics=physics, model="input_times = 2"), archive)
    synthetic.randomise(model.model, 1, 0.05)
    return model


def test_a_rollout_is_the_forecast(trained, archive):
    state = trained.state(archive, DATASET_TIME)
    trajectory = trained.rollout(state, steps=STEPS)
    step = trained.config.model.step_hours
    forecast = Predictor(trained, [step, STEPS * step]).from_archive(archive, archive.times[3:4])[0]
    np.testing.assert_allclose(trajectory.fields, forecast, rtol=1e-6)
    np.testing.assert_array_equal(trajectory.times, archive.times[4:6])
    np.testing.assert_array_equal(state.fields, archive.fields[2:4])


def test_tangent_and_adjoint_agree(trained, archive):
    """<L dx, y> = <dx, L* y>, each field in units of its standard deviation; L dx is nearly a difference quotient."""
    state = trained.state(archive, DATASET_TIME)
    scale = jnp.asarray(trained.normalisation.std)[:, None, None]
    keys = jax.random.split(jax.random.key(0), 2)

    def forecast(departure):
        fields = state.fields + scale * departure
        return trained.rollout(State(fields, state.time, state.names), steps=STEPS).fields / scale

    @jax.jit
    def both(departure, weight):
        zero = jnp.zeros_like(departure)
        _, tangent = jax.jvp(forecast, (zero,), (departure,))
        _, adjoint = jax.vjp(forecast, zero)
        quotient = (forecast(0.01 * departure) - forecast(-0.01 * departure)) / 0.02
        return tangent, adjoint(weight)[0], quotient

    departure = jax.random.normal(keys[0], state.fields.shape)
    weight = jax.random.normal(keys[1], (STEPS, *state.fields.shape[1:]))
    tangent, cotangent, quotient = map(np.float64, both(departure, weight))
    forward, backward = (tangent * np.asarray(weight)).sum(), (cotangent * np.asarray(departure)).sum()
    assert abs(forward - backward) < 1e-5 * np.linalg.norm(tangent) * np.linalg.norm(weight)
    assert np.linalg.norm(tangent - quotient) < 0.05 * np.linalg.norm(tangent)


def test_the_gradient_of_a_value_is_a_state(trained, archive):
    state = trained.state(archive, DATASET_TIME)
    gradient = jax.grad(lambda one: trained.rollout(one, steps=STEPS).fields[-1, 0, 3, 5])(state)
    assert isinstance(gradient, State)
    assert gradient.time == state.time
    assert np.isfinite(gradient.fields).all()
    assert np.abs(gradient.fields).max() > 0


def test_what_cannot_be_rolled_out_is_refused(trained, archive):
    state = trained.state(archive, DATASET_TIME)
    with pytest.raises(UsageError, match="at least 1"):
        trained.rollout(state, steps=0)
    with pytest.raises(UsageError, match="make one with this model"):
        trained.rollout(State(state.fields[:1], state.time, state.names), steps=1)
    with pytest.raises(UsageError, match="has no lateral boundary"):
        trained.rollout(state, steps=1, lateral_boundary=state.fields[:1])
    with pytest.raises(UnavailableError, match="no analysis"):
        trained.state(archive, "2025-01-01")
