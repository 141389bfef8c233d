"""What the fields usually are at a date and hour: the least a forecast must beat, fitted on training time only."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from jaxtyping import Float32, Float64, Shaped

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import hour_angle, year_angle
from pinnwx.data.field_statistics import STATISTICS, area_mean, field_statistics
from pinnwx.data.storage import read_netcdf, write_netcdf
from pinnwx.errors import CheckpointError
from pinnwx.grid import Grid

_ANNUAL = 2  # harmonics of the year
_DIURNAL = 2  # harmonics of the day, at most
_YEAR = np.timedelta64(365, "D")
_EXTREMES = ("minimum", "maximum")
_STEPS = 256  # whose statistics are taken at once


@dataclass(frozen=True, eq=False)
class Climatology:
    """Least-squares fit at every grid point of

        x(t) = c_0 + sum_k [a_k cos(k Y) + b_k sin(k Y)] + sum_k [d_k cos(k H) + e_k sin(k H)],

    Y the fraction of the year and H that of the UTC day, as angles. `coefficients` is (basis, field, lat, lon) in the
    order of `basis`. The harmonics of the year are there if the training time spans one, those of the day as far as
    its hours resolve them; without either, the climatology is the mean. `minimum` and `maximum` are the extreme
    departures from it at every grid point; `largest` has the largest value of each of the `STATISTICS` of a departure
    (`data.field_statistics`), and `mean_range` the range of its area mean, each in the training time.
    """

    names: tuple[str, ...]
    coefficients: Float32[np.ndarray, "basis field lat lon"]
    annual: int
    diurnal: int
    minimum: Float32[np.ndarray, "field lat lon"]
    maximum: Float32[np.ndarray, "field lat lon"]
    largest: Float32[np.ndarray, "statistic field"]
    mean_range: Float32[np.ndarray, " field"]

    @classmethod
    def fit(cls, archive: Archive) -> Climatology:
        """The climatology of an archive, which must hold training time only."""
        annual, diurnal = _harmonics(archive.times)
        design = basis(archive.times, annual, diurnal)
        inverse = np.linalg.pinv(design)
        coefficients, minimum, maximum, largest, mean_range = [], [], [], [], []
        for index in range(len(archive.names)):  # field by field, for float64 takes room
            values = archive.fields[:, index].astype(np.float64)
            coefficients.append(np.tensordot(inverse, values, axes=1))
            departure = values - np.tensordot(design, coefficients[-1], axes=1)
            minimum.append(departure.min(axis=0))
            maximum.append(departure.max(axis=0))
            largest.append(_largest_statistics(departure, archive.grid))
            mean_range.append(np.ptp(area_mean(departure, archive.grid)))
        fitted, minimum, maximum = (
            np.stack(parts, axis=-3).astype(np.float32) for parts in (coefficients, minimum, maximum)
        )
        statistics = np.stack(largest, axis=-1).astype(np.float32)
        return cls(
            archive.names, fitted, annual, diurnal, minimum, maximum, statistics, np.asarray(mean_range, np.float32)
        )

    def at(self, times: Shaped[np.ndarray, " time"]) -> Float32[np.ndarray, "time field lat lon"]:
        """The usual state at these times, in the units of the fields."""
        design = basis(times, self.annual, self.diurnal)
        return np.tensordot(design, self.coefficients.astype(np.float64), axes=1).astype(np.float32)

    def inside(self, width: int) -> Climatology:
        """Without the outer `width` rows and columns on every side; statistics stay those of the whole."""
        if width == 0:
            return self
        part = (..., slice(width, -width), slice(width, -width))
        arrays = {name: getattr(self, name)[part] for name in ("coefficients", *_EXTREMES)}
        return replace(self, **arrays)

    def save(self, path: str | os.PathLike) -> None:
        """Writes checksummed netCDF; `load` gives the same bits back."""
        place = ("field", "latitude", "longitude")
        extremes = {name: (place, getattr(self, name)) for name in _EXTREMES}
        data = extremes | {"coefficients": (("basis", *place), self.coefficients)}
        data |= {"largest": (("statistic", "field"), self.largest), "mean_range": ("field", self.mean_range)}
        attributes = {"annual_harmonics": self.annual, "diurnal_harmonics": self.diurnal}
        coordinates = {"field": list(self.names), "statistic": list(STATISTICS)}
        write_netcdf(xr.Dataset(data, coordinates, attributes), path)

    @classmethod
    def load(cls, path: str | os.PathLike, content: bytes | None = None) -> Climatology:
        """Reads what `save` wrote; from `content`, where its bytes were read already.

        Raises:
            MissingInputError: there is no such file.
            CheckpointError: it is damaged, or holds something else.
        """
        dataset = read_netcdf(path, content)
        try:
            annual, diurnal = int(dataset.attrs["annual_harmonics"]), int(dataset.attrs["diurnal_harmonics"])
            coefficients, names = dataset["coefficients"].values, tuple(map(str, dataset["field"].values))
            extremes = [dataset[name].values for name in (*_EXTREMES, "largest", "mean_range")]
            statistics = tuple(map(str, dataset["statistic"].values))
        except KeyError as error:
            raise CheckpointError(
                f"{os.fspath(path)} is no climatology of this pinnwx: {error} is missing; train again"
            ) from error
        finite = all(np.isfinite(values).all() for values in (coefficients, *extremes))
        if len(coefficients) != 1 + 2 * (annual + diurnal) or statistics != STATISTICS or not finite:
            raise CheckpointError(f"{os.fspath(path)}: coefficients of the wrong number, or not finite; train again")
        return cls(names, coefficients, annual, diurnal, *extremes)


def _largest_statistics(departure: Float64[np.ndarray, "time lat lon"], grid: Grid) -> np.ndarray:
    """The largest of each of the `STATISTICS`; in parts, for they need room."""
    parts = (departure[start : start + _STEPS] for start in range(0, len(departure), _STEPS))
    largest = [[values.max() for values in field_statistics(part, grid).values()] for part in parts]
    return np.max(largest, axis=0)


def _harmonics(times: np.ndarray) -> tuple[int, int]:
    """Harmonics of the year and of the day that these times can determine."""
    spacing = np.diff(times).min() if times.size > 1 else _YEAR
    if times.size == 0 or times[-1] - times[0] + spacing < _YEAR:
        return 0, 0
    hours = np.unique(times - times.astype("datetime64[D]")).size
    return _ANNUAL, min(_DIURNAL, (hours - 1) // 2)


def basis(times: Shaped[np.ndarray, " time"], annual: int, diurnal: int) -> Float64[np.ndarray, "time basis"]:
    """Columns 1, cos Y, sin Y, cos 2Y, ..., cos H, sin H, ...: the values that the coefficients multiply."""
    columns = [np.ones(times.size)]
    for angle, count in ((year_angle(times), annual), (hour_angle(times), diurnal)):
        for order in range(1, count + 1):
            columns += [np.cos(order * angle), np.sin(order * angle)]
    return np.stack(columns, axis=1)
