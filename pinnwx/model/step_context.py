"""What a step of a forecaster depends on besides the carried state."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Array, Float

from pinnwx.model.transported_fields import Transported
from pinnwx.model.views import View
from pinnwx.time_features import TimeFeatures


class StepContext(NamedTuple):
    """The arguments of one step; a pytree.

    Attributes:
        time: the middle of the step, arrays (batch,).
        view: in which the networks see the fields; None for the mean of both hemispheres' views (`model.views`).
        lateral_boundary: fields of a larger area at the end of the step, of which a model with a lateral boundary
            reads the outer cells; None for any other model.
        transported: what transport makes of the last two analyses that a forecast of one step starts from (of the only
            one where there is one), where it was computed before; arrays (batch, input, ...).
        perturbation: a model error that is added to the fields at the end of the step; None for none. Bounds and
            conservation still hold.
        noise: features of a member of an ensemble (`model.noise`); None for a single forecast.
    """

    time: TimeFeatures
    view: View | None = None
    lateral_boundary: Float[Array, "batch field lat lon"] | None = None
    transported: Transported | None = None
    perturbation: Float[Array, "batch field lat lon"] | None = None
    noise: Float[Array, "batch lat lon channel"] | None = None
