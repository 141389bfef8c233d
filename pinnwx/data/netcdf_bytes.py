"""Encodes a netCDF-4 file in memory.

If a disk is full or fails, the HDF5 library may end the process by a signal when it closes its file. Therefore the
library writes to memory, and pinnwx writes the bytes to the disk, so that a failure is an error.
"""

from __future__ import annotations

import io
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import H5NetCDFStore


def netcdf_bytes(dataset: xr.Dataset, encoding: Mapping[Hashable, Mapping[str, Any]]) -> memoryview:
    """The bytes that `to_netcdf` of xarray would write; they are in memory in addition to the dataset.

    h5netcdf encodes them, because the netCDF library cannot reopen a file that it created in memory.
    """
    import h5netcdf  # a quarter of a second

    buffer = io.BytesIO()
    with h5netcdf.File(buffer, "w") as file:
        dataset.dump_to_store(_Store(file), encoding=encoding)
    return buffer.getbuffer()


class _Store(H5NetCDFStore):
    """Writes text attributes with fixed length, like the netCDF library (`char` in ncdump, not `string`).

    Text of variable length is stored in a heap. Old readers do not support it, and a damaged heap may crash the netCDF
    library.
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
