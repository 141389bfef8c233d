"""Parts of a source field: some times, or the rows and columns of a region. Only what is selected is read."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int, Shaped

from pinnwx.data.source_field import SourceField
from pinnwx.errors import GridError, UsageError
from pinnwx.grid import Grid

_FEWEST = 3  # rows or columns of a grid


@dataclass(frozen=True)
class Region:
    """A box in degrees; `west` may exceed `east` where the box crosses the meridian that longitudes start at."""

    north: float
    west: float
    south: float
    east: float

    def __post_init__(self) -> None:
        if not -90 <= self.south < self.north <= 90 or not all(-360 <= one <= 360 for one in (self.west, self.east)):
            raise UsageError(
                f"region {self.north:g},{self.west:g},{self.south:g},{self.east:g}: give north,west,south,east in "
                "degrees, the south below the north"
            )

    def rows(self, latitude: np.ndarray) -> Int[np.ndarray, " row"]:
        """Indices of the latitudes inside."""
        return np.flatnonzero((latitude >= self.south) & (latitude <= self.north))

    def columns(self, longitude: np.ndarray) -> tuple[Int[np.ndarray, " column"], np.ndarray]:
        """Indices of the longitudes inside, from west to east, and their values, ascending from `west`."""
        width = (self.east - self.west) % 360 or 360
        eastward = (longitude - self.west) % 360
        inside = np.flatnonzero(eastward <= width)
        order = inside[np.argsort(eastward[inside])]
        return order, self.west + eastward[order]

    def cut(self, grid: Grid) -> tuple[Grid, Int[np.ndarray, " row"], Int[np.ndarray, " column"]]:
        """The part of a grid inside, and its rows and columns.

        Raises:
            GridError: fewer than three of either are inside.
        """
        latitude, longitude = np.asarray(grid.latitude), np.asarray(grid.longitude)
        rows, (columns, eastward) = self.rows(latitude), self.columns(longitude)
        if min(len(rows), len(columns)) < _FEWEST:
            raise GridError(f"the region holds {len(rows)} x {len(columns)} points of {grid}; ask for a larger one")
        return Grid.from_coordinates(latitude[rows], eastward), rows, columns


def at_times(source_field: SourceField, times: Shaped[np.ndarray, " time"]) -> SourceField:
    """The steps of these times alone; a field that does not change in time stays as it is."""
    if source_field.times is None:
        return source_field
    steps = np.flatnonzero(np.isin(source_field.times, times))
    preliminary = None if source_field.preliminary is None else source_field.preliminary[steps]
    array = source_field.array.isel({source_field.dims[0]: steps})
    return replace(source_field, array=array, times=source_field.times[steps], preliminary=preliminary)


def inside(source_field: SourceField, region: Region) -> SourceField:
    """The rows and columns of a region alone.

    Raises:
        GridError: fewer than three of either are in it.
    """
    grid, rows, columns = region.cut(source_field.grid)
    array, places = source_field.array, []
    for dim, indices in (
        (source_field.dims[1], source_field.rows[rows]),
        (source_field.dims[2], source_field.columns[columns]),
    ):
        stored = np.sort(indices)  # stores are read forwards
        array = array.isel({dim: stored})
        places.append(np.searchsorted(stored, indices))
    return replace(source_field, array=array, grid=grid, rows=places[0], columns=places[1], repeated=())
