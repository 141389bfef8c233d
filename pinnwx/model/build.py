"""A forecaster from its settings: the one place that turns settings into terms, winds, closures and views."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from flax import nnx

from pinnwx.config import ClosureSettings, ModelSettings, Transport
from pinnwx.constants import SECONDS_PER_HOUR
from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.model.climate import Climate
from pinnwx.model.closures import closure_class
from pinnwx.model.coupling_transport import CouplingTransport
from pinnwx.model.deep_ensemble import DeepEnsemble
from pinnwx.model.equation_error import EquationError, carrying_winds
from pinnwx.model.features import FeatureSpec, described, wind_specs
from pinnwx.model.forecaster import Networks, TransportForecaster
from pinnwx.model.inputs import Inputs
from pinnwx.model.interface import Forecaster
from pinnwx.model.lateral_boundary import LateralBoundary
from pinnwx.model.noise import Noise
from pinnwx.model.second_order import SecondOrderForecaster
from pinnwx.model.transported_fields import TransportedFields
from pinnwx.model.views import MultiViewNetwork, Views
from pinnwx.operators.interpolation import require_interpolation
from pinnwx.physics.equation import Equation
from pinnwx.physics.terms import Diffusion
from pinnwx.physics.transport import AbstractTransport, EulerianTransport, SemiLagrangianTransport
from pinnwx.physics.transported_field import TransportedField
from pinnwx.physics.winds import AbstractWind, LearnedWind, NoWind, parse_wind
from pinnwx.statistics import Climatology

Specs = tuple[FeatureSpec, ...]
NetworkBuilder = Callable[[Specs, Specs, ClosureSettings], MultiViewNetwork]


def build_forecaster(
    inputs: Inputs,
    settings: ModelSettings,
    seed: int,
    climatology: Climatology | None = None,
    static: Mapping[str, np.ndarray] | None = None,
) -> Forecaster:
    """A forecaster with fresh weights, the same for the same seed.

    Args:
        inputs: constants of the model, and its features.
        settings: of the model.
        seed: of the first weights.
        climatology: needed where `settings.climate` is set.
        static: static fields, needed where a term of the equation reads one.

    Raises:
        ConfigError: the settings do not fit the grid, or each other.
    """
    if settings.kind == "second_order":
        build = _second_order_builder(inputs, settings)
    else:
        build = _transport_builder(inputs, settings, climatology, static or {})
    key = jax.random.key(seed)
    networks = [build(nnx.Rngs(jax.random.fold_in(key, number))) for number in range(settings.networks)]
    return networks[0] if len(networks) == 1 else DeepEnsemble(networks)


def transported_field(settings: Transport, maximum_learned_wind: float = LearnedWind.maximum) -> TransportedField:
    """The object that a `[[model.physics.transport]]` table describes."""
    others = ("wind", "learned_wind", "stretching")
    options = {name: getattr(settings, name) for name in Transport.model_fields if name not in others}
    options["stretching"] = tuple(settings.stretching.items())
    learned = LearnedWind(settings.field, maximum_learned_wind) if settings.learned_wind else None
    return TransportedField(wind=parse_wind(settings.wind), learned_wind=learned, **options)


TRANSPORT = {"eulerian": EulerianTransport, "semi_lagrangian": SemiLagrangianTransport}


def transport_solvers(grid: Grid, settings: ModelSettings) -> tuple[AbstractTransport, AbstractTransport | None]:
    """The solver over the time between two diagnoses of the wind, and over half of it for the wind of the midpoint.

    Raises:
        ConfigError: the number of sub-steps has not been chosen yet (`PhysicsSettings.number_of_substeps`).
    """
    physics = settings.physics
    interval = settings.step_hours * SECONDS_PER_HOUR / physics.wind_intervals
    maximum = settings.closure.maximum_learned_wind
    transported = tuple(transported_field(table, maximum) for table in physics.transport)
    equation = Equation.of(transported, physics.made_terms(), diffusive=physics.learned_diffusivity)
    solver = TRANSPORT[physics.method](
        transported,
        grid,
        interval,
        substeps=-(-physics.number_of_substeps // physics.wind_intervals),
        solver=physics.solver,
        adjoint=physics.adjoint,
        courant_limit=physics.courant_limit,
        right_hand_side=equation,
    )
    if isinstance(solver, EulerianTransport) and not _flows(transported, equation):
        solver = replace(solver, merges_cells=False)
    if physics.wind_time == "start":
        return solver, None
    return solver, replace(solver, interval=interval / 2, substeps=-(-solver.substeps // 2))


def _flows(transported: Sequence[TransportedField], equation: Equation) -> bool:
    """Whether a wind or a diffusion moves any field between cells."""
    winds = any(not isinstance(one.wind, NoWind) or one.learned_wind is not None for one in transported)
    return winds or Diffusion.name in equation.names


def _transport_builder(
    inputs: Inputs, settings: ModelSettings, climatology: Climatology | None, static: Mapping[str, np.ndarray]
) -> Callable[[nnx.Rngs], TransportForecaster]:
    """Builds the parts that all networks of an ensemble share, once."""
    grid = inputs.grid
    solver, midpoint_solver = transport_solvers(grid, settings)
    transported = TransportedFields(inputs.names, solver.equations, grid)
    updates = settings.physics.wind_updates
    transport = CouplingTransport(transported, solver, midpoint_solver, updates)
    _require_possible(transported, solver)
    views = _views(grid, settings.closure)
    climate = _climate(inputs, settings, climatology)
    boundary = LateralBoundary(grid, settings.boundary_width) if settings.boundary_width else None
    error = _equation_error(inputs, settings, transported)
    noise = _noise(settings, transported, error)
    terms = solver.right_hand_side.inputs
    read = {name: values for name, values in static.items() if name in terms}

    def build(rngs: nnx.Rngs) -> TransportForecaster:
        network = _network_builder(grid, views, rngs)
        wind_network, closure = _transport_networks(inputs, settings, transported, error, noise, network)
        return TransportForecaster(
            inputs,
            settings,
            transport,
            Networks(views, closure, wind_network),
            equation_error=error,
            climate=climate,
            lateral_boundary=boundary,
            noise=noise,
            static=read,
        )

    return build


def _noise(settings: ModelSettings, transported: TransportedFields, error: EquationError | None) -> Noise | None:
    """Raises:
    ConfigError: it acts on what the model does not have.
    """
    own = settings.noise
    if not own.is_set:
        return None
    if "winds" in own.acts_on and not transported.learned:
        raise ConfigError('model.noise: acts_on = ["winds"] needs a field with learned_wind = true')
    gated = any(transported.gated) or error is not None
    if "gates" in own.acts_on and (not gated or settings.physics.increment_use == "shown"):
        raise ConfigError('model.noise: acts_on = ["gates"] needs equations whose increments are added with a gate')
    return Noise(transported.grid, own.numbers, own.fields, 1e3 * own.length_km, own.acts_on)


def _equation_error(inputs: Inputs, settings: ModelSettings, transported: TransportedFields) -> EquationError | None:
    physics, grid = settings.physics, inputs.grid
    if physics.equation_error == "unused":
        return None
    if physics.equation_error == "kept":
        winds: dict[str, AbstractWind | None] = dict.fromkeys(inputs.names)
    else:
        others = {name: parse_wind(wind) for name, wind in physics.equation_error_winds.items()}
        winds = dict(carrying_winds(inputs.names, transported.equations, others))
        require_interpolation(grid, 'model.physics.equation_error = "transported"', '"kept"')
        _require_whole_vectors(inputs, winds)
    used = tuple((name, wind) for name, wind in winds.items() if inputs.names.index(name) not in transported.conserved)
    if not used:
        raise ConfigError(
            f'model.physics.equation_error = "{physics.equation_error}": no field has a wind and is not conserved; '
            "name winds in equation_error_winds"
        )
    return EquationError(inputs.names, _vectors(inputs), used, grid, settings.step_hours * SECONDS_PER_HOUR)


def _vectors(inputs: Inputs) -> tuple[tuple[str, str], ...]:
    """Pairs of an eastward and a northward component of the same level."""
    components = {field.name: field.equator_parity for field in inputs.fields if field.pole_parity < 0}
    eastward = [name for name, parity in components.items() if parity > 0 and name.startswith("u")]
    return tuple((name, other) for name in eastward if components.get(other := f"v{name[1:]}", 1) < 0)


def _require_whole_vectors(inputs: Inputs, winds: Mapping[str, AbstractWind | None]) -> None:
    """Raises:
    ConfigError: a component of a vector is carried without the other, or by another wind.
    """
    partner = {name: other for pair in _vectors(inputs) for name, other in (pair, pair[::-1])}
    for field in inputs.fields:
        if field.pole_parity < 0 and field.name in winds:
            other = partner.get(field.name)
            if other is None or winds.get(other) != winds[field.name]:
                raise ConfigError(
                    f"model.physics.equation_error_winds: {field.name} is a component of a vector, which moves as a "
                    f"whole; name one wind for {field.name} and {other or 'its other component'}"
                )


def _transport_networks(
    inputs: Inputs,
    settings: ModelSettings,
    transported: TransportedFields,
    error: EquationError | None,
    noise: Noise | None,
    network: NetworkBuilder,
) -> tuple[MultiViewNetwork | None, MultiViewNetwork | None]:
    """The network of the learned winds and the closure; the order of the random draws is this one."""
    closure, equations = settings.closure, transported.equations
    features = inputs.features + inputs.change_specs(settings.input_times)
    if settings.boundary_width:
        features += described(inputs.fields, "boundary")
    wind_network = None
    if transported.learned:
        small: dict[str, Any] = {"width": closure.learned_wind_width, "blocks": 1}
        small |= {"fine_width": None, "block_widths": None}
        if closure.resolved_kind in ("experts", "latent_transport", "relaxation"):  # none is a small network
            small |= {"kind": "residual", "options": {}}
        winds = wind_specs(equations[index].field for index in transported.learned)
        wind_network = network(features + _noise_specs(noise, "winds"), winds, closure.model_copy(update=small))
    if not closure.enabled:
        return wind_network, None
    updated = [inputs.fields[index] for index in transported.updated]
    shown = wind_specs(equations[index].field for index in transported.shown)
    errors = [] if error is None else [inputs.fields[row] for row in error.rows]
    use, outputs = settings.physics.increment_use, inputs.fields
    if use != "added":
        features += described(updated, "transport increment") + shown + described(errors, "equation error")
        features += described(errors if error is not None and error.moves else (), "carried equation error")
    if use != "shown":
        outputs += tuple(FeatureSpec(f"{field.name} gate") for field in updated)
        outputs += tuple(FeatureSpec(f"{field.name} error gate") for field in errors)
    return wind_network, network(features + _noise_specs(noise, "network"), outputs, closure)


def _noise_specs(noise: Noise | None, part: str) -> Specs:
    """The features of a part that noise acts on."""
    return () if noise is None or part not in noise.acts_on else noise.specs


def _second_order_builder(inputs: Inputs, settings: ModelSettings) -> Callable[[nnx.Rngs], SecondOrderForecaster]:
    _require_second_order(settings)
    closure, velocity = settings.closure, wind_specs(inputs.names)
    shallow, views = closure.model_copy(update={"blocks": 1}), _views(inputs.grid, closure)

    def build(rngs: nnx.Rngs) -> SecondOrderForecaster:
        network = _network_builder(inputs.grid, views, rngs)
        first = network(inputs.features + inputs.change_specs(settings.input_times), velocity, shallow)
        acceleration = network(inputs.features + velocity, velocity, closure)
        emission = network(inputs.features, inputs.fields, shallow)
        return SecondOrderForecaster(inputs, settings, views, first, acceleration, emission)

    return build


def _network_builder(grid: Grid, views: Views, rngs: nnx.Rngs) -> NetworkBuilder:
    """Networks of the kind that the settings name; their options are validated even where the kind ignores them."""

    def network(features: Specs, outputs: Specs, settings: ClosureSettings) -> MultiViewNetwork:
        kind = closure_class(settings.resolved_kind)
        kind.options(settings)
        return MultiViewNetwork(kind(grid, features, outputs, settings, rngs=rngs), views, features, outputs)

    return network


def _views(grid: Grid, closure: ClosureSettings) -> Views:
    return Views.of(grid, hemispheric_symmetry=closure.hemispheric_symmetry, patch_size=closure.patch_size)


def _climate(inputs: Inputs, settings: ModelSettings, climatology: Climatology | None) -> Climate | None:
    if not settings.climate.is_set:
        return None
    if settings.climate.mean_relaxation_days is not None and not inputs.grid.is_global:
        raise ConfigError("model.climate.mean_relaxation_days needs a global grid, for air passes the edges of a box")
    conserved = [table.field for table in settings.physics.transport if table.conserved]
    if conserved:
        raise ConfigError(f"{conserved[0]}: conserved = true excludes model.climate, which adds and takes away")
    if climatology is None:
        raise ConfigError("model.climate needs the climatology of a training time")
    return Climate(climatology, inputs.grid, settings.climate, settings.step_hours)


def _require_possible(transported: TransportedFields, solver: AbstractTransport) -> None:
    """Raises:
    ConfigError: this grid, or these sub-steps, do not allow what the equations promise.
    """
    grid, _ = transported.grid, transported.levels  # which raise where levels have no real vertical modes
    conserved = {equation.field for equation in solver.equations if equation.conserved}
    if isinstance(solver, SemiLagrangianTransport):
        require_interpolation(grid, 'model.physics.method = "semi_lagrangian"', '"eulerian"')
    for equation in solver.equations:
        if equation.balanced_field in conserved:
            raise ConfigError(
                f"{equation.balanced_field}: conserved = true excludes balanced_field, which would change it too"
            )
        if equation.stretching and not grid.is_global:
            raise ConfigError(
                f"{equation.field}: stretching needs a global grid; in a box, the streamfunction of the vorticity "
                "inside lacks the flow through it, hence most of the temperature gradient"
            )
        if equation.conserved and not grid.is_global:
            raise ConfigError(f"{equation.field}: conserved = true needs a global grid, for a box has open edges")
        if equation.diffusivity > solver.largest_diffusivity:
            raise ConfigError(
                f"{equation.field}: diffusivity {equation.diffusivity:g} m2 s-1 exceeds the "
                f"{solver.largest_diffusivity:.3g} that {solver.substeps} sub-steps allow; raise model.physics.substeps"
            )


def _require_second_order(settings: ModelSettings) -> None:
    """Raises:
    ConfigError: the settings have a part that the second-order model lacks.
    """
    closure, transport_only = settings.closure, 'for model.kind = "transport"; remove'
    if not closure.enabled:
        raise ConfigError('model.kind = "second_order" is made of networks; set model.closure.enabled = true')
    if settings.physics.transport or settings.physics.learned_diffusivity:
        raise ConfigError(
            'model.kind = "second_order" makes its own wind; remove model.physics.transport and '
            'learned_diffusivity, or use kind = "transport"'
        )
    refusals: Sequence[tuple[bool, str]] = (
        (settings.boundary_width > 0, f"model.boundary_width is {transport_only} it"),
        (closure.resolved_kind == "relaxation", f'kind = "relaxation" is {transport_only} model.closure.kind'),
        (closure.resolved_kind == "experts", f"a mixture of experts is {transport_only} model.closure.experts"),
        (
            bool(closure.fine_width or closure.block_widths),
            f"model.closure.fine_width and block_widths are {transport_only} them",
        ),
        (settings.climate.is_set, f"model.climate is {transport_only} it"),
        (settings.noise.is_set, f"model.noise is {transport_only} it"),
        (settings.physics.equation_error != "unused", f"model.physics.equation_error is {transport_only} it"),
    )
    for is_set, message in refusals:
        if is_set:
            raise ConfigError(message)
