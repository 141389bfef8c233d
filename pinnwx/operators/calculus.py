"""Gradient, divergence, curl and Laplacian on the sphere, second order, with exact areas and lengths."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.constants import EARTH_RADIUS
from pinnwx.grid import Grid
from pinnwx.operators.polar import cap_groups, zonal_group_mean
from pinnwx.operators.stencils import FaceVector, constant, pad_cross, slice_axis


def face_divergence(
    flux: FaceVector, grid: Grid, groups: tuple[int, ...] | None = None
) -> Float[Array, "*batch lat lon"]:
    """The net outflow of a flux density through the faces of each cell, per area: 1/A sum_faces F_n L.

    Its area integral is the flux through the outer boundary, which is zero on the globe. A row on a pole is one polar
    cap and has one value; `groups` (see `polar`) does the same for blocks of cells in other rows.
    """
    return flux_divergence_from_faces(with_west_face(flux.east, grid), flux.north, grid, groups)


def flux_divergence_from_faces(
    east: Float[Array, "*batch lat all_faces"],
    north: Float[Array, "*batch faces lon"],
    grid: Grid,
    groups: tuple[int, ...] | None = None,
) -> Float[Array, "*batch lat lon"]:
    """`face_divergence` of a flux at all east faces, in the layout of `with_west_face`."""
    through_east = east * constant(grid.east_face_length[:, None], east)
    through_north = north * constant(grid.north_face_length[:, None], north)
    total = jnp.diff(through_east, axis=-1) + jnp.diff(through_north, axis=-2)
    return zonal_group_mean(total * constant(1 / grid.cell_area[:, None], total), grid, groups or cap_groups(grid))


def with_west_face(east: Float[Array, "*batch lat faces"], grid: Grid) -> Float[Array, "*batch lat all_faces"]:
    """Values at the east faces, preceded by the west face of the first column, (..., lat, lon + 1)."""
    return jnp.concatenate([east[..., -1:], east], axis=-1) if grid.is_periodic else east


def face_mean(
    field: Float[Array, "*batch lat lon"],
    grid: Grid,
    *,
    sign: float = 1.0,
    boundary: Float[Array, "*#batch padded_lat padded_lon"] | None = None,
) -> FaceVector:
    """The mean of the two cells adjacent to each face."""
    west, east, south, north = _beside_faces(field, grid, sign, boundary)
    return FaceVector(0.5 * (west + east), 0.5 * (south + north))


def face_gradient(
    field: Float[Array, "*batch lat lon"],
    grid: Grid,
    boundary: Float[Array, "*#batch padded_lat padded_lon"] | None = None,
    groups: tuple[int, ...] | None = None,
) -> FaceVector:
    """The derivative normal to each face: the difference of the adjacent cells over the distance of their centres.

    With `groups`, the distance is that of the centres of neighbouring groups.
    """
    west, east, south, north = _beside_faces(field, grid, 1.0, boundary)
    return FaceVector(
        (east - west) * constant(1 / zonal_distance(grid, groups)[:, None], field),
        (north - south) * (1 / grid.meridional_spacing),
    )


def gradient(
    field: Float[Array, "*batch lat lon"],
    grid: Grid,
    boundary: Float[Array, "*#batch padded_lat padded_lon"] | None = None,
    sign: float | Array = 1.0,
) -> tuple[Float[Array, "*batch lat lon"], Float[Array, "*batch lat lon"]]:
    """(dq/dx, dq/dy) at the cell centres by centred differences, x eastward and y northward [per metre].

    On a pole, the gradient is one vector, computed from the first zonal wave of the adjacent row. Each column has its
    components in the local east and north direction. `sign` is -1 for a component of a vector, which changes its sign
    across a pole (see `stencils.pad`).
    """
    rows, columns = grid.shape
    wide, tall = pad_cross(field, grid, 1, sign=sign, boundary=boundary)
    eastward = slice_axis(wide, 2, columns, -1) - slice_axis(wide, 0, columns, -1)
    eastward = eastward * constant(0.5 / zonal_distance(grid)[:, None], field)
    northward = (slice_axis(tall, 2, rows, -2) - slice_axis(tall, 0, rows, -2)) * (0.5 / grid.meridional_spacing)
    if grid.has_pole_rows:
        south, north = _pole_gradient(field, grid, 1, 1.0), _pole_gradient(field, grid, rows - 2, -1.0)
        eastward = jnp.concatenate([south[0], slice_axis(eastward, 1, rows - 2, -2), north[0]], axis=-2)
        northward = jnp.concatenate([south[1], slice_axis(northward, 1, rows - 2, -2), north[1]], axis=-2)
    return eastward, northward


def divergence(
    eastward: Float[Array, "*batch lat lon"],
    northward: Float[Array, "*batch lat lon"],
    grid: Grid,
    boundary: tuple[Array, Array] | None = None,
) -> Float[Array, "*batch lat lon"]:
    """du/dx + 1/cos(lat) d(v cos(lat))/dy of a vector at the cell centres, in flux form.

    Its integral over the globe is zero. `boundary` has the padded components on a regional grid.
    """
    beyond = boundary or (None, None)
    return face_divergence(
        FaceVector(
            face_mean(eastward, grid, sign=-1.0, boundary=beyond[0]).east,
            face_mean(northward, grid, sign=-1.0, boundary=beyond[1]).north,
        ),
        grid,
    )


def curl(
    eastward: Float[Array, "*batch lat lon"],
    northward: Float[Array, "*batch lat lon"],
    grid: Grid,
    boundary: tuple[Array, Array] | None = None,
) -> Float[Array, "*batch lat lon"]:
    """dv/dx - 1/cos(lat) d(u cos(lat))/dy: the divergence of the vector rotated clockwise by 90 degrees."""
    beyond = None if boundary is None else (boundary[1], -boundary[0])
    return divergence(northward, -eastward, grid, beyond)


def laplacian(
    field: Float[Array, "*batch lat lon"],
    grid: Grid,
    boundary: Float[Array, "*#batch padded_lat padded_lon"] | None = None,
) -> Float[Array, "*batch lat lon"]:
    """div(grad q) in flux form [per square metre].

    It is symmetric under the area-weighted inner product and negative semidefinite. Its integral over the globe is
    zero. `poisson.inverse_laplacian` is its inverse to solver precision.
    """
    return face_divergence(face_gradient(field, grid, boundary), grid)


def zonal_distance(grid: Grid, groups: tuple[int, ...] | None = None) -> np.ndarray:
    """Distance between the centres of zonal neighbours or neighbouring groups [m], (rows,); infinite on a pole row."""
    distance = EARTH_RADIUS * np.cos(grid.latitude_radians) * np.deg2rad(grid.longitude_spacing)
    distance = np.where(distance > 1e-9 * EARTH_RADIUS, distance, np.inf)
    return distance * np.asarray(groups or 1)


def _beside_faces(field, grid, sign, boundary):
    """The cells west and east of each east face, and those south and north of each north face."""
    rows, columns = grid.shape
    wide, tall = pad_cross(field, grid, 1, sign=sign, boundary=boundary)
    first, faces = (1, columns) if grid.is_periodic else (0, columns + 1)
    return (
        slice_axis(wide, first, faces, -1),
        slice_axis(wide, first + 1, faces, -1),
        slice_axis(tall, 0, rows + 1, -2),
        slice_axis(tall, 1, rows + 1, -2),
    )


def _pole_gradient(field, grid, row, outward):
    """East and north components of the gradient on a pole, (..., 1, lon), from the adjacent row.

    `outward` is 1 at the south pole, where meridians lead north from the pole, and -1 at the north pole.
    """
    longitude = grid.longitude_radians
    cosine, sine = constant(np.cos(longitude), field), constant(np.sin(longitude), field)
    beside = slice_axis(field, row, 1, -2)
    x = jnp.mean(beside * cosine, axis=-1, keepdims=True) * (2 / grid.meridional_spacing)
    y = jnp.mean(beside * sine, axis=-1, keepdims=True) * (2 / grid.meridional_spacing)
    return y * cosine - x * sine, outward * (x * cosine + y * sine)
