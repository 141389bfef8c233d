"""Grids for the tests."""

import numpy as np

from pinnwx.grid import Grid


def box(rows: int = 21, columns: int = 24) -> Grid:
    """30 to 60 N and 20 W to 16 E at any resolution."""
    latitude = 30 + 30 * (np.arange(rows) + 0.5) / rows
    longitude = -20 + 36 * (np.arange(columns) + 0.5) / columns
    return Grid(tuple(latitude.tolist()), tuple(longitude.tolist()))
