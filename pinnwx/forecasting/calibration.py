"""Calibration of an ensemble, member by member (Van Schaeybroeck and Vannitsem 2015, QJRMS 141, 807-818):

    x_i <- m + b + r (x_i - m),    m the mean of the members x_i

at each place, by field and lead; b corrects the mean, and r the spread (`verification.calibrating` fits them). All
members are scaled alike, so they keep their order at each place and their relations between places, fields and leads:
they stay weather, as by ensemble copula coupling.

b and r are linear in the lead between the leads that they were fitted at. Before the first, b grows from zero and r is
that of the first; after the last, both are those of the last.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Float32

from pinnwx.data.storage import read_netcdf, write_netcdf
from pinnwx.errors import CheckpointError
from pinnwx.manifest import RESTORE

Members = Float[np.ndarray, "member lead field lat lon"]
Local = Float32[np.ndarray, "lead field lat lon"]

CALIBRATION = "calibration"  # among the settings of scores, and the attributes of files
_DIMENSIONS = ("lead_hours", "field", "latitude", "longitude")
_NUMBERS = ("forecasts", "perturbation_scale", "model_error_scale")


@dataclass(frozen=True, eq=False)
class Calibration:
    """A correction of the members of ensembles of these scales.

    Attributes:
        names: the fields.
        lead_hours: the leads that it was fitted at, ascending.
        forecasts: the number of forecasts that it was fitted on.
        bias: b.
        factor: r.
        perturbation_scale: of the perturbations of the analyses (`forecasting.ensemble`).
        model_error_scale: of the errors that perturb every step.
    """

    names: tuple[str, ...]
    lead_hours: tuple[float, ...]
    forecasts: int
    bias: Local
    factor: Local
    perturbation_scale: float
    model_error_scale: float

    @property
    def settings(self) -> dict[str, Any]:
        """What scores and files tell of it."""
        return {"forecasts": self.forecasts, "lead_hours": list(self.lead_hours)}

    def __call__(self, members: Members, lead_hours: Sequence[float], bounds: Float[np.ndarray, "field 2"]) -> Members:
        """The calibrated members, within the bounds of the fields."""
        low, high = bounds.T[..., None, None]
        result = np.empty_like(members)
        for row, lead in enumerate(lead_hours):
            bias, factor = self._at(float(lead))
            mean = members[:, row].mean(axis=0)
            result[:, row] = np.clip(mean + bias + factor * (members[:, row] - mean), low, high)
        return result

    def _at(self, lead: float) -> tuple[Float32[np.ndarray, "field lat lon"], Float32[np.ndarray, "field lat lon"]]:
        """b and r at a lead."""
        after = min(int(np.searchsorted(self.lead_hours, lead)), len(self.lead_hours) - 1)
        if not after and lead < self.lead_hours[0]:
            return np.float32(lead / self.lead_hours[0]) * self.bias[0], self.factor[0]
        before = max(after - 1, 0)
        share = np.float32(np.interp(lead, self.lead_hours, np.arange(len(self.lead_hours))) - before)
        bias, factor = (each[before] + share * (each[after] - each[before]) for each in (self.bias, self.factor))
        return bias, factor

    def write(self, path: str | os.PathLike) -> None:
        """Writes the file.

        Raises:
            OutputError: the folder cannot be written.
        """
        data = {name: (_DIMENSIONS, getattr(self, name)) for name in ("bias", "factor")}
        coordinates = {"lead_hours": list(self.lead_hours), "field": list(self.names)}
        write_netcdf(xr.Dataset(data, coordinates, {name: getattr(self, name) for name in _NUMBERS}), path)

    @classmethod
    def read(cls, path: str | os.PathLike, names: Sequence[str], shape: tuple[int, int], content: bytes) -> Calibration:
        """Reads the bytes of a file, of these fields on a grid of this shape.

        Raises:
            CheckpointError: it is damaged, or holds something else.
        """
        dataset = read_netcdf(path, content)
        try:
            bias, factor = dataset["bias"], dataset["factor"]
            forecasts, *scales = (float(dataset.attrs[name]) for name in _NUMBERS)
            leads, fields = dataset["lead_hours"].values.astype(float), tuple(map(str, dataset["field"].values))
        except (KeyError, TypeError, ValueError):
            raise CheckpointError(f"{os.fspath(path)} holds no calibration; {RESTORE}") from None
        expected = (_DIMENSIONS, (len(leads), len(names), *shape), np.dtype(np.float32))
        if fields != tuple(names) or any((part.dims, part.shape, part.dtype) != expected for part in (bias, factor)):
            raise CheckpointError(f"{os.fspath(path)} holds a calibration of another model; {RESTORE}")
        valid = all(np.isfinite(part.values).all() for part in (bias, factor)) and (factor.values >= 0).all()
        ascending = len(leads) > 0 and leads[0] > 0 and np.isfinite(leads).all() and (np.diff(leads) > 0).all()
        if not valid or not ascending or not all(np.isfinite(each) and each >= 0 for each in (forecasts, *scales)):
            raise CheckpointError(f"{os.fspath(path)} holds leads or numbers that are not valid; {RESTORE}")
        return cls(fields, tuple(leads.tolist()), int(forecasts), bias.values, factor.values, scales[0], scales[1])
