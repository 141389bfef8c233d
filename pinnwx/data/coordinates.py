"""Identifies the horizontal axes of a raw array and derives the canonical grid."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from pinnwx.data.readers import reading
from pinnwx.data.roles import coordinate_role
from pinnwx.data.source_field import decode
from pinnwx.errors import GridError
from pinnwx.grid import Grid

Axes = Mapping[str, tuple[str, xr.DataArray]]
GridAndOrders = tuple[Grid, np.ndarray, np.ndarray, tuple[tuple[int, int], ...], list[str]]

_SAME_MERIDIAN = 1e-3  # degrees


def axes_of(dataset: xr.Dataset, array: xr.DataArray) -> dict[str, tuple[str, xr.DataArray]]:
    """Maps the roles latitude, longitude and member to (dimension, coordinate), whatever their names."""
    axes: dict[str, tuple[str, xr.DataArray]] = {}
    for dim in map(str, array.dims):
        along = [name for name in map(str, dataset.variables) if dataset.variables[name].dims == (dim,)]
        for name in sorted(along, key=lambda name: name != dim):
            role = coordinate_role(dataset[name])
            if role in ("latitude", "longitude", "member") and role not in axes:
                axes[role] = (dim, dataset[name])
                break
    return axes


def grid_of(axes: Axes) -> GridAndOrders:
    """The canonical grid, the orders of raw rows and columns that give it, repeated columns, and notes on changes.

    A column that repeats a meridian is left out. It is paired with the column that is used.

    Raises:
        GridError: the coordinates are not finite, not evenly spaced or too few.
    """
    with reading("the coordinates"):
        north, east = (
            decode(axes[role][1].to_numpy(), axes[role][1].attrs).astype(np.float64)
            for role in ("latitude", "longitude")
        )
    if not (np.isfinite(north).all() and np.isfinite(east).all()):
        raise GridError("a latitude or longitude is not a number; fetch the file again")
    rows = np.argsort(north, kind="stable")
    columns, meridians = canonical_longitude(east)
    notes = []
    if rows.size > 1 and rows[0] > rows[-1]:
        notes.append("latitude turned to ascending")
    if columns.size < east.size:
        notes.append(f"{east.size - columns.size} repeated longitude column(s) dropped")
    if not np.allclose(east[columns], meridians, atol=_SAME_MERIDIAN):
        notes.append(f"longitude {east.min():g} to {east.max():g} wrapped to {meridians[0]:g} to {meridians[-1]:g}")
    return Grid.from_coordinates(north[rows], meridians), rows, columns, _repeated(east, columns), notes


def _repeated(east: Float[np.ndarray, " lon"], columns: Int[np.ndarray, " column"]) -> tuple[tuple[int, int], ...]:
    """Pairs each raw column that is not in `columns` with the used column of the same meridian."""
    left_out = np.setdiff1d(np.arange(east.size), columns)
    apart = np.abs((east[left_out, None] - east[columns] + 180) % 360 - 180)
    return tuple(zip(left_out.tolist(), columns[apart.argmin(axis=1)].tolist(), strict=True))


def canonical_longitude(
    east: Float[np.ndarray, " lon"],
) -> tuple[Int[np.ndarray, " column"], Float[np.ndarray, " column"]]:
    """(order, degrees). Global grids ascend in [0, 360); regional grids are contiguous and start in [-180, 180).

    A regional grid starts after the widest gap between its columns, so it may cross Greenwich or the date line. A
    repeated meridian (0 and 360) is used once.
    """
    wrapped = np.round(east, 4) % 360
    order = np.argsort(wrapped, kind="stable")
    is_first = np.append(True, np.diff(wrapped[order]) > _SAME_MERIDIAN)
    if order.size > 1 and wrapped[order[0]] + 360 - wrapped[order[-1]] < _SAME_MERIDIAN:
        is_first[-1] = False
    order = order[is_first]
    wrapped = wrapped[order]
    gaps = np.diff(wrapped, append=wrapped[0] + 360)
    widest = int(gaps.argmax())
    if gaps[widest] <= 1.5 * np.median(gaps):
        return order, wrapped
    order, wrapped = np.roll(order, -widest - 1), np.roll(wrapped, -widest - 1)
    start = np.round((wrapped[0] + 180) % 360 - 180, 4)
    return order, np.round(start + (wrapped - wrapped[0]) % 360, 4)
