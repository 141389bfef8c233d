"""Statistics of the training time that the model, the baselines and the checks share: normalisation and climatology.

They are values. `data.fitting` computes them from an archive, and `data.statistics_files` writes and reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Float64, Shaped

from pinnwx.time_features import day_angle, year_angle


@dataclass(frozen=True, eq=False)
class Normalisation:
    """Area-weighted statistics of the fields `names`, in their units.

    Attributes:
        names: the fields, in the order of the arrays.
        mean: time and area mean of each field.
        std: root of the time and area mean of (x - mean)^2.
        increment_std: the same of x(t + step) - x(t), about its mean.
        mean_map: time mean at every grid point.
    """

    names: tuple[str, ...]
    mean: Float[np.ndarray, " field"]
    std: Float[np.ndarray, " field"]
    increment_std: Float[np.ndarray, " field"]
    mean_map: Float[np.ndarray, "field lat lon"]


@dataclass(frozen=True, eq=False)
class Climatology:
    """The expected state at a date and hour: at every grid point

        x(t) = c_0 + sum_k [a_k cos(k Y) + b_k sin(k Y)] + sum_k [d_k cos(k H) + e_k sin(k H)],

    with the fraction Y of the year and H of the UTC day as angles.

    Attributes:
        names: the fields, in the order of the arrays.
        coefficients: in the order of `harmonic_basis`, in the fields' units.
        annual: harmonics of the year.
        diurnal: harmonics of the day.
        minimum: the lowest departure in the training time at every grid point.
        maximum: the highest.
        largest: the largest value in the training time of each statistic of a departure (`data.field_statistics`).
        mean_range: the range of the area mean of departures in the training time.
    """

    names: tuple[str, ...]
    coefficients: Float32[np.ndarray, "basis field lat lon"]
    annual: int
    diurnal: int
    minimum: Float32[np.ndarray, "field lat lon"]
    maximum: Float32[np.ndarray, "field lat lon"]
    largest: Float32[np.ndarray, "statistic field"]
    mean_range: Float32[np.ndarray, " field"]

    def at(self, times: Shaped[np.ndarray, " time"]) -> Float32[np.ndarray, "time field lat lon"]:
        """The expected state at these times, in the units of the fields."""
        design = harmonic_basis(times, self.annual, self.diurnal)
        return np.tensordot(design, self.coefficients.astype(np.float64), axes=1).astype(np.float32)

    def inside(self, width: int) -> Climatology:
        """Without the outer `width` rows and columns on every side; `largest` and `mean_range` remain those of all."""
        if width == 0:
            return self
        part = (..., slice(width, -width), slice(width, -width))
        arrays = {name: getattr(self, name)[part] for name in ("coefficients", "minimum", "maximum")}
        return replace(self, **arrays)


def harmonic_basis(times: Shaped[np.ndarray, " time"], annual: int, diurnal: int) -> Float64[np.ndarray, "time basis"]:
    """Columns 1, cos Y, sin Y, cos 2Y, ..., cos H, sin H, ...: the values that the coefficients multiply."""
    columns = [np.ones(times.size)]
    for angle, count in ((year_angle(times), annual), (day_angle(times), diurnal)):
        for order in range(1, count + 1):
            columns += [np.cos(order * angle), np.sin(order * angle)]
    return np.stack(columns, axis=1)
