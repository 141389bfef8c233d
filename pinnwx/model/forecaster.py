"""The forecaster: the wind transports the fields, then the closure adds its source.

Over one coupling interval

    X(t + dt) = X + gate * transport(X; v, kappa) + error_gate * e + S,    v = v_physics(X) + v_network(X)

`transport` is the increment of the named terms (`model.coupling_transport`), and e the error that the equations made
over the step before (`model.equation_error`), where the settings use it. The gates, between 0 and 2, and the source S
are fields from the closure. Its features are X, the changes over the steps before (where `input_times` is above 1), the
transport increment and e, all in one view (`model.views`). The noise n of a member of an ensemble (`model.noise`) is a
feature of the closure or of the network of the learned winds, or adds M n to the logits of the gates, with a matrix M
that is zero at first. The output of the closure is polar-filtered.
Where vorticity is transported, the increments of wind and geopotential follow from it (`model.transported_fields`). A
conserved field has the gate 1 and no source. A step has one or more such intervals (`physics.coupling_steps`). At its
end come the perturbation of an ensemble member, the corrections towards climatology (`model.climate`), the lateral
boundary conditions of a regional model (`model.lateral_boundary`) and the bounds of the variables (`model.bounds`).
Physics alone and network alone are the same model with the other part switched off. `model.build` builds the parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from pinnwx.model.equation_error import EquationError
from pinnwx.model.features import channels_first, channels_last
from pinnwx.model.inputs import TYPICAL_WIND, Fixed, Inputs
from pinnwx.model.interface import Analyses, ExplainedStep, Fields, LearnedFields
from pinnwx.model.lateral_boundary import LateralBoundary
from pinnwx.model.noise import NOISE_GAIN, Noise
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


class Carry(NamedTuple):
    """The carried state.

    Attributes:
        analyses: the fields at the last `input_times` times.
        change: of the fields by transport over the step before; None where the error of the equations is not used.
    """

    analyses: Analyses
    change: Fields | None


class Step(NamedTuple):
    """One interval.

    Attributes:
        before: the fields at its start.
        fields: after it.
        change: by transport, of the fields that it changes; empty without equations.
        error: of the equations over the step before, of the fields where it is used; empty without any.
        source: that the closure adds to them.
        gate: of each field that transport changes, then of each whose error is used.
        features: of the closure.
        forcing: of the transport.
    """

    before: Fields
    fields: Fields
    change: Array
    error: Array
    source: Fields
    gate: Array
    features: Features
    forcing: Forcing


class TransportForecaster(nnx.Module):
    """Physics and closure in one step."""

    def __init__(
        self,
        inputs: Inputs,
        settings: ModelSettings,
        transport: CouplingTransport,
        networks: Networks,
        *,
        equation_error: EquationError | None = None,
        climate: Climate | None = None,
        lateral_boundary: LateralBoundary | None = None,
        noise: Noise | None = None,
        static: Mapping[str, np.ndarray] | None = None,
    ):
        """
        Args:
            inputs: constants of the model, and its features.
            settings: of the step.
            transport: of the fields over a coupling interval.
            networks: the closure and the network of the learned winds.
            equation_error: what becomes of the error of the equations; None where it is not used.
            climate: corrections towards climatology.
            lateral_boundary: of a regional model.
            noise: that the networks see.
            static: static fields that terms of the equation read.
        """
        physics = settings.physics
        self.inputs, self.input_times, self.climate, self.noise = inputs, settings.input_times, climate, noise
        self.lateral_boundary, self.has_lateral_boundary = lateral_boundary, lateral_boundary is not None
        self.transport, self.transported, self.solver = transport, transport.transported, transport.solver
        self.equation_error, self.step_hours = equation_error, settings.step_hours
        self.coupling_steps, self.backpropagate = physics.coupling_steps, physics.backpropagate
        self.adds, self.shows = physics.increment_use != "shown", physics.increment_use != "added"
        self.bounds = Bounds.of(inputs.forecast_bounds, exempt=self.transported.conserved)
        arrays = {name: Fixed.of(values) for name, values in (static or {}).items()}
        self.static = nnx.Dict(arrays)
        of_errors = (True,) * (0 if equation_error is None else len(equation_error.rows))
        self.gated = (*self.transported.gated, *of_errors)
        self.perturbed = tuple(row not in self.transported.conserved for row in range(len(inputs.names)))
        self.gate = nnx.Param(jnp.zeros((len(self.gated), 1, 1))) if self.gated else None
        acts_on = () if noise is None else noise.acts_on
        modulation = (len(self.gated), 0 if noise is None else noise.channels)
        self.modulation = nnx.Param(jnp.zeros(modulation)) if "gates" in acts_on else None
        self.noisy_closure, self.noisy_winds = "network" in acts_on, "winds" in acts_on
        self.raw_diffusivity = nnx.Param(jnp.zeros(len(self.solver.equations))) if physics.learned_diffusivity else None
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

    def start(self, analyses: Analyses, context: StepContext) -> Carry:
        if self.equation_error is None:
            return Carry(analyses, None)
        before = analyses[:, -2]
        if not self.solver.equations:
            return Carry(analyses, jnp.zeros_like(before))
        if context.transported is None:
            outcome = self.transport_of(before, context.time.earlier(self.step_hours))
        else:
            outcome = jax.tree.map(lambda values: values[:, -2], context.transported)
        return Carry(analyses, self.transported.scatter_to_state(outcome.change))

    def to_fields(self, carry: Carry, context: StepContext) -> Fields:  # noqa: ARG002
        return carry.analyses[:, -1]

    def advance(self, carry: Carry, context: StepContext) -> Carry:
        steps = self._intervals(carry, context)
        fields = steps[-1].fields
        for _, corrected in self._corrected(fields, carry.analyses, context):
            fields = corrected
        return self._next(carry, steps, fields)

    def explain(self, carry: Carry, context: StepContext) -> ExplainedStep:
        terms: dict[str, Array] = {}
        steps = self._intervals(carry, context)
        for step in steps:
            for name, increment in self._increments(step).items():
                terms[name] = terms.get(name, 0.0) + increment
        fields = steps[-1].fields
        for name, corrected in self._corrected(fields, carry.analyses, context):
            terms[name] = corrected - fields
            fields = corrected
        return ExplainedStep(self._next(carry, steps, fields), terms, self._learned_fields(steps[0]))

    def _intervals(self, carry: Carry, context: StepContext) -> list[Step]:
        """The coupling intervals of a step, one after another."""
        fields, errors = carry.analyses[:, -1], self._errors(carry)
        steps: list[Step] = []
        for _ in range(self.coupling_steps):
            steps.append(self._step(fields, carry.analyses, errors, context))
            fields = steps[-1].fields
        return steps

    def _errors(self, carry: Carry) -> tuple[Array, ...]:
        """The errors of the equations over the step before, (batch, used, lat, lon), in the order in which the closure
        sees them. The last one is added."""
        analyses, change = carry
        if self.equation_error is None or change is None:
            return ()
        before, newest = analyses[:, -2], analyses[:, -1]
        # An error of a forecast is part of e, so the gradient passes through the change of the fields.
        error = self.equation_error.of(before, newest, self._constant(change))
        if not self.equation_error.moves:
            return (error,)
        return error, self.equation_error.carried(error, self._constant(newest))

    def _next(self, carry: Carry, steps: Sequence[Step], fields: Fields) -> Carry:
        """The carried state with the newest fields, without the oldest."""
        analyses = jnp.concatenate([carry.analyses[:, 1:], fields[:, None]], axis=1)
        if self.equation_error is None:
            return Carry(analyses, None)
        if not self.solver.equations:
            return Carry(analyses, carry.change)
        return Carry(analyses, self.transported.scatter_to_state(steps[0].change))  # of the only interval

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
        gate, error_gate = self._split(step.gate)
        for place, index in enumerate(self.transported.updated):
            learned[f"{self.inputs.names[index]}_gate"] = jnp.broadcast_to(gate[..., place, :, :], shape)
        for place, index in enumerate(() if self.equation_error is None else self.equation_error.rows):
            learned[f"{self.inputs.names[index]}_error_gate"] = jnp.broadcast_to(error_gate[..., place, :, :], shape)
        use = None if self.closure is None else self.closure.network.expert_use(step.features)
        if use is not None:
            learned |= {f"expert_{number}_use": use[..., number] for number in range(use.shape[-1])}
        return learned

    def _increments(self, step: Step) -> dict[str, Fields]:
        """The increment of the fields by each term over an interval."""
        parts: dict[str, Fields] = {}
        gate, error_gate = self._split(step.gate)
        if self.solver.equations:
            increments = self.transport.increments(step.before, step.forcing)
            parts = {name: self.transported.scatter_to_state(gate * part) for name, part in increments.items()}
        if self.equation_error is not None:
            parts["equation_error"] = self.equation_error.scatter_to_state(error_gate * step.error)
        return parts | ({"network": step.source} if self.closure is not None or not parts else {})

    def _corrected(self, fields: Fields, analyses: Analyses, context: StepContext) -> Iterator[tuple[str, Fields]]:
        """The fields after each change at the end of a step, by name, in this order."""
        if context.perturbation is not None:
            fields = fields + np.array(self.perturbed)[:, None, None] * context.perturbation
            yield "perturbation", fields
        if self.climate is not None:
            fields = self.climate(fields, analyses[:, -1], context.time)
            yield "climate", fields
        if self.lateral_boundary is not None and context.lateral_boundary is not None:
            fields = self.lateral_boundary.imposed(fields, context.lateral_boundary)
            yield "boundary", fields
        if self.bounds is not None:
            yield "bounds", self.bounds(fields)

    def _features(self, fields: Fields, analyses: Analyses, context: StepContext) -> Features:
        """The features of the fields, of the analyses before them, and of the coming change at the lateral boundary."""
        if self.has_lateral_boundary and context.lateral_boundary is None:
            raise UsageError("a model with a lateral boundary needs the lateral boundary fields of every step")
        features = [self.inputs(fields, context.time), self.inputs.changes(analyses)]
        if self.lateral_boundary is not None and context.lateral_boundary is not None:
            change = self.lateral_boundary.extended(context.lateral_boundary - fields)
            features.append(channels_last(change / self.inputs.increment_std[...]))
        return jnp.concatenate(features, axis=-1)

    def _step(self, fields: Fields, analyses: Analyses, errors: Sequence[Array], context: StepContext) -> Step:
        """One interval."""
        features = self._features(fields, analyses, context)
        noise = self._noise(fields, context)
        of_winds = jnp.concatenate([features, noise], axis=-1) if self.noisy_winds else features
        forcing = self._forcing(self._learned_winds(of_winds, context.view), context.time)
        outcome = self._transported(fields, forcing, context) if self.solver.equations else None
        drawn = [noise] if self.noisy_closure else []
        features = jnp.concatenate([features, *self._shown(outcome, errors), *drawn], axis=-1)
        source, gate = self._sources(features, self._gate_logits(noise), context.view)
        result = fields + source
        none = jnp.zeros((len(fields), 0, *fields.shape[2:]))
        error = errors[-1] if errors else none
        transport_gate, error_gate = self._split(gate)
        if outcome is not None:
            result += self.transported.scatter_to_state(transport_gate * outcome.change)
        if self.equation_error is not None:
            result += self.equation_error.scatter_to_state(error_gate * error)
        source = jnp.broadcast_to(source, fields.shape)
        if outcome is not None and self.transported.conserved:  # no gate, no source
            result = self.transported.with_conserved(result, outcome.conserved)
            source = source.at[:, np.array(self.transported.conserved)].set(0.0)
        change = none if outcome is None else outcome.change
        return Step(fields, result, change, error, source, gate, features, forcing)

    def _split(self, gate: Array) -> tuple[Array, Array]:
        """The gates of transport, and those of the error of the equations."""
        count = len(self.transported.updated)
        return gate[..., :count, :, :], gate[..., count:, :, :]

    def _shown(self, outcome: Transported | None, errors: Sequence[Array]) -> Iterator[Features]:
        """The features of the closure that the equations give."""
        if outcome is not None and self.shows:
            scale = self.inputs.increment_std[...][np.array(self.transported.updated)]
            yield channels_last(outcome.change * self.coupling_steps / scale)
            yield from jnp.moveaxis(outcome.winds, 1, 0) / TYPICAL_WIND
        if self.equation_error is not None and self.shows:
            scale = self.inputs.increment_std[...][np.array(self.equation_error.rows)]
            yield from (channels_last(error / scale) for error in errors)

    def _noise(self, fields: Fields, context: StepContext) -> Features:
        """What a member of an ensemble draws; no channel without noise."""
        if self.noise is None:
            return jnp.zeros((len(fields), *self.inputs.grid.shape, 0))
        return self.noise.absent(len(fields)) if context.noise is None else context.noise

    def _gate_logits(self, noise: Features) -> Array:
        """What is added to the output of the closure for the gates."""
        logits = jnp.zeros((0, 1, 1)) if self.gate is None else self.gate[...]
        if self.modulation is None:
            return logits
        return logits + jnp.einsum("gn,bijn->bgij", self.modulation[...], NOISE_GAIN * noise)

    def _transported(self, fields: Fields, forcing: Forcing, context: StepContext) -> Transported:
        """What transport makes of the fields."""
        if context.transported is not None:
            return jax.tree.map(lambda values: values[:, -1], context.transported)
        return self.transport(self._constant(fields), forcing)

    def _constant(self, fields: Fields) -> Fields:
        """Fields that the equations read: constants of the gradient where it does not pass through the equations."""
        return fields if self.backpropagate else jax.lax.stop_gradient(fields)

    def _forcing(self, learned: LearnedWinds | None, time: TimeFeatures) -> Forcing:
        return Forcing(learned, self.diffusivity(), lambda fields: self._surroundings(fields, time))

    def _surroundings(self, fields: Fields, time: TimeFeatures) -> Surroundings:
        """The time, and the fields that the terms name as their inputs."""
        named = self.inputs.named(fields)  # by name: nnx.capture adds an entry of its own to `self.static`
        inputs = self.solver.right_hand_side.inputs
        return Surroundings(time, {name: named[name] if name in named else self.static[name][...] for name in inputs})

    def _sources(self, features: Features, gate: Array, view: View | None) -> tuple[Array, Array]:
        """The source S of each field over the interval, and the gates, from logits."""
        grid = self.inputs.grid
        if self.closure is None:
            return jnp.zeros(()), self._opened(gate)
        output = channels_first(self.closure(features, view))
        output = polar_filter(output, grid, SMALLEST_SPACING * grid.meridional_spacing)
        count = len(self.inputs.names)
        gate = self._opened(gate + output[:, count:] if self.adds else gate)
        return self.inputs.increment_std[...] / self.coupling_steps * output[:, :count], gate

    def _opened(self, gate: Array) -> Array:
        """The gates: 1 for a field that has none, 0 where all is only shown to the closure."""
        gated = np.array(self.gated)[:, None, None]
        return jnp.where(gated, 2 * jax.nn.sigmoid(gate), 1.0) if self.adds else jnp.zeros_like(gate)
