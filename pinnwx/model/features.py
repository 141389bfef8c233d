"""What the networks see, channel last: fields, gradients, winds, time of day and year, sun, place.

Each channel is described by a `FeatureSpec`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.grid import Grid


@dataclass(frozen=True)
class FeatureSpec:
    """A channel that a network is given, or makes.

    Attributes:
        name: for people.
        pole_parity: its factor along a line that crosses a pole; -1 for components of vectors.
        equator_parity: its factor where weather is reflected in the equator, half a year away.
    """

    name: str
    pole_parity: float = 1.0
    equator_parity: float = 1.0

    def along(self, direction: str) -> FeatureSpec:
        """Its gradient, `eastward` or `northward`."""
        equator = -self.equator_parity if direction == "northward" else self.equator_parity
        return FeatureSpec(f"{self.name} {direction} gradient", -self.pole_parity, equator)


def described(features: Iterable[FeatureSpec], kind: str) -> tuple[FeatureSpec, ...]:
    """Channels that turn as these do, with the name of their kind behind each."""
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
# The sun and the hour are reflected with the weather, so the season changes its sign. Latitude, on which the laws
# depend, stays what it is.
SUN_AND_SEASON = (
    FeatureSpec("cos(zenith angle)"),
    FeatureSpec("daylight"),
    FeatureSpec("sin(day of year)", equator_parity=-1.0),
    FeatureSpec("cos(day of year)", equator_parity=-1.0),
    FeatureSpec("sin(hour angle)"),
)
TIME_FEATURES = 5  # sine and cosine of the day of year, sine and cosine of the UTC hour, solar declination


def channels_last(fields: Float[Array, "*batch field lat lon"]) -> Float[Array, "*batch lat lon field"]:
    """Moves the field axis behind the columns, where convolutions want it."""
    return jnp.moveaxis(fields, -3, -1)


def channels_first(features: Float[Array, "*batch lat lon field"]) -> Float[Array, "*batch field lat lon"]:
    """The inverse of `channels_last`."""
    return jnp.moveaxis(features, -1, -3)


def place_features(grid: Grid) -> np.ndarray:
    """sin(lat), cos(lat), sin(lon), cos(lon): where a cell is, (lat, lon, 4)."""
    latitude, longitude = np.meshgrid(grid.latitude_radians, grid.longitude_radians, indexing="ij")
    parts = (np.sin(latitude), np.cos(latitude), np.sin(longitude), np.cos(longitude))
    return np.stack(parts, axis=-1).astype(np.float32)


def sun_and_season(time: Float[Array, "*batch 5"], grid: Grid) -> Float[Array, "*batch lat lon 5"]:
    """Cosine of the solar zenith angle (negative at night), its daylight part, season, and hour, on the grid.

    cos(zenith) = sin(lat) sin(declination) + cos(lat) cos(declination) cos(hour angle), the hour angle being zero at
    local noon. `time` is what `data.calendar.time_features` makes of a datetime.
    """
    latitude = jnp.asarray(grid.latitude_radians, time.dtype)[:, None]
    longitude = jnp.asarray(grid.longitude_radians, time.dtype)
    sin_day, cos_day, sin_hour, cos_hour, declination = (time[..., i, None, None] for i in range(TIME_FEATURES))
    # hour angle = 2 pi hour / 24 + longitude - pi, so its cosine is -cos(2 pi hour / 24 + longitude).
    cos_angle = -(cos_hour * jnp.cos(longitude) - sin_hour * jnp.sin(longitude))
    sin_angle = -(sin_hour * jnp.cos(longitude) + cos_hour * jnp.sin(longitude))
    zenith = jnp.sin(latitude) * jnp.sin(declination) + jnp.cos(latitude) * jnp.cos(declination) * cos_angle
    shape = zenith.shape
    parts = (zenith, jnp.maximum(zenith, 0.0), sin_day, cos_day, sin_angle)
    return jnp.stack([jnp.broadcast_to(part, shape) for part in parts], axis=-1)
