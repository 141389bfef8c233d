"""What the networks see, channel last: fields, gradients, winds, time of day and year, sun, place."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.grid import Grid

# Factors under reflection in the equator, half a year away: the sun and the hour are reflected with the weather, so the
# season changes its sign; latitude, on which the laws depend, is told as it is.
PLACE_EQUATOR_PARITY = (-1.0, 1.0, 1.0, 1.0)
SUN_EQUATOR_PARITY = (1.0, 1.0, -1.0, -1.0, 1.0)
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
