"""A forecaster from its settings: the one place that knows which kinds there are."""

from __future__ import annotations

from functools import partial

import jax
from flax import nnx

from pinnwx.config import ModelSettings
from pinnwx.errors import ConfigError
from pinnwx.model.climate import Climate, ModelClimatology
from pinnwx.model.deep_ensemble import DeepEnsemble
from pinnwx.model.forecaster import TransportForecaster
from pinnwx.model.inputs import Inputs
from pinnwx.model.interface import Forecaster
from pinnwx.model.second_order import SecondOrderForecaster


def build_forecaster(
    inputs: Inputs, settings: ModelSettings, seed: int, climatology: ModelClimatology | None = None
) -> Forecaster:
    """A forecaster with fresh weights, the same for the same seed; `climatology` is needed where `settings.climate` is
    set.

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
        if settings.closure.experts > 1:
            raise ConfigError('model.closure.experts is for model.kind = "transport"; remove it')
        if settings.closure.fine_width or settings.closure.block_widths:
            raise ConfigError('model.closure.fine_width and block_widths are for model.kind = "transport"; remove them')
        if settings.climate.is_set:
            raise ConfigError('model.climate is for model.kind = "transport"; remove it')
        kind = SecondOrderForecaster
    else:
        kind = partial(TransportForecaster, climate=_climate(inputs, settings, climatology))
    key = jax.random.key(seed)
    networks = [kind(inputs, settings, rngs=nnx.Rngs(jax.random.fold_in(key, i))) for i in range(settings.networks)]
    return networks[0] if len(networks) == 1 else DeepEnsemble(networks)


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
