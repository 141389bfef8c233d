"""Determines valid times, and whether values are analyses or forecasts; a forecast is never read as an analysis.

Values are a forecast if a lead time is not zero, or if the valid time differs from the reference time. Values at lead
zero are analyses, whatever other leads the array holds. A sum, mean or extreme over the time since the start is not an
analysis, because at lead zero that time has no length. Files written by pinnwx about a forecast are recognised by their
attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from pinnwx.data.calendar import duration, format_time
from pinnwx.data.roles import Role, coordinate_role, names_a_lead
from pinnwx.data.times import decode_times, hours, is_duration, is_instant
from pinnwx.data.units import cut
from pinnwx.errors import DataError

_OWN = ("content_sha256", "request_sha256", "model_sha256")  # attributes of files that pinnwx writes about a forecast
# Statistics over the steps of a forecast, by their names in ecCodes; at step 0 they cover no time.
OVER_STEPS = ("accum", "avg", "max", "min", "diff", "rms", "sd", "cov", "ratio")
_OVER_TIME = re.compile(r"\btime\b[^:]*:\s*(?!point)\w")
_SAME = 1 / 3600  # hours: the resolution of times is one second


@dataclass(frozen=True)
class Forecast:
    """Why values are not analyses: the evidence, and the start and lead of the forecast."""

    evidence: str
    start: str | None = None
    ahead: str | None = None

    def __str__(self) -> str:
        start = "" if self.start is None else f" from {self.start}"
        ahead = "" if self.ahead is None else f", {self.ahead} ahead"
        return f"a forecast{start}{ahead} ({self.evidence})"


class TimeCoordinates:
    """The time coordinates of one array: valid times, reference times and leads; each may be absent."""

    def __init__(self, dataset: xr.Dataset, array: xr.DataArray) -> None:
        self.dataset, self.array, self.attributes = dataset, array, dataset.attrs
        coordinates: dict[Role, list[xr.DataArray]] = {"time": [], "reference time": [], "lead": []}
        for coordinate, role in _along(dataset, array):
            if role in coordinates:
                coordinates[role].append(coordinate)
        self.valid, self.reference, self.leads = coordinates["time"], coordinates["reference time"], coordinates["lead"]
        if self.reference:  # a duration beside a reference time is a lead, whatever its name
            self.leads += [one for one in self.valid if not is_instant(one) and is_duration(one)]
            self.valid = [one for one in self.valid if is_instant(one) or not is_duration(one)]
        longest = max((one.size for one in self.valid), default=1)
        self.valid.sort(key=lambda one: (one.size < longest, not _is_named_valid(one), one.name not in array.dims))
        if self.valid and _is_named_valid(self.valid[0]):  # then the other time is the start of the forecast
            self.reference += [one for one in self.valid[1:] if not _is_named_valid(one)]
        self.undecided_leads = [
            str(dim) for dim in array.dims if names_a_lead(str(dim)) and not _has_coordinate(dataset, str(dim))
        ]

    @property
    def dimension(self) -> str | None:
        """The dimension of the times, of whatever kind they are."""
        dims = (str(dim) for one in (*self.valid, *self.reference, *self.leads) for dim in one.dims)
        return next(dims, None)

    @property
    def of_valid_times(self) -> Sequence[xr.DataArray]:
        """The coordinates from which `times` are computed."""
        return self.valid[:1] or [*self.reference[:1], *self.leads[:1]]

    def forecast(self) -> Forecast | None:
        """The evidence that the array is a forecast; None for analyses.

        Raises:
            DataError: a time or a lead cannot be read.
        """
        start = self._start()
        if any(key in self.attributes for key in _OWN) or str(self.attributes.get("source", "")).startswith("pinnwx "):
            title = cut(str(self.attributes.get("title", "its attributes")))
            return Forecast(f"written by pinnwx: {title}", start, self._ahead())
        for lead in self.leads:
            if np.any(~(np.abs(hours(lead)) < _SAME)):  # also true for a missing lead
                return Forecast(str(lead.name), start, self._ahead())
        if self.undecided_leads:
            return Forecast(f'its dimension "{self.undecided_leads[0]}" has no lead times', start)
        offset = self._offset()
        if offset is not None and bool((abs(offset) >= _SAME).any()):
            name = f"{self.valid[0].name} minus {self.reference[0].name}"
            return Forecast(name, start, _span(offset.to_numpy()))
        if self.leads and self.array.attrs.get("GRIB_stepType") in OVER_STEPS:
            return Forecast(f"GRIB_stepType {self.array.attrs['GRIB_stepType']}", start)
        return self._stated_in_attributes(start)

    def analyses(self) -> TimeCoordinates | None:
        """The time coordinates of the part at lead zero, which holds analyses; None if there is no such part.

        Raises:
            DataError: a time or a lead cannot be read.
        """
        if self.is_since_start:
            return None
        leads = [xr.Variable(lead.dims, np.reshape(hours(lead), lead.shape)) for lead in self.leads]
        offset = self._offset()
        for lead in leads if offset is None else [*leads, offset]:
            ahead = ~(abs(lead) < _SAME)  # also true for a missing lead
            for dim in map(str, lead.dims):
                is_zero = ~ahead.any([other for other in lead.dims if other != dim]).to_numpy()
                if is_zero.any() and not is_zero.all():
                    part = {dim: np.flatnonzero(is_zero)}
                    coordinates = TimeCoordinates(self.dataset.isel(part), self.array.isel(part))
                    return coordinates if coordinates.forecast() is None else None
        return None

    @property
    def is_since_start(self) -> bool:
        """Whether values are statistics over the time since the start of a forecast."""
        method = _OVER_TIME.search(str(self.array.attrs.get("cell_methods", "")))
        return self.array.attrs.get("GRIB_stepType") in OVER_STEPS or method is not None

    def times(self) -> tuple[np.ndarray, str | None]:
        """(valid times, their dimension); a single time may have no dimension.

        Without a valid time, this is the reference time plus the lead.

        Raises:
            DataError: there is no time, a lead has no units, or the times lie along two dimensions.
        """
        if self.valid:
            self._require_valid_time()
            return self._along_one(_instants(self.valid[0]))
        if not self.reference:
            raise DataError("has no time coordinate and is not declared static")
        if not self.leads and not self._is_declared_analysis():
            raise DataError(
                f"its only time, {self.reference[0].name}, is the start of a forecast; if these are analyses, set its "
                'standard_name to "time"'
            )
        total = _instants(self.reference[0])
        for lead in self.leads[:1]:
            if not is_duration(lead) and np.any(hours(lead)):
                raise DataError(f"{lead.name} has no units of time; set them, for example to hours")
            total = total + xr.Variable(lead.dims, duration(hours(lead).ravel()).reshape(lead.shape))
        return self._along_one(total)

    def _is_declared_analysis(self) -> bool:
        """Whether the attribute of cfgrib says so, or that of NCL has a lead of zero."""
        ahead = np.ravel(self.array.attrs.get("forecast_time", np.nan))
        return self.array.attrs.get("GRIB_dataType") == "an" or (ahead.dtype.kind in "fiu" and bool(np.all(ahead == 0)))

    def _require_valid_time(self) -> None:
        """Refuses forecasts whose coordinate `time` may be the valid time or the start."""
        time = self.valid[0]
        standard = (str(one.attrs.get("standard_name", "")) for one in (time, *self.leads[:1]))
        declared = _is_named_valid(time) or self.reference or tuple(standard) == ("time", "forecast_period")
        if not declared and any(np.any(hours(lead)) for lead in self.leads):
            raise DataError(
                f"{time.name} may be the start of the forecast or its valid time; rename it to valid_time, or set its "
                "standard_name to forecast_reference_time"
            )

    def _along_one(self, times: xr.Variable) -> tuple[np.ndarray, str | None]:
        long = [str(dim) for dim in times.dims if times.sizes[dim] != 1]
        if len(long) > 1:
            raise DataError(f"its times lie along {' and '.join(long)}; select one forecast first")
        dim = long[0] if long else next((str(dim) for dim in times.dims), None)
        return times.to_numpy().reshape(-1), dim

    def _start(self) -> str | None:
        for coordinate in self.reference:
            starts = decode_times(coordinate)
            if starts.size:
                first, last = format_time(starts.min()), format_time(starts.max())
                return first if first == last else f"{first} to {last}"
        return None

    def _offset(self) -> xr.Variable | None:
        """Valid time minus reference time [hours]."""
        if not (self.valid and self.reference):
            return None
        return (_instants(self.valid[0]) - _instants(self.reference[0])) / np.timedelta64(1, "h")

    def _ahead(self) -> str | None:
        for lead in self.leads:
            values = hours(lead)
            if values.size and np.isfinite(values).all():
                return _span(values, "h" if is_duration(lead) else str(lead.attrs.get("units", "steps")))
        return None

    def _stated_in_attributes(self, start: str | None) -> Forecast | None:
        """Reads the attribute of wgrib2 for the reference time and that of NCL for the lead."""
        for coordinate in self.valid:
            text = str(coordinate.attrs.get("reference_time_description", ""))
            if text.lower().startswith("forecast"):
                return Forecast(f"{coordinate.name}: {cut(text)}", start)
        ahead = np.ravel(self.array.attrs.get("forecast_time", 0))
        if ahead.dtype.kind in "fiu" and np.any(ahead != 0):
            units = str(self.array.attrs.get("forecast_time_units", "hours"))
            return Forecast("its attribute forecast_time", start, _span(ahead, cut(units)))
        return None


def _along(dataset: xr.Dataset, array: xr.DataArray) -> Iterator[tuple[xr.DataArray, Role]]:
    """The coordinates with a role whose dimensions the array has, scalars included."""
    for name, variable in dataset.variables.items():
        if name == array.name or variable.ndim > 2 or not set(variable.dims) <= set(array.dims):
            continue
        coordinate = dataset[name]
        role = coordinate_role(coordinate)
        if role is None and coordinate.dims == (name,) and is_duration(coordinate):
            role = "lead"  # durations along a dimension
        if role is not None:
            yield coordinate.reset_coords(drop=True), role


def _instants(coordinate: xr.DataArray) -> xr.Variable:
    return xr.Variable(coordinate.dims, decode_times(coordinate))


def _is_named_valid(coordinate: xr.DataArray) -> bool:
    return str(coordinate.name).lower().startswith(("valid", "valtime"))


def _has_coordinate(dataset: xr.Dataset, dim: str) -> bool:
    return any(variable.dims == (dim,) for variable in dataset.variables.values())


def _span(values: np.ndarray, units: str = "h") -> str:
    low, high = float(np.min(values)), float(np.max(values))
    return f"{low:g} {units}" if low == high else f"{low:g} to {high:g} {units}"
