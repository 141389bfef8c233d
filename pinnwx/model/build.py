"""A forecaster from its settings: the one place that knows which kinds there are."""

from __future__ import annotations

import jax
from flax import nnx

from pinnwx.config import ModelSettings
from pinnwx.errors import ConfigError
from pinnwx.model.committee import Committee
from pinnwx.model.forecaster import Forecaster, TransportForecaster
from pinnwx.model.inputs import Inputs
from pinnwx.model.second_order import SecondOrderForecaster


def build_forecaster(inputs: Inputs, settings: ModelSettings, seed: int) -> Forecaster:
    """A forecaster with fresh weights, the same for the same seed.

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
    kind = SecondOrderForecaster if settings.kind == "second_order" else TransportForecaster
    key = jax.random.key(seed)
    members = [kind(inputs, settings, rngs=nnx.Rngs(jax.random.fold_in(key, i))) for i in range(settings.members)]
    return members[0] if len(members) == 1 else Committee(members)
