"""Bounds of the variables: no forecast holds negative humidity or rain, or a fraction above one.

The output of a network is unbounded. Where the variable has bounds (`Variable.forecast_bounds`), every step ends with

    X <- min(max(X, low), high)

so a forecast is within them for any weights. In training the derivative of this is one (a straight-through estimator;
Bengio et al. 2013, https://arxiv.org/abs/1308.3432). The true derivative is zero outside the bounds: a network that
forecasts negative rain would have no gradient towards rain.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from pinnwx.model.inputs import Fixed


class Bounds(nnx.Module):
    """The lower and upper bound of each field, in its units; infinite where it has none."""

    def __init__(self, bounds: Sequence[tuple[float, float]]):
        self.limits = Fixed.of(np.transpose(bounds)[:, :, None, None])

    @classmethod
    def of(cls, bounds: Sequence[tuple[float, float]], exempt: Sequence[int] = ()) -> Bounds | None:
        """The bounds, or None where no field has any.

        The fields at the positions `exempt` are excluded: transport preserves the sign of a conserved field, and a
        bound would change its integral.
        """
        pairs = [(-np.inf, np.inf) if place in exempt else pair for place, pair in enumerate(bounds)]
        return None if np.isinf(pairs).all() else cls(pairs)

    def __call__(self, fields: Float[Array, "*batch field lat lon"]) -> Float[Array, "*batch field lat lon"]:
        """The fields within their bounds; NaN stays NaN."""
        return _within(fields, *self.limits[...])


@jax.custom_jvp
def _within(fields: Array, low: Array, high: Array) -> Array:
    return jnp.clip(fields, low, high)


@_within.defjvp
def _straight_through(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    return _within(*primals), tangents[0]
