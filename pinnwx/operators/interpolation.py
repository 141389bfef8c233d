"""Interpolation at points of the sphere: a tensor product of Lagrange polynomials on the latitude-longitude grid.

Along a meridian, the rows beyond a pole are the rows 180 degrees away, so a pole is no special place for a smooth
field. All functions are differentiable in the field and in the points.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.errors import ConfigError, GridError
from pinnwx.grid import Grid
from pinnwx.operators.stencils import pad

_HALO = 2  # the ghost cells that a cubic needs around a point of the first ghost row
_UNEVEN = 1e-6  # radians: rounding of the coordinates


class Points(NamedTuple):
    """Points of the sphere [radians], of any shape; no range of longitude is presumed."""

    latitude: Float[Array, "*batch lat lon"]
    longitude: Float[Array, "*batch lat lon"]


class Interpolated(NamedTuple):
    """A field at points.

    Attributes:
        value: the interpolated value.
        lower: the smallest value at the four cell centres around the point.
        upper: the largest.
    """

    value: Float[Array, "*batch lat lon"]
    lower: Float[Array, "*batch lat lon"]
    upper: Float[Array, "*batch lat lon"]

    @property
    def limited(self) -> Float[Array, "*batch lat lon"]:
        """The value between `lower` and `upper`: the quasi-monotone limiter of Bermejo and Staniforth (1992).

        It creates no new extrema. At a smooth extremum it clips, which is second order there.
        Source: Mon. Wea. Rev. 120, 2622-2632.
        """
        return jnp.clip(self.value, self.lower, self.upper)


def interpolate(
    field: Float[Array, "*fields rows columns"],
    points: Points,
    grid: Grid,
    *,
    degree: int = 3,
    sign: float | Float[Array, "*sign"] = 1.0,
    boundary: Float[Array, "*padded"] | None = None,
) -> Interpolated:
    """The field at the points, and the extrema of the cell centres around them.

    The value is sum_jk l_j(latitude) l_k(longitude) q_jk with the Lagrange polynomials of `degree` through the nearest
    centres: exact for polynomials of that degree in latitude and in longitude, of order `degree` + 1 on smooth fields,
    and equal to a constant field to round-off. A point outside a regional grid is moved to the nearest latitude and
    longitude of the first ghost cells around it: there the value is that of `boundary`, or of the edge without one.

    Args:
        field: q at the cell centres.
        points: where to interpolate; their batch broadcasts against the batch of the field.
        grid: the geometry.
        degree: 3, or 1.
        sign: the factor of a value across a pole, -1 for a component of a vector (see `stencils.pad`).
        boundary: q around a regional grid, padded by at least 2 cells.

    Raises:
        ConfigError: the degree is neither 1 nor 3.
        GridError: the pole lies neither on a row nor half-way between two rows.
    """
    if degree not in (1, 3):
        raise ConfigError(f"interpolation of degree {degree}; use 1 or 3")
    padded = pad(field, grid, _HALO, sign=sign, boundary=boundary)
    row, up = _cell_and_fraction(_row_coordinate(points.latitude, grid), grid.shape[0])
    column, along = _cell_and_fraction(_column_coordinate(points.longitude, grid), grid.shape[1])
    size = degree + 1
    offset = _HALO - degree // 2
    layout = _Layout.of(padded, row)
    values = layout.windows(padded, row + offset, column + offset, size)
    weights = _linear_weights if degree == 1 else _cubic_weights
    across, within = (layout.flattened(weights(fraction), size) for fraction in (up, along))
    value = jnp.einsum("npjks,npj,npk->nps", values, across, within)
    # Single values instead of a reduction over axes of two: several times as fast.
    middle = (size // 2 - 1, size // 2)
    corners = [values[:, :, j, k] for j in middle for k in middle]
    parts = (value, reduce(jnp.minimum, corners), reduce(jnp.maximum, corners))
    return Interpolated(*map(layout.restored, parts))


def can_interpolate(grid: Grid) -> bool:
    """Whether `interpolate` takes fields of a grid: each pole of a global one lies on a row or half-way between two."""
    if not grid.is_global:
        return True
    half = 0.5 * np.deg2rad(grid.latitude_spacing)
    to_pole = 0.5 * np.pi - np.abs(grid.latitude_radians[[0, -1]])
    return bool((np.minimum(np.abs(to_pole), np.abs(to_pole - half)) < _UNEVEN).all())


def require_interpolation(grid: Grid, setting: str, instead: str) -> None:
    """Requires a grid that `interpolate` takes, which a setting needs.

    Raises:
        ConfigError: it is no such grid; the message names what to set instead.
    """
    if not can_interpolate(grid):
        raise ConfigError(
            f"{setting} on {grid}: a pole lies neither on a row nor half-way between two rows; use {instead}"
        )


def _row_coordinate(latitude, grid):
    """Latitude in rows from the first, at most one row beyond the outermost."""
    first, spacing = float(grid.latitude_radians[0]), float(np.deg2rad(grid.latitude_spacing))
    if not can_interpolate(grid):
        raise GridError(f"row {grid.latitude[0]:g} is neither on the pole nor half a spacing from it; regrid the data")
    return jnp.clip((latitude - first) / spacing, -1, grid.shape[0])


def _column_coordinate(longitude, grid):
    """Longitude in columns from the first: within the circle, or at most one column beyond the edge of a region."""
    columns, spacing = grid.shape[1], float(np.deg2rad(grid.longitude_spacing))
    first = float(grid.longitude_radians[0])
    # Columns from the first, on the circle that begins opposite to the middle of the grid.
    around = 2 * np.pi / spacing
    start = 0.0 if grid.is_periodic else 0.5 * (columns - 1) - 0.5 * around
    coordinate = (longitude - first) / spacing - start
    coordinate = coordinate - around * jnp.floor(coordinate / around) + start
    return jnp.clip(coordinate, 0, columns) if grid.is_periodic else jnp.clip(coordinate, -1, columns)


def _cell_and_fraction(coordinate, count):
    """The centre below a coordinate, and how far above it the coordinate is: 0 to 1."""
    below = jnp.clip(jnp.floor(coordinate), -1, count - 1)
    return jax.lax.stop_gradient(below).astype(jnp.int32), coordinate - jax.lax.stop_gradient(below)


class _Layout(NamedTuple):
    """Fields that share their points lie next to each other, so one window holds the values of all of them.

    Attributes:
        batch: of the result.
        points: lat and lon of the points.
        own: axes of the batch along which the points differ.
        shared: the other axes.
    """

    batch: tuple[int, ...]
    points: tuple[int, ...]
    own: tuple[int, ...]
    shared: tuple[int, ...]

    @classmethod
    def of(cls, padded: Array, row: Array) -> _Layout:
        batch = jnp.broadcast_shapes(padded.shape[:-2], row.shape[:-2])
        sizes = (1,) * (len(batch) - row.ndim + 2) + row.shape[:-2]
        shared = tuple(axis for axis, size in enumerate(sizes) if size == 1)
        own = tuple(axis for axis in range(len(batch)) if axis not in shared)
        return cls(batch, row.shape[-2:], own, shared)

    def windows(
        self, padded: Array, row: Array, column: Array, size: int
    ) -> Float[Array, "own point size size shared"]:
        """The `size` x `size` values from (row, column) on.

        One gather of whole windows: its derivative adds windows, not single values, which is several times as fast.
        """
        rank, rows, columns = len(self.batch), *padded.shape[-2:]
        planes = jnp.broadcast_to(padded, (*self.batch, rows, columns))
        planes = jnp.transpose(planes, (*self.own, rank, rank + 1, *self.shared))
        planes = planes.reshape(self._count(self.own), rows, columns, self._count(self.shared))

        def window(plane, row, column):
            return jax.lax.dynamic_slice(plane, (row, column, jnp.zeros_like(row)), (size, size, plane.shape[-1]))

        of_points = jax.vmap(jax.vmap(window, (None, 0, 0)))
        return of_points(planes, self.flattened(row), self.flattened(column))

    def flattened(self, values: Array, *rest: int) -> Array:
        """Values of the points, (own, point, *rest), which all fields of a window share."""
        return values.reshape(self._count(self.own), math.prod(self.points), *rest)

    def _count(self, axes: tuple[int, ...]) -> int:
        return math.prod(self.batch[axis] for axis in axes)

    def restored(self, values: Float[Array, "own point shared"]) -> Float[Array, "*batch lat lon"]:
        """Values of all fields at the points, in the order of the batch."""
        sizes = [self.batch[axis] for axis in (*self.own, *self.shared)]
        values = jnp.moveaxis(values, -1, 1).reshape(*sizes, *self.points)
        order = np.argsort((*self.own, *self.shared))
        return jnp.transpose(values, (*order, len(sizes), len(sizes) + 1))


def _linear_weights(t):
    return jnp.stack([1 - t, t], axis=-1)


def _cubic_weights(t):
    """Lagrange polynomials through -1, 0, 1 and 2 at 0 <= t <= 1."""
    return jnp.stack(
        [
            -t * (t - 1) * (t - 2) / 6,
            (t + 1) * (t - 1) * (t - 2) / 2,
            -(t + 1) * t * (t - 2) / 2,
            (t + 1) * t * (t - 1) / 6,
        ],
        axis=-1,
    )
