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
from jaxtyping import Bool, Float32, Int, Shaped

from pinnwx.data.calendar import same_hour_and_season
from pinnwx.data.storage import read_netcdf, write_netcdf
from pinnwx.errors import CheckpointError
from pinnwx.manifest import RESTORE

_LARGEST = np.iinfo(np.int16).max
_DIMENSIONS = ("time", "latitude", "longitude")
_DAY = np.timedelta64(1, "D")
_FEWEST = 8
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

    def drawn(
        self,
        starts: Shaped[np.ndarray, " step"],
        count: int,
        generator: np.random.Generator,
        excluded: Bool[np.ndarray, " time"] | None = None,
    ) -> Int[np.ndarray, "step {count}"]:
        """The rows of errors for successive steps of `count` forecasts, whose steps begin at `starts`.

        A forecast begins at a random time of the same hour and season as its first step, and takes the errors of
        successive times as long as there are any; then it begins at another time. Times that are `excluded` are not
        drawn, unless all are.
        """
        usable = np.ones(len(self.times), bool) if excluded is None or excluded.all() else ~excluded
        rest = np.flatnonzero(usable)
        rows = np.zeros((len(starts), count), np.int64)
        follows = np.zeros(count, bool)
        for step, start in enumerate(starts):
            if step:
                after = np.minimum(rows[step - 1] + 1, len(self.times) - 1)
                apart = self.times[after] - self.times[rows[step - 1]]
                follows = (apart == start - starts[step - 1]) & usable[after]
                rows[step] = after
            rows[step, ~follows] = generator.choice(rest[similar_times(self.times[rest], start)], (~follows).sum())
        return rows

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
        fields = np.stack([part.values * np.float32(unit) for part, unit in zip(parts, units, strict=True)], axis=1)
        ascending = seconds.dtype == np.int64 and len(seconds) > 0 and (np.diff(seconds) > 0).all()
        if not ascending or not np.isfinite(fields).all():
            raise CheckpointError(f"{os.fspath(path)} holds times or numbers that are not valid; {RESTORE}")
        return cls(tuple(names), _EPOCH + seconds.astype("timedelta64[s]"), fields)


def similar_times(times: Shaped[np.ndarray, " time"], when: np.datetime64) -> Int[np.ndarray, " row"]:
    """The rows of times of the same hour and season; of any season, or of any hour, where there are fewer than 8."""
    same_hour = (when - times).astype("timedelta64[s]") % _DAY == np.timedelta64(0)
    choices = (same_hour_and_season(times, when), same_hour, np.full(len(times), True))
    return np.flatnonzero(next(rows for rows in choices if rows.sum() >= _FEWEST or rows.all()))
