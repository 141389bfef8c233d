"""Perturbed windows: of the right size and shape, half of them, and the same however a batch is shared out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pinnwx.grid import Grid
from pinnwx.training.perturbation import perturbed

GRID = Grid.parse("5.625deg")
SCALE = jnp.asarray([3.0, 0.5])[:, None, None]


def perturbations(
    count: int = 400, update: int = 7, first: int = 0, step_hours: float = 6, times: int = 5
) -> np.ndarray:
    windows = jnp.zeros((count, times, 2, *GRID.shape))
    return np.asarray(perturbed(windows, first + jnp.arange(count), jnp.asarray(update), 2, SCALE, GRID, step_hours))


def test_they_are_zonal_means_that_fade_after_the_analyses():
    found = perturbations()
    np.testing.assert_array_equal(found, np.broadcast_to(found[..., :1], found.shape))
    np.testing.assert_array_equal(found[:, 0], found[:, 1])
    for step in (2, 3, 4):
        np.testing.assert_allclose(found[:, step], np.exp(-(step - 1) / 20) * found[:, 1], rtol=1e-5, atol=1e-6)


def test_a_day_is_a_day_at_any_step():
    """Four steps of 6 h and one of 24 h. In 24 h a random walk changes by twice as much as in 6 h."""
    short, long = perturbations(8, times=6), 2 * perturbations(8, step_hours=24, times=3)
    np.testing.assert_allclose(long[:, 1], short[:, 1], rtol=1e-6)
    np.testing.assert_allclose(long[:, 2], short[:, 5], rtol=1e-5, atol=1e-6)


def test_half_of_the_windows_are_disturbed_by_the_size_asked_for():
    found = perturbations()[:, 0]
    power = (GRID.area_weights * found.astype(np.float64) ** 2).mean((-2, -1))
    touched = power[:, 0] > 0
    assert touched.mean() == pytest.approx(0.5, abs=0.08)
    np.testing.assert_allclose(np.sqrt(power[touched].mean(axis=0)), SCALE[:, 0, 0], rtol=0.15)
    assert np.std(np.log(power[touched, 0])) > 1, "small ones and large ones"


def test_they_depend_on_window_and_update_alone():
    whole = perturbations(8)
    np.testing.assert_array_equal(np.concatenate([perturbations(4), perturbations(4, first=4)]), whole)
    assert np.abs(perturbations(8, update=8) - whole).max() > 0.1
    assert len({float(np.abs(window).max()) for window in whole}) > 3


def test_it_can_be_compiled():
    jitted = jax.jit(perturbed, static_argnums=(3, 5, 6))
    windows = jnp.ones((4, 3, 2, *GRID.shape))
    found = jitted(windows, jnp.arange(4), jnp.asarray(3), 1, SCALE, GRID, 6.0)
    assert found.shape == windows.shape
    assert np.isfinite(found).all()
