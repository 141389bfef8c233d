"""Halos: what lies beyond the date line, beyond a pole and beyond the edge of a regional box."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from pinnwx.errors import GridError
from pinnwx.grid import Grid


class FaceVector(NamedTuple):
    """A vector by its components normal to the cell faces.

    Attributes:
        east: `(*batch, lat, lon)` on a periodic grid, where face i lies between columns i and i + 1;
            `(*batch, lat, lon + 1)` on a regional one, where face i lies west of column i.
        north: `(*batch, lat + 1, lon)`; face j lies south of row j. On a closed pole it has no length.
    """

    east: Float[Array, "*batch lat faces"]
    north: Float[Array, "*batch faces lon"]


def constant(values, field: Array) -> np.ndarray:
    """Geometry in the precision of the field, so that float32 in stays float32 out."""
    return np.asarray(values, dtype=field.dtype)


def slab(field: Array, start: int, size: int, axis: int) -> Array:
    """`size` entries of one axis from `start` on."""
    return lax.slice_in_dim(field, start, start + size, axis=axis % field.ndim)


def pad(
    field: Float[Array, "*field"],
    grid: Grid,
    width: int,
    *,
    sign: float | Float[Array, "*sign"] = 1.0,
    boundary: Float[Array, "*padded"] | None = None,
    axes: tuple[int, int] = (-2, -1),
) -> Float[Array, "*halo"]:
    """Surround a field with `width` ghost rows and columns.

    Longitude wraps on a periodic grid. Beyond a pole lie the rows 180 degrees away; a row on the pole is the
    mirror line, so the first ghost row is the row next to it. On a regional grid ghost values come from
    `boundary`, or continue the edge value (zero normal gradient).

    Args:
        field: latitude and longitude on `axes`, ascending.
        grid: its geometry.
        width: of the halo, in cells.
        sign: what a value turns into beyond a pole: 1 for a scalar, -1 for a component of a vector, or an
            array that broadcasts against the field, such as one sign a channel.
        boundary: the field's shape padded by at least `width` on each side; only the frame is read.
        axes: latitude and longitude axis; `(-3, -2)` for channel-last arrays.

    Raises:
        GridError: the halo is wider than the grid, or the boundary is not a padded field.
    """
    latitude, longitude = axes
    rows, columns = field.shape[latitude], field.shape[longitude]
    if (rows, columns) != grid.shape:
        raise GridError(f"a field of {rows} x {columns} on a grid of {grid.shape[0]} x {grid.shape[1]}")
    if width > min(rows - 1, columns):
        raise GridError(f"a halo of {width} on a grid of {rows} x {columns}; use a finer grid")
    frame = None if boundary is None or grid.is_global else _cropped(boundary, field, width, axes)

    if grid.is_global:
        south, north = _beyond_poles(field, grid, width, sign, axes)
    elif frame is not None:
        inner = slab(frame, width, columns, longitude)
        south, north = slab(inner, 0, width, latitude), slab(inner, width + rows, width, latitude)
    else:
        south, north = _edges(field, width, latitude)
    field = jnp.concatenate([south, field, north], axis=latitude)

    if grid.is_periodic:
        west, east = slab(field, columns - width, width, longitude), slab(field, 0, width, longitude)
    elif frame is not None:
        west, east = slab(frame, 0, width, longitude), slab(frame, width + columns, width, longitude)
    else:
        west, east = _edges(field, width, longitude)
    return jnp.concatenate([west, field, east], axis=longitude)


def _beyond_poles(field, grid, width, sign, axes):
    """The ghost rows south and north of a global grid, in ascending latitude."""
    latitude, longitude = axes
    rows, columns = grid.shape
    first = int(grid.has_pole_rows)
    if not isinstance(sign, float | int):
        sign = jnp.asarray(sign, field.dtype)

    def beyond(start):
        ghost = jnp.roll(jnp.flip(slab(field, start, width, latitude), latitude), columns // 2, longitude)
        return ghost if isinstance(sign, float | int) and sign == 1 else sign * ghost

    return beyond(first), beyond(rows - first - width)


def _edges(field, width, axis):
    """The first and the last entry of an axis, each repeated `width` times."""
    first, last = slab(field, 0, 1, axis), slab(field, field.shape[axis] - 1, 1, axis)
    return jnp.repeat(first, width, axis=axis), jnp.repeat(last, width, axis=axis)


def _cropped(boundary, field, width, axes):
    """The boundary array with a frame of exactly `width`, broadcast to the field's batch."""
    for axis in axes:
        extra = boundary.shape[axis] - field.shape[axis]
        if extra % 2 or extra < 2 * width:
            raise GridError(
                f"a boundary of {boundary.shape[axis]} values around {field.shape[axis]}; "
                f"pad the field by at least {width} on each side"
            )
        boundary = slab(boundary, extra // 2 - width, field.shape[axis] + 2 * width, axis)
    shape = list(field.shape)
    for axis in axes:
        shape[axis] += 2 * width
    return jnp.broadcast_to(boundary.astype(field.dtype), shape)
