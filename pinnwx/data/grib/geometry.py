"""Positions of the values of a message: regular latitude-longitude grids of every scanning mode.

The positions agree with the iterator of ecCodes (`geo/iterator/Regular.cc` and `Latlon.cc`). Longitudes are spaced
evenly from the first to the last in the direction of the scan, across 360 degrees if necessary. The coded increment is
not used, because it is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pinnwx.data.grib.eccodes import Handle

_NAMES = {
    "sh": "in spherical harmonics (spectral)",
    "regular_gg": "on a regular Gaussian grid, whose rows are not evenly spaced",
    "reduced_gg": "on a reduced Gaussian grid",
    "reduced_ll": "on a reduced latitude-longitude grid",
    "healpix": "on a HEALPix grid",
    "rotated_ll": "on a rotated latitude-longitude grid",
    "rotated_gg": "on a rotated Gaussian grid",
    "reduced_rotated_gg": "on a rotated reduced Gaussian grid",
    "rotated_sh": "in rotated spherical harmonics (spectral)",
    "stretched_ll": "on a stretched latitude-longitude grid",
    "stretched_gg": "on a stretched Gaussian grid",
    "lambert": "on a Lambert conformal grid",
    "lambert_lam": "on a Lambert conformal grid",
    "lambert_azimuthal_equal_area": "on a Lambert azimuthal equal-area grid",
    "polar_stereographic": "on a polar stereographic grid",
    "mercator": "on a Mercator grid",
    "space_view": "on the grid of a satellite view",
    "unstructured_grid": "on an unstructured grid",
    "triangular_grid": "on a triangular grid",
    "irregular_latlon": "on a latitude-longitude grid of uneven spacing",
}
_RELATIVE_WINDS = ("rotated", "stretched", "lambert", "polar", "mercator")
_REMEDY = "regrid it to regular latitudes and longitudes first"
_ALTERNATING = (
    "rows scanned in alternating directions, which ecCodes does not place; rewrite it first: "
    "grib_set -s swapScanningAlternativeRows=1 IN OUT"
)
_SAME_PLACE = 1e-3  # degrees: the tolerance of the grid of pinnwx
_MILLIDEGREE = 1.05e-3  # degrees: GRIB 1 codes increments in millidegrees, rounded or truncated


@dataclass(frozen=True)
class LatLonLayout:
    """A regular latitude-longitude grid, with the order of the values in the message."""

    rows: int
    columns: int
    latitudes: tuple[float, float]  # of the first and the last row [degrees]
    longitudes: tuple[float, float]  # of the first and the last column, in the direction of the scan [degrees]
    columns_first: bool  # adjacent values in the message are adjacent in a column

    @property
    def latitude(self) -> Float[np.ndarray, " row"]:
        return np.linspace(*self.latitudes, self.rows)

    @property
    def longitude(self) -> Float[np.ndarray, " column"]:
        return np.linspace(*self.longitudes, self.columns)

    def arranged(self, values: np.ndarray) -> np.ndarray:
        """Reshapes the values of a message to (row, column), in the order of `latitude` and `longitude`."""
        if self.columns_first:
            return values.reshape(self.columns, self.rows).T
        return values.reshape(self.rows, self.columns)


def layout_of(message: Handle, points: int | None) -> LatLonLayout | str:
    """The layout of a message, or a text that says why its layout is not supported.

    Args:
        points: the number of points that the grid section declares, or None.
    """
    kind = message["gridType"]
    if kind != "regular_ll":
        name = _NAMES.get(kind, f'on a grid of the type "{kind}"')
        winds = message["uvRelativeToGrid"] == 1 and str(kind).startswith(_RELATIVE_WINDS)
        return f"{name}{', its winds along that grid' if winds else ''}; {_REMEDY}"
    rows, columns = message["Nj"], message["Ni"]
    corners = [
        message.number(f"{axis}Of{which}GridPointInDegrees")
        for axis in ("latitude", "longitude")
        for which in ("First", "Last")
    ]
    if rows is None or columns is None or None in corners or rows < 1 or columns < 1:
        return "a grid without its numbers of rows and columns or its corners; it is damaged"
    if points is not None and rows * columns != points:
        return f"{points} points declared on {rows} rows of {columns}; it is damaged"
    if message["alternativeRowScanning"]:
        return _ALTERNATING
    staggered = (message["scanningMode"] or 0) & (0x1F if message["edition"] == 1 else 0x0F)
    if staggered:
        return f"staggered points (scanning mode {message['scanningMode']}), which are not read; {_REMEDY}"
    return _regular(message, rows, columns, [float(corner) for corner in corners if corner is not None])


def _regular(message: Handle, rows: int, columns: int, corners: list[float]) -> LatLonLayout | str:
    south, north, west, east = corners
    northward, westward = bool(message["jScansPositively"]), bool(message["iScansNegatively"])
    if rows > 1 and (north - south > 0) != northward:
        return f"scanned {'north' if northward else 'south'}ward from latitude {south:g} to {north:g}; it is damaged"
    if columns > 1:
        if westward and east >= west:
            west += 360
        elif not westward and west >= east:
            east += 360
        shift = 360 if east > 360 and not westward else 0
        west, east = west - shift, east - shift
    for name, extent, count in (("j", abs(north - south), rows), ("i", abs(east - west), columns)):
        increment = message.number(f"{name}DirectionIncrementInDegrees")
        if increment is None or count < 2:
            continue
        excess = abs(abs(increment) - extent / (count - 1))
        if excess * (count - 1) > _SAME_PLACE and excess > _MILLIDEGREE:
            detail = f"{count} points over {extent:g} degrees with increments of {increment:g}"
            return f"a grid that contradicts itself ({detail}); correct its grid section"
    return LatLonLayout(rows, columns, (south, north), (west, east), bool(message["jPointsAreConsecutive"]))
