"""Many steps of a forecaster in one compiled loop."""

from __future__ import annotations

import jax
from jaxtyping import Array, Float

from pinnwx.model.interface import Forecaster
from pinnwx.model.views import View


def rollout(
    model: Forecaster,
    analyses: Float[Array, "batch input field lat lon"],
    times: Float[Array, "steps batch 5"],
    view: View | None = None,
    lateral_boundary: Float[Array, "steps batch field lat lon"] | None = None,
    *,
    remember: bool = True,
) -> Float[Array, "steps batch field lat lon"]:
    """The forecasts after 1, 2, ... steps; `times` describes the middle of each step.

    `analyses` are as many as the model looks at (`model.input_times`), a step apart, the latest last.
    A model with a lateral boundary (`model.lateral_boundary`) needs the `lateral_boundary` fields at the end of every
    step; only their edge is read. The networks look through one `view`, or take the mean of both hemispheres' views
    (`model.views`). With `remember=False` the backward pass computes each step anew instead of storing it: memory grows
    with the fields, not with the network.
    """

    def step(carry, given):
        time, boundary = given
        carry = model.advance(carry, time, view, boundary)
        return carry, model.to_fields(carry, time, view)

    start = model.start(analyses, times[0], view)
    return jax.lax.scan(step if remember else jax.checkpoint(step), start, (times, lateral_boundary))[1]
