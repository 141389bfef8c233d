"""Recognises the geopotential of the surface (orography times gravity), which many files name `z` like other levels."""

from __future__ import annotations

import re

import xarray as xr

from pinnwx.data.units import cut
from pinnwx.data.vertical import VerticalAxis

_SURFACE_TEXT = re.compile(
    r"\b(at|of) (the )?(earth'?s? )?surface\b|\bsurface (geopotential|height|altitude)|\borograph|^surface$"
)
_TEXT_ATTRIBUTES = ("standard_name", "long_name", "level_desc", "GRIB_name", "GRIB_cfName", "var_desc", "description")
_INVARIANT = {
    "lsm", "slt", "sdfor", "sdor", "isor", "anor", "slor", "cvh", "cvl", "tvh", "tvl", "cl", "dl", "land_sea_mask",
    "soil_type", "orography", "orog",
}  # fmt: skip
AMBIGUOUS = (
    "its level is in no coordinate, file name or folder name; if it is of the surface, rename it to "
    '"geopotential_at_surface"; '
    "if it is on a pressure level, set levels = {{ {base} = 500 }} under [data] in the config"
)


def is_surface_geopotential(dataset: xr.Dataset, array: xr.DataArray, axis: VerticalAxis | None) -> bool:
    """Whether a geopotential without a pressure level is that of the surface.

    It is if the file states it: by a vertical coordinate, by a GRIB level type, or by a name or description of the
    array. It is also if it has at most one time and no level, and all other fields of the file are constants (land-sea
    mask, soil type, orographic parameters). Any other geopotential without a level is ambiguous, whatever its values.
    """
    if axis is not None and axis.kind == "the surface":
        return True
    if axis is not None and not axis.may_be_pressure:
        return False
    texts = (cut(str(array.attrs.get(key, "")).lower().replace("_", " "), 200) for key in _TEXT_ATTRIBUTES)
    if any(_SURFACE_TEXT.search(text) for text in texts):
        return True
    if axis is not None and axis.values is not None:
        return False
    places = array.dims[-2:]
    beside = {
        str(name).lower()
        for name, variable in dataset.variables.items()
        if name != array.name and variable.ndim >= 2 and variable.dims[-2:] == places
    }
    at_one_time = all(array.sizes[dim] == 1 for dim in array.dims[:-2])
    return at_one_time and bool(beside) and beside <= _INVARIANT
