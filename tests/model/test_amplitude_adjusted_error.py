"""The error that does not reward blur: its bounds, its minimum, its gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from synthetic import config_text, smooth_noise, tiny_trained, wave_archive

from pinnwx.config import parse_config
from pinnwx.grid import Grid
from pinnwx.model.scores import amplitude_adjusted_error, weighted_square_error
from pinnwx.training.fit import fit
from pinnwx.training.trainer import Hooks

GRID = Grid.parse("11.25deg")
SCALE, CENTRE = (jnp.asarray([[[one]], [[2 * one]]]) for one in (2.0, 50.0))


@jax.jit
def errors(forecast, truth):
    """(amplitude adjusted, square)."""
    adjusted = amplitude_adjusted_error(forecast, truth, SCALE, CENTRE, GRID)
    return adjusted, weighted_square_error(forecast, truth, SCALE, jnp.asarray(GRID.area_weights, jnp.float32))


def noise(seed: int):
    return CENTRE + 5 * np.random.default_rng(seed).standard_normal((3, 2, *GRID.shape)).astype(np.float32)


def test_it_is_at_least_the_square_error():
    adjusted, square = errors(noise(0), CENTRE + 0.3 * (noise(1) - CENTRE))
    assert (adjusted > 1.01 * square).all()


def test_it_is_the_square_error_where_all_amplitudes_are_equal():
    """A field that is turned round the axis has the same amplitudes."""
    truth = noise(0)
    adjusted, square = errors(jnp.roll(truth, 1, axis=-1), truth)
    np.testing.assert_allclose(adjusted, square, rtol=1e-4)
    assert (square > 1).all()
    assert float(jnp.abs(errors(truth, truth)[0]).max()) == 0


def test_it_is_least_at_the_amplitude_of_the_truth_and_the_square_error_at_the_coherence():
    """The forecast is the truth turned round the axis, so it has its amplitudes, times a factor."""
    truth = 5 * smooth_noise(GRID, 6, 0).reshape(3, 2, *GRID.shape)
    forecast = np.roll(truth, 3, axis=-1)
    factors = np.arange(0.3, 1.4, 0.05)
    found = [[one.mean() for one in errors(CENTRE + each * forecast, CENTRE + truth)] for each in factors]
    adjusted, square = np.array(found).T
    assert factors[adjusted.argmin()] == pytest.approx(1.0)
    weights = GRID.area_weights / np.square(SCALE)
    coherence = (weights * truth * forecast).sum() / (weights * truth**2).sum()
    assert 0.4 < coherence < 0.8
    assert factors[square.argmin()] == pytest.approx(coherence, abs=0.026)


def test_its_gradient_is_finite_where_there_is_nothing():
    def mean(forecast):
        return amplitude_adjusted_error(forecast, CENTRE + 0 * noise(0), SCALE, CENTRE, GRID).mean()

    assert np.isfinite(jax.jit(jax.grad(mean))(CENTRE + 0 * noise(0))).all()
    assert np.isfinite(jax.jit(jax.grad(mean))(jnp.asarray(noise(0)))).all()


@pytest.mark.slow
def test_a_model_trains_on_it():
    archive = wave_archive(40)
    text = config_text(training='batch_size = 4\nupdates = 40\nlearning_rate = 1e-2\nloss = "amplitude_adjusted"')
    trained = tiny_trained(text, archive)
    losses = []
    fit(
        trained.model, archive, parse_config(text), trained.normalisation.increment_std[:, None, None],
        hooks=Hooks(progress=lambda progress: losses.append(progress.loss)),
    )  # fmt: skip
    assert losses[-1] < 0.8 * losses[0]
