"""Recognises grids other than rows of latitude and columns of longitude, so that an error can name the grid."""

from __future__ import annotations

import re
from collections.abc import Mapping

import xarray as xr

from pinnwx.data.coordinates import Axes
from pinnwx.data.roles import coordinate_role
from pinnwx.data.units import cut

_REGULAR = ("regular_ll", "latitude_longitude", "latlon", "regular_gg")
_GRID_TYPES: tuple[tuple[str, str], ...] = (
    (r"reduced_.*", "a reduced Gaussian grid"),
    (r"sh|spherical_harmonics|.*_sh", "spectral coefficients (spherical harmonics)"),
    (r"healpix", "a HEALPix grid"),
    (r"rotated_.*", "a grid with a rotated pole"),
    (r"unstructured.*|icosahedral|triangular_grid", "unstructured points"),
    (r"lambert.*|polar_stereographic|stereographic|mercator|transverse_mercator|albers.*|space_view|geostationary"
     r"|sinusoidal|oblique_mercator|orthographic|vertical_perspective", "a projected grid"),
)  # fmt: skip
_SPECTRAL = re.compile(r"(spectral|spherical_?harmonics?|wave_?numbers?|nsp|nspec|total_?wavenumber|zonal_?wavenumber)")
_POINTS = re.compile(
    r"(n_?)?(cells?|nodes?|faces?|points?|pix(els?)?|values|col(umn)?s?|elem(ent)?s?|locations?|stations?)|rgrid|grid_?size"
    r"|(healpix|hp)(_?(index|cell|pixel))?|ncells\d*|node_?index|cell_?index|grid_?index|nod\d"
)


def other_grid(dataset: xr.Dataset, array: xr.DataArray, axes: Axes) -> str | None:
    """The grid of an array without latitude and longitude axes; None if it is unknown.

    Axes named `lat` and `lon` are latitude and longitude, unless the array states another grid and the axes lack the
    standard names of true latitude and longitude.
    """
    dims = [str(dim).lower() for dim in array.dims]
    stated = _stated_grid(dataset, array)
    if "latitude" in axes and "longitude" in axes:
        true = all(str(axes[role][1].attrs.get("standard_name")) == role for role in ("latitude", "longitude"))
        return None if true else stated
    mapped = {"latitude": [], "longitude": []}
    along = [name for name, variable in dataset.variables.items() if set(variable.dims) <= set(array.dims)]
    for name in along:
        coordinate = dataset[name]
        role = coordinate_role(coordinate)
        if role in mapped and coordinate.ndim:
            mapped[role].append(coordinate)
    north, east = mapped["latitude"], mapped["longitude"]
    rotated = any(
        str(dataset.variables[name].attrs.get("standard_name", "")) in ("grid_latitude", "grid_longitude")
        for name in along
    )
    if stated == "a HEALPix grid" or any("healpix" in dim for dim in dims):
        return "a HEALPix grid"
    if any(_SPECTRAL.fullmatch(dim) for dim in dims):
        return "spectral coefficients (spherical harmonics)"
    if stated is None and rotated:
        stated = "a grid with a rotated pole"
    if any(one.ndim >= 2 for one in (*north, *east)):
        kind = stated or "a curvilinear grid"
        return f"{kind} (2-D latitudes and longitudes)"
    shared = {one.dims for one in north} & {one.dims for one in east}
    if shared:
        dim = next(iter(shared))[0]
        return f'{stated or "unstructured points"} (one latitude and one longitude for each "{dim}")'
    if stated is not None:
        return stated
    points = next((dim for dim in dims if _POINTS.fullmatch(dim)), None)
    if points is not None and not (north and east):
        return f'unstructured points (along "{points}")'
    if {"x", "y"} <= set(dims) or {"rlat", "rlon"} <= set(dims) or {"south_north", "west_east"} <= set(dims):
        return "a projected or rotated grid"
    return None


def _stated_grid(dataset: xr.Dataset, array: xr.DataArray) -> str | None:
    """The grid stated by `grid_mapping` or by the attribute of cfgrib; None for latitudes and longitudes."""
    texts = [str(array.attrs.get("GRIB_gridType", ""))]
    mapping = str(array.attrs.get("grid_mapping", "")).partition(":")[0].strip()
    if mapping in dataset.variables:
        texts.append(str(dataset[mapping].attrs.get("grid_mapping_name", "")))
    for text in texts:
        plain = cut(text.strip().lower())
        for pattern, kind in _GRID_TYPES:
            if re.fullmatch(pattern, plain):
                return kind
        if plain and plain not in _REGULAR:
            return f'a grid of the kind "{plain}"'
    return None


_REMEDIES: Mapping[str, str] = {
    "a reduced Gaussian grid": "cdo setgridtype,regular",
    "spectral coefficients (spherical harmonics)": "cdo sp2gpl",
}


def refusal(kind: str) -> str:
    """The error message for a file on such a grid."""
    tool = next((text for start, text in _REMEDIES.items() if kind.startswith(start)), "cdo remapbil, or xESMF")
    return f"is on {kind}; regrid it to rows of latitude and columns of longitude first (for example with {tool})"
