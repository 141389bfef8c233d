"""Geopotential of the surface: the orography times gravity, which many files call `z` as they do that of the levels."""

from __future__ import annotations

import re

import xarray as xr

from pinnwx.data.units import cut
from pinnwx.data.vertical import VerticalAxis

_SAID = re.compile(
    r"\b(at|of) (the )?(earth'?s? )?surface\b|\bsurface (geopotential|height|altitude)|\borograph|^surface$"
)
_SAYING = ("standard_name", "long_name", "level_desc", "GRIB_name", "GRIB_cfName", "var_desc", "description")
_INVARIANT = {
    "lsm", "slt", "sdfor", "sdor", "isor", "anor", "slor", "cvh", "cvl", "tvh", "tvl", "cl", "dl", "land_sea_mask",
    "soil_type", "orography", "orog",
}  # fmt: skip
AMBIGUOUS = (
    "its level is in no coordinate, file name or folder name: it may be of the surface (then rename it to "
    '"geopotential_at_surface"), or of a pressure level (then levels = {{ {base} = 500 }} under [data] of the config '
    "says which)"
)


def is_surface_geopotential(dataset: xr.Dataset, array: xr.DataArray, axis: VerticalAxis | None) -> bool:
    """Whether a geopotential without a pressure level is that of the surface.

    It is where the file says so: by a vertical coordinate or a GRIB level type that is the surface, or by a name or
    description of the array. It is, too, where it stands at one time at most, without any level, among fields none of
    which ever moves (land-sea mask, soil type, orographic parameters): such is a file of constants. Anything else
    without a level stays ambiguous, whatever its values.
    """
    if axis is not None and axis.kind == "the surface":
        return True
    if axis is not None and not axis.may_be_pressure:
        return False
    texts = (cut(str(array.attrs.get(key, "")).lower().replace("_", " "), 200) for key in _SAYING)
    if any(_SAID.search(text) for text in texts):
        return True
    if axis is not None and axis.values is not None:
        return False
    places = array.dims[-2:]
    beside = {
        str(name).lower()
        for name in dataset.variables
        if name != array.name and dataset[name].ndim >= 2 and dataset[name].dims[-2:] == places
    }
    at_one_time = all(array.sizes[dim] == 1 for dim in array.dims[:-2])
    return at_one_time and bool(beside) and beside <= _INVARIANT
