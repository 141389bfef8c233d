"""Polynomials in latitude that have given cell means on the sphere: the weights of the third-order scheme.

A cell mean weighs latitude by cos(lat). Near a pole that weight varies by its own size within a cell, so the weights
of a uniform grid would be first order there. Beyond a pole the meridian goes on, with weight |cos|, in the rows 180
degrees away; along it a smooth field is smooth.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from pinnwx.grid import Grid

_GHOSTS = 2


class RowWeights(NamedTuple):
    """Weights for means q of neighbouring rows; derivatives are per row spacing. All float64.

    Attributes:
        before: (2, rows + 1): of the step from row j - 2 to j - 1 and the one from j - 1 to j, added to row j - 1: the
            value at the south face of row j, of the parabola through those three means.
        after: (2, rows + 1): of the step from row j - 1 to j and the one from j to j + 1, taken from row j: likewise.
        slope: (3, rows): of rows j - 1, j, j + 1: dq/dlat amid row j.
        shift: (rows,): mean latitude of the cell, less the latitude amid it, in row spacings.
        face_slope: (rows,): times the difference of rows j + 1 and j - 1 of means along the east faces, their slope.
    """

    before: np.ndarray
    after: np.ndarray
    slope: np.ndarray
    shift: np.ndarray
    face_slope: np.ndarray


@lru_cache(maxsize=32)
def row_weights(grid: Grid) -> RowWeights:
    """The weights for a grid, exact for quadratics in latitude."""
    rows = grid.shape[0]
    cells = _cells(grid)
    angle, weight = _quadrature(cells)
    spacing = np.deg2rad(grid.latitude_spacing)
    faces = np.arange(rows + 1)

    def solve(first, origin, derivative):
        """Weights of the three cells from `first` on for the value (0) or slope (1) at `origin`."""
        cell = first[:, None] + np.arange(3)
        distance = (angle[cell] - origin[:, None, None]) / spacing
        means = np.stack([(weight[cell] * distance**power).sum(-1) for power in range(3)], axis=1)
        target = np.zeros((len(first), 3, 1))
        target[:, derivative] = 1
        return np.linalg.solve(means, target)[..., 0].T

    south = solve(faces, grid.latitude_edges, 0)
    north = solve(faces + 1, grid.latitude_edges, 0)
    amid = cells.mean(axis=1)
    inside = np.arange(rows) + _GHOSTS
    shift = ((weight * angle).sum(-1) - amid)[inside] / spacing
    east_face = amid.copy()  # a pole row's face ends at the pole, though its cell goes on beyond
    east_face[inside] = 0.5 * (grid.latitude_edges[:-1] + grid.latitude_edges[1:])
    return RowWeights(
        before=np.stack([-south[0], south[2]]),
        after=np.stack([north[0], -north[2]]),
        slope=solve(inside - 1, amid[inside], 1),
        shift=shift,
        face_slope=spacing / (east_face[inside + 1] - east_face[inside - 1]),
    )


def _cells(grid: Grid) -> np.ndarray:
    """South and north edge [radians] of every row and of two ghost rows at each end, (rows + 4, 2)."""
    cells = np.stack([grid.latitude_edges[:-1], grid.latitude_edges[1:]], axis=1)
    rows, ghosts = len(cells), np.arange(_GHOSTS)
    if not grid.is_global:
        steps = (ghosts + 1)[:, None] * np.deg2rad(grid.latitude_spacing)
        return np.concatenate([(cells[0] - steps)[::-1], cells, cells[-1] + steps])
    first = int(grid.has_pole_rows)
    south = -np.pi - cells[first + ghosts[::-1], ::-1]
    north = np.pi - cells[rows - 1 - first - ghosts, ::-1]
    if grid.has_pole_rows:
        cells[0, 0], cells[-1, 1] = -np.pi - cells[0, 1], np.pi - cells[-1, 0]
    return np.concatenate([south, cells, north])


def _quadrature(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes [radians] and normalised weights of the area mean over each cell, split where a pole is amid it."""
    node, weight = np.polynomial.legendre.leggauss(8)
    node, weight = np.concatenate([node - 1, node + 1]) / 4, np.tile(weight, 2)
    angle = cells.mean(axis=1, keepdims=True) + np.diff(cells, axis=1) * node
    area = np.abs(np.cos(angle)) * weight
    return angle, area / area.sum(axis=1, keepdims=True)
