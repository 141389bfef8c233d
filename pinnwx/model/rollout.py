"""Many steps of a forecaster in one compiled loop."""

from __future__ import annotations

import jax
from jaxtyping import Array, Float

from pinnwx.model.interface import Forecaster
from pinnwx.model.step_context import StepContext
from pinnwx.model.transported_fields import Transported
from pinnwx.model.views import View
from pinnwx.time_features import TimeFeatures


def rollout(
    model: Forecaster,
    analyses: Float[Array, "batch input field lat lon"],
    times: TimeFeatures,
    view: View | None = None,
    lateral_boundary: Float[Array, "steps batch field lat lon"] | None = None,
    *,
    transported: Transported | None = None,
    remember: bool = True,
) -> Float[Array, "steps batch field lat lon"]:
    """The forecasts after 1, 2, ... steps.

    Args:
        model: the forecaster.
        analyses: `model.input_times` of them, one step apart, the latest last.
        times: the middle of each step, arrays (steps, batch).
        view: in which the networks see the fields, the same for all steps; None for the mean of both hemispheres'
            views (`model.views`).
        lateral_boundary: fields at the end of every step, for a model with a lateral boundary. Only their outer cells
            are read.
        transported: of the last two analyses, by transport that was computed before. Only for one step.
        remember: False computes each step again in the backward pass instead of storing it: memory grows with the
            fields, not with the network.
    """

    def step(carry, arguments):
        time, boundary = arguments
        context = StepContext(time, view, boundary, transported)
        carry = model.advance(carry, context)
        return carry, model.to_fields(carry, context)

    start = model.start(analyses, StepContext(times.select(0), view, transported=transported))
    return jax.lax.scan(step if remember else jax.checkpoint(step), start, (times, lateral_boundary))[1]
