"""Courant and diffusion numbers, the largest stable time step, and limitation of the wind."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from pinnwx.errors import StabilityError
from pinnwx.grid import Grid
from pinnwx.operators.calculus import face_mean, with_west_face, zonal_distance
from pinnwx.operators.polar import cap_groups, close_group_faces, zonal_group_mean
from pinnwx.operators.stencils import FaceVector, constant, pad, pad_cross, slice_axis


class SafeStep(NamedTuple):
    """The largest stable time step, and the cell [degrees] that limits it."""

    seconds: float
    latitude: float
    longitude: float


def courant_number(
    velocity: FaceVector, grid: Grid, dt: ArrayLike, groups: tuple[int, ...] | None = None
) -> Float[Array, "*batch lat lon"]:
    """The outflow Courant number: the fraction of the content of a cell that leaves it in a step `dt` [s].

    It is dt/A sum_faces max(v_n, 0) L, for the whole group if cells are grouped (a pole row is one group). In uniform
    wind, this is |u| dt/dx + |v| dt/dy. Inflow is the outflow of the reversed wind.
    """
    forward = FaceVector(*(jnp.maximum(component, 0) for component in velocity))
    backward = FaceVector(*(jnp.maximum(-component, 0) for component in velocity))
    return _through_faces(forward, backward, grid, groups) * dt


def zonal_courant_number(velocity: FaceVector, grid: Grid, dt: ArrayLike) -> Float[Array, "*batch lat lon"]:
    """|u| dt/dx with the larger speed at the two zonal faces of a cell."""
    speed = jnp.abs(with_west_face(velocity.east, grid))
    fastest = jnp.maximum(speed[..., 1:], speed[..., :-1])
    return fastest * constant(1 / grid.zonal_spacing[:, None], speed) * dt


def meridional_courant_number(velocity: FaceVector, grid: Grid, dt: ArrayLike) -> Float[Array, "*batch lat lon"]:
    """|v| dt/dy with the larger speed at the two meridional faces of a cell."""
    speed = jnp.abs(velocity.north)
    return jnp.maximum(speed[..., 1:, :], speed[..., :-1, :]) * (1 / grid.meridional_spacing) * dt


def diffusion_number(
    diffusivity: float | Float[Array, "*batch"], grid: Grid, dt: ArrayLike, groups: tuple[int, ...] | None = None
) -> Float[Array, "*cells lat lon"]:
    """The fraction of the content of a cell that diffusion exchanges in a step: dt/A sum_faces kappa L / distance.

    If it is at most 1, an explicit step creates no new extrema and is stable.

    Args:
        diffusivity: kappa >= 0, a number or an array at the cell centres [m2 s-1].
        grid: the geometry.
        dt: the time step [s].
        groups: see `polar.zonal_groups`.
    """
    diffusivity = jnp.asarray(diffusivity)
    groups = groups or cap_groups(grid)
    at_faces = face_mean(jnp.broadcast_to(diffusivity, jnp.broadcast_shapes(diffusivity.shape, grid.shape)), grid)
    per_length = FaceVector(
        at_faces.east * constant(1 / zonal_distance(grid, groups)[:, None], diffusivity),
        at_faces.north * (1 / grid.meridional_spacing),
    )
    return _through_faces(per_length, per_length, grid, groups) * dt


def largest_safe_step(
    velocity: FaceVector,
    grid: Grid,
    limit: float = 1.0,
    diffusivity: float | Float[Array, "*batch"] = 0.0,
    groups: tuple[int, ...] | None = None,
) -> SafeStep:
    """The step [s] at which outflow Courant number / limit + diffusion number reaches 1 in the worst cell.

    If `limit` is the `outflow_limit` of a scheme, flux-form transport with explicit diffusion preserves signs up to
    this step. Not for use in jit, because it returns numbers.
    """
    rate = courant_number(velocity, grid, 1.0, groups) / limit + diffusion_number(diffusivity, grid, 1.0, groups)
    return safe_step(rate, grid)


def safe_step(rate: Float[Array, "*batch lat lon"], grid: Grid) -> SafeStep:
    """The step [s] at which the step times this rate [s-1] reaches 1 in the worst cell. Not for use in jit."""
    worst, latitude, longitude = _worst(rate, grid)
    return SafeStep(1 / worst if worst > 0 else math.inf, latitude, longitude)


def check_courant(
    velocity: FaceVector, grid: Grid, dt: float, limit: float = 1.0, groups: tuple[int, ...] | None = None
) -> None:
    """Refuses a time step that is too long for the wind. Not for use in jit.

    Raises:
        StabilityError: the message names the largest outflow Courant number, its latitude, the limit and a stable step.
    """
    worst, latitude, _ = _worst(courant_number(velocity, grid, dt, groups), grid)
    where = f"{abs(latitude):.4g} {'S' if latitude < 0 else 'N'}"
    if math.isnan(worst):
        raise StabilityError(f"the wind is not finite at {where}; check the input fields")
    if worst > limit:
        safe = dt * limit / worst
        shown = f"{math.floor(safe)}" if safe >= 10 else f"{safe * 0.995:.2g}"
        raise StabilityError(f"Courant number {worst:.3g} at {where} exceeds {limit:g}; use dt <= {shown} s")


def limit_outflow(
    velocity: FaceVector, grid: Grid, dt: ArrayLike, limit: ArrayLike = 0.5, groups: tuple[int, ...] | None = None
) -> FaceVector:
    """Reduces the wind where the outflow Courant number of a cell exceeds `limit`.

    The velocity at a face is scaled by the factor min(1, limit / Courant number) of its upwind cell. The result exceeds
    the limit in no cell or group. If no cell exceeds the limit, the wind is unchanged. If `limit` is at most the
    `outflow_limit` of the scheme, flux-form transport preserves signs in any wind. A reduced wind is no longer
    non-divergent.

    On a regional grid, a ghost cell has the factor of the adjacent cell, or that of its inflow if it is smaller. Thus
    inflow is reduced at least as much as the outflow of the same cell. If the inflow carries the edge value, an edge
    cell gains at most as much as with the original wind.
    """
    courant = courant_number(velocity, grid, dt, groups)
    limit = jnp.asarray(limit, courant.dtype)
    factor = limit / jnp.maximum(courant, limit)
    rows, columns = grid.shape
    beyond = None
    if not grid.is_global:
        inflow = courant_number(FaceVector(-velocity.east, -velocity.north), grid, dt, groups)
        beyond = pad(limit / jnp.maximum(jnp.maximum(courant, inflow), limit), grid, 1)
    wide, tall = pad_cross(factor, grid, 1, boundary=beyond)
    first, faces = (1, columns) if grid.is_periodic else (0, columns + 1)
    eastward = jnp.where(velocity.east > 0, slice_axis(wide, first, faces, -1), slice_axis(wide, first + 1, faces, -1))
    northward = jnp.where(velocity.north > 0, slice_axis(tall, 0, rows + 1, -2), slice_axis(tall, 1, rows + 1, -2))
    return FaceVector(velocity.east * eastward, velocity.north * northward)


def _through_faces(forward, backward, grid, groups):
    """The sum over the faces of a cell of a rate [m s-1] times length, divided by the cell area; averaged over groups.

    `forward` applies to the east and north face of a cell, `backward` to its west and south face.
    """
    groups = groups or cap_groups(grid)
    forward, backward = (close_group_faces(rates, grid, groups) for rates in (forward, backward))
    west, east = with_west_face(backward.east, grid)[..., :-1], with_west_face(forward.east, grid)[..., 1:]
    length_over_area = grid.east_face_length / grid.cell_area
    zonal = (west + east) * constant(length_over_area[:, None], east)
    south = backward.north[..., :-1, :] * constant((grid.north_face_length[:-1] / grid.cell_area)[:, None], east)
    north = forward.north[..., 1:, :] * constant((grid.north_face_length[1:] / grid.cell_area)[:, None], east)
    return zonal_group_mean(zonal + south + north, grid, groups)


def _worst(numbers, grid) -> tuple[float, float, float]:
    """(largest value, latitude, longitude); NaN counts as the largest."""
    values = np.asarray(numbers, dtype=np.float64).reshape(-1, *grid.shape)
    _, row, column = np.unravel_index(np.argmax(values), values.shape)  # argmax returns the first NaN
    return float(values.max()), float(grid.latitude[row]), float(grid.longitude[column])
