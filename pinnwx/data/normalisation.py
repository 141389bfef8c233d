"""Scales of the fields and of their increments, fitted on training time only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from pinnwx.data.archive import Archive
from pinnwx.data.storage import read_netcdf, write_netcdf
from pinnwx.data.windows import window_indices
from pinnwx.errors import CheckpointError, DataError

_ARRAYS = ("mean", "std", "increment_std", "mean_map")


@dataclass(frozen=True, eq=False)
class Normalisation:
    """Area-weighted statistics of the fields `names`, in their units, float64.

    mean[f]            time and area mean of field f
    std[f]             root of the time and area mean of (x - mean)^2
    increment_std[f]   the same of x(t + step) - x(t), about its mean, over pairs that are exactly one step apart
    mean_map[f]        time mean at every grid point
    """

    names: tuple[str, ...]
    mean: Float[np.ndarray, " field"]
    std: Float[np.ndarray, " field"]
    increment_std: Float[np.ndarray, " field"]
    mean_map: Float[np.ndarray, "field lat lon"]

    @classmethod
    def fit(cls, archive: Archive, step_hours: int | float) -> Normalisation:
        """Statistics of an archive, which must hold training time only.

        Raises:
            DataError: no two times are a step apart, or a field never changes.
        """
        pairs = window_indices(archive.times, step_hours, 1)
        if len(pairs) == 0:
            raise DataError(
                f"no two training times are {step_hours:g} h apart; their spacing is {archive.step_hours:g} h"
            )
        weights = archive.grid.area_weights
        mean, std, increment_std, maps = [], [], [], []
        for index, name in enumerate(archive.names):
            values = archive.fields[:, index]
            maps.append(values.mean(axis=0, dtype=np.float64))
            centre = float((maps[-1] * weights).mean())
            mean.append(centre)
            std.append(_deviation((part - centre for part in _parts(values)), weights))
            increments = (values[rows[:, 1]].astype(np.float64) - values[rows[:, 0]] for rows in _parts(pairs))
            increment_std.append(_deviation(increments, weights))
            if std[-1] == 0 or increment_std[-1] == 0:
                raise DataError(f"{name} never changes in the training time; leave it out, or declare it static")
        return cls(archive.names, *map(np.asarray, (mean, std, increment_std, maps)))

    def save(self, path: str | os.PathLike) -> None:
        """Writes checksummed netCDF; `load` gives the same bits back."""
        data = {
            key: (("field", "latitude", "longitude")[: getattr(self, key).ndim], getattr(self, key)) for key in _ARRAYS
        }
        write_netcdf(xr.Dataset(data, {"field": list(self.names)}), path)

    @classmethod
    def load(cls, path: str | os.PathLike, content: bytes | None = None) -> Normalisation:
        """Reads what `save` wrote; from `content`, where its bytes were read already.

        Raises:
            MissingInputError: there is no such file.
            CheckpointError: it is damaged, or holds something else.
        """
        dataset = read_netcdf(path, content)
        if not {"field", *_ARRAYS} <= set(dataset.variables) or not all(
            np.isfinite(dataset[key]).all() for key in _ARRAYS
        ):
            raise CheckpointError(f"{os.fspath(path)} is no normalisation, or holds values that are not finite")
        return cls(tuple(map(str, dataset["field"].values)), *(dataset[key].values for key in _ARRAYS))


def _parts(values: np.ndarray, length: int = 256) -> Iterator[np.ndarray]:
    """Pieces along the first axis: float64 sums without a float64 copy of everything."""
    return (values[start : start + length] for start in range(0, len(values), length))


def _deviation(parts: Iterator[np.ndarray], weights: np.ndarray) -> float:
    """Area-weighted standard deviation of the (time, lat, lon) parts taken together, about their mean."""
    count, total, squares = 0, 0.0, 0.0
    for part in parts:
        part = part.astype(np.float64)
        count += part.size
        total += float((part * weights).sum())
        squares += float((part**2 * weights).sum())
    return max(squares / count - (total / count) ** 2, 0.0) ** 0.5
