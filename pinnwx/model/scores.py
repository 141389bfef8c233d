"""Array-level scores, differentiable: what training minimises."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from pinnwx.grid import Grid
from pinnwx.operators.spectrum import band_power

FAIRNESS = 0.95  # of the CRPS
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


def almost_fair_crps(
    forecasts: Float[Array, "*batch member field lat lon"],
    truth: Float[Array, "*batch field lat lon"],
    scale: Float[Array, "field 1 1"],
    area_weights: Float[Array, "lat 1"],
) -> Float[Array, "*batch field"]:
    """Area mean of the almost fair CRPS of an ensemble of M members (Lang et al. 2024, arXiv 2412.15832), over `scale`,

        1/M sum_i |x_i - y| - (1 - e) / (2 M (M - 1)) sum_ij |x_i - x_j|,    e = (1 - a) / M,  a = `FAIRNESS`.

    With a = 1 it is fair: least in expectation if the members are draws from the distribution of the truth. But then
    the last member does not count if all others are equal to the truth; a below 1 removes this.
    """
    count = forecasts.shape[-4]
    error = jnp.abs(forecasts - truth[..., None, :, :, :]).mean(axis=-4)
    pairs = [jnp.abs(jnp.roll(forecasts, shift, axis=-4) - forecasts).mean(axis=-4) for shift in range(1, count)]
    spread = (1 - (1 - FAIRNESS) / count) / (2 * (count - 1)) * sum(pairs[1:], pairs[0])
    return jnp.mean(area_weights * (error - spread) / scale, axis=(-2, -1))
