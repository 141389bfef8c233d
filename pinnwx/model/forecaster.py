"""The forecaster: transport by the wind, then what the network adds.

Over one coupling interval

    X(t + dt) = X + gate * transport(X; v, kappa) + S,    v = v_physics(X) + v_network(X)

`transport` is the diffrax solution of the named terms (`physics.transport`) in a wind that is held: that of X, or that
of what transport makes of X half-way (`physics.wind_time`; the explicit midpoint rule). Gate in (0, 2) and source S are
fields from the closure network, which sees X, its changes over the intervals before (where `input_times` is above 1)
and the transport increment (all seen through a view, `model.views`); its output is freed of the waves that only the
narrow cells near the poles can hold. Where vorticity is carried, the increment of the wind or the geopotential follows
from it (`model.transported_fields`). A conserved field has gate 1 and no source. A step may consist of several such
intervals (`physics.coupling_steps`), and be held near the climate at its end (`model.climate`) and within the bounds of
the variables (`model.bounds`); the outer cells of a box may be told from outside (`model.lateral_boundary`). Physics
alone and network alone are the same model with the other part switched off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from pinnwx.config import ClosureSettings, ModelSettings
from pinnwx.errors import ConfigError, UsageError
from pinnwx.model.bounds import Bounds
from pinnwx.model.climate import Climate
from pinnwx.model.closures import ResidualClosure, closure_class
from pinnwx.model.closures.channels import ChannelGroup
from pinnwx.model.features import FeatureSpec, channels_first, channels_last, described, wind_specs
from pinnwx.model.inputs import TYPICAL_WIND, Fixed, Inputs
from pinnwx.model.interface import Analyses, Fields, LearnedFields, TendencyTerms, Time
from pinnwx.model.lateral_boundary import LateralBoundary
from pinnwx.model.transported_fields import TransportedFields
from pinnwx.model.velocity import on_faces, physical_winds
from pinnwx.model.views import MultiViewNetwork, View, Views
from pinnwx.operators.polar import polar_filter, zonal_group_mean
from pinnwx.physics.terms import Diffusion
from pinnwx.physics.transport import NOTHING, SMALLEST_SPACING, Surroundings, TransportSolver
from pinnwx.physics.transported_field import TransportedField
from pinnwx.physics.winds import AbstractWind


class Step(NamedTuple):
    """One interval: the fields after it, the network's source, the gate of each field that transport changes, and the
    winds that were held, (batch, field, lat, lon, 2); of the last two, nothing where there are no equations. And what
    the closure saw."""

    fields: Fields
    source: Fields
    gate: Array
    winds: Array
    seen: Float[Array, "batch lat lon feature"]


class TransportForecaster(nnx.Module):
    """Physics and closure in one step; the carried state is the fields at the last `input_times` times."""

    def __init__(
        self,
        inputs: Inputs,
        settings: ModelSettings,
        solver: TransportSolver,
        to_the_middle: TransportSolver | None = None,
        *,
        rngs: nnx.Rngs,
        climate: Climate | None = None,
        static: Mapping[str, np.ndarray] | None = None,
    ):
        self.inputs, self.input_times, self.climate = inputs, settings.input_times, climate
        self.lateral_boundary = (
            LateralBoundary(inputs.grid, settings.boundary_width) if settings.boundary_width else None
        )
        self.has_lateral_boundary = self.lateral_boundary is not None
        physics, closure = settings.physics, settings.closure
        equations = solver.equations
        self.transported = TransportedFields(inputs.names, equations, inputs.grid)
        self.coupling_steps = physics.coupling_steps
        self.solver, self.to_the_middle = solver, to_the_middle
        self.conserved = tuple(inputs.names.index(e.field) for e in equations if e.conserved)
        self.conserved_rows = tuple(row for row, equation in enumerate(equations) if equation.conserved)
        self._require_possible(equations)
        self.bounds = Bounds.of(inputs.forecast_bounds, exempt=self.conserved)
        self.backpropagate = physics.backpropagate
        self.diffusive = Diffusion.name in solver.right_hand_side.names
        self.term_inputs = solver.right_hand_side.inputs
        self.static = nnx.Dict(
            {name: Fixed(jnp.asarray(values, jnp.float32)) for name, values in (static or {}).items()}
        )
        self.gate = nnx.Param(jnp.zeros((len(self.transported.updated), 1, 1))) if equations else None
        self.raw_diffusivity = nnx.Param(jnp.zeros(len(equations))) if physics.learned_diffusivity else None
        ungated = {name for e in equations if e.conserved or not e.gated for name in e.targets(inputs.names)}
        self.gated = tuple(inputs.names[index] not in ungated for index in self.transported.updated)
        self.shown_winds = _worth_showing(equations)
        self.learned_wind = tuple(i for i, e in enumerate(equations) if e.learned_wind)
        self.maximum_learned_wind = closure.maximum_learned_wind
        self.views = Views.of(
            inputs.grid, hemispheric_symmetry=closure.hemispheric_symmetry, patch_size=closure.patch_size
        )
        self.wind_network, self.closure = self._networks(closure, rngs)

    def _networks(
        self, closure: ClosureSettings, rngs: nnx.Rngs
    ) -> tuple[MultiViewNetwork | None, MultiViewNetwork | None]:
        """The network of the learned wind and the closure, where there are such."""
        inputs, equations = self.inputs, self.solver.equations
        features = inputs.features + inputs.change_specs(self.input_times)
        if self.has_lateral_boundary:
            features += described(inputs.fields, "boundary")
        wind_network = None
        if self.learned_wind:
            small = {"width": closure.learned_wind_width, "blocks": 1, "fine_width": None, "block_widths": None}
            winds = wind_specs(equations[index].field for index in self.learned_wind)
            own = ResidualClosure(inputs.grid, features, winds, closure.model_copy(update=small), rngs=rngs)
            wind_network = MultiViewNetwork(own, self.views, features, winds)
        if not closure.enabled:
            return wind_network, None
        updated = [inputs.fields[index] for index in self.transported.updated]
        shown_winds = wind_specs(equations[index].field for index in self.shown_winds)
        features += described(updated, "transport increment") + shown_winds
        outputs = inputs.fields + tuple(FeatureSpec(f"{field.name} gate") for field in updated)
        network = closure_class(closure.resolved_kind)(inputs.grid, features, outputs, closure, rngs=rngs)
        return wind_network, MultiViewNetwork(network, self.views, features, outputs)

    def channel_groups(self) -> list[ChannelGroup]:
        if self.closure is None:
            raise UsageError(
                "the model has no closure network (model.closure.enabled = false): there is nothing to prune"
            )
        return [group.below("closure/network") for group in self.closure.network.channel_groups()]

    def _require_possible(self, equations: Sequence[TransportedField]) -> None:
        """Raises:
        ConfigError: a promise of the settings cannot be kept on this grid.
        """
        limit = self.solver.largest_diffusivity
        conserved = {equation.field for equation in equations if equation.conserved}
        for equation in equations:
            if equation.balanced_field in conserved:
                raise ConfigError(
                    f"{equation.balanced_field}: conserved = true excludes balanced_field, which would change it too"
                )
            if equation.conserved and not self.inputs.grid.is_global:
                raise ConfigError(f"{equation.field}: conserved = true needs a global grid, for a box has open edges")
            if equation.diffusivity > limit:
                raise ConfigError(
                    f"{equation.field}: diffusivity {equation.diffusivity:g} m2 s-1 exceeds the {limit:.3g} that "
                    f"{self.solver.substeps} sub-steps allow; raise model.physics.substeps"
                )

    def diffusivity(self) -> Float[Array, " field"]:
        """kappa >= 0 of each carried field [m2 s-1]; the learned part starts near 7 percent of the stable limit."""
        given = jnp.asarray([e.diffusivity for e in self.solver.equations], jnp.float32)
        if self.raw_diffusivity is None:
            return given
        return given + 0.1 * self.solver.largest_diffusivity * jax.nn.softplus(self.raw_diffusivity[...])

    def winds(
        self,
        fields: Fields,
        features: Float[Array, "batch lat lon feature"],
        view: View | None = None,
        surroundings: Surroundings = NOTHING,
    ) -> Array:
        """Physical plus learned wind of each carried field, (batch, field, lat, lon, 2), m s-1, to be held."""
        learned = None if self.wind_network is None else self._learned(self.wind_network(features, view))
        winds = self._physical(fields, learned)
        if self.to_the_middle is None:
            return winds
        after, before = self._transported(self.to_the_middle, fields, winds, surroundings)
        return self._physical(
            fields + self.transported.scatter_to_state(self.transported.changes(after - before)), learned
        )

    def slowing(self, fields: Fields) -> Float[Array, "batch equation lat lon"]:
        """By how much the physical wind of each equation is too fast for its sub-steps (`TransportSolver.slowing`)."""
        return self.solver.slowing(on_faces(self._physical(fields, None), self.inputs.grid, self.solver.equations))

    def _physical(self, fields: Fields, learned: Array | None) -> Array:
        """The winds that the fields hold, and the learned one added to those that have one."""
        winds = physical_winds(self.solver.equations, self.inputs.named(fields), self.inputs.grid)
        return winds if learned is None else winds.at[..., np.array(self.learned_wind), :, :, :].add(learned)

    def _learned(self, raw: Float[Array, "batch lat lon component"]) -> Float[Array, "batch field lat lon 2"]:
        """What the network says, bounded [m s-1]."""
        bounded = self.maximum_learned_wind * jnp.tanh(raw / self.maximum_learned_wind)
        return jnp.moveaxis(bounded.reshape(*bounded.shape[:-1], -1, 2), -2, -4)

    def start(self, analyses: Analyses, time: Time, view: View | None = None) -> Analyses:  # noqa: ARG002
        return analyses

    def to_fields(self, carry: Analyses, time: Time, view: View | None = None) -> Fields:  # noqa: ARG002
        return carry[:, -1]

    def advance(
        self, carry: Analyses, time: Time, view: View | None = None, lateral_boundary: Fields | None = None
    ) -> Analyses:
        fields = carry[:, -1]
        for _ in range(self.coupling_steps):
            fields = self._step(fields, self._features(fields, carry, time, lateral_boundary), view, time).fields
        for _, corrected in self._corrected(fields, carry, time, lateral_boundary):
            fields = corrected
        return jnp.concatenate([carry[:, 1:], fields[:, None]], axis=1)

    def tendency_terms(
        self, carry: Analyses, time: Time, view: View | None = None, lateral_boundary: Fields | None = None
    ) -> TendencyTerms:
        fields = carry[:, -1]
        found: dict[str, Array] = {}
        for _ in range(self.coupling_steps):
            features = self._features(fields, carry, time, lateral_boundary)
            step = self._step(fields, features, view, time)
            for name, part in self._made(fields, features, step, view, time).items():
                found[name] = found.get(name, 0.0) + part
            fields = step.fields
        for name, corrected in self._corrected(fields, carry, time, lateral_boundary):
            found[name] = corrected - fields
            fields = corrected
        return found

    def learned_fields(
        self, carry: Analyses, time: Time, view: View | None = None, lateral_boundary: Fields | None = None
    ) -> LearnedFields:
        fields, equations = carry[:, -1], self.solver.equations
        features = self._features(fields, carry, time, lateral_boundary)
        found: dict[str, Array] = {}
        if self.wind_network is not None:
            winds = self._learned(self.wind_network(features, view))
            for place, index in enumerate(self.learned_wind):
                for component, name in enumerate(("eastward", "northward")):
                    found[f"{equations[index].field}_learned_{name}_wind"] = winds[:, place, ..., component]
        if self.diffusive:
            used = jnp.minimum(self.diffusivity(), self.solver.largest_diffusivity)
            for equation, kappa in zip(equations, used, strict=True):
                found[f"{equation.field}_diffusivity"] = jnp.broadcast_to(kappa, fields[:, 0].shape)
        step = self._step(fields, features, view, time)
        for place, index in enumerate(self.transported.updated if equations else ()):
            gate = step.gate[..., place, :, :]
            found[f"{self.inputs.names[index]}_gate"] = jnp.broadcast_to(gate, fields[:, 0].shape)
        use = None if self.closure is None else self.closure.network.expert_use(step.seen)
        if use is not None:
            found |= {f"expert_{number}_use": use[..., number] for number in range(use.shape[-1])}
        return found

    def _made(self, fields: Fields, features: Array, step: Step, view: View | None, time: Time) -> dict[str, Fields]:
        """What each term made of the fields in an interval."""
        if not self.solver.equations:
            return {"network": step.source}
        winds = {"physical_wind": step.winds}
        if self.wind_network is not None:
            learned = jnp.zeros_like(step.winds)
            places = np.array(self.learned_wind)
            learned = learned.at[..., places, :, :, :].set(self._learned(self.wind_network(features, view)))
            winds = {"physical_wind": step.winds - learned, "learned_wind": learned}
        equations = self.solver.equations
        faces = {name: on_faces(wind, self.inputs.grid, equations) for name, wind in winds.items()}
        carried = self.transported.values(fields)
        increments = self.solver.increments(carried, faces, self.diffusivity(), self._surroundings(fields, time))
        found = {
            name: self.transported.scatter_to_state(step.gate * self.transported.changes(part))
            for name, part in increments.items()
        }
        if self.conserved:  # these are taken from the reduced grid, where groups of cells hold their mean
            merged = jnp.zeros_like(fields)
            rows = np.array(self.conserved_rows)
            means = zonal_group_mean(carried, self.inputs.grid, self.solver.groups)[:, rows]
            found["polar_mean"] = merged.at[:, np.array(self.conserved)].set(means - carried[:, rows])
        return found | ({"network": step.source} if self.closure is not None else {})

    def _corrected(
        self, fields: Fields, carry: Analyses, time: Time, lateral_boundary: Fields | None
    ) -> Iterator[tuple[str, Fields]]:
        """The fields near the climate, as they are told at the edge, within bounds; each with what was done."""
        if self.climate is not None:
            fields = self.climate(fields, carry[:, -1], time)
            yield "climate", fields
        if self.lateral_boundary is not None and lateral_boundary is not None:
            fields = self.lateral_boundary.imposed(fields, lateral_boundary)
            yield "boundary", fields
        if self.bounds is not None:
            yield "bounds", self.bounds(fields)

    def _features(
        self, fields: Fields, carry: Analyses, time: Time, lateral_boundary: Fields | None
    ) -> Float[Array, "batch lat lon feature"]:
        """What the networks see of the fields, of the analyses before them, and of what drives the edge."""
        if self.has_lateral_boundary and lateral_boundary is None:
            raise UsageError("a model with a lateral boundary needs the lateral boundary fields of every step")
        seen = [self.inputs(fields, time), self.inputs.changes(carry)]
        if self.lateral_boundary is not None and lateral_boundary is not None:
            to_come = self.lateral_boundary.extended(lateral_boundary - fields)
            seen.append(channels_last(to_come / self.inputs.increment_std[...]))
        return jnp.concatenate(seen, axis=-1)

    def _step(
        self, fields: Fields, features: Float[Array, "batch lat lon feature"], view: View | None, time: Time
    ) -> Step:
        """One interval."""
        if not self.solver.equations:
            source, gate = self._sources(features, view)
            return Step(fields + source, jnp.broadcast_to(source, fields.shape), gate, jnp.zeros(()), features)
        updated = np.array(self.transported.updated)
        given = fields if self.backpropagate else jax.lax.stop_gradient(fields)
        surroundings = self._surroundings(given, time)
        winds = self.winds(given, features, view, surroundings)
        after, before = self._transported(self.solver, given, winds, surroundings)
        change = self.transported.changes(after - before)
        scaled = channels_last(change * self.coupling_steps / self.inputs.increment_std[...][updated])
        seen = [features, scaled, *(winds[:, index] / TYPICAL_WIND for index in self.shown_winds)]
        seen = jnp.concatenate(seen, axis=-1)
        source, gate = self._sources(seen, view)
        result = fields + source + self.transported.scatter_to_state(gate * change)
        source = jnp.broadcast_to(source, fields.shape)
        if self.conserved:  # exactly what transport made of them: no gate, no source, no rounding between
            places = np.array(self.conserved)
            rows = np.array(self.conserved_rows)
            result, source = result.at[:, places].set(after[:, rows]), source.at[:, places].set(0.0)
        return Step(result, source, gate, winds, seen)

    def _surroundings(self, fields: Fields, time: Time) -> Surroundings:
        """What the terms see besides: the time, and the fields that they name."""
        known = self.inputs.named(fields)  # by name: nnx.capture leaves an entry of its own in `self.static`
        return Surroundings(
            time, {name: known[name] if name in known else self.static[name][...] for name in self.term_inputs}
        )

    def _transported(
        self, solver: TransportSolver, fields: Fields, winds: Array, surroundings: Surroundings
    ) -> tuple[Array, Array]:
        """The carried fields after and before the solver's interval, in winds that are held."""
        faces = on_faces(winds, self.inputs.grid, solver.equations)
        return solver(self.transported.values(fields), faces, self.diffusivity(), surroundings)

    def _sources(self, features: Float[Array, "batch lat lon feature"], view: View | None) -> tuple[Array, Array]:
        """The source S of each field over the interval and the gate of each carried one, 1 where it has none."""
        grid, gated = self.inputs.grid, np.array(self.gated)[:, None, None]
        gate = jnp.zeros((0, 1, 1)) if self.gate is None else self.gate[...]
        if self.closure is None:
            return jnp.zeros(()), jnp.where(gated, 2 * jax.nn.sigmoid(gate), 1.0)
        output = channels_first(self.closure(features, view))
        output = polar_filter(output, grid, SMALLEST_SPACING * grid.meridional_spacing)
        count = len(self.inputs.names)
        gate = jnp.where(gated, 2 * jax.nn.sigmoid(gate + output[:, count:]), 1.0)
        return self.inputs.increment_std[...] / self.coupling_steps * output[:, :count], gate


def _worth_showing(equations: Sequence[TransportedField]) -> tuple[int, ...]:
    """The equations whose wind tells the closure something new: each once, and no prognostic one, for that is a
    field."""
    shown: list[int] = []
    known: set[AbstractWind] = set()
    for index, equation in enumerate(equations):
        if equation.learned_wind or (equation.wind.is_diagnosed and equation.wind not in known):
            shown.append(index)
            known.add(equation.wind)
    return tuple(shown)
