"""Opens gridded files as one canonical dataset, or reports what they contain."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import xarray as xr

from pinnwx.data.calendar import dates_in_name, format_time
from pinnwx.data.changes import once_more_if_changed
from pinnwx.data.check import check_data
from pinnwx.data.check_report import CheckReport, Damaged, Findings
from pinnwx.data.expver import MARK
from pinnwx.data.find import Paths
from pinnwx.data.inventory import Inventory, scan_files
from pinnwx.data.merge import Field, read_field, read_static
from pinnwx.data.plan import Plan, make_plan, names_to_read, present_times, report_of
from pinnwx.data.sizes import require_memory
from pinnwx.data.source_field import SourceField
from pinnwx.errors import DataError, MissingInputError, UnavailableError
from pinnwx.grid import Grid
from pinnwx.text import alike_merged
from pinnwx.variables import VARIABLES, Variable, describe

__all__ = ["check_data", "merge_fields", "open_data", "open_with_report", "sample_path"]

_log = logging.getLogger(__name__)
Selection = Callable[[np.ndarray], np.ndarray]
_MOST_DISPUTED = 20  # times at which files differ; above that, one of the files is wrong as a whole
_DEGREES = {"latitude": "degrees_north", "longitude": "degrees_east"}


def open_data(
    paths: Paths,
    fields: Sequence[str] | None = None,
    *,
    grid: str | Grid = "native",
    variables: Mapping[str, Variable] = VARIABLES,
    levels: Mapping[str, int] | None = None,
    static: Sequence[str] = (),
    start: str | None = None,
    end: str | None = None,
    select: Selection | None = None,
    forecasts: bool = False,
    leave_damaged: bool = False,
) -> xr.Dataset:
    """Opens files, globs, folders and zarr stores as one dataset in memory.

    Args:
        paths: one or many; folders are searched recursively, and files that are not gridded data are ignored.
        fields: canonical names to read, such as `z500`; None reads every variable of the table, static ones too.
        grid: "native", or the target grid of a conservative average: a `Grid` or a name for `Grid.parse`.
        variables: the table of known variables, with the user's own.
        levels: pressure level in hPa of a variable whose file does not state it, as in `{"z": 500}`.
        static: names of static fields to read beside `fields`.
        start: first time to read, ISO 8601.
        end: last time to read, included; a bare date includes its whole day.
        select: a function from the sorted available times to the times to read; other times are not read or checked.
            If a time has no values, `select` is called again without it.
        forecasts: also read forecasts, at their valid times; otherwise they are left out with a note.
        leave_damaged: leave out damaged files and times at which two files differ, with a warning; the attribute
            `damaged` of the dataset lists them (`pinnwx.data.check_report.Damaged`).

    Returns:
        float32 fields (time, latitude, longitude) and static fields (latitude, longitude), all ascending, in SI units,
        finite, at the sorted and unique UTC times at which all fields are present. The same contents in another order,
        orientation or layout give an identical dataset. Warnings are written to the log `pinnwx.data.open`.

    Raises:
        MissingInputError: no such file.
        DataError: a file is damaged, a name is missing (the message lists the names present), or values are impossible.
        GridError: the files have two grids, or do not cover the requested grid.
        UnavailableError: all fields are present at no time.
    """
    dataset, report = open_with_report(
        paths, fields, grid=grid, variables=variables, levels=levels, static=static, start=start, end=end,
        select=select, forecasts=forecasts, leave_damaged=leave_damaged,
    )  # fmt: skip
    for severity, level in (("warning", logging.WARNING), ("note", logging.INFO)):
        for text in alike_merged(str(problem) for problem in report.problems if problem.severity == severity):
            _log.log(level, "%s: %s", severity, text)
    return dataset


@once_more_if_changed
def open_with_report(
    paths: Paths,
    fields: Sequence[str] | None = None,
    *,
    grid: str | Grid = "native",
    variables: Mapping[str, Variable] = VARIABLES,
    levels: Mapping[str, int] | None = None,
    static: Sequence[str] = (),
    start: str | None = None,
    end: str | None = None,
    select: Selection | None = None,
    forecasts: bool = False,
    leave_damaged: bool = False,
) -> tuple[xr.Dataset, CheckReport]:
    """Like `open_data`, and also returns the report of contents, normalisations and omissions."""
    findings = Findings(strict=True, leave_damaged=leave_damaged)
    with scan_files(paths, variables, levels, findings, forecasts=forecasts) as inventory:
        names = names_to_read(inventory, fields, static, variables, findings)
        dataset = _undamaged(inventory, names, grid, findings, variables=variables, start=start, end=end, select=select)
    if findings.damaged or findings.disputed:
        dataset.attrs["damaged"] = _left_out(inventory, findings)
    moving = tuple(name for name in names if "time" in dataset[name].dims)
    fixed = tuple(name for name in names if name not in moving)
    times = dataset["time"].values if moving else np.empty(0, "datetime64[ns]")
    target = Grid.from_coordinates(dataset["latitude"].values, dataset["longitude"].values)
    return dataset, report_of(inventory, moving, fixed, target, times, findings)


def _undamaged(
    inventory: Inventory, names: Sequence[str], grid: str | Grid, findings: Findings, **options
) -> xr.Dataset:
    """`merge_fields` of the undamaged files; repeats it without each file that proves damaged during reading."""
    so_far = list(findings)
    while True:
        known = len(findings.damaged) + len(findings.disputed)
        sources = [source for source in inventory.source_fields if source.file not in findings.damaged]
        lacking = [name for name in names if name not in {source.name for source in sources}]
        if lacking:
            raise DataError(f"{', '.join(lacking)} only in damaged files: {_in_words(findings)}")
        try:
            dataset, error = merge_fields(sources, names, grid, findings, without=findings.disputed, **options), None
        except UnavailableError as nothing:
            dataset, error = None, nothing
        if len(findings.disputed) > _MOST_DISPUTED:
            raise DataError(f"{_in_words(findings)}: too many to leave out")
        if len(findings.damaged) + len(findings.disputed) > known:
            findings[:] = so_far
            continue
        for file, reason in findings.damaged.items():
            findings.add("warning", f"left out as damaged: {reason}", file)
        for when, reason in findings.disputed.items():
            findings.add("warning", f"{format_time(when)} left out: {reason}")
        if dataset is None:
            assert error is not None
            raise DataError(f"{error}; damaged: {_in_words(findings)}") if known else error
        return dataset


def _in_words(findings: Findings) -> str:
    first = next(
        iter([f"{file}: {reason}" for file, reason in findings.damaged.items()] + [*findings.disputed.values()])
    )
    further = len(findings.damaged) + len(findings.disputed) - 1
    return first + (f" (and {further} more)" if further else "")


def _left_out(inventory: Inventory, findings: Findings) -> tuple[Damaged, ...]:
    """The omitted files and times, with the times that the files declare."""
    damaged = []
    for file, reason in findings.damaged.items():
        own = [source.times for source in inventory.source_fields if source.file == file and source.times is not None]
        times = np.concatenate(own) if own else np.empty(0)
        ends = (times.min(), times.max()) if times.size else dates_in_name(file)
        damaged.append(Damaged(file, reason, *ends))
    disputed = findings.disputed.items()
    return (*damaged, *(Damaged("files that differ", reason, when, when) for when, reason in disputed))


def merge_fields(
    sources: Sequence[SourceField],
    names: Sequence[str],
    grid: str | Grid,
    findings: Findings,
    *,
    variables: Mapping[str, Variable] = VARIABLES,
    start: str | None = None,
    end: str | None = None,
    select: Selection | None = None,
    without: Collection[np.datetime64] = (),
) -> xr.Dataset:
    """Reads, checks and regrids the named source fields, as `open_data` describes.

    Raises:
        DataError, GridError, UnavailableError: as `open_data`.
    """
    plan, fields = _read(make_plan(sources, names, grid, findings, start, end, without), select, findings)
    constants = {name: read_static(sources, plan.grid, findings) for name, sources in plan.fixed.items()}
    present = present_times(plan, (field.filled for field in fields.values()), findings)
    whole = bool(present.all())
    cubes = {name: field.values if whole else field.values[present] for name, field in fields.items()}
    dataset = _dataset(cubes, constants, plan.times[present], plan.grid, variables)
    if any(field.preliminary[present].any() for field in fields.values()):
        dataset.attrs[MARK] = "yes"
    return dataset


def _read(whole: Plan, select: Selection | None, findings: Findings) -> tuple[Plan, dict[str, Field]]:
    """The fields with time at the selected times, and a plan of these times and of those without values."""
    so_far, empty = list(findings), whole.times[:0]
    while True:
        available, plan = np.setdiff1d(whole.times, empty), whole
        if select is not None and available.size:
            plan = replace(whole, times=np.union1d(select(available), empty))
        require_memory(
            4 * len(plan.moving) * plan.times.size * math.prod(plan.grid.shape),
            f"{', '.join(plan.moving)} at {plan.times.size:,} times on {plan.grid}",
            "read a shorter period or fewer fields, or average onto a coarser grid",
        )
        fields = {name: read_field(sources, plan.times, plan.grid, findings) for name, sources in plan.moving.items()}
        lacking = [plan.times[~field.filled] for field in fields.values()]
        newly_empty = np.setdiff1d(np.concatenate([empty, *lacking]), empty)
        if plan.times.size == whole.times.size or not newly_empty.size:
            return plan, fields
        empty = np.union1d(empty, newly_empty)
        findings[:] = so_far


def sample_path() -> Path:
    """The path of the sample, in the installed package or in the checkout.

    Raises:
        MissingInputError: the sample is in neither.
    """
    package = Path(str(files("pinnwx")))
    for path in (package / "data" / "sample.nc", package.parent / "data" / "sample.nc"):
        if path.is_file():
            return path
    raise MissingInputError("the sample data/sample.nc is missing; reinstall pinnwx")


def _dataset(
    cubes: Mapping[str, np.ndarray],
    constants: Mapping[str, np.ndarray],
    times: np.ndarray,
    grid: Grid,
    variables: Mapping[str, Variable],
) -> xr.Dataset:
    def attributes(name: str) -> dict[str, str]:
        entry = describe(name, variables)
        texts = {"standard_name": entry.standard_name, "long_name": entry.long_name, "units": entry.units}
        return {key: text for key, text in texts.items() if text}

    coordinates: dict = {
        role: (role, np.asarray(getattr(grid, role)), {"standard_name": role, "long_name": role, "units": units})
        for role, units in _DEGREES.items()
    }
    if cubes:
        coordinates["time"] = ("time", times, {"standard_name": "time", "long_name": "time"})
    data = {name: (("time", *_DEGREES), cube, attributes(name)) for name, cube in cubes.items()}
    data |= {name: (tuple(_DEGREES), values, attributes(name)) for name, values in constants.items()}
    return xr.Dataset(data, coordinates)
