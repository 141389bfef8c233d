"""The forecaster: the wind transports the fields, then the closure adds its source.

Over one coupling interval

    X(t + dt) = X + gate * transport(X; v, kappa) + S,    v = v_physics(X) + v_network(X)

`transport` is the increment of the named terms (`model.coupling_transport`). The gate, between 0 and 2, and the source
S are fields from the closure. Its features are X, the changes over the steps before (where `input_times` is above 1)
and the transport increment, all in one view (`model.views`). Its output is polar-filtered.
Where vorticity is transported, the increments of wind and geopotential follow from it (`model.transported_fields`). A
conserved field has the gate 1 and no source. A step has one or more such intervals (`physics.coupling_steps`). At its
end come the corrections towards climatology (`model.climate`), the lateral boundary conditions of a regional model
(`model.lateral_boundary`) and the bounds of the variables (`model.bounds`). Physics alone and network alone are the
same model with the other part switched off. `model.build` builds the parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from pinnwx.config import ModelSettings
from pinnwx.errors import UsageError
from pinnwx.model.bounds import Bounds
from pinnwx.model.climate import Climate
from pinnwx.model.closures.channels import ChannelGroup
from pinnwx.model.coupling_transport import CouplingTransport, Forcing, LearnedWinds
from pinnwx.model.features import channels_first, channels_last
from pinnwx.model.inputs import TYPICAL_WIND, Fixed, Inputs
from pinnwx.model.interface import Analyses, ExplainedStep, Fields, LearnedFields
from pinnwx.model.lateral_boundary import LateralBoundary
from pinnwx.model.step_context import StepContext
from pinnwx.model.transported_fields import Transported
from pinnwx.model.views import MultiViewNetwork, View, Views
from pinnwx.operators.polar import polar_filter
from pinnwx.physics.terms import Diffusion
from pinnwx.physics.transport import SMALLEST_SPACING, Surroundings
from pinnwx.physics.velocity import stacked_winds
from pinnwx.time_features import TimeFeatures

Features = Float[Array, "batch lat lon feature"]


class Networks(NamedTuple):
    """The networks of a model, and the views that they share."""

    views: Views
    closure: MultiViewNetwork | None
    wind_network: MultiViewNetwork | None


class Step(NamedTuple):
    """One interval.

    Attributes:
        fields: after it.
        source: that the closure adds to them.
        gate: of each field that transport changes; empty without equations.
        features: of the closure.
        forcing: of the transport.
    """

    fields: Fields
    source: Fields
    gate: Array
    features: Features
    forcing: Forcing


class TransportForecaster(nnx.Module):
    """Physics and closure in one step; the carried state is the fields at the last `input_times` times."""

    def __init__(
        self,
        inputs: Inputs,
        settings: ModelSettings,
        transport: CouplingTransport,
        networks: Networks,
        *,
        climate: Climate | None = None,
        lateral_boundary: LateralBoundary | None = None,
        static: Mapping[str, np.ndarray] | None = None,
    ):
        """
        Args:
            inputs: constants of the model, and its features.
            settings: of the step.
            transport: of the fields over a coupling interval.
            networks: the closure and the network of the learned winds.
            climate: corrections towards climatology.
            lateral_boundary: of a regional model.
            static: static fields that terms of the equation read.
        """
        physics = settings.physics
        self.inputs, self.input_times, self.climate = inputs, settings.input_times, climate
        self.lateral_boundary, self.has_lateral_boundary = lateral_boundary, lateral_boundary is not None
        self.transport, self.transported, self.solver = transport, transport.transported, transport.solver
        self.coupling_steps, self.backpropagate = physics.coupling_steps, physics.backpropagate
        self.adds, self.shows = physics.increment_use != "shown", physics.increment_use != "added"
        self.bounds = Bounds.of(inputs.forecast_bounds, exempt=self.transported.conserved)
        arrays = {name: Fixed.of(values) for name, values in (static or {}).items()}
        self.static = nnx.Dict(arrays)
        count = len(self.solver.equations)
        self.gate = nnx.Param(jnp.zeros((len(self.transported.updated), 1, 1))) if count else None
        self.raw_diffusivity = nnx.Param(jnp.zeros(count)) if physics.learned_diffusivity else None
        self.views, self.closure, self.wind_network = networks

    def channel_groups(self) -> list[ChannelGroup]:
        if self.closure is None:
            raise UsageError("model.closure.enabled = false: the model has no network, there is nothing to prune")
        return [group.below("closure/network") for group in self.closure.network.channel_groups()]

    def diffusivity(self) -> Float[Array, " field"]:
        """kappa >= 0 of each transported field [m2 s-1]. The learned part starts near 7 % of the stable limit."""
        prescribed = jnp.asarray([e.diffusivity for e in self.solver.equations], jnp.float32)
        if self.raw_diffusivity is None:
            return prescribed
        return prescribed + 0.1 * self.solver.largest_diffusivity * jax.nn.softplus(self.raw_diffusivity[...])

    def _learned_winds(self, features: Features, view: View | None) -> Float[Array, "batch learned lat lon 2"] | None:
        """The learned winds [m s-1]; None without any."""
        if self.wind_network is None:
            return None
        velocity = channels_first(self.wind_network(features, view))
        components = {spec.name: velocity[..., row, :, :] for row, spec in enumerate(self.wind_network.outputs)}
        winds = [one.learned_wind for one in self.solver.equations if one.learned_wind is not None]
        return stacked_winds(winds, components, self.inputs.grid)

    def transport_of(self, fields: Fields, time: TimeFeatures) -> Transported:
        """What transport by physical winds makes of the fields in the step with this middle."""
        return self.transport(fields, self._forcing(None, time))

    def start(self, analyses: Analyses, context: StepContext) -> Analyses:  # noqa: ARG002
        return analyses

    def to_fields(self, carry: Analyses, context: StepContext) -> Fields:  # noqa: ARG002
        return carry[:, -1]

    def advance(self, carry: Analyses, context: StepContext) -> Analyses:
        fields = carry[:, -1]
        for _ in range(self.coupling_steps):
            fields = self._step(fields, carry, context).fields
        for _, corrected in self._corrected(fields, carry, context):
            fields = corrected
        return _carried(carry, fields)

    def explain(self, carry: Analyses, context: StepContext) -> ExplainedStep:
        fields = carry[:, -1]
        terms: dict[str, Array] = {}
        steps: list[Step] = []
        for _ in range(self.coupling_steps):
            step = self._step(fields, carry, context)
            steps.append(step)
            for name, increment in self._increments(fields, step).items():
                terms[name] = terms.get(name, 0.0) + increment
            fields = step.fields
        for name, corrected in self._corrected(fields, carry, context):
            terms[name] = corrected - fields
            fields = corrected
        return ExplainedStep(_carried(carry, fields), terms, self._learned_fields(steps[0]))

    def _learned_fields(self, step: Step) -> LearnedFields:
        equations, shape = self.solver.equations, step.fields[:, 0].shape
        learned: dict[str, Array] = {}
        if step.forcing.learned is not None:
            for place, index in enumerate(self.transported.learned):
                for component, name in enumerate(("eastward", "northward")):
                    wind = step.forcing.learned[:, place, ..., component]
                    learned[f"{equations[index].field}_learned_{name}_wind"] = wind
        if Diffusion.name in self.solver.right_hand_side.names:
            used = jnp.minimum(step.forcing.diffusivity, self.solver.largest_diffusivity)
            for equation, kappa in zip(equations, used, strict=True):
                learned[f"{equation.field}_diffusivity"] = jnp.broadcast_to(kappa, shape)
        for place, index in enumerate(self.transported.updated if equations else ()):
            gate = step.gate[..., place, :, :]
            learned[f"{self.inputs.names[index]}_gate"] = jnp.broadcast_to(gate, shape)
        use = None if self.closure is None else self.closure.network.expert_use(step.features)
        if use is not None:
            learned |= {f"expert_{number}_use": use[..., number] for number in range(use.shape[-1])}
        return learned

    def _increments(self, fields: Fields, step: Step) -> dict[str, Fields]:
        """The increment of the fields by each term over an interval."""
        if not self.solver.equations:
            return {"network": step.source}
        increments = self.transport.increments(fields, step.forcing)
        parts = {name: self.transported.scatter_to_state(step.gate * part) for name, part in increments.items()}
        return parts | ({"network": step.source} if self.closure is not None else {})

    def _corrected(self, fields: Fields, carry: Analyses, context: StepContext) -> Iterator[tuple[str, Fields]]:
        """The fields after each correction: towards climatology, at the lateral boundary, to the bounds; by name."""
        if self.climate is not None:
            fields = self.climate(fields, carry[:, -1], context.time)
            yield "climate", fields
        if self.lateral_boundary is not None and context.lateral_boundary is not None:
            fields = self.lateral_boundary.imposed(fields, context.lateral_boundary)
            yield "boundary", fields
        if self.bounds is not None:
            yield "bounds", self.bounds(fields)

    def _features(self, fields: Fields, carry: Analyses, context: StepContext) -> Features:
        """The features of the fields, of the analyses before them, and of the coming change at the lateral boundary."""
        if self.has_lateral_boundary and context.lateral_boundary is None:
            raise UsageError("a model with a lateral boundary needs the lateral boundary fields of every step")
        features = [self.inputs(fields, context.time), self.inputs.changes(carry)]
        if self.lateral_boundary is not None and context.lateral_boundary is not None:
            change = self.lateral_boundary.extended(context.lateral_boundary - fields)
            features.append(channels_last(change / self.inputs.increment_std[...]))
        return jnp.concatenate(features, axis=-1)

    def _step(self, fields: Fields, carry: Analyses, context: StepContext) -> Step:
        """One interval."""
        features = self._features(fields, carry, context)
        forcing = self._forcing(self._learned_winds(features, context.view), context.time)
        if not self.solver.equations:
            source, gate = self._sources(features, context.view)
            return Step(fields + source, jnp.broadcast_to(source, fields.shape), gate, features, forcing)
        conserved, change, winds = self._transported(fields, forcing, context)
        if self.shows:
            features = jnp.concatenate([features, *self._shown(change, winds)], axis=-1)
        source, gate = self._sources(features, context.view)
        result = fields + source + self.transported.scatter_to_state(gate * change)
        source = jnp.broadcast_to(source, fields.shape)
        if self.transported.conserved:  # no gate, no source
            result = self.transported.with_conserved(result, conserved)
            source = source.at[:, np.array(self.transported.conserved)].set(0.0)
        return Step(result, source, gate, features, forcing)

    def _shown(self, change: Array, winds: Array) -> list[Features]:
        """The features of the closure that transport gives."""
        scaled = change * self.coupling_steps / self.inputs.increment_std[...][np.array(self.transported.updated)]
        return [channels_last(scaled), *(jnp.moveaxis(winds, 1, 0) / TYPICAL_WIND)]

    def _transported(self, fields: Fields, forcing: Forcing, context: StepContext) -> Transported:
        """What transport makes of the fields."""
        if context.transported is not None:
            return context.transported
        return self.transport(fields if self.backpropagate else jax.lax.stop_gradient(fields), forcing)

    def _forcing(self, learned: LearnedWinds | None, time: TimeFeatures) -> Forcing:
        return Forcing(learned, self.diffusivity(), lambda fields: self._surroundings(fields, time))

    def _surroundings(self, fields: Fields, time: TimeFeatures) -> Surroundings:
        """The time, and the fields that the terms name as their inputs."""
        named = self.inputs.named(fields)  # by name: nnx.capture adds an entry of its own to `self.static`
        inputs = self.solver.right_hand_side.inputs
        return Surroundings(time, {name: named[name] if name in named else self.static[name][...] for name in inputs})

    def _sources(self, features: Features, view: View | None) -> tuple[Array, Array]:
        """The source S of each field over the interval, and the gate of each updated field."""
        grid = self.inputs.grid
        gate = jnp.zeros((0, 1, 1)) if self.gate is None else self.gate[...]
        if self.closure is None:
            return jnp.zeros(()), self._opened(gate)
        output = channels_first(self.closure(features, view))
        output = polar_filter(output, grid, SMALLEST_SPACING * grid.meridional_spacing)
        count = len(self.inputs.names)
        gate = self._opened(gate + output[:, count:] if self.adds else gate)
        return self.inputs.increment_std[...] / self.coupling_steps * output[:, :count], gate

    def _opened(self, gate: Array) -> Array:
        """The gates: 1 for a field that has none, 0 where transport is only shown to the closure."""
        gated = np.array(self.transported.gated)[:, None, None]
        return jnp.where(gated, 2 * jax.nn.sigmoid(gate), 1.0) if self.adds else jnp.zeros_like(gate)


def _carried(carry: Analyses, fields: Fields) -> Analyses:
    """The carried state with the newest fields, without the oldest."""
    return jnp.concatenate([carry[:, 1:], fields[:, None]], axis=1)
