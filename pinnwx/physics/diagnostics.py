"""Winds from vorticity, divergence, geopotential or pressure, and back.

    laplacian(psi) = vorticity     u = -dpsi/dy + dchi/dx
    laplacian(chi) = divergence    v =  dpsi/dx + dchi/dy

On a regional grid psi and chi are zero beyond the edge unless boundary values are given. The wind is then parallel to
the edge, and is the part of the wind that the vorticity or divergence *inside* the region explains.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.constants import EARTH_ROTATION, REFERENCE_AIR_DENSITY
from pinnwx.grid import Grid
from pinnwx.operators.advection import FaceVelocity
from pinnwx.operators.calculus import curl, divergence, gradient
from pinnwx.operators.poisson import inverse_laplacian, solve_helmholtz
from pinnwx.operators.stencils import constant, pad, slice_axis

Field = Float[Array, "*batch lat lon"]
Boundary = Float[Array, "*#batch padded_lat padded_lon"]
Corners = Float[Array, "*batch corners_lat corners_lon"]
Wind = tuple[Field, Field]


def streamfunction_from_vorticity(vorticity: Field, grid: Grid, boundary: Boundary | None = None) -> Field:
    """psi [m2 s-1] with laplacian(psi) = vorticity [s-1]; on the globe less its area mean, and psi has mean zero."""
    return inverse_laplacian(vorticity, grid, _zero_beyond(vorticity, grid, boundary))


def streamfunction_from_potential_vorticity(
    potential_vorticity: Field, grid: Grid, deformation_radius: float | None = None
) -> Field:
    """psi [m2 s-1] with laplacian(psi) - psi / L^2 = potential vorticity [s-1], L the deformation radius [m].

    The quasi-geostrophic relation of one layer with a free surface. A wave of total wavenumber K has the factor
    K^2 / (K^2 + 1/L^2) of what the vorticity alone would give it. So long waves do not run westwards too fast, as they
    do without divergence (Cressman 1958, Mon. Wea. Rev. 86). On a regional grid psi is zero beyond the edge.
    """
    if deformation_radius is None:
        return streamfunction_from_vorticity(potential_vorticity, grid)
    beyond = _zero_beyond(potential_vorticity, grid, None)
    return -(deformation_radius**2) * solve_helmholtz(potential_vorticity, grid, deformation_radius**2, beyond)


def velocity_potential_from_divergence(divergence: Field, grid: Grid, boundary: Boundary | None = None) -> Field:
    """chi [m2 s-1] with laplacian(chi) = divergence [s-1]; on the globe less its area mean, and chi has mean zero."""
    return inverse_laplacian(divergence, grid, _zero_beyond(divergence, grid, boundary))


def wind_from_streamfunction(streamfunction: Field, grid: Grid, boundary: Boundary | None = None) -> Wind:
    """(u, v) = (-dpsi/dy, dpsi/dx) at the cell centres [m s-1]."""
    x, y = gradient(streamfunction, grid, boundary)
    return -y, x


def wind_from_velocity_potential(velocity_potential: Field, grid: Grid, boundary: Boundary | None = None) -> Wind:
    """(u, v) = (dchi/dx, dchi/dy) at the cell centres [m s-1]."""
    return gradient(velocity_potential, grid, boundary)


def rotational_wind(vorticity: Field, grid: Grid) -> Wind:
    """The non-divergent wind (u, v) [m s-1] that has this vorticity [s-1]."""
    return wind_from_streamfunction(
        streamfunction_from_vorticity(vorticity, grid), grid, _zero_beyond(vorticity, grid, None)
    )


def divergent_wind(divergence: Field, grid: Grid) -> Wind:
    """The irrotational wind (u, v) [m s-1] that has this divergence [s-1]."""
    return wind_from_velocity_potential(
        velocity_potential_from_divergence(divergence, grid), grid, _zero_beyond(divergence, grid, None)
    )


def vorticity_and_divergence(eastward: Field, northward: Field, grid: Grid) -> Wind:
    """(curl, divergence) [s-1] of a wind given at the cell centres [m s-1]."""
    return curl(eastward, northward, grid), divergence(eastward, northward, grid)


def helmholtz_decomposition(eastward: Field, northward: Field, grid: Grid) -> Wind:
    """(psi, chi) [m2 s-1] of a wind (u, v) [m s-1], each with area mean zero on the globe."""
    vorticity, spread = vorticity_and_divergence(eastward, northward, grid)
    return streamfunction_from_vorticity(vorticity, grid), velocity_potential_from_divergence(spread, grid)


def corner_mean(
    field: Field, grid: Grid, boundary: Boundary | None = None
) -> Float[Array, "*batch corners_lat corners_lon"]:
    """The mean of the four cells around each corner; at a pole the mean of the row next to it, one value.

    Shapes as `face_velocity_from_streamfunction` takes them.
    """
    rows, columns = grid.shape
    padded = pad(field, grid, 1, boundary=boundary)
    first, corners = (1, columns) if grid.is_periodic else (0, columns + 1)
    zonal = 0.5 * (slice_axis(padded, first, corners, -1) + slice_axis(padded, first + 1, corners, -1))
    mean = 0.5 * (slice_axis(zonal, 0, rows + 1, -2) + slice_axis(zonal, 1, rows + 1, -2))
    if not grid.is_global:
        return mean
    ends = (slice_axis(field, row, 1, -2).mean(-1, keepdims=True) for row in (0, rows - 1))
    south, north = (jnp.broadcast_to(end, (*mean.shape[:-2], 1, corners)) for end in ends)
    return jnp.concatenate([south, slice_axis(mean, 1, rows - 1, -2), north], axis=-2)


def face_velocity_from_streamfunction(corners: Corners, grid: Grid) -> FaceVelocity:
    """The wind through each face from psi [m2 s-1] at its two ends: their difference is the flow through the face.

    Discretely non-divergent: `calculus.face_divergence` of it is zero to round-off in every cell, and of exact psi it
    is the exact mean over each face.

    Args:
        corners: `(*batch, lat + 1, lon)` on a periodic grid, corner (j, i) at the south edge of row j and the east
            edge of column i, one value all along a pole; `(*batch, lat + 1, lon + 1)` on a regional grid, corner
            (j, i) at the south edge of row j and the west edge of column i.
        grid: the geometry.
    """
    east = -jnp.diff(corners, axis=-2) * constant(1 / grid.east_face_length[:, None], corners)
    step = corners - jnp.roll(corners, 1, axis=-1) if grid.is_periodic else jnp.diff(corners, axis=-1)
    length = grid.north_face_length[:, None]
    return FaceVelocity(east, step * constant(np.where(length > 0, 1 / np.where(length > 0, length, 1), 0), corners))


def rotational_face_velocity(vorticity: Field, grid: Grid) -> FaceVelocity:
    """The wind through the faces that has this vorticity [s-1], discretely non-divergent [m s-1]."""
    streamfunction = streamfunction_from_vorticity(vorticity, grid)
    corners = corner_mean(streamfunction, grid, _zero_beyond(vorticity, grid, None))
    return face_velocity_from_streamfunction(corners, grid)


def geostrophic_wind(
    geopotential: Field, grid: Grid, boundary: Boundary | None = None, equatorial_latitude: float = 10.0
) -> Wind:
    """(u, v) = (-dPhi/dy, dPhi/dx) / f [m s-1] from geopotential Phi [m2 s-2].

    Within `equatorial_latitude` degrees of the equator, where 1/f grows without bound, f/f_e^2 takes its place, with
    f_e the Coriolis parameter at that latitude: it joins 1/f there and falls to zero at the equator. So the wind is
    at most |grad Phi| / f_e anywhere.
    """
    edge = 2 * EARTH_ROTATION * np.sin(np.deg2rad(equatorial_latitude))
    inverse = grid.coriolis / np.maximum(np.abs(grid.coriolis), edge) ** 2
    x, y = gradient(geopotential, grid, boundary)
    return -y * constant(inverse, y), x * constant(inverse, x)


def geostrophic_wind_from_pressure(
    pressure: Field, grid: Grid, boundary: Boundary | None = None, equatorial_latitude: float = 10.0
) -> Wind:
    """As `geostrophic_wind`, from pressure [Pa] at a level near the ground: Phi is p over the reference density."""
    scaled = None if boundary is None else boundary / REFERENCE_AIR_DENSITY
    return geostrophic_wind(pressure / REFERENCE_AIR_DENSITY, grid, scaled, equatorial_latitude)


def mass_field(name: str, geopotential: Field) -> Field:
    """A change of geopotential [m2 s-2] in units of the named field: for `msl`, times the density of air [Pa]."""
    return geopotential * REFERENCE_AIR_DENSITY if name == "msl" else geopotential


def _zero_beyond(field, grid, boundary):
    """Boundary values of psi or chi: the given ones, or zero around a regional grid; none on the globe."""
    if grid.is_global or boundary is not None:
        return boundary
    rows, columns = grid.shape
    return jnp.zeros((rows + 2, columns + 2), field.dtype)
