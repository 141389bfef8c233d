"""The features of the networks, channel last: fields, gradients, winds, time of day and year, sun, place.

A `FeatureSpec` describes each channel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.grid import Grid
from pinnwx.time_features import TimeFeatures


@dataclass(frozen=True)
class FeatureSpec:
    """A channel of the features or of the outputs of a network.

    Attributes:
        name: to be read.
        pole_parity: its factor along a line that crosses a pole: -1 for components of vectors.
        equator_parity: its factor under reflection in the equator, half a year apart.
        is_noise: whether it is noise (`model.noise`); such features are the last ones.
    """

    name: str
    pole_parity: float = 1.0
    equator_parity: float = 1.0
    is_noise: bool = False

    def along(self, direction: str) -> FeatureSpec:
        """Its gradient, `eastward` or `northward`."""
        equator = -self.equator_parity if direction == "northward" else self.equator_parity
        return FeatureSpec(f"{self.name} {direction} gradient", -self.pole_parity, equator)


def described(features: Iterable[FeatureSpec], kind: str) -> tuple[FeatureSpec, ...]:
    """Channels with the parities of these features, and the kind appended to each name."""
    return tuple(replace(feature, name=f"{feature.name} {kind}") for feature in features)


def wind_specs(names: Iterable[str]) -> tuple[FeatureSpec, ...]:
    """The eastward and northward wind of each name."""
    directions = (("eastward", 1.0), ("northward", -1.0))
    return tuple(FeatureSpec(f"{name} {way} wind", -1.0, parity) for name in names for way, parity in directions)


PLACE = (
    FeatureSpec("sin(latitude)", equator_parity=-1.0),
    FeatureSpec("cos(latitude)"),
    FeatureSpec("sin(longitude)"),
    FeatureSpec("cos(longitude)"),
)
# The sun and the hour are reflected with the weather, so the season changes its sign. Latitude stays, because the
# equations depend on it.
SUN_AND_SEASON = (
    FeatureSpec("cos(zenith angle)"),
    FeatureSpec("daylight"),
    FeatureSpec("sin(day of year)", equator_parity=-1.0),
    FeatureSpec("cos(day of year)", equator_parity=-1.0),
    FeatureSpec("sin(hour angle)"),
)


def channels_last(fields: Float[Array, "*batch field lat lon"]) -> Float[Array, "*batch lat lon field"]:
    """The field axis behind the columns, as convolutions need it."""
    return jnp.moveaxis(fields, -3, -1)


def channels_first(features: Float[Array, "*batch lat lon field"]) -> Float[Array, "*batch field lat lon"]:
    """The inverse of `channels_last`."""
    return jnp.moveaxis(features, -1, -3)


def place_features(grid: Grid) -> np.ndarray:
    """The place of each cell: sin(lat), cos(lat), sin(lon), cos(lon)."""
    latitude, longitude = np.meshgrid(grid.latitude_radians, grid.longitude_radians, indexing="ij")
    parts = (np.sin(latitude), np.cos(latitude), np.sin(longitude), np.cos(longitude))
    return np.stack(parts, axis=-1).astype(np.float32)


def sun_and_season(time: TimeFeatures, grid: Grid) -> Float[Array, "*batch lat lon 5"]:
    """Cosine of the solar zenith angle (negative at night), its daylight part, season, and hour, on the grid.

    cos(zenith) = sin(lat) sin(declination) + cos(lat) cos(declination) cos(hour angle), with the hour angle zero at
    local noon.
    """
    dtype = time.solar_declination.dtype
    latitude = jnp.asarray(grid.latitude_radians, dtype)[:, None]
    longitude = jnp.asarray(grid.longitude_radians, dtype)
    sin_year, cos_year, sin_day, cos_day, declination = time.select((..., None, None))
    # hour angle = 2 pi hour / 24 + longitude - pi, so its cosine is -cos(2 pi hour / 24 + longitude).
    cos_angle = -(cos_day * jnp.cos(longitude) - sin_day * jnp.sin(longitude))
    sin_angle = -(sin_day * jnp.cos(longitude) + cos_day * jnp.sin(longitude))
    zenith = jnp.sin(latitude) * jnp.sin(declination) + jnp.cos(latitude) * jnp.cos(declination) * cos_angle
    shape = zenith.shape
    parts = (zenith, jnp.maximum(zenith, 0.0), sin_year, cos_year, sin_angle)
    return jnp.stack([jnp.broadcast_to(part, shape) for part in parts], axis=-1)
