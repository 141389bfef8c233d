"""First-order conservative remapping between latitude-longitude grids.

A value is the mean over its cell (`Grid` gives the exact cell edges), so the mean over a target cell is

    y[I, J] = sum_ij R[I, i] C[J, j] x[i, j],

with R = overlap in sin(latitude) / extent of I, and C the same in longitude. R and C are small dense matrices, because
the cells are products of intervals. The area integral is conserved to round-off, including pole caps and the date line,
and a constant field stays constant (Jones 1999, MWR 127, 2204-2210).

xarray-regrid 0.4 is not used. It divides the area of a row in proportion to degrees and gives a row on the pole no
weight, so the area integral has an error (1e-3 for sin(latitude)^8 from 2.5 to 5.625 degrees; here round-off).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from pinnwx.errors import GridError
from pinnwx.grid import Grid

_SHORTFALL = 1e-6  # fraction of a target cell that may lie outside the source, for rounding of coordinates


def _overlaps(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Length of the intersection of every target interval with every source interval, both given by edges."""
    upper = np.minimum(target[1:, None], source[None, 1:])
    lower = np.maximum(target[:-1, None], source[None, :-1])
    return np.clip(upper - lower, 0, None)


def _longitude_edges(grid: Grid) -> np.ndarray:
    first = grid.longitude[0] - grid.longitude_spacing / 2
    return first + grid.longitude_spacing * np.arange(len(grid.longitude) + 1)


@lru_cache(maxsize=16)
def conservative_weights(source: Grid, target: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The matrices R (target rows, source rows) and C (target columns, source columns); rows sum to one.

    Raises:
        GridError: the target reaches beyond the source.
    """
    rows_to, rows_from = np.sin(target.latitude_edges), np.sin(source.latitude_edges)
    rows = _overlaps(rows_to, rows_from) / np.diff(rows_to)[:, None]
    columns_to, columns_from = _longitude_edges(target), _longitude_edges(source)
    turns = np.floor((columns_to[0] - columns_from[0]) / 360) + np.arange(-1, 3)
    columns = sum(_overlaps(columns_to, columns_from + 360 * turn) for turn in turns)
    columns = columns / np.diff(columns_to)[:, None]
    for weights in (rows, columns):
        covered = weights.sum(axis=1, keepdims=True)
        if covered.min() < 1 - _SHORTFALL:
            raise GridError(
                f'the data ({source}) do not cover the requested grid ({target}); use "native" or a smaller grid'
            )
        weights /= covered
        weights.flags.writeable = False  # shared by every caller
    return rows, columns


def regrid(values: Float[np.ndarray, "*batch lat lon"], source: Grid, target: Grid) -> Float[np.ndarray, "*batch y x"]:
    """Cell means on `target` from cell means on `source`; sums are in float64, the result has the type of `values`."""
    if source == target:
        return values
    rows, columns = conservative_weights(source, target)
    return (rows @ values.astype(np.float64) @ columns.T).astype(values.dtype)
