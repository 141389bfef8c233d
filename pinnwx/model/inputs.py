"""The constants of a model (grid, names, normalisation, static maps) and the features made with them."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, ArrayLike, Float

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
from pinnwx.statistics import Normalisation
from pinnwx.time_features import TimeFeatures
from pinnwx.variables import VARIABLES, Variable, describe

TYPICAL_WIND = 10.0  # m s-1, unit of the winds among the features


class Fixed(nnx.Variable):
    """An array of the model that is never trained."""

    @classmethod
    def of(cls, values: ArrayLike) -> Fixed:
        """These values in float32."""
        return cls(jax.device_put(np.array(values, np.float32)))  # jnp.asarray compiles a program for each shape


class Inputs(nnx.Module):
    """Computes the features of a network from physical fields.

    The features are, channel last: the standardised fields; their eastward and northward gradients, if `gradients`; sun
    and season; and static maps: time means, place, static fields.

    Attributes:
        fields: specifications of the field channels.
        features: specifications of all channels.
    """

    def __init__(
        self,
        grid: Grid,
        normalisation: Normalisation,
        static: Mapping[str, np.ndarray],
        variables: Mapping[str, Variable] = VARIABLES,
        *,
        gradients: bool = True,
    ):
        self.names, self.grid, self.gradients = normalisation.names, grid, gradients
        entries = [describe(name, variables) for name in self.names]
        self.forecast_bounds = tuple(entry.forecast_bounds for entry in entries)
        self.std = Fixed.of(normalisation.std[:, None, None])
        self.increment_std = Fixed.of(normalisation.increment_std[:, None, None])
        self.fields = tuple(
            FeatureSpec(name, float(entry.pole_parity), float(entry.equator_parity))
            for name, entry in zip(self.names, entries, strict=True)
        )
        # A field that changes sign across a pole or the equator is not centred: its mean would not change sign.
        is_odd = [min(field.pole_parity, field.equator_parity) < 0 for field in self.fields]
        mean = np.where(is_odd, 0.0, normalisation.mean)
        self.mean = Fixed.of(mean[:, None, None])
        departure = (normalisation.mean_map - mean[:, None, None]) / normalisation.std[:, None, None]
        maps = [np.moveaxis(departure, 0, -1), place_features(grid)]
        maps += [_standardised(static[name])[..., None] for name in sorted(static)]
        self.maps = Fixed.of(np.concatenate(maps, axis=-1))
        ways = ("eastward", "northward") if gradients else ()
        slopes = tuple(field.along(way) for way in ways for field in self.fields)
        fixed = (*described(self.fields, "time mean"), *PLACE, *map(FeatureSpec, sorted(static)))
        self.features = (*self.fields, *slopes, *SUN_AND_SEASON, *fixed)

    def change_specs(self, input_times: int) -> tuple[FeatureSpec, ...]:
        """The specifications of the channels of `changes`."""
        return tuple(spec for number in range(1, input_times) for spec in described(self.fields, f"change {number}"))

    def standardised(self, fields: Float[Array, "*batch field lat lon"]) -> Float[Array, "*batch field lat lon"]:
        """Fields with zero mean and unit variance over the training time."""
        return (fields - self.mean[...]) / self.std[...]

    def named(self, fields: Float[Array, "*batch field lat lon"]) -> dict[str, Float[Array, "*batch lat lon"]]:
        """The fields by name."""
        return {name: fields[..., index, :, :] for index, name in enumerate(self.names)}

    def __call__(
        self, fields: Float[Array, "batch field lat lon"], time: TimeFeatures
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
        """The change from each analysis to the next, in standard deviations of such changes."""
        steps = jnp.diff(analyses, axis=-4) / self.increment_std[...]
        return channels_last(steps.reshape(*steps.shape[:-4], -1, *steps.shape[-2:]))


def _standardised(values: np.ndarray) -> np.ndarray:
    spread = values.std()
    return (values - values.mean()) / (spread if spread > 0 else 1.0)
