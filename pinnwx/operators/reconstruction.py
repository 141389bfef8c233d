"""Reconstruction of polynomials in latitude from cell means on the sphere: the weights of the third-order scheme.

A cell mean is weighted by cos(lat). Near a pole, this weight varies within a cell by as much as its own size, so the
weights of a uniform grid would be only first order there. Across a pole, the meridian continues in the rows 180 degrees
away, with weight |cos|; a smooth field is smooth along it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from pinnwx.grid import Grid

_GHOSTS = 2


class RowWeights(NamedTuple):
    """Weights for the means q of neighbouring rows, in float64; derivatives are per row spacing.

    Attributes:
        before: (2, rows + 1), the weights of q(j-1) - q(j-2) and q(j) - q(j-1). Added to q(j-1), they give the value at
            the south face of row j of the parabola through these three means.
        after: (2, rows + 1), the weights of q(j) - q(j-1) and q(j+1) - q(j). Subtracted from q(j), they give the value
            at the same face of the parabola through these three means.
        slope: (3, rows), the weights of rows j - 1, j and j + 1 for dq/dlat at the centre of row j.
        shift: (rows,), the area-weighted mean latitude of the cell minus its central latitude, in row spacings.
        face_slope: (rows,), the factor from the difference between rows j + 1 and j - 1 of means along the east faces
            to their slope.
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
        """Weights of three cells, starting at `first`, for the value (0) or the slope (1) at `origin`."""
        cell = first[:, None] + np.arange(3)
        distance = (angle[cell] - origin[:, None, None]) / spacing
        means = np.stack([(weight[cell] * distance**power).sum(-1) for power in range(3)], axis=1)
        target = np.zeros((len(first), 3, 1))
        target[:, derivative] = 1
        return np.linalg.solve(means, target)[..., 0].T

    south = solve(faces, grid.latitude_edges, 0)
    north = solve(faces + 1, grid.latitude_edges, 0)
    centre = cells.mean(axis=1)
    inside = np.arange(rows) + _GHOSTS
    shift = ((weight * angle).sum(-1) - centre)[inside] / spacing
    east_face = centre.copy()  # the face of a pole row ends at the pole, although its cell continues beyond it
    east_face[inside] = 0.5 * (grid.latitude_edges[:-1] + grid.latitude_edges[1:])
    return RowWeights(
        before=np.stack([-south[0], south[2]]),
        after=np.stack([north[0], -north[2]]),
        slope=solve(inside - 1, centre[inside], 1),
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
    """Nodes [radians] and normalised weights of the area mean over each cell; a pole at its centre is between nodes."""
    node, weight = np.polynomial.legendre.leggauss(8)
    node, weight = np.concatenate([node - 1, node + 1]) / 4, np.tile(weight, 2)
    angle = cells.mean(axis=1, keepdims=True) + np.diff(cells, axis=1) * node
    area = np.abs(np.cos(angle)) * weight
    return angle, area / area.sum(axis=1, keepdims=True)
