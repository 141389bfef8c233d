"""Transport by the wind: a scheme is an interpolation to the cell faces; the flux divergence does the rest.

Values are cell means. Every scheme conserves the area integral, and keeps a constant in discretely non-divergent
wind (`physics.diagnostics.face_velocity_from_streamfunction`). With forward Euler or any strong-stability-preserving
Runge-Kutta method (Heun, SSPRK3), and a total outflow Courant number (`stability.courant_number`) up to the scheme's
`outflow_limit`, "upwind1" and "limited" keep the sign of a field in any wind, and make no new extrema in
non-divergent wind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.operators.calculus import face_divergence, face_mean
from pinnwx.operators.reconstruction import row_weights
from pinnwx.operators.stencils import FaceVector, constant, pad, slab

FaceVelocity = FaceVector  # [m s-1]

_UNIFORM = (-1 / 6, 5 / 6, 2 / 6)  # a parabola's value at the far end of the second of three equal cells


class Scheme(NamedTuple):
    """An interpolation to faces.

    Attributes:
        order: of accuracy on smooth fields, in cell means.
        halo: ghost cells it needs.
        interpolate: (cell, eastward or northward flow, weights) to the value at the face; `cell(k)` is the k-th cell
            along the axis, 0 just before the face and 1 just after it.
        outflow_limit: the outflow Courant number up to which it keeps signs and bounds; None where it does not.
        covariant: whether the flux includes the covariance of wind and field along the face.
    """

    order: int
    halo: int
    interpolate: Callable
    outflow_limit: float | None = None
    covariant: bool = False


def _upwind1(cell, forward, weights):  # noqa: ARG001
    return jnp.where(forward, cell(0), cell(1))


def _centred2(cell, forward, weights):  # noqa: ARG001
    return 0.5 * (cell(0) + cell(1))


def _upwind3(cell, forward, weights):
    before, after = weights
    return jnp.where(
        forward,
        before[0] * cell(-1) + before[1] * cell(0) + before[2] * cell(1),
        after[0] * cell(0) + after[1] * cell(1) + after[2] * cell(2),
    )


def _limited(cell, forward, weights):  # noqa: ARG001
    """Linear reconstruction in the upwind cell with the monotonised central limiter (van Leer 1977).

    Half the slope is at most the difference to either neighbour: so the face value lies between the two cells
    beside the face, and is at most twice the upwind value of a positive field. Both hold in floating point too.
    """
    step = cell(1) - cell(0)
    ahead = jnp.where(forward, step, -step)
    behind = jnp.where(forward, cell(0) - cell(-1), cell(1) - cell(2))
    size = jnp.minimum(jnp.minimum(jnp.abs(ahead), jnp.abs(behind)), 0.25 * jnp.abs(ahead + behind))
    half_slope = jnp.where(ahead * behind > 0, jnp.sign(ahead) * size, 0)
    return jnp.where(forward, cell(0), cell(1)) + half_slope


SCHEMES: dict[str, Scheme] = {
    "upwind1": Scheme(order=1, halo=1, interpolate=_upwind1, outflow_limit=1.0),
    "centred2": Scheme(order=2, halo=1, interpolate=_centred2),
    "upwind3": Scheme(order=3, halo=2, interpolate=_upwind3, covariant=True),
    "limited": Scheme(order=2, halo=2, interpolate=_limited, outflow_limit=0.5),
}


def get_scheme(name: str) -> Scheme:
    """The scheme of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in SCHEMES:
        raise ConfigError(f'unknown advection scheme "{name}"; known are {", ".join(SCHEMES)}')
    return SCHEMES[name]


def face_velocity(
    eastward: Float[Array, "*batch lat lon"],
    northward: Float[Array, "*batch lat lon"],
    grid: Grid,
    boundary: tuple[Array, Array] | None = None,
) -> FaceVelocity:
    """Winds at the faces: the mean of the two cells beside each, second order; zero through a closed pole.

    Args:
        eastward: at the cell centres [m s-1].
        northward: likewise.
        grid: the geometry.
        boundary: the padded components on a regional grid.
    """
    beyond = boundary or (None, None)
    east = face_mean(eastward, grid, sign=-1.0, boundary=beyond[0]).east
    north = face_mean(northward, grid, sign=-1.0, boundary=beyond[1]).north
    return FaceVector(east, jnp.where(grid.north_face_length[:, None] > 0, north, 0))


def flux_divergence(
    field: Float[Array, "*batch lat lon"],
    velocity: FaceVelocity,
    grid: Grid,
    scheme: str = "limited",
    boundary: Float[Array, "*#batch padded_lat padded_lon"] | None = None,
    groups: tuple[int, ...] | None = None,
) -> Float[Array, "*batch lat lon"]:
    """-div(v q): the tendency of a conserved field q [units of q per second].

    Args:
        field: q, cell means.
        velocity: normal to the faces [m s-1]; broadcasts against the batch of the field.
        grid: the geometry.
        scheme: a name in `SCHEMES`.
        boundary: q around a regional grid, padded by at least the scheme's halo (2 serves all).
        groups: see `polar.zonal_groups`; the field must hold one value a group (`polar.zonal_group_mean`).
    """
    return -face_divergence(_flux(field, velocity, grid, get_scheme(scheme), boundary), grid, groups)


def advective_tendency(
    field: Float[Array, "*batch lat lon"],
    velocity: FaceVelocity,
    grid: Grid,
    scheme: str = "upwind3",
    boundary: Float[Array, "*#batch padded_lat padded_lon"] | None = None,
    groups: tuple[int, ...] | None = None,
) -> Float[Array, "*batch lat lon"]:
    """-v . grad q as -div(v q) + q div(v): a constant stays constant in any wind.

    With "upwind1" and "limited" no new extrema arise in any wind, while the Courant number of inflow and outflow
    together is at most twice the scheme's `outflow_limit`. Arguments as `flux_divergence`.
    """
    flux = _flux(field, velocity, grid, get_scheme(scheme), boundary)
    return field * face_divergence(velocity, grid, groups) - face_divergence(flux, grid, groups)


def _flux(field, velocity, grid, scheme, boundary) -> FaceVector:
    """The flux density v q through each face."""
    rows, columns = grid.shape
    halo = scheme.halo
    q = pad(field, grid, halo, boundary=boundary)
    row, column = slab(q, halo, rows, -2), slab(q, halo, columns, -1)
    west, faces = (halo, columns) if grid.is_periodic else (halo - 1, columns + 1)

    def zonal(k):
        return slab(row, west + k, faces, -1)

    def meridional(k):
        return slab(column, halo - 1 + k, rows + 1, -2)

    across = _UNIFORM, _UNIFORM[::-1]
    along = tuple(constant(weights[:, :, None], field) for weights in row_weights(grid)[:2])
    east = velocity.east * scheme.interpolate(zonal, velocity.east > 0, across)
    north = velocity.north * scheme.interpolate(meridional, velocity.north > 0, along)
    if scheme.covariant:
        extra = _covariance(q, velocity, grid)
        east, north = east + extra.east, north + extra.north
    return FaceVector(east, north)


def _covariance(q, velocity, grid) -> FaceVector:
    """The mean of v q along a face less the mean of v times the face value of q, to third order.

    With u', q' the differences along a face from end to end, a uniform mean of u q has u' q' / 12 over the product
    of the means. Besides, cell means weigh latitude by cos(lat) and a mean along an east face does not, which
    moves q by q' times the `shift` of the row. `q` has a halo of two.
    """
    rows, columns = grid.shape
    weights = row_weights(grid)
    first, faces = (2, columns) if grid.is_periodic else (1, columns + 1)

    below, here, above = (constant(weights.slope[k][:, None], q) * slab(q, 1 + k, rows, -2) for k in range(3))
    slope = below + here + above
    q_north = 0.5 * (slab(slope, first, faces, -1) + slab(slope, first + 1, faces, -1))
    u = _rows_beyond(velocity.east, grid)
    u_north = constant(weights.face_slope[:, None], q) * (slab(u, 2, rows, -2) - slab(u, 0, rows, -2))
    east = (u_north / 12 - constant(weights.shift[:, None], q) * velocity.east) * q_north

    tall = slab(q, 1, rows + 2, -2)
    q_east = 0.5 * (slab(tall, 3, columns, -1) - slab(tall, 1, columns, -1))
    q_east = 0.5 * (slab(q_east, 0, rows + 1, -2) + slab(q_east, 1, rows + 1, -2))
    v = _columns_beyond(velocity.north, grid)
    v_east = 0.5 * (slab(v, 2, columns, -1) - slab(v, 0, columns, -1))
    return FaceVector(east, v_east * q_east / 12)


def _rows_beyond(east, grid):
    """East face velocities with a row beyond each end; across a pole they change sign."""
    rows, columns = grid.shape
    first = int(grid.has_pole_rows)
    south, north = slab(east, first, 1, -2), slab(east, rows - 1 - first, 1, -2)
    if grid.is_global:
        south, north = (-jnp.roll(ghost, columns // 2, axis=-1) for ghost in (south, north))
    return jnp.concatenate([south, east, north], axis=-2)


def _columns_beyond(north, grid):
    """North face velocities with a column beyond each end."""
    west, east = slab(north, 0, 1, -1), slab(north, grid.shape[1] - 1, 1, -1)
    return jnp.concatenate([east, north, west] if grid.is_periodic else [west, north, east], axis=-1)
