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
    PLACE,
    SUN_AND_SEASON,
    FeatureSpec,
    channels_last,
    described,
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
    and season; and the fixed maps: time means, place, static fields. `fields` and `features` describe the channels of
    the fields and of all of them.
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
        entries = [describe(name, variables) for name in names]
        self.forecast_bounds = tuple(entry.forecast_bounds for entry in entries)
        self.std = Fixed(jnp.asarray(scales.std, jnp.float32)[:, None, None])
        self.increment_std = Fixed(jnp.asarray(scales.increment_std, jnp.float32)[:, None, None])
        self.fields = tuple(
            FeatureSpec(name, float(entry.pole_parity), float(entry.equator_parity))
            for name, entry in zip(names, entries, strict=True)
        )
        # What turns round beyond a pole or across the equator is scaled about zero, for its mean would not turn.
        turns = [min(field.pole_parity, field.equator_parity) < 0 for field in self.fields]
        mean = np.where(turns, 0.0, scales.mean)
        self.mean = Fixed(jnp.asarray(mean, jnp.float32)[:, None, None])
        departure = (scales.mean_map - mean[:, None, None]) / scales.std[:, None, None]
        maps = [np.moveaxis(departure, 0, -1), place_features(grid)]
        maps += [_standardised(static[name])[..., None] for name in sorted(static)]
        self.maps = Fixed(jnp.asarray(np.concatenate(maps, axis=-1), jnp.float32))
        ways = ("eastward", "northward") if gradients else ()
        slopes = tuple(field.along(way) for way in ways for field in self.fields)
        fixed = (*described(self.fields, "time mean"), *PLACE, *map(FeatureSpec, sorted(static)))
        self.features = (*self.fields, *slopes, *SUN_AND_SEASON, *fixed)

    def change_specs(self, input_times: int) -> tuple[FeatureSpec, ...]:
        """The channels of `changes`."""
        return tuple(spec for number in range(1, input_times) for spec in described(self.fields, f"change {number}"))

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
            beyond_pole = jnp.asarray([field.pole_parity for field in self.fields], fields.dtype)[:, None, None]
            length = self.grid.meridional_spacing  # makes the gradients of order one
            parts += [part * length for part in gradient(parts[0], self.grid, sign=beyond_pole)]
        maps = jnp.broadcast_to(self.maps[...], (*fields.shape[:-3], *self.maps.shape))
        stacked = [channels_last(part) for part in parts]
        return jnp.concatenate([*stacked, sun_and_season(time, self.grid), maps], axis=-1)

    def changes(self, analyses: Float[Array, "batch input field lat lon"]) -> Float[Array, "batch lat lon feature"]:
        """What changed from each analysis to the next, in units of the usual change: shows where weather is going."""
        steps = jnp.diff(analyses, axis=-4) / self.increment_std[...]
        return channels_last(steps.reshape(*steps.shape[:-4], -1, *steps.shape[-2:]))


def _standardised(values: np.ndarray) -> np.ndarray:
    spread = values.std()
    return (values - values.mean()) / (spread if spread > 0 else 1.0)
