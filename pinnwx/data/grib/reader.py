"""Converts a GRIB file to source fields: analyses of the variable table on regular latitude-longitude grids.

A message with lead time zero (step 0) is an analysis; this includes the first step of a forecast, but not a statistic
over steps. A static field may have any step. Perturbed members, means and spreads of ensembles, probabilities,
increments and first guesses are not analyses. Final data take precedence over preliminary data (ERA5T, `expver` 5) of
the same time. The report names everything that is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from pinnwx.data.calendar import format_time
from pinnwx.data.conventions import conversion
from pinnwx.data.coordinates import grid_of
from pinnwx.data.grib.geometry import LatLonLayout
from pinnwx.data.grib.headers import Header, Headers, reference_time
from pinnwx.data.grib.messages import RawField, Source, walk
from pinnwx.data.grib.names import recognise_parameter
from pinnwx.data.grib.values import StoredField, lazy_array, stored, why_not_decoded
from pinnwx.data.leads import OVER_STEPS
from pinnwx.data.source_field import SourceField
from pinnwx.errors import DataError, UnreadableError
from pinnwx.variables import Variable, describe

_SHOWN = 4  # names in a message


@dataclass(frozen=True)
class _Analysis:
    time: np.datetime64
    header: Header
    field: StoredField

    @property
    def is_preliminary(self) -> bool:
        return self.header.version.strip("0 ") == "5"


class GribReader:
    """Finds the fields of one file and records normalisations and omissions."""

    def __init__(self, path: Path, file: str, variables: Mapping[str, Variable], *, forecasts: bool = False) -> None:
        self.path, self.file, self.variables, self.forecasts = path, file, variables, forecasts
        self.source_fields: list[SourceField] = []
        self.ignored: dict[str, None] = {}
        self.unresolved: list[str] = []
        self.contradictory: list[str] = []
        self.left_out: dict[str, None] = {}
        self.normalised: dict[str, None] = {}
        self.axes: dict[str, None] = {}  # which keys are read as which axis
        self.warnings: dict[str, None] = {}
        self.preliminary = False
        self._analyses: dict[tuple[str, LatLonLayout], list[_Analysis]] = {}
        self._not_analyses: dict[str, list[str]] = {}  # reason -> descriptions of the messages
        self._forecasts: list[tuple[str, str]] = []  # (description, start and lead)

    def scan(self) -> None:
        """Reads the headers of all messages and fills the lists.

        Raises:
            UnreadableError: a message is truncated or damaged; the error names its place.
            DataError: ecCodes is not installed.
        """
        headers = Headers()
        with self.path.open("rb") as file:
            for field in walk(Source(file.fileno())):
                self._sort(field, headers.of(field))
        for (name, layout), analyses in self._analyses.items():
            try:
                self.source_fields.append(self._source_field(name, layout, analyses))
            except DataError as error:
                self.unresolved.append(f"{self.file}: {analyses[0].header.description}: {error}")
        if self._forecasts:
            count = len(self._forecasts)
            number = f"{count} forecasts, the first" if count > 1 else "a forecast"
            reason = f"{number} {self._forecasts[0][1]}; only analyses (step 0) are read"
            self.left_out[f"{_listed([text for text, _ in self._forecasts])}: {reason}"] = None
        for reason, fields in self._not_analyses.items():
            self.left_out[f"{_listed(fields)}: {reason}"] = None

    def _sort(self, field: RawField, header: Header) -> None:
        """Sorts a message into analyses, unknown variables, or omissions.

        Raises:
            UnreadableError: the message declares more values than it holds.
        """
        known = recognise_parameter(header, self.variables)
        if known is None:
            self.ignored[header.description] = None
            return
        time = reference_time(field)
        ahead = header.lead if self.forecasts else None
        is_static = isinstance(known, tuple) and self.variables[known[0]].static and not header.statistic
        is_forecast = header.is_forecast and ahead is None and not is_static
        if isinstance(header.layout, LatLonLayout) and not header.not_analysis and is_forecast:
            self._forecasts.append((header.description, _start_and_lead(header, time)))
        elif reason := _why_left_out(header, known, time):
            self._not_analyses.setdefault(reason, []).append(header.description)
        else:
            assert isinstance(header.layout, LatLonLayout)
            assert isinstance(known, tuple)
            assert time is not None
            if problem := why_not_decoded(field, header.layout.rows * header.layout.columns):
                raise UnreadableError(f"{field.place} ({header.description}) {problem}")
            if ahead is not None:
                time = time + ahead
            base, level = known
            name = base if level is None else f"{base}{level}"
            self._analyses.setdefault((name, header.layout), []).append(_Analysis(time, header, stored(field)))

    def _source_field(self, name: str, layout: LatLonLayout, analyses: Sequence[_Analysis]) -> SourceField:
        variable = describe(name, self.variables)
        analyses = self._final(analyses)
        header = analyses[0].header
        axes = {role: (role, xr.DataArray(getattr(layout, role), dims=role)) for role in ("latitude", "longitude")}
        grid, rows, columns, repeated, notes = grid_of(axes)
        factor, offset = self._conversion(header, variable)
        self.normalised |= dict.fromkeys(notes)
        times = np.array([analysis.time for analysis in analyses], "datetime64[ns]")
        self.axes |= dict.fromkeys(
            (f"time from dataDate, dataTime and step: {format_time(times.min())} to {format_time(times.max())}",
             f"{header.level_type}", f"latitude ({layout.rows}) and longitude ({layout.columns}) of the grid section")
        )  # fmt: skip
        if not variable.static and np.any(np.diff(times) < np.timedelta64(0)):
            self.warnings["times are not in order; sorted"] = None
        if header.statistic:
            self.warnings[
                f"{header.short_name} is a statistic of analyses ({header.statistic}), dated by its start"
            ] = None
        array = lazy_array(self.path, layout, [analysis.field for analysis in analyses], header.short_name)
        array.attrs = {"units": header.units}
        preliminary = np.array([analysis.is_preliminary for analysis in analyses])
        step = max(analysis.field.step for analysis in analyses)
        return SourceField(
            variable, header.short_name, self.file, array, {}, ("time", "latitude", "longitude"),
            None if variable.static else times, grid, rows, columns, factor, offset, repeated, preliminary, step,
        )  # fmt: skip

    def _final(self, analyses: Sequence[_Analysis]) -> Sequence[_Analysis]:
        """The analyses without preliminary data that final data replace."""
        final = {analysis.time for analysis in analyses if not analysis.is_preliminary}
        remaining = [analysis for analysis in analyses if not (analysis.is_preliminary and analysis.time in final)]
        self.preliminary = self.preliminary or any(analysis.is_preliminary for analysis in remaining)
        if len(remaining) < len(analyses):
            replaced = f"{len(analyses) - len(remaining)} preliminary field(s) (expver 5) replaced by final data"
            self.normalised[f"{analyses[0].header.description}: {replaced}"] = None
        return remaining

    def _conversion(self, header: Header, variable: Variable) -> tuple[float, float]:
        factor, offset = conversion(header.units, variable)
        if (factor, offset) != (1.0, 0.0):
            self.normalised[f"{header.short_name} converted from {header.units} to {variable.units}"] = None
        return factor, offset


def _why_left_out(header: Header, known: tuple[str, int | None] | str, time: np.datetime64 | None) -> str:
    """The reason why a message that is not a forecast is left out; empty if it is read."""
    if isinstance(header.layout, str):
        return header.layout
    if header.not_analysis:
        return f"{header.not_analysis}, not an analysis"
    if header.statistic in OVER_STEPS:
        return f"a statistic over no time ({header.statistic} at step 0), not an analysis"
    if isinstance(known, str):
        return known
    return "" if time is not None else "a date that is invalid or outside the years 1678 to 2261"


def _start_and_lead(header: Header, time: np.datetime64 | None) -> str:
    unit = " h" if header.step.replace("-", "").isdigit() else ""
    statistic = f" ({header.statistic})" if header.statistic else ""
    start = "an unknown time" if time is None else format_time(time)
    return f"from {start} with lead {header.step or 'unknown'}{unit}{statistic}"


def _listed(names: Sequence[str]) -> str:
    """The first few of the unique names."""
    unique = list(dict.fromkeys(names))
    further = len(unique) - _SHOWN
    return ", ".join(unique[:_SHOWN]) + (f" and {further} more" if further > 0 else "")
