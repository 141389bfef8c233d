"""Many steps of a forecaster in one compiled loop."""

from __future__ import annotations

from typing import NamedTuple

import jax
from jaxtyping import Array, Float, Int, Key

from pinnwx.model.interface import Forecaster
from pinnwx.model.step_context import StepContext
from pinnwx.model.transported_fields import Transported
from pinnwx.model.views import View
from pinnwx.time_features import TimeFeatures


class ErrorDraws(NamedTuple):
    """Model errors that perturb the steps of a forecast.

    Attributes:
        fields: a sample of errors.
        rows: which of them each step of each forecast gets.
        scale: of all errors.
    """

    fields: Float[Array, "error field lat lon"]
    rows: Int[Array, "steps batch"]
    scale: Float[Array, ""]


def rollout(
    model: Forecaster,
    analyses: Float[Array, "batch input field lat lon"],
    times: TimeFeatures,
    view: View | None = None,
    lateral_boundary: Float[Array, "steps batch field lat lon"] | None = None,
    *,
    transported: Transported | None = None,
    errors: ErrorDraws | None = None,
    noise: Key[Array, " batch"] | None = None,
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
        errors: that perturb every step; None for none.
        noise: the key of each forecast, for a model with noise; None for single forecasts.
        remember: False computes each step again in the backward pass instead of storing it: memory grows with the
            fields, not with the network.
    """

    def step(carry, arguments):
        time, boundary, rows, keys = arguments
        perturbation = None if errors is None else errors.scale * errors.fields[rows]
        drawn = None if keys is None or model.noise is None else model.noise(keys)
        context = StepContext(time, view, boundary, transported, perturbation, drawn)
        carry = model.advance(carry, context)
        return carry, model.to_fields(carry, context)

    start = model.start(analyses, StepContext(times.select(0), view, transported=transported))
    steps = len(times.solar_declination)
    keys = None if noise is None else jax.vmap(lambda key: jax.random.split(key, steps), out_axes=1)(noise)
    arguments = (times, lateral_boundary, None if errors is None else errors.rows, keys)
    return jax.lax.scan(step if remember else jax.checkpoint(step), start, arguments)[1]
