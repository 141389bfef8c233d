"""The geometry of a latitude-longitude grid: exact cell areas and face lengths on the sphere.

A grid is a frozen, hashable value, so it can be a static argument of a jitted function. Cells are bounded by the
midpoints between neighbouring rows and columns; on a global grid, the outermost edges are the poles. A global grid has
rows on the poles (ERA5 at 2.5 degrees) or no rows on the poles (5.625 degrees). A row on a pole is one physical point;
its cells are the sectors of a polar cap.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pinnwx.constants import EARTH_RADIUS, EARTH_ROTATION
from pinnwx.errors import GridError

_TOLERANCE = 1e-3  # degrees: float32 coordinates have errors up to 3e-5; irregular grids deviate by far more
_ROUNDING = 2e-4  # degrees: float32 coordinates, and files with four decimals


def _snapped(values) -> tuple[float, ...]:
    """Evenly spaced coordinates near `values`, without the rounding of float32.

    If the spacing divides 360 degrees, it becomes exact, and the first value a multiple of half the spacing. Otherwise
    the first and last values are rounded to 1e-4 degrees.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or values.size < 3:
        raise GridError(f"a coordinate of shape {values.shape}; a list of at least 3 values is needed")
    impossible = ~(np.abs(values) <= 720)
    if impossible.any():
        raise GridError(f"coordinate {values[impossible][0]:g} is not in degrees; repair the file")
    intervals = values.size - 1
    first, last = round(values[0], 4), round(values[-1], 4)
    parts = round(360 * intervals / (last - first)) if last > first else 0
    if parts and abs(360 / parts * intervals - (last - first)) < _ROUNDING:
        half = 180 / parts
        nearest = half * round(values[0] / half)
        first = nearest if abs(nearest - values[0]) < _ROUNDING else first
        last = first + 360 / parts * intervals
    even = np.linspace(first, last, values.size)
    offset = np.abs(even - values)
    if offset.max() > _TOLERANCE:
        worst = int(offset.argmax())
        raise GridError(
            f"coordinate {values[worst]:g} is {offset[worst]:.3g} degrees off an even spacing; "
            "regrid to an evenly spaced grid"
        )
    return tuple(np.round(even, 9).tolist())


@dataclass(frozen=True)
class Grid:
    """Cell centres in degrees: latitude and longitude both ascending and evenly spaced.

    Use `Grid.from_coordinates` for the coordinates of a file and `Grid.parse` for a name such as `"5.625deg"`. Lengths
    are in metres, areas in square metres, and angles of derived arrays in radians. Arrays are float64.
    """

    latitude: tuple[float, ...]
    longitude: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("latitude", "longitude"):
            centres = np.asarray(getattr(self, name))
            if centres.size < 3:
                raise GridError(f"{name} has {centres.size} points; at least 3 are needed")
            steps = np.diff(centres)
            if not np.isfinite(centres).all():
                raise GridError(f"{name} holds values that are not finite; repair the file")
            if steps.min() <= 0:
                raise GridError(f"{name} is not ascending at index {int(np.argmin(steps)) + 1}; sort it")
            if np.ptp(steps) > _TOLERANCE:
                raise GridError(
                    f"{name} spacing varies from {steps.min():.5g} to {steps.max():.5g} degrees; "
                    "regrid to an evenly spaced grid"
                )
        if max(abs(self.latitude[0]), abs(self.latitude[-1])) > 90 + _TOLERANCE:
            raise GridError(f"latitude {self.latitude[0]:g} to {self.latitude[-1]:g} leaves -90 to 90")
        if len(self.longitude) * self.longitude_spacing > 360 + _TOLERANCE * len(self.longitude):
            raise GridError(
                f"longitude spans {len(self.longitude) * self.longitude_spacing:g} degrees, more than 360; "
                "drop the repeated columns"
            )
        if self.is_global and len(self.longitude) % 2:
            raise GridError(f"{len(self.longitude)} longitudes: a global grid needs an even number")

    @classmethod
    def from_coordinates(cls, latitude, longitude) -> Grid:
        """The grid whose centres are these ascending coordinates [degrees], snapped to even spacing.

        After snapping, float32 and float64 coordinates of the same grid are equal (see `_snapped`).
        """
        return cls(_snapped(latitude), _snapped(longitude))

    @classmethod
    def parse(cls, text: str) -> Grid:
        """The global grid named `"<spacing>deg"` without rows on the poles, or `"<spacing>deg+poles"` with them.

        `"5.625deg"` is the WeatherBench grid (32 x 64, first row 87.1875 S, first column 0 E).
        """
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*deg(\+poles)?\s*", text)
        if not match:
            raise GridError(f'grid "{text}" is not understood; write for example "5.625deg" or "2.5deg+poles"')
        spacing, poles = float(match[1]), bool(match[2])
        if not 0.1 <= spacing <= 45:
            raise GridError(f'grid "{text}": {spacing:g} degrees are not between 0.1 and 45')
        rows = round(180 / spacing)
        if abs(rows - 180 / spacing) > 1e-9:
            raise GridError(f'grid "{text}": {spacing:g} degrees do not divide 180 into whole rows')
        first = -90.0 if poles else -90 + spacing / 2
        return cls.from_coordinates(first + spacing * np.arange(rows + poles), spacing * np.arange(2 * rows))

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return len(self.latitude), len(self.longitude)

    @property
    def latitude_spacing(self) -> float:
        """Degrees."""
        return (self.latitude[-1] - self.latitude[0]) / (len(self.latitude) - 1)

    @property
    def longitude_spacing(self) -> float:
        """Degrees."""
        return (self.longitude[-1] - self.longitude[0]) / (len(self.longitude) - 1)

    @cached_property
    def is_periodic(self) -> bool:
        """Whether the columns cover the full circle."""
        return abs(len(self.longitude) * self.longitude_spacing - 360) < 0.5 * self.longitude_spacing

    @cached_property
    def is_global(self) -> bool:
        """Whether the grid covers the sphere: periodic, with both outermost edges on the poles."""
        reach = 0.5 * self.latitude_spacing + _TOLERANCE
        return self.is_periodic and 90 - self.latitude[-1] <= reach and 90 + self.latitude[0] <= reach

    @cached_property
    def has_pole_rows(self) -> bool:
        """Whether the first and last rows lie on the poles."""
        return self.is_global and abs(self.latitude[-1] - 90) < _TOLERANCE

    @cached_property
    def latitude_radians(self) -> np.ndarray:
        """Centres, (rows,)."""
        return np.deg2rad(np.asarray(self.latitude))

    @cached_property
    def longitude_radians(self) -> np.ndarray:
        """Centres, (columns,)."""
        return np.deg2rad(np.asarray(self.longitude))

    @cached_property
    def latitude_edges(self) -> np.ndarray:
        """Edges of the rows [radians], (rows + 1,)."""
        centres, half = np.asarray(self.latitude), 0.5 * self.latitude_spacing
        edges = np.clip(np.append(centres - half, centres[-1] + half), -90, 90)
        if self.is_global:
            edges[0], edges[-1] = -90, 90
        return np.deg2rad(edges)

    @cached_property
    def cell_area(self) -> np.ndarray:
        """Exact area of a cell in each row, a^2 dlon (sin edge_north - sin edge_south), (rows,)."""
        return EARTH_RADIUS**2 * np.deg2rad(self.longitude_spacing) * np.diff(np.sin(self.latitude_edges))

    @cached_property
    def area_weights(self) -> np.ndarray:
        """Cell areas divided by their mean over the grid, (rows, 1); the mean of w * x is the area mean of x."""
        return (self.cell_area / self.cell_area.mean())[:, None]

    @cached_property
    def east_face_length(self) -> np.ndarray:
        """Length of the face between zonal neighbours, a (edge_north - edge_south), (rows,)."""
        return EARTH_RADIUS * np.diff(self.latitude_edges)

    @cached_property
    def north_face_length(self) -> np.ndarray:
        """Length of the face between meridional neighbours, a cos(edge) dlon, (rows + 1,); zero at the poles."""
        length = EARTH_RADIUS * np.cos(self.latitude_edges) * np.deg2rad(self.longitude_spacing)
        return np.where(np.abs(np.abs(self.latitude_edges) - np.pi / 2) < 1e-12, 0.0, length)

    @cached_property
    def zonal_spacing(self) -> np.ndarray:
        """Mean east-west width of a cell, area / face length, (rows,); also positive on pole rows."""
        return self.cell_area / self.east_face_length

    @cached_property
    def meridional_spacing(self) -> float:
        """Distance between row centres."""
        return EARTH_RADIUS * float(np.deg2rad(self.latitude_spacing))

    @cached_property
    def coriolis(self) -> np.ndarray:
        """Coriolis parameter 2 Omega sin(lat) [s-1], (rows, 1)."""
        return 2 * EARTH_ROTATION * np.sin(self.latitude_radians)[:, None]

    def __str__(self) -> str:
        rows, columns = self.shape
        kind = "global" if self.is_global else "regional"
        return (
            f"{kind} {rows} x {columns}, {self.latitude[0]:g} to {self.latitude[-1]:g} N, "
            f"{self.longitude[0]:g} to {self.longitude[-1]:g} E"
        )
