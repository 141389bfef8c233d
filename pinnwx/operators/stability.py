"""How long a time step may be, where it is too long, and how to slow a wind down that asks for too much."""

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
    """The largest safe time step, and the cell [degrees] that sets it."""

    seconds: float
    latitude: float
    longitude: float


def courant_number(
    velocity: FaceVector, grid: Grid, dt: ArrayLike, groups: tuple[int, ...] | None = None
) -> Float[Array, "*batch lat lon"]:
    """The outflow Courant number: the share of a cell's content that the wind carries out of it in a step `dt` [s].

    dt/A sum_faces max(v_n, 0) L, of the whole group where cells are grouped (a pole row is one group). In uniform
    wind it is |u| dt/dx + |v| dt/dy. Inflow is the outflow of the reversed wind.
    """
    forward = FaceVector(*(jnp.maximum(component, 0) for component in velocity))
    backward = FaceVector(*(jnp.maximum(-component, 0) for component in velocity))
    return _through_faces(forward, backward, grid, groups) * dt


def zonal_courant_number(velocity: FaceVector, grid: Grid, dt: ArrayLike) -> Float[Array, "*batch lat lon"]:
    """|u| dt/dx with the faster of a cell's two faces in longitude."""
    speed = jnp.abs(with_west_face(velocity.east, grid))
    fastest = jnp.maximum(speed[..., 1:], speed[..., :-1])
    return fastest * constant(1 / grid.zonal_spacing[:, None], speed) * dt


def meridional_courant_number(velocity: FaceVector, grid: Grid, dt: ArrayLike) -> Float[Array, "*batch lat lon"]:
    """|v| dt/dy with the faster of a cell's two faces in latitude."""
    speed = jnp.abs(velocity.north)
    return jnp.maximum(speed[..., 1:, :], speed[..., :-1, :]) * (1 / grid.meridional_spacing) * dt


def diffusion_number(
    diffusivity: float | Float[Array, "*batch"], grid: Grid, dt: ArrayLike, groups: tuple[int, ...] | None = None
) -> Float[Array, "*cells lat lon"]:
    """The share of a cell's content that diffusion exchanges in a step: dt/A sum_faces kappa L / distance.

    Up to 1, explicit steps make no new extrema; they are stable at least that far.

    Args:
        diffusivity: kappa >= 0, one number or at the cell centres [m2 s-1].
        grid: the geometry.
        dt: step [s].
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

    With a scheme's `outflow_limit` that is where flux-form transport and explicit diffusion together cease to keep
    signs. Not for use under jit: it returns numbers.
    """
    rate = courant_number(velocity, grid, 1.0, groups) / limit + diffusion_number(diffusivity, grid, 1.0, groups)
    return safe_step(rate, grid)


def safe_step(rate: Float[Array, "*batch lat lon"], grid: Grid) -> SafeStep:
    """The step [s] at which the step times this rate [s-1] reaches 1 in the worst cell. Not for use under jit."""
    worst, latitude, longitude = _worst(rate, grid)
    return SafeStep(1 / worst if worst > 0 else math.inf, latitude, longitude)


def check_courant(
    velocity: FaceVector, grid: Grid, dt: float, limit: float = 1.0, groups: tuple[int, ...] | None = None
) -> None:
    """Refuse a step that is too long for the wind. Not for use under jit.

    Raises:
        StabilityError: with the largest outflow Courant number, its latitude, the limit and the step to use instead.
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
    """The wind, slowed where a cell's outflow Courant number is above `limit`.

    Every face belongs to the cell upwind of it and is scaled by that cell's factor min(1, limit / Courant number); so
    afterwards no cell, or group, exceeds the limit, and where none did nothing changes. With `limit` at most the
    scheme's `outflow_limit`, flux-form transport keeps signs in any wind. What it slows is no longer non-divergent.

    A cell beyond the edge of a box is like the cell inside of it, and its Courant number is that of the inflow there
    where this is larger. So the wind into a box is slowed at least as much as the wind out of the same cell: with the
    edge value for what flows in, a cell of the edge gains from beyond at most what the wind as given would bring.
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
    """Sum over a cell's faces of a rate [m s-1] times their length, over its area; group means.

    `forward` counts at the east and north face of a cell and `backward` at its west and south face.
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
    """The largest value, NaN above all, and its latitude and longitude."""
    values = np.asarray(numbers, dtype=np.float64).reshape(-1, *grid.shape)
    _, row, column = np.unravel_index(np.argmax(values), values.shape)  # argmax finds NaN first
    return float(values.max()), float(grid.latitude[row]), float(grid.longitude[column])
