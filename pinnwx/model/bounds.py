"""Values that no forecast may hold: negative humidity or rain, more than the whole of a fraction.

A network's output has no bounds. Where the variable has some (`Variable.forecast_bounds`), every step ends with

    X <- min(max(X, low), high)

so a forecast keeps them at any weights. In training the derivative of this is taken as one (a straight-through
estimator; Bengio et al. 2013, https://arxiv.org/abs/1308.3432): with the true one, zero outside the bounds, nothing
would tell the network that it rains where it forecasts less than nothing.
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
    """(low, high) of each field, in its units; infinite where it has none."""

    def __init__(self, bounds: Sequence[tuple[float, float]]):
        self.limits = Fixed(jnp.asarray(np.transpose(bounds)[:, :, None, None], jnp.float32))

    @classmethod
    def of(cls, bounds: Sequence[tuple[float, float]], exempt: Sequence[int] = ()) -> Bounds | None:
        """None where no field has bounds.

        The fields in the places `exempt` are left alone: transport keeps the sign of a conserved field by itself, and a
        bound would change its integral.
        """
        kept = [(-np.inf, np.inf) if place in exempt else pair for place, pair in enumerate(bounds)]
        return None if np.isinf(kept).all() else cls(kept)

    def __call__(self, fields: Float[Array, "*batch field lat lon"]) -> Float[Array, "*batch field lat lon"]:
        """The fields within their bounds; NaN stays NaN."""
        return _within(fields, *self.limits[...])


@jax.custom_jvp
def _within(fields: Array, low: Array, high: Array) -> Array:
    return jnp.clip(fields, low, high)


@_within.defjvp
def _straight_through(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    return _within(*primals), tangents[0]
