"""Ghost cells across the date line, across a pole and beyond the edge of a regional grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from pinnwx.errors import GridError
from pinnwx.grid import Grid


class FaceVector(NamedTuple):
    """The components of a vector normal to the cell faces.

    Attributes:
        east: on a periodic grid `(*batch, lat, lon)`, with face i between columns i and i + 1; on a regional grid
            `(*batch, lat, lon + 1)`, with face i west of column i.
        north: `(*batch, lat + 1, lon)`, with face j south of row j. On a closed pole, the length of the face is zero.
    """

    east: Float[Array, "*batch lat faces"]
    north: Float[Array, "*batch faces lon"]


def constant(values: np.ndarray, field: Array) -> Any:
    """Geometry in the precision of the field, so that a float32 field gives a float32 result."""
    return np.asarray(values, dtype=field.dtype)


def slice_axis(field: Array, start: int, size: int, axis: int) -> Array:
    """`size` entries of one axis, beginning at `start`."""
    return lax.slice_in_dim(field, start, start + size, axis=axis % field.ndim)


def zero_beyond_edge(field: Array, grid: Grid) -> Array | None:
    """The values around a regional grid of a field that is zero there, (lat + 2, lon + 2); `None` on the globe."""
    return None if grid.is_global else jnp.zeros(tuple(size + 2 for size in grid.shape), field.dtype)


def pad(
    field: Float[Array, "*field"],
    grid: Grid,
    width: int,
    *,
    sign: float | Float[Array, "*sign"] = 1.0,
    boundary: Float[Array, "*padded"] | None = None,
    axes: tuple[int, int] = (-2, -1),
) -> Float[Array, "*halo"]:
    """Surrounds a field with `width` ghost rows and columns.

    Longitude is periodic on a periodic grid. Across a pole, the ghost rows are the rows 180 degrees away; a row on the
    pole is not repeated, so the first ghost row is the row next to it. On a regional grid, ghost values come from
    `boundary`, or repeat the edge value (zero normal gradient).

    Args:
        field: the field, with ascending latitude and longitude on `axes`.
        grid: the geometry.
        width: the width of the halo in cells.
        sign: the factor of a value across a pole: 1 for a scalar, -1 for a component of a vector, or an array that
            broadcasts against the field, such as one sign for each channel.
        boundary: an array with the shape of the field padded by at least `width` on each side; only the frame is used.
        axes: the axes of latitude and longitude; `(-3, -2)` for channel-last arrays.

    Raises:
        GridError: the halo is wider than the grid, or the boundary is not a padded field.
    """
    frame = _frame(field, grid, width, boundary, axes)
    rows, columns = grid.shape
    latitude, longitude = axes
    south_north = west_east = None
    if frame is not None:
        inner = slice_axis(frame, width, columns, longitude)
        south_north = slice_axis(inner, 0, width, latitude), slice_axis(inner, width + rows, width, latitude)
        west_east = slice_axis(frame, 0, width, longitude), slice_axis(frame, width + columns, width, longitude)
    field = pad_latitude(field, grid, width, sign=sign, beyond=south_north, axes=axes)
    return pad_longitude(field, grid, width, beyond=west_east, axis=longitude)


def pad_cross(
    field: Float[Array, "*batch lat lon"],
    grid: Grid,
    width: int,
    *,
    sign: float | Array = 1.0,
    boundary: Float[Array, "*padded"] | None = None,
) -> tuple[Float[Array, "*batch lat wide"], Float[Array, "*batch tall lon"]]:
    """(field with ghost columns, field with ghost rows): `pad` without the corners, which few stencils need.

    This is cheaper than slices of a padded field, especially in the derivative.
    """
    frame = _frame(field, grid, width, boundary, (-2, -1))
    rows, columns = grid.shape
    south_north = west_east = None
    if frame is not None:
        column, row = slice_axis(frame, width, columns, -1), slice_axis(frame, width, rows, -2)
        south_north = slice_axis(column, 0, width, -2), slice_axis(column, width + rows, width, -2)
        west_east = slice_axis(row, 0, width, -1), slice_axis(row, width + columns, width, -1)
    # Without this barrier, XLA splits each array into one array for every slice that a stencil uses.
    return lax.optimization_barrier(
        (
            pad_longitude(field, grid, width, beyond=west_east),
            pad_latitude(field, grid, width, sign=sign, beyond=south_north),
        )
    )


def pad_latitude(
    field: Float[Array, "*field"],
    grid: Grid,
    width: int,
    *,
    sign: float | Float[Array, "*sign"] = 1.0,
    beyond: tuple[Array, Array] | None = None,
    axes: tuple[int, int] = (-2, -1),
) -> Float[Array, "*halo"]:
    """Adds ghost rows as in `pad`; `beyond` are the rows south and north of a regional grid."""
    latitude, longitude = axes
    rows = grid.shape[0]
    if not grid.is_global:
        south, north = beyond or _edges(field, width, latitude)
        return jnp.concatenate([south, field, north], axis=latitude)
    first = int(grid.has_pole_rows)
    unchanged = isinstance(sign, float | int) and sign == 1
    factor = sign if isinstance(sign, float | int) else jnp.asarray(sign, field.dtype)

    def ghost(start):
        mirrored = jnp.flip(slice_axis(field, start, width, latitude), latitude)
        turned = jnp.roll(mirrored, field.shape[longitude] // 2, longitude)
        return turned if unchanged else factor * turned

    return jnp.concatenate([ghost(first), field, ghost(rows - first - width)], axis=latitude)


def pad_longitude(
    field: Float[Array, "*field"],
    grid: Grid,
    width: int,
    *,
    beyond: tuple[Array, Array] | None = None,
    axis: int = -1,
) -> Float[Array, "*halo"]:
    """Adds ghost columns as in `pad`; `beyond` are the columns west and east of a regional grid."""
    if grid.is_periodic:
        west, east = slice_axis(field, field.shape[axis] - width, width, axis), slice_axis(field, 0, width, axis)
    else:
        west, east = beyond or _edges(field, width, axis)
    return jnp.concatenate([west, field, east], axis=axis)


def _edges(field, width, axis):
    """The first and the last entry of an axis, each repeated `width` times."""
    first, last = slice_axis(field, 0, 1, axis), slice_axis(field, field.shape[axis] - 1, 1, axis)
    return jnp.repeat(first, width, axis=axis), jnp.repeat(last, width, axis=axis)


def _frame(field, grid, width, boundary, axes):
    """The boundary with a frame of exactly `width` and the batch of the field, or None if it is not used."""
    shape = tuple(field.shape[axis] for axis in axes)
    if shape != grid.shape:
        raise GridError(f"a field of {shape[0]} x {shape[1]} on a grid of {grid.shape[0]} x {grid.shape[1]}")
    if width > min(shape[0] - 1, shape[1]):
        raise GridError(f"a halo of {width} on a grid of {shape[0]} x {shape[1]}; use a finer grid")
    if boundary is None or grid.is_global:
        return None
    whole = list(field.shape)
    for axis in axes:
        extra = boundary.shape[axis] - field.shape[axis]
        if extra % 2 or extra < 2 * width:
            raise GridError(
                f"a boundary of {boundary.shape[axis]} values around {field.shape[axis]}; "
                f"pad the field by at least {width} on each side"
            )
        boundary = slice_axis(boundary, extra // 2 - width, field.shape[axis] + 2 * width, axis)
        whole[axis] += 2 * width
    return jnp.broadcast_to(boundary.astype(field.dtype), whole)


def entries(
    stack: Float[Array, "*batch field rows columns"], members: Sequence[int] | np.ndarray
) -> Float[Array, "*batch member rows columns"]:
    """These entries of a stack of fields, by slices: XLA's gather and the gradient's scatter are slow on a CPU."""
    if list(members) == list(range(stack.shape[-3])):
        return stack
    return jnp.stack([stack[..., index, :, :] for index in members], axis=-3)
