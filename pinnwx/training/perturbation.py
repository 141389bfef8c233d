"""Perturbations of the training windows, so that a model learns to reduce large-scale errors.

Analyses hold no large-scale errors, for example tropics that are too warm everywhere. The response of a model to them
is not constrained, and long forecasts develop them. Half of the windows are therefore shifted by a smooth zonal mean,

    d(field, latitude) = size sum_{n <= 5} c_n sqrt(2n + 1) P_n(sin latitude),    sum over n of E[c_n^2] = 1,

the analyses by d and the truth t hours after them by d exp(-t / 120). Zonal flow does not change a zonal mean, and real
anomalies of it decay in days. `size` is half-normal, in units of the standard deviation of the change over six hours.
That is estimated from the change over a step, as of a random walk: it grows with the square root of time.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pinnwx.grid import Grid

_DEGREES = 6  # of the Legendre polynomials, from the area mean on
_FRACTION = 0.5  # of the windows
_MEMORY_HOURS = 120.0
_UNIT_HOURS = 6.0

Windows = Float[Array, "batch times field lat lon"]


def perturbed(
    windows: Windows,
    starts: Int[Array, " batch"],
    update: Int[Array, ""],
    inputs: int,
    scale: Float[Array, "field 1 1"],
    grid: Grid,
    step_hours: float,
) -> Windows:
    """The windows, about half of them perturbed.

    Args:
        windows: the first `inputs` times are analyses that a forecast starts from.
        starts: the index of each window; with `update` it seeds the perturbation, on however many devices.
        update: the number of the update.
        inputs: analyses that a forecast starts from.
        scale: the size of a perturbation if a step has six hours, in the units of the fields: a multiple of the change
            over a step.
        grid: of the fields.
        step_hours: between the times of a window.
    """
    draw = jax.vmap(lambda start: _shift(jax.random.fold_in(jax.random.key(update), start), windows.shape[2], grid))
    after = np.maximum(np.arange(windows.shape[1]) - (inputs - 1), 0)
    decay = np.exp(-after / (_MEMORY_HOURS / step_hours)).astype(np.float32)
    size = scale * np.float32(np.sqrt(_UNIT_HOURS / step_hours))
    return windows + decay[:, None, None, None] * (size * draw(starts))[:, None]


def _shift(key: Array, fields: int, grid: Grid) -> Float[Array, "field lat 1"]:
    """The perturbation of one window, of unit scale; zero with a probability of 1 - `_FRACTION`."""
    shape, size, chosen = jax.random.split(key, 3)
    coefficients = jax.random.normal(shape, (fields, _DEGREES)) / np.sqrt(_DEGREES)
    size = jnp.abs(jax.random.normal(size)) * jax.random.bernoulli(chosen, _FRACTION)
    return size * (coefficients @ _harmonics(grid).astype(np.float32))[:, :, None]


def _harmonics(grid: Grid) -> Float[np.ndarray, "degree lat"]:
    """Zonal spherical harmonics of unit mean square over the globe."""
    degrees = np.arange(_DEGREES)
    values = np.polynomial.legendre.legvander(np.sin(grid.latitude_radians), _DEGREES - 1)
    return (np.sqrt(2 * degrees + 1) * values).T
