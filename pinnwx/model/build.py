"""A forecaster from its settings: the one place that knows which kinds there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import jax
import numpy as np
from flax import nnx

from pinnwx.config import ModelSettings, Transport
from pinnwx.constants import SECONDS_PER_HOUR
from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.model.climate import Climate, ModelClimatology
from pinnwx.model.deep_ensemble import DeepEnsemble
from pinnwx.model.forecaster import TransportForecaster
from pinnwx.model.inputs import Inputs
from pinnwx.model.interface import Forecaster
from pinnwx.model.second_order import SecondOrderForecaster
from pinnwx.physics.equation import Equation
from pinnwx.physics.transport import TransportSolver
from pinnwx.physics.transported_field import TransportedField
from pinnwx.physics.winds import parse_wind


def build_forecaster(
    inputs: Inputs,
    settings: ModelSettings,
    seed: int,
    climatology: ModelClimatology | None = None,
    static: Mapping[str, np.ndarray] | None = None,
) -> Forecaster:
    """A forecaster with fresh weights, the same for the same seed; `climatology` is needed where `settings.climate` is
    set, and the `static` fields where a term of the equation sees one.

    Raises:
        ConfigError: the settings do not fit the grid.
    """
    if settings.kind == "second_order":
        if not settings.closure.enabled:
            raise ConfigError('model.kind = "second_order" is made of networks; set model.closure.enabled = true')
        if settings.physics.transport or settings.physics.learned_diffusivity:
            raise ConfigError(
                'model.kind = "second_order" makes its own wind; remove model.physics.transport and '
                'learned_diffusivity, or use kind = "transport"'
            )
        if settings.boundary_width:
            raise ConfigError('model.boundary_width is for model.kind = "transport"; remove it')
        if settings.closure.resolved_kind != "residual":
            raise ConfigError('model.closure.kind is for model.kind = "transport"; remove it')
        if settings.closure.fine_width or settings.closure.block_widths:
            raise ConfigError('model.closure.fine_width and block_widths are for model.kind = "transport"; remove them')
        if settings.climate.is_set:
            raise ConfigError('model.climate is for model.kind = "transport"; remove it')
        kind = SecondOrderForecaster
    else:
        solvers = _transport_solvers(inputs.grid, settings)
        wanted = solvers[0].right_hand_side.inputs
        known = {name: values for name, values in (static or {}).items() if name in wanted}
        climate = _climate(inputs, settings, climatology)
        kind = partial(TransportForecaster, solver=solvers[0], to_the_middle=solvers[1], climate=climate, static=known)
    key = jax.random.key(seed)
    networks = [kind(inputs, settings, rngs=nnx.Rngs(jax.random.fold_in(key, i))) for i in range(settings.networks)]
    return networks[0] if len(networks) == 1 else DeepEnsemble(networks)


def transported_field(settings: Transport) -> TransportedField:
    """The object that a `[[model.physics.transport]]` table describes."""
    options = {name: getattr(settings, name) for name in Transport.model_fields if name != "wind"}
    return TransportedField(wind=parse_wind(settings.wind), **options)


def _transport_solvers(grid: Grid, settings: ModelSettings) -> tuple[TransportSolver, TransportSolver | None]:
    """That of a coupling interval; and that to its middle, where the wind of the midpoint is held."""
    physics = settings.physics
    interval = settings.step_hours * SECONDS_PER_HOUR / physics.coupling_steps
    transported = tuple(map(transported_field, physics.transport))
    solver = TransportSolver(
        transported,
        grid,
        interval,
        substeps=-(-physics.substeps // physics.coupling_steps),
        solver=physics.solver,
        adjoint=physics.adjoint,
        courant_limit=physics.courant_limit,
        right_hand_side=Equation.of(transported, physics.made_terms(), diffusive=physics.learned_diffusivity),
    )
    if physics.wind_time == "start":
        return solver, None
    return solver, replace(solver, interval=interval / 2, substeps=-(-solver.substeps // 2))


def _climate(inputs: Inputs, settings: ModelSettings, climatology: ModelClimatology | None) -> Climate | None:
    if not settings.climate.is_set:
        return None
    if settings.climate.mean_relaxation_days is not None and not inputs.grid.is_global:
        raise ConfigError("model.climate.mean_relaxation_days needs a global grid, for air passes the edges of a box")
    conserved = [equation.field for equation in settings.physics.transport if equation.conserved]
    if conserved:
        raise ConfigError(f"{conserved[0]}: conserved = true excludes model.climate, which adds and takes away")
    if climatology is None:
        raise ConfigError("model.climate needs the climatology of a training time")
    return Climate(climatology, inputs.grid, settings.climate, settings.step_hours)
