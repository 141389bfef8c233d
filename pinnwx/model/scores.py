"""Array-level scores, differentiable: what training minimises."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from pinnwx.grid import Grid
from pinnwx.operators.spectrum import band_power

SMALLEST_POWER = 1e-9  # of a band, in units of the square of the scale: the square root has a gradient everywhere


def weighted_square_error(
    forecast: Float[Array, "*batch field lat lon"],
    truth: Float[Array, "*batch field lat lon"],
    scale: Float[Array, "field 1 1"],
    area_weights: Float[Array, "lat 1"],
) -> Float[Array, "*batch field"]:
    """Area mean of ((forecast - truth) / scale)^2 of each field."""
    return jnp.mean(area_weights * ((forecast - truth) / scale) ** 2, axis=(-2, -1))


def amplitude_adjusted_error(
    forecast: Float[Array, "*batch field lat lon"],
    truth: Float[Array, "*batch field lat lon"],
    scale: Float[Array, "field 1 1"],
    centre: Float[Array, "field 1 1"],
    grid: Grid,
) -> Float[Array, "*batch field"]:
    """A square error that does not reward blur (Subich et al. 2025, doi:10.48550/arXiv.2501.19374).

    With the powers P_x, P_y and the coherence C of forecast and truth in each band of total wavenumber, it is

        sum of (sqrt(P_x) - sqrt(P_y))^2 + 2 max(P_x, P_y) (1 - C).

    It is at least the square error, and equal to it where P_x = P_y in every band. For a given coherence it is least at
    P_x = P_y, where the square error is least at sqrt(P_x) = C sqrt(P_y). `centre` is subtracted first.
    """
    own, true = (band_power((field - centre) / scale, grid) + SMALLEST_POWER for field in (forecast, truth))
    # By the power of the difference, P_x + P_y - 2 C sqrt(P_x P_y), because the sum above would cancel.
    difference = band_power((forecast - truth) / scale, grid)
    amplitude = (jnp.sqrt(own) - jnp.sqrt(true)) ** 2
    ratio = jnp.sqrt(jnp.maximum(own, true) / jnp.minimum(own, true))
    return jnp.sum(amplitude + ratio * (difference - amplitude), axis=-1)
