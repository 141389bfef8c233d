"""Treatment of rows near the poles: a pole row is one polar cap, and narrow cells may be grouped into wider ones.

A group is a block of neighbouring cells of one row with one common value, like a cell of a reduced grid. The mean of a
flux divergence over a group is the divergence over the outline of the group, because fluxes between its cells cancel.
Therefore transport keeps its guarantees, and the width of the group, not of the cell, limits the time step.
"""

from __future__ import annotations

from itertools import groupby

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.errors import GridError
from pinnwx.grid import Grid
from pinnwx.operators.stencils import FaceVector, slice_axis


def cap_groups(grid: Grid) -> tuple[int, ...]:
    """The minimal grouping: a row on a pole is one group, and every other cell is a group of its own."""
    rows, columns = grid.shape
    ends = columns if grid.has_pole_rows else 1
    return (ends, *(1,) * (rows - 2), ends)


def zonal_groups(grid: Grid, smallest_spacing: float) -> tuple[int, ...]:
    """The number of cells in a group for every row, so that each group is at least `smallest_spacing` metres wide.

    A group size is the smallest sufficient power of two that divides the number of columns, else the smallest
    sufficient divisor, else the whole row. A pole row is always one group. A regional grid has no groups.
    """
    rows, columns = grid.shape
    if not grid.is_periodic:
        return (1,) * rows
    divisors = [size for size in range(1, columns + 1) if columns % size == 0]
    divisors.sort(key=lambda size: (size & (size - 1) != 0, size))  # powers of two first
    return tuple(
        max(cap, next((size for size in divisors if size * width >= smallest_spacing), columns))
        for cap, width in zip(cap_groups(grid), grid.zonal_spacing, strict=True)
    )


def zonal_group_mean(
    field: Float[Array, "*batch lat lon"], grid: Grid, groups: tuple[int, ...]
) -> Float[Array, "*batch lat lon"]:
    """Replaces the values of each group of neighbouring cells by their mean.

    It conserves the area integral of every row (its cells have equal area), preserves bounds and constants, and is a
    projection.

    Raises:
        GridError: a group size does not divide the number of columns.
    """
    rows, columns = grid.shape
    if len(groups) != rows or any(columns % size for size in groups):
        raise GridError(f"groups {groups} do not divide {rows} rows of {columns} columns; use zonal_groups")
    if max(groups) == 1:
        return field
    blocks, start = [], 0
    for size, run in groupby(groups):
        count = len(list(run))
        block = slice_axis(field, start, count, -2)
        if size > 1:
            split = block.reshape(*block.shape[:-1], columns // size, size)
            block = jnp.broadcast_to(split.mean(-1, keepdims=True), split.shape).reshape(block.shape)
        blocks.append(block)
        start += count
    return jnp.concatenate(blocks, axis=-2)


def between_groups(grid: Grid, groups: tuple[int, ...]) -> np.ndarray:
    """Whether an east face separates two groups, (rows, east faces); false between cells of one group."""
    rows, columns = grid.shape
    if not grid.is_periodic:
        return np.ones((rows, columns + 1), dtype=bool)
    sizes = np.asarray(groups)[:, None]
    return ((np.arange(1, columns + 1) % sizes) == 0) & (sizes < columns)


def close_group_faces(velocity: FaceVector, grid: Grid, groups: tuple[int, ...]) -> FaceVector:
    """Sets the face velocities between cells of one group to zero, because they do not contribute to its outflow."""
    return FaceVector(jnp.where(between_groups(grid, groups), velocity.east, 0), velocity.north)


def polar_filter_response(grid: Grid, resolved_spacing: float) -> Float[np.ndarray, "lat wavenumber"]:
    """The factor of zonal wavenumber m in each row: min(1, (dx / resolved_spacing) / sin(m dlon / 2)), 1 for m = 0.

    Rows whose cells are at least as wide as `resolved_spacing` [m] are not filtered. Nearer to the poles, the filter
    damps waves that are shorter than the resolution of the other rows (Arakawa and Lamb 1977).
    """
    columns = grid.shape[1]
    sine = np.sin(np.pi * np.arange(columns // 2 + 1) / columns)
    width = np.asarray(grid.zonal_spacing)[:, None] / resolved_spacing
    return np.where(sine > 0, np.minimum(1.0, width / np.maximum(sine, 1e-12)), 1.0)


def polar_filter(
    field: Float[Array, "*batch lat lon"], grid: Grid, resolved_spacing: float
) -> Float[Array, "*batch lat lon"]:
    """Removes the short zonal waves that only the narrow cells near the poles resolve.

    The filter is linear and self-adjoint, conserves the sum of each row, and commutes with a shift in longitude. A
    field on a regional grid is unchanged.
    """
    if not grid.is_periodic:
        return field
    response = jnp.asarray(polar_filter_response(grid, resolved_spacing), field.dtype)
    return jnp.fft.irfft(jnp.fft.rfft(field) * response, n=grid.shape[1])
