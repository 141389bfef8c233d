"""Many steps of a forecaster in one compiled loop."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pinnwx.model.forecaster import Forecaster


def rollout(
    model: Forecaster,
    fields: Float[Array, "batch field lat lon"],
    times: Float[Array, "steps batch 5"],
    *,
    remember: bool = True,
    unroll: bool = False,
) -> Float[Array, "steps batch field lat lon"]:
    """The forecasts after 1, 2, ... steps; `times` describes the middle of each step.

    With `remember=False` the backward pass computes each step anew instead of storing it: memory grows with the
    fields, not with the network. `unroll` is for training: XLA computes the gradient of a convolution ten times slower
    inside a loop than outside (CPU, jaxlib 0.10).
    """

    def step(carry, time):
        carry = model.advance(carry, time)
        return carry, model.observe(carry, time)

    step = step if remember else jax.checkpoint(step)
    carry = model.start(fields, times[0])
    if not unroll:
        return jax.lax.scan(step, carry, times)[1]
    forecasts = []
    for time in times:
        carry, forecast = step(carry, time)
        forecasts.append(forecast)
    return jnp.stack(forecasts)
