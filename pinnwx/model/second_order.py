"""The ClimODE-like model: every field is carried by a velocity that obeys a learned second-order equation.

    du_k/dt = -div(v_k u_k),    dv_k/dt = f(u, grad u, v, time, place),    X_k = u_k + e_k(u, time, place)

after Verma, Heinonen and Garg, "ClimODE" (ICLR 2024), equations 1 to 6, without the Gaussian spread. Other than in
the published code: the divergence has the sphere's metric and closed poles, the fields are scaled with training
data only, season and hour come from real datetimes, the first velocity is predicted from the first analyses in one
pass of a network instead of being fitted to each sample, and the velocity is bounded.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pinnwx.config import ClosureSettings, ModelSettings
from pinnwx.constants import SECONDS_PER_HOUR
from pinnwx.errors import UsageError
from pinnwx.model.bounds import Bounds
from pinnwx.model.closures import ResidualClosure
from pinnwx.model.closures.channels import ChannelGroup
from pinnwx.model.features import FeatureSpec, channels_first, channels_last, wind_specs
from pinnwx.model.inputs import TYPICAL_WIND, Inputs
from pinnwx.model.interface import Analyses, Fields, LearnedFields, TendencyTerms, Time
from pinnwx.model.views import MultiViewNetwork, View, Views
from pinnwx.operators.advection import face_velocity, flux_divergence
from pinnwx.operators.polar import close_group_faces, zonal_group_mean, zonal_groups
from pinnwx.operators.stability import limit_outflow
from pinnwx.physics.integrate import integrate
from pinnwx.physics.transport import SMALLEST_SPACING

# Standard deviations between 0 and 1 of a scaled field: flux form carries the offset too, so fields are made positive.
_SPAN = 8.0
_ACCELERATION_HOURS = 6.0  # a unit of network output changes the velocity by TYPICAL_WIND in this time


class FieldsAndVelocity(NamedTuple):
    """The carried state; fields are scaled to about 0 to 1."""

    fields: Fields
    velocity: Float[Array, "batch component lat lon"]


class SecondOrderForecaster(nnx.Module):
    """See the module; the network is evaluated in every sub-step, as published."""

    has_lateral_boundary = False

    def __init__(self, inputs: Inputs, settings: ModelSettings, *, rngs: nnx.Rngs):
        self.inputs, self.settings, self.input_times = inputs, settings, settings.input_times
        self.bounds = Bounds.of(inputs.forecast_bounds)
        self.interval = settings.step_hours * SECONDS_PER_HOUR
        self.groups = zonal_groups(inputs.grid, SMALLEST_SPACING * inputs.grid.meridional_spacing)
        closure = settings.closure
        self.views = Views.of(
            inputs.grid, hemispheric_symmetry=closure.hemispheric_symmetry, patch_size=closure.patch_size
        )
        shallow, velocity = closure.model_copy(update={"blocks": 1}), wind_specs(inputs.names)

        def network(
            features: tuple[FeatureSpec, ...], outputs: tuple[FeatureSpec, ...], size: ClosureSettings
        ) -> MultiViewNetwork:
            own = ResidualClosure(inputs.grid, features, outputs, size, rngs=rngs)
            return MultiViewNetwork(own, self.views, features, outputs)

        self.first_velocity = network(inputs.features + inputs.change_specs(self.input_times), velocity, shallow)
        self.acceleration = network(inputs.features + velocity, velocity, closure)
        self.emission = network(inputs.features, inputs.fields, shallow)

    def channel_groups(self) -> list[ChannelGroup]:
        raise UsageError('only models of kind = "transport" can be pruned')

    def start(self, analyses: Analyses, time: Time, view: View | None = None) -> FieldsAndVelocity:
        fields = analyses[:, -1]
        seen = jnp.concatenate([self.inputs(fields, time), self.inputs.changes(analyses)], axis=-1)
        velocity = channels_first(self.first_velocity(seen, view)) * TYPICAL_WIND
        return FieldsAndVelocity(self.inputs.standardised(fields) / _SPAN + 0.5, velocity)

    def to_fields(self, carry: FieldsAndVelocity, time: Time, view: View | None = None) -> Fields:
        fields = self._physical(carry.fields)
        seen = fields + self.inputs.std[...] * channels_first(self.emission(self.inputs(fields, time), view))
        return seen if self.bounds is None else self.bounds(seen)

    def advance(
        self,
        carry: FieldsAndVelocity,
        time: Time,
        view: View | None = None,
        lateral_boundary: Fields | None = None,  # noqa: ARG002
    ) -> FieldsAndVelocity:
        for _ in range(self.settings.physics.substeps):
            carry = self._substep(carry, time, view)
        return carry

    def tendency_terms(
        self, carry: FieldsAndVelocity, time: Time, view: View | None = None, lateral_boundary: Fields | None = None
    ) -> TendencyTerms:
        after = self.advance(carry, time, view, lateral_boundary)
        moved = self._physical(after.fields) - self._physical(carry.fields)
        change = self.to_fields(after, time, view) - self.to_fields(carry, time, view)
        return {"advection_by_learned_wind": moved, "network": change - moved}

    def learned_fields(
        self,
        carry: FieldsAndVelocity,
        time: Time,  # noqa: ARG002
        view: View | None = None,  # noqa: ARG002
        lateral_boundary: Fields | None = None,  # noqa: ARG002
    ) -> LearnedFields:
        winds = self._bounded(carry.velocity)
        names = [f"{field}_learned_{way}_wind" for field in self.inputs.names for way in ("eastward", "northward")]
        return {name: winds[:, place] for place, name in enumerate(names)}

    def _substep(self, carry: FieldsAndVelocity, time: Time, view: View | None) -> FieldsAndVelocity:
        """The velocity by one Euler step (as published), then the fields in that velocity."""
        physics, grid = self.settings.physics, self.inputs.grid
        seconds = self.interval / physics.substeps
        features = self.inputs(self._physical(carry.fields), time)
        seen = jnp.concatenate([features, channels_last(carry.velocity) / TYPICAL_WIND], axis=-1)
        push = channels_first(self.acceleration(seen, view)) * TYPICAL_WIND / (_ACCELERATION_HOURS * SECONDS_PER_HOUR)
        velocity = carry.velocity + seconds * push

        winds = self._bounded(velocity)
        faces = close_group_faces(face_velocity(winds[:, 0::2], winds[:, 1::2], grid), grid, self.groups)
        faces = limit_outflow(faces, grid, seconds, physics.courant_limit, self.groups)
        before = zonal_group_mean(carry.fields, grid, self.groups)
        after = integrate(
            lambda fields, wind: flux_divergence(fields, wind, grid, "upwind3", groups=self.groups),
            before, seconds, 1, physics.solver, faces, physics.adjoint,
        )  # fmt: skip
        return FieldsAndVelocity(carry.fields + after - before, velocity)

    def _bounded(self, velocity: Array) -> Array:
        limit = self.settings.closure.maximum_learned_wind
        return limit * jnp.tanh(velocity / limit)

    def _physical(self, scaled: Fields) -> Fields:
        return (scaled - 0.5) * _SPAN * self.inputs.std[...] + self.inputs.mean[...]
