"""Restoring the area integral of a field, within bounds: the clip-and-assured-sum fixer."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from pinnwx.grid import Grid
from pinnwx.operators.stencils import constant


def clip_and_assured_sum(
    field: Float[Array, "*batch lat lon"],
    reference: Float[Array, "*batch lat lon"],
    lower: Float[Array, "*#batch #lat #lon"],
    upper: Float[Array, "*#batch #lat #lon"],
    grid: Grid,
) -> Float[Array, "*batch lat lon"]:
    """The field, changed to have the area integral of the reference, within the bounds.

    With m the missing integral, each cell gets the same share of the room that it has up to its bound:

        q + s (upper - q) if m > 0, q - s (q - lower) otherwise,   s = |m| / (integral of the room), at most 1.

    The result lies within the bounds, for any input. If the bounds allow the integral of the reference (s <= 1), it has
    that integral to round-off. Where both bounds equal the value, nothing changes: a tracer appears in no place where
    its surroundings have none.

    Source: Bradley, Bosler, Guba, Taylor and Barnett (2019), SIAM J. Sci. Comput. 41, C161-C193 (CAAS).
    """
    field = jnp.clip(field, lower, upper)
    weights = constant(grid.area_weights, field)

    def mean(values):
        return jnp.mean(values * weights, axis=(-2, -1), keepdims=True)

    # The mean of a difference, because the difference of two means has the rounding of the means.
    missing = mean(reference - field)
    room = jnp.where(missing > 0, upper - field, lower - field)
    whole = mean(room)
    share = jnp.where(whole != 0, missing / jnp.where(whole != 0, whole, 1), 0)
    return jnp.clip(field + jnp.minimum(share, 1) * room, lower, upper)
