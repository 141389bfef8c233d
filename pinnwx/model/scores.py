"""Array-level scores, differentiable: what training minimises."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def weighted_square_error(
    forecast: Float[Array, "*batch field lat lon"],
    truth: Float[Array, "*batch field lat lon"],
    scale: Float[Array, "field 1 1"],
    area_weights: Float[Array, "lat 1"],
) -> Float[Array, "*batch field"]:
    """Area mean of ((forecast - truth) / scale)^2 of each field."""
    return jnp.mean(area_weights * ((forecast - truth) / scale) ** 2, axis=(-2, -1))
