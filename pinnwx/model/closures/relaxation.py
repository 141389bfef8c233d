"""A closure without a network: every field relaxes towards its own equilibrium, at a rate of its own.

    source(place, time) = sum over k of a_k(place) b_k(place, time) - r x,    gate(place)

x is the standardised field, b_k are 1 and the features of sun and season, so an equilibrium has a season and a time of
day. a, r and the gate of each transported field are fitted. The source stands for heating and friction where the
equations are to forecast alone, as the forcing of Marshall and Molteni (1993, J. Atmos. Sci. 50) does. The gate is
smaller where the equations do not hold, as over mountains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from pinnwx.config import ClosureSettings
from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.model.closures.base import Closure
from pinnwx.model.features import SUN_AND_SEASON, FeatureSpec


@final
class RelaxationClosure(Closure):
    """`closure.kind = "relaxation"`. It has one rate for each field, and depends on no other place."""

    def __init__(
        self,
        grid: Grid,
        features: Sequence[FeatureSpec],
        outputs: Sequence[FeatureSpec],
        settings: ClosureSettings,
        *,
        rngs: nnx.Rngs,  # noqa: ARG002
    ):
        self.options(settings)
        if settings.patch_size != 1:
            raise ConfigError(f'kind = "relaxation" needs patch_size = 1, not {settings.patch_size}: it has no blocks')
        names = [feature.name for feature in features]
        self.basis = tuple(names.index(one.name) for one in SUN_AND_SEASON)
        relaxed = [one.name for one in outputs if one.name in names]  # a gate is no field
        self.fields = tuple(names.index(name) for name in relaxed)
        # Three axes: the optimiser "muon" takes a weight with two or four for a layer or a convolution.
        self.forcing = nnx.Param(jnp.zeros((*grid.shape, (1 + len(self.basis)) * len(relaxed))))
        self.rate = nnx.Param(jnp.zeros(len(relaxed)))
        gates = len(outputs) - len(relaxed)
        self.gate = nnx.Param(jnp.zeros((*grid.shape, gates))) if gates else None

    def __call__(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon channel2"]:
        seasons = features[..., np.array(self.basis)]
        basis = jnp.concatenate([jnp.ones_like(seasons[..., :1]), seasons], axis=-1)
        coefficients = self.forcing[...].reshape(*self.forcing.shape[:2], basis.shape[-1], len(self.fields))
        forcing = jnp.einsum("...ijk,ijkf->...ijf", basis, coefficients)
        source = forcing - self.rate[...] * features[..., np.array(self.fields)]
        if self.gate is None:
            return source
        gate = jnp.broadcast_to(self.gate[...], (*source.shape[:-1], self.gate.shape[-1]))
        return jnp.concatenate([source, gate], axis=-1)
