"""Model errors: what a model gets wrong in one step, in weather that it was not trained on.

    e(t) = x(t + step) - f(x(t), ...)

They are whole fields, so an error has the scales, the places and the relations between fields that the model's errors
have. They are stored with the model as whole numbers of 1/32,767 of the largest error of a field.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float32, Shaped

from pinnwx.data.storage import read_netcdf, write_netcdf
from pinnwx.errors import CheckpointError
from pinnwx.manifest import RESTORE

_LARGEST = np.iinfo(np.int16).max
_DIMENSIONS = ("time", "latitude", "longitude")
_EPOCH = np.datetime64(0, "s")


@dataclass(frozen=True, eq=False)
class ModelErrors:
    """A sample of errors.

    Attributes:
        names: the fields.
        times: when each step began, ascending.
        fields: the analysis minus the forecast at its end.
    """

    names: tuple[str, ...]
    times: Shaped[np.ndarray, " time"]
    fields: Float32[np.ndarray, "time field lat lon"]

    def write(self, path: str | os.PathLike) -> None:
        """Writes the file.

        Raises:
            OutputError: the folder cannot be written.
        """
        data = {}
        for name, values in zip(self.names, np.moveaxis(self.fields, 1, 0), strict=True):
            unit = float(np.abs(values).max()) / _LARGEST or 1.0
            data[name] = (_DIMENSIONS, np.rint(values / unit).astype(np.int16), {"scale_factor": unit})
        seconds = (self.times.astype("datetime64[s]") - _EPOCH).astype(np.int64)
        times = ("time", seconds, {"units": "seconds since 1970-01-01"})
        write_netcdf(xr.Dataset(data, {"time": times}), path)

    @classmethod
    def read(cls, path: str | os.PathLike, names: Sequence[str], shape: tuple[int, int], content: bytes) -> ModelErrors:
        """Reads the bytes of a file, of these fields on a grid of this shape.

        Raises:
            CheckpointError: it is damaged, or holds something else.
        """
        dataset = read_netcdf(path, content)
        try:
            parts = [dataset[name] for name in names]
            units = [float(part.attrs["scale_factor"]) for part in parts]
            seconds = dataset["time"].values
        except (KeyError, TypeError, ValueError):
            raise CheckpointError(f"{os.fspath(path)} holds no model errors of these fields; {RESTORE}") from None
        expected = (_DIMENSIONS, (len(seconds), *shape), np.dtype(np.int16))
        if any((part.dims, part.shape, part.dtype) != expected for part in parts):
            raise CheckpointError(f"{os.fspath(path)} holds model errors of another shape than the model; {RESTORE}")
        if seconds.dtype != np.int64 or not np.isfinite(units).all() or (np.diff(seconds) <= 0).any():
            raise CheckpointError(f"{os.fspath(path)} holds times or numbers that are not valid; {RESTORE}")
        fields = np.stack([part.values * np.float32(unit) for part, unit in zip(parts, units, strict=True)], axis=1)
        return cls(tuple(names), _EPOCH + seconds.astype("timedelta64[s]"), fields)
