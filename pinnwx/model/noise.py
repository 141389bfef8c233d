"""Noise that a network turns into the spread of an ensemble.

Every step of a member draws numbers that are the same everywhere, and smooth fields. They are features of the closure,
and residual blocks let them scale and shift the channels that they normalise (`model.closures.patched`), as in FGN
(Alet et al. 2025, arXiv 2506.10772) and AIFS-CRPS (Lang et al. 2024, arXiv 2412.15832). Or they act on parts with a
physical name: they are features of the network of the learned winds, or a matrix of their own turns them into changes
of the gates (`model.forecaster`). Training on the CRPS (`model.scores`) decides what the noise does. Without a draw it
is zero: the single forecast.

A smooth field is a sum of waves in three dimensions on the sphere,

    n(x) = sqrt(2 / M) sum over m of cos(k_m . x / L + phi_m),    k_m normal, phi_m uniform,

so it has mean zero, variance one, no seam and no pole, and the correlation exp(-d^2 / 2 L^2) at the chord d
(random Fourier features: Rahimi and Recht 2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key

from pinnwx.constants import EARTH_RADIUS
from pinnwx.grid import Grid
from pinnwx.model.features import FeatureSpec
from pinnwx.operators.departure import unit_vectors

MODULATION = "modulation"  # the name of its layers (`model.closures.patched`, `model.forecaster`)
NOISE_GAIN = 30.0  # its layers begin at zero, when the learning rate falls already, and have few updates
_WAVES = 16  # M, of each field


@dataclass(frozen=True)
class Noise:
    """The noise of a model.

    Attributes:
        grid: of the features.
        numbers: the same everywhere.
        fields: smooth fields.
        length: their scale L [m].
        acts_on: some of "network", "gates", "winds".
    """

    grid: Grid
    numbers: int
    fields: int
    length: float
    acts_on: tuple[str, ...] = ("network",)

    @property
    def channels(self) -> int:
        """Of the features."""
        return self.numbers + self.fields

    @property
    def specs(self) -> tuple[FeatureSpec, ...]:
        """The specifications of the channels."""
        return tuple(FeatureSpec(f"noise {number}", is_noise=True) for number in range(1, self.channels + 1))

    def absent(self, batch: int) -> Float[Array, "{batch} lat lon channel"]:
        """The features of a single forecast."""
        return jnp.zeros((batch, *self.grid.shape, self.channels))

    def __call__(self, keys: Key[Array, " batch"]) -> Float[Array, "batch lat lon channel"]:
        """The features of a step, each key its own."""
        return jax.vmap(self._drawn)(keys)

    def _drawn(self, key: Key[Array, ""]) -> Float[Array, "lat lon channel"]:
        of_numbers, of_waves, of_phases = jax.random.split(key, 3)
        numbers = jnp.broadcast_to(jax.random.normal(of_numbers, (self.numbers,)), (*self.grid.shape, self.numbers))
        waves = EARTH_RADIUS / self.length * jax.random.normal(of_waves, (self.fields, _WAVES, 3))
        phases = jax.random.uniform(of_phases, (self.fields, _WAVES), maxval=2 * np.pi)
        places = unit_vectors(self.grid).astype(np.float32)
        angles = jnp.einsum("fwx,xij->ijfw", waves, places) + phases
        fields = np.float32(np.sqrt(2 / _WAVES)) * jnp.cos(angles).sum(axis=-1)
        return jnp.concatenate([numbers, fields], axis=-1)


def has_layers(model: Any) -> bool:
    """Whether noise has layers of its own; it is a feature like any other for a user-defined closure without them."""
    return bool(_layers(model))


def is_learned(model: Any) -> bool:
    """Whether noise may do something: not if all of its layers are zero, because no members were trained."""
    layers = _layers(model)
    return not layers or any(np.asarray(variable[...]).any() for variable in layers)


def _layers(model: Any) -> list[Any]:
    return [
        variable for path, variable in nnx.to_flat_state(nnx.state(model, nnx.Param)) if MODULATION in map(str, path)
    ]
