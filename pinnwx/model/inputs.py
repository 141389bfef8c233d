"""Fixed knowledge of a model: grid, names, scales and maps; and the feature stack built from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from pinnwx.grid import Grid
from pinnwx.model.features import (
    PLACE_EQUATOR_PARITY,
    SUN_EQUATOR_PARITY,
    channels_last,
    place_features,
    sun_and_season,
)
from pinnwx.operators.calculus import gradient
from pinnwx.variables import VARIABLES, Variable, describe

TYPICAL_WIND = 10.0  # m s-1, scales winds for the networks


class Fixed(nnx.Variable):
    """An array that belongs to the model and is never trained."""


@dataclass(frozen=True)
class Scales:
    """Numbers fitted on the training time: mean and standard deviation of each field, standard deviation of its
    change over one step, each (field,), and its time-mean map, (field, lat, lon); in the fields' units."""

    mean: np.ndarray
    std: np.ndarray
    increment_std: np.ndarray
    mean_map: np.ndarray


class Inputs(nnx.Module):
    """Turns physical fields into the features of a network.

    The features are, channel last: each field standardised; its eastward and northward gradient, if `gradients`; sun
    and season; and the fixed maps: time means, place, static fields.
    """

    def __init__(
        self,
        names: Sequence[str],
        grid: Grid,
        scales: Scales,
        static: Mapping[str, np.ndarray],
        variables: Mapping[str, Variable] = VARIABLES,
        *,
        gradients: bool = True,
    ):
        self.names, self.grid, self.gradients = tuple(names), grid, gradients
        described = [describe(name, variables) for name in names]
        self.forecast_bounds = tuple(variable.forecast_bounds for variable in described)
        self.std = Fixed(jnp.asarray(scales.std, jnp.float32)[:, None, None])
        self.increment_std = Fixed(jnp.asarray(scales.increment_std, jnp.float32)[:, None, None])
        self.field_signs = tuple(float(variable.pole_parity) for variable in described)
        self.equator_parity = tuple(float(variable.equator_parity) for variable in described)
        # What turns round beyond a pole or across the equator is scaled about zero, for its mean would not turn.
        turns = np.minimum(self.field_signs, self.equator_parity) < 0
        mean = np.where(turns, 0.0, scales.mean)
        self.mean = Fixed(jnp.asarray(mean, jnp.float32)[:, None, None])
        departure = (scales.mean_map - mean[:, None, None]) / scales.std[:, None, None]
        maps = [np.moveaxis(departure, 0, -1), place_features(grid)]
        maps += [_standardised(static[name])[..., None] for name in sorted(static)]
        self.maps = Fixed(jnp.asarray(np.concatenate(maps, axis=-1), jnp.float32))
        self.map_signs = self.field_signs + (1.0,) * (self.maps.shape[-1] - len(names))
        self.map_equator_parity = self.equator_parity + PLACE_EQUATOR_PARITY + (1.0,) * len(static)

    @property
    def signs(self) -> tuple[float, ...]:
        """The factor of each feature across a pole."""
        gradients = tuple(-sign for sign in self.field_signs) * 2 if self.gradients else ()
        return self.field_signs + gradients + (1.0,) * len(SUN_EQUATOR_PARITY) + self.map_signs

    @property
    def feature_equator_parity(self) -> tuple[float, ...]:
        """The factor of each feature under reflection in the equator."""
        northward = tuple(-sign for sign in self.equator_parity)
        gradients = self.equator_parity + northward if self.gradients else ()
        return self.equator_parity + gradients + SUN_EQUATOR_PARITY + self.map_equator_parity

    def standardised(self, fields: Float[Array, "*batch field lat lon"]) -> Float[Array, "*batch field lat lon"]:
        """Fields with zero mean and unit variance over the training time."""
        return (fields - self.mean[...]) / self.std[...]

    def named(self, fields: Float[Array, "*batch field lat lon"]) -> dict[str, Float[Array, "*batch lat lon"]]:
        """The fields by name."""
        return {name: fields[..., index, :, :] for index, name in enumerate(self.names)}

    def __call__(
        self, fields: Float[Array, "batch field lat lon"], time: Float[Array, "batch 5"]
    ) -> Float[Array, "batch lat lon feature"]:
        parts = [self.standardised(fields)]
        if self.gradients:
            beyond_pole = jnp.asarray(self.field_signs, fields.dtype)[:, None, None]
            length = self.grid.meridional_spacing  # makes the gradients of order one
            parts += [part * length for part in gradient(parts[0], self.grid, sign=beyond_pole)]
        maps = jnp.broadcast_to(self.maps[...], (*fields.shape[:-3], *self.maps.shape))
        stacked = [channels_last(part) for part in parts]
        return jnp.concatenate([*stacked, sun_and_season(time, self.grid), maps], axis=-1)

    def changes(self, analyses: Float[Array, "batch input field lat lon"]) -> Float[Array, "batch lat lon feature"]:
        """What changed from each analysis to the next, in units of the usual change: shows where weather is going."""
        steps = jnp.diff(analyses, axis=-4) / self.increment_std[...]
        return channels_last(steps.reshape(*steps.shape[:-4], -1, *steps.shape[-2:]))

    def change_signs(self, input_times: int) -> tuple[float, ...]:
        """The factor of each feature of `changes` across a pole."""
        return self.field_signs * (input_times - 1)

    def change_equator_parity(self, input_times: int) -> tuple[float, ...]:
        """The factor of each feature of `changes` under reflection in the equator."""
        return self.equator_parity * (input_times - 1)


def _standardised(values: np.ndarray) -> np.ndarray:
    spread = values.std()
    return (values - values.mean()) / (spread if spread > 0 else 1.0)
