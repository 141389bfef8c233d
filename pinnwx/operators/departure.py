"""Departure points: where the air was that arrives at the cell centres, on great circles in Cartesian coordinates."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from pinnwx.constants import EARTH_RADIUS
from pinnwx.grid import Grid
from pinnwx.operators.interpolation import Points, interpolate
from pinnwx.operators.polar import cap_groups, zonal_group_mean
from pinnwx.operators.stencils import constant

LARGEST_ANGLE = 1.0  # radians of half a trajectory; a trajectory is at most 12,742 km long
_TINY = 1e-6  # radians: the distance (6 m) below which a direction has no meaning in float32


def departure_points(
    eastward: Float[Array, "*batch lat lon"],
    northward: Float[Array, "*batch lat lon"],
    grid: Grid,
    dt: ArrayLike,
    iterations: int = 3,
    degree: int = 3,
) -> Points:
    """The points from which the wind carries air to the cell centres in `dt`.

    The trajectory is the great circle through its midpoint x_m along the wind there (Ritchie 1987). The midpoint solves
    x_m = exp_x(-dt/2 v(x_m)) with arrival point x, by fixed-point iteration from v(x). The wind is interpolated as a
    Cartesian vector, and transported in parallel from x_m to x, so poles and date line are no special places.

    From two iterations on, the error at the departure point is O(dt^3) in one step, hence second order in time, if the
    wind is that of the middle of the step. The iteration converges if dt/2 |grad v| < 1 (Pudykiewicz and Staniforth
    1984). The result is finite for any finite wind: a wind that crosses more than 12,742 km in a step is scaled down to
    that length. On a row of a pole, all columns have the same departure point. Beyond the edge of a regional grid, the
    wind has its value at the edge, and departure points may lie outside (`interpolation.interpolate` takes them from
    the boundary). Gradients in the wind are exact, but for a departure point within 6 m of a pole, where they are zero.

    Args:
        eastward: eastward wind at the cell centres, at the middle of the step [m s-1].
        northward: northward wind [m s-1].
        grid: the geometry.
        dt: the step [s].
        iterations: of the midpoint; the first uses the wind of the arrival point.
        degree: of the interpolation of the wind, 3 or 1.

    Source: Ritchie (1987), Mon. Wea. Rev. 115, 608-619; Pudykiewicz and Staniforth (1984), Atmos.-Ocean 22, 283-308.
    """
    arrival = constant(unit_vectors(grid), eastward)
    wind = cartesian(eastward, northward, grid)
    # On a pole, the wind is one vector: the mean of the vectors of the columns.
    angular = zonal_group_mean(wind, grid, cap_groups(grid)) * (0.5 * dt / EARTH_RADIUS)
    midpoint = _moved(arrival, -angular)
    for _ in range(iterations - 1):
        latitude, longitude = points_of(midpoint)
        points = Points(latitude[..., None, :, :], longitude[..., None, :, :])
        there = interpolate(angular, points, grid, degree=degree).value
        midpoint = _moved(arrival, -_transported(there, midpoint, arrival))
    return points_of(2 * _dot(arrival, midpoint) * midpoint - arrival)


def cartesian(
    eastward: Float[Array, "*batch lat lon"], northward: Float[Array, "*batch lat lon"], grid: Grid
) -> Float[Array, "*batch 3 lat lon"]:
    """The Cartesian components of a horizontal vector at the cell centres; smooth over the poles if the vector is."""
    _, east, north = (constant(part, eastward) for part in _basis(grid))
    return eastward[..., None, :, :] * east + northward[..., None, :, :] * north


def carried_vector(
    vector: Float[Array, "*batch 3 lat lon"], departure: Points, grid: Grid
) -> tuple[Float[Array, "*batch lat lon"], Float[Array, "*batch lat lon"]]:
    """The components (eastward, northward) of a vector that is carried from departure points to the cell centres.

    It is transported in parallel on the great circle between them, so it keeps its length and its angle with the path.

    Args:
        vector: its Cartesian components at the departure points.
        departure: the departure points; their batch broadcasts against the batch of the vector.
        grid: the geometry.
    """
    arrival, east, north = (constant(part, vector) for part in _basis(grid))
    cosine = jnp.cos(departure.latitude)
    start = [cosine * jnp.cos(departure.longitude), cosine * jnp.sin(departure.longitude), jnp.sin(departure.latitude)]
    there = _transported(vector, jnp.stack(start, axis=-3), arrival)
    return jnp.sum(there * east, axis=-3), jnp.sum(there * north, axis=-3)


def unit_vectors(grid: Grid) -> Float[np.ndarray, "3 lat lon"]:
    """From the centre of the Earth to the cell centres."""
    return _basis(grid)[0]


def _basis(grid):
    """Unit vectors of the cell centres, and of east and north there, (3, lat, lon) each."""
    latitude, longitude = np.broadcast_arrays(grid.latitude_radians[:, None], grid.longitude_radians)
    cosine, sine = np.cos(latitude), np.sin(latitude)
    if grid.has_pole_rows:
        cosine[[0, -1]] = 0.0  # exactly, so that all columns are one point
    zero = np.zeros(grid.shape)
    outward = np.stack([cosine * np.cos(longitude), cosine * np.sin(longitude), sine])
    east = np.stack([-np.sin(longitude), np.cos(longitude), zero])
    return outward, east, np.stack([-sine * np.cos(longitude), -sine * np.sin(longitude), cosine])


def points_of(position: Float[Array, "*batch 3 lat lon"]) -> Points:
    """Latitude and longitude of unit vectors. Within 6 m of a pole, longitude is zero."""
    x, y, z = (position[..., axis, :, :] for axis in range(3))
    square = x**2 + y**2
    near = square < _TINY**2
    # Selected before the functions too, so that no derivative is infinite.
    x, y, from_axis = jnp.where(near, 1, x), jnp.where(near, 0, y), jnp.sqrt(jnp.where(near, 1, square))
    return Points(jnp.arctan2(z, jnp.where(near, 0, from_axis)), jnp.arctan2(y, x))


def _dot(one, other):
    return jnp.sum(one * other, axis=-3, keepdims=True)


def _transported(vector, start, end):
    """The tangential part of a vector at `start`, transported in parallel to `end` on the great circle between them."""
    tangential = vector - _dot(vector, start) * start
    return tangential - _dot(tangential, end) / (1 + _dot(start, end)) * (start + end)


def _moved(position, step):
    """The end of the great circle that leaves `position` along `step` [radians], at most `LARGEST_ANGLE` away."""
    angle = jnp.sqrt(jnp.maximum(_dot(step, step), _TINY**2))  # not zero, where a root has no derivative
    reached = jnp.minimum(angle, LARGEST_ANGLE)
    return jnp.cos(reached) * position + jnp.sin(reached) / angle * step
