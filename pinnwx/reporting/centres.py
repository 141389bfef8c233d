"""Highs and lows: the centres that a forecaster looks for on a map of pressure or of geopotential."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.ndimage import maximum_filter

from pinnwx.constants import EARTH_RADIUS
from pinnwx.grid import Grid

HIGH, LOW = "H", "L"
_APART = 1.2e6  # m, between two centres of a kind
_NEAREST_TO_POLE = 80.0  # degrees; nearer, a map of latitude and longitude smears a centre over its width


class Centre(NamedTuple):
    """The top of a high or the bottom of a low: where, and the value there."""

    kind: str
    latitude: float
    longitude: float
    value: float


def centres(values: Float[np.ndarray, "lat lon"], grid: Grid, least: float, *, apart: float = _APART) -> list[Centre]:
    """Highs, then lows, the strongest first.

    A centre is the extremum within `apart` of it, lies inside the area (at the edge of a box none is known), and
    differs from the mean of that neighbourhood by `least` or more.

    Args:
        values: the field, finite.
        grid: its grid.
        least: by how much a centre stands out [units of the values].
        apart: radius of the neighbourhood [m].
    """
    return [
        Centre(kind, float(grid.latitude[row]), float(grid.longitude[column]), float(values[row, column]))
        for kind, sign in ((HIGH, 1.0), (LOW, -1.0))
        for row, column in _peaks(sign * values, grid, least, apart)
    ]


def _peaks(values: np.ndarray, grid: Grid, least: float, apart: float) -> list[tuple[int, int]]:
    """Rows and columns of the maxima, the highest first."""
    padded = np.pad(values, ((1, 1), (0, 0)), mode="edge")
    padded = np.pad(padded, ((0, 0), (1, 1)), mode="wrap" if grid.is_global else "edge")
    highest = maximum_filter(padded, 3)[1:-1, 1:-1]
    inside = np.abs(np.asarray(grid.latitude))[:, None] <= _NEAREST_TO_POLE
    inside = np.broadcast_to(inside, values.shape).copy()
    inside[[0, -1]] = False
    if not grid.is_global:
        inside[:, [0, -1]] = False
    candidates = np.argwhere((values == highest) & inside)
    candidates = candidates[np.argsort(-values[tuple(candidates.T)], kind="stable")]
    latitude, longitude = np.asarray(grid.latitude_radians), np.deg2rad(np.asarray(grid.longitude))
    weights = np.broadcast_to(grid.area_weights, values.shape)
    peaks: list[tuple[int, int]] = []
    for row, column in candidates:
        if any(_cosine(latitude, longitude, row, column, *other) > np.cos(apart / EARTH_RADIUS) for other in peaks):
            continue
        rows = np.flatnonzero(np.abs(latitude - latitude[row]) <= apart / EARTH_RADIUS)
        near = _cosine(latitude, longitude, row, column, rows[:, None], np.arange(len(longitude))[None])
        near = near >= np.cos(apart / EARTH_RADIUS)
        around, weight = values[rows][near], weights[rows][near]
        top = values[row, column]
        if top >= around.max() and top - np.average(around, weights=weight) >= max(least, 1e-12 * abs(top)):
            peaks.append((int(row), int(column)))
    return peaks


def _cosine(latitude, longitude, row, column, other_row, other_column):
    """Cosine of the angle between two cells, seen from the centre of the Earth."""
    sines = np.sin(latitude[row]) * np.sin(latitude[other_row])
    cosines = np.cos(latitude[row]) * np.cos(latitude[other_row])
    return sines + cosines * np.cos(longitude[column] - longitude[other_column])
