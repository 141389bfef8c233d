"""Transport of the structure inside polar groups, which the mean of a group does not hold.

Near the poles, transport integrates the means of groups of cells (`physics.transport`). The departures of the cells
from the mean of their group move by a semi-Lagrangian step:

    q(x, t + dt) = mean after transport  +  (1 - M) q(departure point of x, t),    M the mean over a group.

So the area integral is that of the means, to round-off, and no Courant number limits the step. The means do not depend
on the structure, so the two steps are stable together if each is.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.grid import Grid
from pinnwx.operators.departure import departure_points
from pinnwx.operators.interpolation import Points, can_interpolate, interpolate
from pinnwx.operators.polar import cap_groups, zonal_group_mean
from pinnwx.operators.stencils import slice_axis


def has_polar_structure(grid: Grid, groups: tuple[int, ...]) -> bool:
    """Whether cells other than those of a polar cap are merged, on a grid that `interpolate` takes."""
    return groups != cap_groups(grid) and can_interpolate(grid)


def polar_structure_change(
    fields: Float[Array, "*batch field lat lon"],
    winds: Float[Array, "*batch field lat lon 2"],
    grid: Grid,
    groups: tuple[int, ...],
    interval: float,
) -> Float[Array, "*batch field lat lon"]:
    """The change over `interval` [s] of the departures of cells from the mean of their group.

    It is zero where no cells are merged. The mean of the change over a group is zero. Trajectories are great circles
    along the wind [m s-1] of the arrival point. The limiter creates no new extrema before the mean is removed.
    """
    rows = grid.shape[0]
    merged = np.flatnonzero(np.array(groups) > 1)
    half = rows // 2
    south, north = int((merged < half).sum()), int((merged >= half).sum())
    points = departure_points(winds[..., 0], winds[..., 1], grid, interval, iterations=1)

    def change(start, count):
        there = Points(*(slice_axis(part, start, count, -2) for part in points))
        return interpolate(fields, there, grid).limited - slice_axis(fields, start, count, -2)

    between = jnp.zeros((*fields.shape[:-2], rows - south - north, fields.shape[-1]), fields.dtype)
    whole = jnp.concatenate([change(0, south), between, change(rows - north, north)], axis=-2)
    return whole - zonal_group_mean(whole, grid, groups)
