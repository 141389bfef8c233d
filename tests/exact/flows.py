"""Flows on the sphere with the exact transport of a field by them. Angles in radians, times in seconds."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from pinnwx.constants import EARTH_RADIUS
from pinnwx.grid import Grid
from pinnwx.operators.advection import FaceVelocity
from pinnwx.physics.diagnostics import face_velocity_from_streamfunction

from .sphere import corner_values

face_velocity_from_streamfunction = jax.jit(face_velocity_from_streamfunction, static_argnames="grid")
DAY = 86400.0


def cartesian(longitude, latitude) -> np.ndarray:
    """Unit vectors, (3, ...)."""
    longitude, latitude = np.broadcast_arrays(longitude, latitude)
    return np.stack([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)])


def gaussian_hill(longitude: float, latitude: float, sharpness: float = 5.0, base: float = 0.0):
    """exp(-sharpness |x - c|^2): infinitely smooth everywhere."""
    centre = cartesian(longitude, latitude)

    def hill(lon, lat):
        distance = cartesian(lon, lat) - centre.reshape(3, *(1,) * np.ndim(lon + lat))
        return base + np.exp(-sharpness * (distance**2).sum(0))

    return hill


def cosine_bell(longitude: float, latitude: float, radius: float = 1 / 3, height: float = 1000.0):
    """Williamson et al. (1992), test case 1: continuous, with a kink in its second derivative at the rim."""
    centre = cartesian(longitude, latitude)

    def bell(lon, lat):
        cosine = np.tensordot(centre, cartesian(lon, lat), axes=1)
        distance = np.arccos(np.clip(cosine, -1, 1))
        return np.where(distance < radius, 0.5 * height * (1 + np.cos(np.pi * distance / radius)), 0.0)

    return bell


@dataclass(frozen=True)
class SolidBody:
    """Rotation about an axis tilted by `tilt` from the pole (Williamson et al. 1992): pi/2 goes over the poles."""

    tilt: float = 0.0
    period: float = 12 * DAY

    @property
    def speed(self) -> float:
        return 2 * np.pi * EARTH_RADIUS / self.period

    def velocity(self, grid: Grid) -> FaceVelocity:
        def streamfunction(lon, lat):
            return (
                -EARTH_RADIUS
                * self.speed
                * (np.sin(lat) * np.cos(self.tilt) - np.cos(lon) * np.cos(lat) * np.sin(self.tilt))
            )

        return face_velocity_from_streamfunction(jnp.asarray(corner_values(streamfunction, grid)), grid)

    def wind(self, grid: Grid) -> tuple[jnp.ndarray, jnp.ndarray]:
        """The eastward and the northward wind at the cell centres [m s-1]."""
        lon, lat = grid.longitude_radians[None, :], grid.latitude_radians[:, None]
        east = np.cos(lat) * np.cos(self.tilt) + np.cos(lon) * np.sin(lat) * np.sin(self.tilt)
        north = -np.sin(lon) * np.sin(self.tilt) + 0 * lat
        return jnp.asarray(self.speed * east), jnp.asarray(self.speed * north)

    def departure(self, lon, lat, time: float) -> np.ndarray:
        """Where the air at these places was `time` earlier: unit vectors, found by turning back about the axis."""
        axis = np.array([-np.sin(self.tilt), 0.0, np.cos(self.tilt)])
        angle, x = -2 * np.pi * time / self.period, cartesian(lon, lat)
        along = np.tensordot(axis, x, axes=1)
        return (
            x * np.cos(angle)
            + np.cross(axis, x, axisb=0, axisc=0) * np.sin(angle)
            + axis.reshape(3, *(1,) * (x.ndim - 1)) * along * (1 - np.cos(angle))
        )

    def solution(self, initial, time: float):
        """The field at `time`: the initial one at the departure point."""

        def field(lon, lat):
            turned = self.departure(lon, lat, time)
            return initial(np.arctan2(turned[1], turned[0]), np.arcsin(np.clip(turned[2], -1, 1)))

        return field


@dataclass(frozen=True)
class Poleward:
    """v = a rate cos(lat): away from the south pole and towards the north pole, divergent, smooth everywhere.

    With mu = sin(lat), dmu/dt = rate (1 - mu^2), so mu0 = (mu - T) / (1 - mu T), T = tanh(rate t).
    """

    rate: float = 0.5 / DAY

    def velocity(self, grid: Grid) -> FaceVelocity:
        rows, columns = grid.shape
        north = EARTH_RADIUS * self.rate * np.cos(grid.latitude_edges)[:, None] * (grid.north_face_length > 0)[:, None]
        east = np.zeros((rows, columns + (not grid.is_periodic)))
        return FaceVelocity(jnp.asarray(east), jnp.asarray(np.broadcast_to(north, (rows + 1, columns))))

    def solution(self, initial, time: float, conserved: bool = True):
        """The density (or, not conserved, the advected value) at `time`."""
        shift = np.tanh(self.rate * time)

        def field(lon, lat):
            mu = np.sin(lat)
            start = (mu - shift) / (1 - mu * shift)
            squeeze = (1 - shift**2) / (1 - mu * shift) ** 2 if conserved else 1.0
            return squeeze * initial(lon, np.arcsin(np.clip(start, -1, 1)))

        return field


@dataclass(frozen=True)
class Deformation:
    """Nair and Lauritzen (2010, J. Comput. Phys. 229), case 4: stretches, turns back, and rotates once meanwhile.

    After one period every parcel is back where it began. Theirs has a period of 12 days and strength 1.
    """

    period: float = 12 * DAY
    strength: float = 1.0

    def wind(self, lon, lat, time):
        """The eastward and the northward wind [m s-1]."""
        radius, period = EARTH_RADIUS, self.period
        moved = lon - 2 * np.pi * time / period
        amplitude = 10 * self.strength * radius / period * jnp.cos(np.pi * time / period)
        east = amplitude * jnp.sin(moved) ** 2 * jnp.sin(2 * lat) + 2 * np.pi * radius / period * jnp.cos(lat)
        return east, amplitude * jnp.sin(2 * moved) * jnp.cos(lat)

    @partial(jax.jit, static_argnames=("self", "grid"))
    def velocity(self, grid: Grid, time) -> FaceVelocity:
        radius, period = EARTH_RADIUS, self.period
        lon, lat = (corner_values(which, grid) for which in (lambda x, y: x + 0 * y, lambda x, y: y + 0 * x))
        moved = jnp.asarray(lon) - 2 * jnp.pi * time / period
        amplitude = 10 * self.strength * radius**2 / period * jnp.cos(jnp.pi * time / period)
        stretch = amplitude * jnp.sin(moved) ** 2 * np.cos(lat) ** 2
        return face_velocity_from_streamfunction(stretch - 2 * np.pi * radius**2 / period * np.sin(lat), grid)
