"""The way in: any gridded files to one canonical dataset, or to a report of what they hold."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import reduce
from importlib.resources import files
from pathlib import Path

import numpy as np
import xarray as xr

from pinnwx.data import quality
from pinnwx.data.calendar import format_time, period_mask
from pinnwx.data.canonical import Piece, survey
from pinnwx.data.readers import Paths, check_chunks, find_files, identify, open_raw
from pinnwx.data.regrid import regrid
from pinnwx.data.report import CheckReport, FileReport, Findings, describe_times
from pinnwx.errors import DataError, GridError, MissingInputError, UnavailableError
from pinnwx.grid import Grid
from pinnwx.variables import VARIABLES, Variable, split_name

_log = logging.getLogger(__name__)
_CF_UNITS = {"latitude": "degrees_north", "longitude": "degrees_east"}


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
) -> xr.Dataset:
    """Files, globs, folders and zarr stores as one dataset in memory.

    Args:
        paths: one or many; folders are searched recursively, and files that are not gridded data are left alone.
        fields: canonical names to read, such as `z500`; None reads every variable of the table, static ones too.
        grid: "native", or the grid to average onto conservatively: a `Grid` or a name for `Grid.parse`.
        variables: the table of known variables, with the user's own.
        levels: pressure level in hPa of a variable whose file does not tell, `{"z": 500}`.
        static: names of static fields to read beside `fields`.
        start, end: ISO 8601 bounds of the times to read, both included.

    Returns:
        float32 fields (time, latitude, longitude) and static fields (latitude, longitude), all ascending, in SI units,
        finite, at the sorted and unique UTC times where all fields are present.

    Raises:
        MissingInputError: no such file.
        DataError: a file is damaged, a name is missing (the names found are listed) or values cannot be true.
        GridError: two grids at once, or the data do not cover the grid asked for.
        UnavailableError: no time at which all fields are present.
    """
    return open_with_report(
        paths, fields, grid=grid, variables=variables, levels=levels, static=static, start=start, end=end
    )[0]


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
) -> tuple[xr.Dataset, CheckReport]:
    """`open_data` and the report of what was found and normalised."""
    findings = Findings(strict=True)
    with _surveyed(paths, variables, levels, findings) as (pieces, reports, unresolved):
        if fields is None and not static:
            if unresolved:
                raise DataError(unresolved[0])
            chosen = pieces
        else:
            for name in (*(fields or ()), *static):
                split_name(name, variables)
            chosen = _choose(pieces, (*(fields or ()), *static), unresolved)
        if not chosen:
            raise DataError(f"no variable of the table in {len(reports)} file(s); `pinnwx check` lists what they hold")
        source = _only_grid(chosen, findings)
        target = source if grid == "native" else Grid.parse(grid) if isinstance(grid, str) else grid
        moving, fixed = _split(chosen)
        times = _common_times(moving, findings)
        times = times[period_mask(times, start, end)]
        arrays = {name: _read_field(parts, times, target, findings) for name, parts in moving.items()}
        present = np.logical_and.reduce([filled for _, filled in arrays.values()]) if arrays else np.ones(0, bool)
        if moving and not present.any():
            raise UnavailableError(
                f"no time from {start or 'the start'} to {end or 'the end'} has all of {', '.join(moving)}"
            )
        constants = {name: _read_static(parts, target, findings) for name, parts in fixed.items()}
    cubes = {name: values if present.all() else values[present] for name, (values, _) in arrays.items()}
    dataset = _dataset(cubes, constants, times[present], target, variables)
    for problem in findings:
        _log.warning("%s", problem) if problem.severity == "warning" else None
    report = _report(reports, moving, fixed, target, times[present], findings)
    dataset.attrs["normalised"] = "; ".join(dict.fromkeys(text for entry in reports for text in entry.normalised))
    return dataset, report


def check_data(
    paths: Paths, *, variables: Mapping[str, Variable] = VARIABLES, levels: Mapping[str, int] | None = None
) -> CheckReport:
    """What the files hold after normalising, and every problem found; bad data are reported, never raised.

    Raises:
        MissingInputError: no such file.
    """
    findings = Findings(strict=False)
    with _surveyed(paths, variables, levels, findings) as (pieces, reports, unresolved):
        for message in unresolved:
            findings.add("error", message)
        if not pieces:
            findings.add("error", "no variable of the table in any file")
            return CheckReport(files=tuple(reports), problems=tuple(findings))
        grid = _only_grid(pieces, findings)
        pieces = [piece for piece in pieces if piece.grid == grid]
        moving, fixed = _split(pieces)
        times = _common_times(moving, findings)
        present = np.ones(times.size, dtype=bool)
        for name, parts in moving.items():
            with findings.guard(variable=name):
                own = _all_times(parts)
                values, filled = _read_field(parts, own, grid, findings)
                present &= np.isin(times, own[filled])
                for message in quality.suspicions(values[filled], own[filled], grid):
                    findings.add("warning", message, variable=name)
        for name, parts in fixed.items():
            with findings.guard(variable=name):
                _read_static(parts, grid, findings)
        return _report(reports, moving, fixed, grid, times[present], findings)


def sample_path() -> Path:
    """The embedded sample: inside the installed package, or in the checkout.

    Raises:
        MissingInputError: it is in neither.
    """
    package = Path(str(files("pinnwx")))
    for path in (package / "data" / "sample.nc", package.parent / "data" / "sample.nc"):
        if path.is_file():
            return path
    raise MissingInputError("the sample data/sample.nc is missing; reinstall pinnwx or run scripts/make_sample.py")


@contextmanager
def _surveyed(
    paths: Paths, variables: Mapping[str, Variable], levels: Mapping[str, int] | None, findings: Findings
) -> Iterator[tuple[list[Piece], list[FileReport], list[str]]]:
    """Opens every file; they stay open inside the block, because pieces are lazy."""
    pieces: list[Piece] = []
    reports: list[FileReport] = []
    unresolved: list[str] = []
    with ExitStack() as stack:
        for path in find_files(paths):
            file = f"{path.parent.name}/{path.name}" if path.parent.name else path.name
            report = FileReport(file, "unreadable")
            with findings.guard(file=file):
                kind = identify(path)
                report = FileReport(file, kind or "not gridded data")
                for dataset in open_raw(path, kind) if kind else ():
                    stack.callback(dataset.close)
                    found = survey(dataset, path, file, variables, levels or {})
                    if kind == "zarr":
                        check_chunks(dataset, path, {piece.raw for piece in found.pieces if piece.times is not None})
                    pieces += found.pieces
                    unresolved += [f"{file}: {message}" for message in found.unresolved.values()]
                    for message in found.warnings:
                        findings.add("warning", message, file)
                    report = replace(
                        report,
                        layout=_layout(dataset, path, kind or ""),
                        variables={
                            **report.variables,
                            **{
                                raw: ", ".join(piece.name for piece in found.pieces if piece.raw == raw)
                                for raw in {piece.raw: None for piece in found.pieces}
                            },
                        },
                        ignored=(*report.ignored, *found.ignored),
                        normalised=tuple(dict.fromkeys((*report.normalised, *found.normalised))),
                    )
            reports.append(report)
        yield pieces, reports, unresolved


def _layout(dataset: xr.Dataset, path: Path, kind: str) -> str:
    """The archive that writes files like this one, for people to read."""
    names = set(map(str, dataset.variables))
    if kind == "GRIB":
        return "GRIB through cfgrib"
    if {"valid_time", "expver"} <= names:
        return "Climate Data Store since 2024"
    if kind == "zarr":
        return "WeatherBench 2 or ARCO-ERA5"
    if "lat" in names and path.stem.startswith(path.parent.name):
        return "WeatherBench 1"
    if "lat" in names:
        return "NCEP"
    return "Climate Data Store before 2024" if "latitude" in names else "other"


def _choose(pieces: Sequence[Piece], names: Sequence[str], unresolved: Sequence[str]) -> list[Piece]:
    found = {piece.name for piece in pieces}
    missing = [name for name in names if name not in found]
    if missing:
        reasons = "".join(f"; {message}" for message in unresolved)
        raise DataError(
            f"{', '.join(missing)} not in the data; found: {', '.join(sorted(found)) or 'nothing'}{reasons}"
        )
    return [piece for piece in pieces if piece.name in set(names)]


def _only_grid(pieces: Sequence[Piece], findings: Findings) -> Grid:
    first = pieces[0]
    for piece in pieces:
        if piece.grid != first.grid:
            with findings.guard():
                raise GridError(
                    f"two grids at once: {first.file} is {first.grid}, {piece.file} is {piece.grid}; "
                    "open them apart, or bring them to one grid first"
                )
    return first.grid


def _split(pieces: Sequence[Piece]) -> tuple[dict[str, list[Piece]], dict[str, list[Piece]]]:
    """Pieces by name: those with time, and the static ones."""
    moving: dict[str, list[Piece]] = {}
    fixed: dict[str, list[Piece]] = {}
    for piece in pieces:
        (fixed if piece.times is None else moving).setdefault(piece.name, []).append(piece)
    return moving, fixed


def _all_times(parts: Sequence[Piece]) -> np.ndarray:
    return np.unique(np.concatenate([part.times for part in parts if part.times is not None]))


def _common_times(moving: Mapping[str, Sequence[Piece]], findings: Findings) -> np.ndarray:
    """The sorted times at which every field is present; what is left out is reported."""
    if not moving:
        return np.empty(0, "datetime64[ns]")
    own = {name: _all_times(parts) for name, parts in moving.items()}
    common = reduce(np.intersect1d, own.values())
    for name, times in own.items():
        if times.size > common.size:
            findings.add(
                "warning", f"{times.size - common.size} step(s) left out: not every field has them", variable=name
            )
    return common


def _read_field(
    parts: Sequence[Piece], times: np.ndarray, target: Grid, findings: Findings
) -> tuple[np.ndarray, np.ndarray]:
    """(values (time, lat, lon) on `target`, which times were found with values)."""
    values = np.empty((times.size, *target.shape), np.float32)
    filled = np.zeros(times.size, dtype=bool)
    absent = repeated = 0
    for part in parts:
        assert part.times is not None
        wanted = np.flatnonzero(np.isin(part.times, times))
        if wanted.size == 0:
            continue
        for block in part.blocks(int(wanted[0]), int(wanted[-1]) + 1):
            raw, instants = part.read(block), part.times[block]
            keep = np.isin(instants, times)
            raw, instants = raw[keep], instants[keep]
            for message in quality.faults(raw, instants, part.grid, part.variable):
                findings.add("error", message, part.file, part.name)
            missing = quality.missing_steps(raw)
            absent += int(missing.sum())
            repeated += _place(
                regrid(raw[~missing], part.grid, target),
                np.searchsorted(times, instants[~missing]),
                values,
                filled,
                part,
                times,
            )
    if repeated:
        findings.add("warning", f"{repeated} repeated step(s) with equal values dropped", variable=parts[0].name)
    if not filled.all():
        when = format_time(times[~filled][0])
        findings.add(
            "warning",
            f"{int((~filled).sum())} step(s) without values left out, the first {when}",
            variable=parts[0].name,
        )
    return values, filled


def _place(
    fresh: np.ndarray, positions: np.ndarray, values: np.ndarray, filled: np.ndarray, part: Piece, times: np.ndarray
) -> int:
    """Writes steps to their positions; a time that is there already must be equal. Returns how many were.

    Raises:
        DataError: two different values for one time.
    """
    first_here = np.zeros(positions.size, dtype=bool)
    first_here[np.unique(positions, return_index=True)[1]] = True
    new = first_here & ~filled[positions]
    values[positions[new]] = fresh[new]
    filled[positions[new]] = True
    for index in np.flatnonzero(~new):
        difference = np.abs(fresh[index] - values[positions[index]]).max()
        if difference > 2 * part.precision:
            raise DataError(
                f"{part.file}: {part.name} at {format_time(times[positions[index]])} stands twice with different "
                f"values (by up to {difference:.3g} {part.variable.units}); remove one of them"
            )
    return int((~new).sum())


def _read_static(parts: Sequence[Piece], target: Grid, findings: Findings) -> np.ndarray:
    fields = []
    for part in parts:
        raw = part.read(slice(0, 1))
        for message in quality.faults(raw, None, part.grid, part.variable):
            findings.add("error", message, part.file, part.name)
        if np.isnan(raw).all():
            findings.add("error", "holds no value", part.file, part.name)
        fields.append(regrid(raw[0], part.grid, target))
        if np.abs(fields[-1] - fields[0]).max() > 2 * part.precision:
            raise DataError(f"{part.name} differs between {parts[0].file} and {part.file}; remove one of them")
    return fields[0]


def _dataset(
    cubes: Mapping[str, np.ndarray],
    constants: Mapping[str, np.ndarray],
    times: np.ndarray,
    grid: Grid,
    variables: Mapping[str, Variable],
) -> xr.Dataset:
    from pinnwx.variables import describe

    def attributes(name: str) -> dict[str, str]:
        entry = describe(name, variables)
        found = {"standard_name": entry.standard_name, "long_name": entry.long_name, "units": entry.units}
        return {key: text for key, text in found.items() if text}

    data = {name: (("time", "latitude", "longitude"), cube, attributes(name)) for name, cube in cubes.items()}
    data |= {name: (("latitude", "longitude"), field, attributes(name)) for name, field in constants.items()}
    coordinates: dict = {
        role: (role, np.asarray(getattr(grid, role)), {"standard_name": role, "long_name": role, "units": units})
        for role, units in _CF_UNITS.items()
    }
    if cubes:
        coordinates["time"] = ("time", times, {"standard_name": "time", "long_name": "time"})
    return xr.Dataset(data, coordinates)


def _report(
    reports: Sequence[FileReport],
    moving: Mapping[str, Sequence[Piece]],
    fixed: Mapping[str, Sequence[Piece]],
    grid: Grid,
    times: np.ndarray,
    findings: Findings,
) -> CheckReport:
    summary = describe_times(times)
    for before, after in summary.get("gaps", ())[:3]:
        findings.add("note", f"gap from {before} to {after}")
    return CheckReport(tuple(reports), tuple(moving), tuple(fixed), str(grid), **summary, problems=tuple(findings))
