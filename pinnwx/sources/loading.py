"""Fields of a source as one canonical dataset in memory, checked and on the grid that is asked for."""

from __future__ import annotations

import logging

import xarray as xr

from pinnwx.data.calendar import format_time
from pinnwx.data.check_report import Findings
from pinnwx.data.open import merge_fields
from pinnwx.errors import DataError
from pinnwx.grid import Grid
from pinnwx.sources.base import DataSource, Request
from pinnwx.sources.registry import description
from pinnwx.sources.selection import Region, at_times, inside

_log = logging.getLogger(__name__)


def load(
    source: DataSource, request: Request, *, grid: str | Grid = "native", region: Region | None = None
) -> xr.Dataset:
    """The requested fields, as `open_data` gives them; attributes name the source.

    Args:
        source: where the fields come from.
        request: which fields, at which times.
        grid: "native", or the grid to average onto conservatively.
        region: the part of the source's grid to read; None reads all.

    Raises:
        DataError: a requested field is missing, or values cannot be true.
        GridError: the fields do not cover the grid, or the region is too small.
        UnavailableError: no requested time has all fields.
    """
    fields = [one for one in source.read(request) if one.name in request.fields]
    missing = [name for name in request.fields if name not in {one.name for one in fields}]
    if missing:
        raise DataError(
            f"{description(source)} does not give {', '.join(missing)}, which it offers; correct its `read`"
        )
    if request.times is not None:
        fields = [at_times(one, request.times) for one in fields]
    if region is not None:
        fields = [inside(one, region) for one in fields]
    times, findings = request.times, Findings(strict=True)
    start, end = (None, None) if times is None else (format_time(times[0]), format_time(times[-1]))
    dataset = merge_fields(fields, request.fields, grid, findings, start=start, end=end)
    for problem in findings:
        if problem.severity == "warning":
            _log.warning("%s: %s", problem.severity, problem)
    return dataset.assign_attrs(source=description(source))
