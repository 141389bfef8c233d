"""Finds highs and lows, the pressure centres on a map of pressure or geopotential."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.ndimage import maximum_filter

from pinnwx.constants import EARTH_RADIUS
from pinnwx.grid import Grid

HIGH, LOW = "H", "L"
_APART = 1.2e6  # m, the minimum distance between two highs or two lows
_NEAREST_TO_POLE = 80.0  # degrees; nearer to a pole, the map projection stretches a centre too much


class Centre(NamedTuple):
    """The place and value of a high or a low."""

    kind: str
    latitude: float
    longitude: float
    value: float


def centres(values: Float[np.ndarray, "lat lon"], grid: Grid, least: float, *, apart: float = _APART) -> list[Centre]:
    """The highs and then the lows, each sorted by strength.

    A centre is the extremum within the distance `apart`, is not in the outermost cells (where it cannot be recognised),
    and differs from the mean of its neighbourhood by at least `least`.

    Args:
        values: the field, finite.
        grid: its grid.
        least: the minimum difference of a centre from its neighbourhood [units of the values].
        apart: the radius of the neighbourhood [m].
    """
    return [
        Centre(kind, float(grid.latitude[row]), float(grid.longitude[column]), float(values[row, column]))
        for kind, sign in ((HIGH, 1.0), (LOW, -1.0))
        for row, column in _peaks(sign * values, grid, least, apart)
    ]


def _peaks(values: np.ndarray, grid: Grid, least: float, apart: float) -> list[tuple[int, int]]:
    """(row, column) of the maxima, the highest first."""
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
    """Cosine of the central angle between two cells."""
    sines = np.sin(latitude[row]) * np.sin(latitude[other_row])
    cosines = np.cos(latitude[row]) * np.cos(latitude[other_row])
    return sines + cosines * np.cos(longitude[column] - longitude[other_column])
