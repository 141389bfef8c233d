"""The content of a netCDF-4 file, made in memory.

Where a disk is full or fails, the HDF5 library may end the process by a signal when it closes its file. So it is given
no file: what is written to the disk is written by us, and fails as an error.
"""

from __future__ import annotations

import io
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import H5NetCDFStore


def netcdf_bytes(dataset: xr.Dataset, encoding: Mapping[Hashable, Mapping[str, Any]]) -> memoryview:
    """What xarray's `to_netcdf` would write. It costs as much memory as the file has bytes, beside the dataset.

    h5netcdf makes it, for what the netCDF library makes in memory it cannot open again to append.
    """
    import h5netcdf  # a quarter of a second

    buffer = io.BytesIO()
    with h5netcdf.File(buffer, "w") as file:
        dataset.dump_to_store(_Store(file), encoding=encoding)
    return buffer.getbuffer()


class _Store(H5NetCDFStore):
    """Texts are attributes of fixed length, as the netCDF library writes them (`char` to ncdump, not `string`).

    Texts of any length stand in a heap: old readers do not know it, and the netCDF library may crash on a damaged one.
    """

    def encode(self, variables: Any, attributes: Any) -> Any:
        variables, attributes = super().encode(variables, attributes)
        for variable in variables.values():
            variable.attrs = _of_fixed_length(variable.attrs)
        return variables, _of_fixed_length(attributes)


def _of_fixed_length(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: np.bytes_(value.encode()) if isinstance(value, str) and value else value
        for name, value in attributes.items()
    }
