"""The ClimODE-like model: a velocity with a learned second-order equation transports each field.

    du_k/dt = -div(v_k u_k),    dv_k/dt = f(u, grad u, v, time, place),    X_k = u_k + e_k(u, time, place)

after Verma, Heinonen and Garg, "ClimODE" (ICLR 2024), equations 1 to 6, without the Gaussian spread. It differs from
the published code in five points. The divergence has the metric of the sphere and closed poles. The fields are scaled
with training data only. Season and hour come from real datetimes. A network predicts the first velocity from the first
analyses in one pass, instead of a fit to each sample. The velocity is bounded.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pinnwx.config import ModelSettings
from pinnwx.constants import SECONDS_PER_HOUR
from pinnwx.errors import UsageError
from pinnwx.model.bounds import Bounds
from pinnwx.model.closures.channels import ChannelGroup
from pinnwx.model.features import channels_first, channels_last
from pinnwx.model.inputs import TYPICAL_WIND, Inputs
from pinnwx.model.interface import Analyses, ExplainedStep, Fields
from pinnwx.model.noise import Noise
from pinnwx.model.step_context import StepContext
from pinnwx.model.views import MultiViewNetwork, Views
from pinnwx.operators.advection import face_velocity, flux_divergence
from pinnwx.operators.polar import close_group_faces, zonal_group_mean, zonal_groups
from pinnwx.operators.stability import limit_outflow
from pinnwx.physics.integrate import integrate
from pinnwx.physics.transport import SMALLEST_SPACING

# Standard deviations between 0 and 1 of a scaled field: flux form transports the offset too, so fields are positive.
_SPAN = 8.0
_ACCELERATION_HOURS = 6.0  # a unit of network output changes the velocity by TYPICAL_WIND in this time


class FieldsAndVelocity(NamedTuple):
    """The carried state; fields are scaled to about 0 to 1."""

    fields: Fields
    velocity: Float[Array, "batch component lat lon"]


class SecondOrderForecaster(nnx.Module):
    """See the module. The network is evaluated in every sub-step, as published."""

    has_lateral_boundary = False
    noise: Noise | None = None

    def __init__(
        self,
        inputs: Inputs,
        settings: ModelSettings,
        views: Views,
        first_velocity: MultiViewNetwork,
        acceleration: MultiViewNetwork,
        emission: MultiViewNetwork,
    ):
        self.inputs, self.input_times = inputs, settings.input_times
        self.substeps, self.courant_limit = settings.physics.number_of_substeps, settings.physics.courant_limit
        self.solver, self.adjoint = settings.physics.solver, settings.physics.adjoint
        self.maximum_wind = settings.closure.maximum_learned_wind
        self.bounds = Bounds.of(inputs.forecast_bounds)
        self.interval = settings.step_hours * SECONDS_PER_HOUR
        self.groups = zonal_groups(inputs.grid, SMALLEST_SPACING * inputs.grid.meridional_spacing)
        self.views = views
        self.first_velocity, self.acceleration, self.emission = first_velocity, acceleration, emission

    def channel_groups(self) -> list[ChannelGroup]:
        raise UsageError('only models of kind = "transport" can be pruned')

    def start(self, analyses: Analyses, context: StepContext) -> FieldsAndVelocity:
        fields = analyses[:, -1]
        features = jnp.concatenate([self.inputs(fields, context.time), self.inputs.changes(analyses)], axis=-1)
        velocity = channels_first(self.first_velocity(features, context.view)) * TYPICAL_WIND
        return FieldsAndVelocity(self.inputs.standardised(fields) / _SPAN + 0.5, velocity)

    def to_fields(self, carry: FieldsAndVelocity, context: StepContext) -> Fields:
        fields = self._physical(carry.fields)
        emission = channels_first(self.emission(self.inputs(fields, context.time), context.view))
        observed = fields + self.inputs.std[...] * emission
        return observed if self.bounds is None else self.bounds(observed)

    def advance(self, carry: FieldsAndVelocity, context: StepContext) -> FieldsAndVelocity:
        for _ in range(self.substeps):
            carry = self._substep(carry, context)
        if context.perturbation is None:
            return carry
        return carry._replace(fields=carry.fields + context.perturbation / (_SPAN * self.inputs.std[...]))

    def explain(self, carry: FieldsAndVelocity, context: StepContext) -> ExplainedStep:
        after = self.advance(carry, context)
        advected = self._physical(after.fields) - self._physical(carry.fields)
        change = self.to_fields(after, context) - self.to_fields(carry, context)
        winds = self._bounded(carry.velocity)
        names = [f"{field}_learned_{way}_wind" for field in self.inputs.names for way in ("eastward", "northward")]
        learned = {name: winds[:, place] for place, name in enumerate(names)}
        return ExplainedStep(after, {"advection_by_learned_wind": advected, "network": change - advected}, learned)

    def _substep(self, carry: FieldsAndVelocity, context: StepContext) -> FieldsAndVelocity:
        """The velocity by one Euler step (as published), then the fields in that velocity."""
        grid = self.inputs.grid
        seconds = self.interval / self.substeps
        features = self.inputs(self._physical(carry.fields), context.time)
        features = jnp.concatenate([features, channels_last(carry.velocity) / TYPICAL_WIND], axis=-1)
        output = channels_first(self.acceleration(features, context.view))
        velocity = carry.velocity + seconds * (output * TYPICAL_WIND / (_ACCELERATION_HOURS * SECONDS_PER_HOUR))

        winds = self._bounded(velocity)
        faces = close_group_faces(face_velocity(winds[:, 0::2], winds[:, 1::2], grid), grid, self.groups)
        faces = limit_outflow(faces, grid, seconds, self.courant_limit, self.groups)
        before = zonal_group_mean(carry.fields, grid, self.groups)
        after = integrate(
            lambda fields, wind: flux_divergence(fields, wind, grid, "upwind3", groups=self.groups),
            before, seconds, 1, self.solver, faces, self.adjoint,
        )  # fmt: skip
        return FieldsAndVelocity(carry.fields + after - before, velocity)

    def _bounded(self, velocity: Array) -> Array:
        limit = self.maximum_wind
        return limit * jnp.tanh(velocity / limit)

    def _physical(self, scaled: Fields) -> Fields:
        return (scaled - 0.5) * _SPAN * self.inputs.std[...] + self.inputs.mean[...]
