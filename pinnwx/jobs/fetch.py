"""Analyses out of a public store, month by month: a file a month, each whole or not there, so it may be cut off."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import xarray as xr

from pinnwx.data.calendar import format_time, period_bounds
from pinnwx.data.check_report import Findings
from pinnwx.data.open import merge_fields
from pinnwx.data.readers import first_line, reading
from pinnwx.data.remote import KEPT, PATIENCE, Region, every, inside, open_store, source_fields_in
from pinnwx.data.source_field import SourceField
from pinnwx.data.storage import read_netcdf, write_netcdf
from pinnwx.data.zarr_store import check_chunks
from pinnwx.errors import DataError, OutputError, PinnwxError, UnavailableError, UnreadableError, UsageError
from pinnwx.files import check_writable, locked, writing
from pinnwx.grid import Grid

_log = logging.getLogger(__name__)
ATTEMPTS = 3  # at what cannot be decoded, with a pause twice as long each time
FIRST_PAUSE, LONGEST_PATIENCE = 1.0, 3600.0  # seconds
STATIC = "static.nc"
Read = TypeVar("Read")


def fetch(
    source: str | Path,
    out: str | Path,
    *,
    fields: Sequence[str],
    start: str,
    end: str,
    static: Sequence[str] = (),
    grid: str = "native",
    region: Sequence[float] | None = None,
    every_hours: float = 6.0,
    patience: float = PATIENCE,
    force: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _months: None,
) -> tuple[Path, ...]:
    """Writes the canonical fields of a store into `out`, a file a month; returns the files, those there already too.

    Only the chunks that hold what is asked for are transferred. A month that is there with all its times and fields is
    left alone, and one that lacks some gets them beside what it has; so a call that was cut off goes on where it stood,
    and later ones add what is new. What a connection drops is asked for again, a few times.

    Args:
        source: a name in `pinnwx.data.remote.STORES`, a URL, or a path, of a zarr store.
        out: folder; made if there is none.
        fields: canonical names, such as `z500`.
        start: first time, ISO 8601.
        end: last time, included; a bare date includes its whole day.
        static: names of fields that do not move, into `static.nc`.
        grid: "native", or the grid to average onto conservatively.
        region: north, west, south and east in degrees, or None for all.
        every_hours: takes times at multiples of so many hours since midnight.
        patience: in how many seconds a server must send something, a thousand bytes a second at least.
        force: fetch anew what is there.
        progress: called after each month, with how many are done and how many there are.

    Raises:
        MissingInputError: there is no such store.
        DataError: it lacks a field or a chunk, or its values cannot be true.
        UnavailableError: it has no time in the period, or its server is silent, or breaks off again and again.
        OutputError: what is in the folder is on another grid, or cannot be written.
        UsageError, GridError, LockedError: as their names say.
    """
    if not 0 < every_hours <= 24:
        raise UsageError(f"--every {every_hours:g}: the hours must be positive and at most 24")
    if not 0 < patience <= LONGEST_PATIENCE:
        raise UsageError(f"--timeout {patience:g}: the seconds must be positive and at most {LONGEST_PATIENCE:g}")
    if region is not None and len(region) != 4:
        raise UsageError("--region takes four numbers: north,west,south,east")
    box = None if region is None else Region(*region)
    first, last = period_bounds(start, end)
    source, folder = str(source), Path(out)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", str(folder)), _patiently(source, lambda: open_store(source, patience)) as store:
        check_writable(folder / STATIC, force=True)
        wanted = _wanted(source_fields_in(store, source), source, fields, static)
        if Path(source).exists():
            with reading("this zarr store"):
                check_chunks(Path(source), {source_field.raw: source_field.spatial_axes for source_field in wanted})
        source_fields = [every(source_field, every_hours) for source_field in wanted]
        if box is not None:
            source_fields = [inside(source_field, box) for source_field in source_fields]
        times = np.unique(
            np.concatenate([source_field.times for source_field in source_fields if source_field.times is not None])
        )
        times = times[(times >= first) & (times <= last) & (times <= _filled_until(store))]
        if not len(times):
            raise UnavailableError(f"{source} holds no time from {start} to {end}")
        months = list(_months(times))
        files = []
        for number, (month, own) in enumerate(months):
            files.append(_add(folder / f"{month}.nc", source_fields, fields, grid, own, source, force))
            progress(number + 1, len(months))
        if static:
            files.append(_add(folder / STATIC, source_fields, static, grid, None, source, force))
    return tuple(files)


def _wanted(
    source_fields: Sequence[SourceField], source: str, fields: Sequence[str], static: Sequence[str]
) -> list[SourceField]:
    """Raises:
    UsageError: no field is asked for, or one is asked for as what it is not.
    DataError: one is not in the store; lists what is.
    """
    if not fields:
        raise UsageError("no field to fetch; give for example --fields z500,msl")
    names = {source_field.name for source_field in source_fields}
    missing = [name for name in (*fields, *static) if name not in names]
    if missing:
        raise DataError(f"{', '.join(missing)} not in {source}; found: {', '.join(sorted(names)) or 'nothing'}")
    for source_field in source_fields:
        if source_field.name in fields and source_field.times is None:
            raise UsageError(f"{source_field.name} does not move; ask for it with --static")
        if source_field.name in static and source_field.times is not None:
            raise UsageError(f"{source_field.name} moves; ask for it with --fields")
    return [source_field for source_field in source_fields if source_field.name in (*fields, *static)]


def _filled_until(store: xr.Dataset) -> np.datetime64:
    """The last time that holds values, where a store says so whose axis is laid out for years to come (ARCO-ERA5)."""
    until = store.attrs.get("valid_time_stop")
    return np.datetime64("2262-01-01", "ns") if until is None else period_bounds(None, str(until))[1]  # type: ignore[return-value]


def _months(times: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    months = times.astype("datetime64[M]")
    for month in np.unique(months):
        yield str(month), times[months == month]


def _add(
    path: Path,
    source_fields: Sequence[SourceField],
    names: Sequence[str],
    grid: str,
    times: np.ndarray | None,
    source: str,
    force: bool,
) -> Path:
    """Brings what a file lacks of these fields and times; `times` is None for those that do not move.

    Raises:
        OutputError: it is there and is something else, or on another grid.
    """
    there = None if force else _there(path)
    if there is not None:
        of_it = Grid.from_coordinates(there["latitude"].values, there["longitude"].values)
        target = source_fields[0].grid if grid == "native" else Grid.parse(grid)
        if of_it != target:
            raise OutputError(
                f"{path} is {of_it}, and {target} is asked for; give --force to replace it, or --out elsewhere"
            )
        if set(names) <= set(there.data_vars) and (times is None or np.isin(times, there["time"].values).all()):
            return path
    period = (None, None) if times is None else (format_time(times[0]), format_time(times[-1]))
    dataset = _patiently(f"{path.stem} of {source}", lambda: _read(source_fields, names, grid, *period))
    write_netcdf(dataset if there is None else dataset.combine_first(there), path)
    return path


def _there(path: Path) -> xr.Dataset | None:
    """What a file that was fetched holds; None where there is no such file.

    Raises:
        OutputError: it is something else, or damaged.
    """
    if not path.is_file():
        return None
    why = "holds no analyses"
    try:
        dataset = xr.decode_cf(read_netcdf(path.resolve())).load()
        if {"latitude", "longitude"} <= set(dataset.coords):
            return dataset
    except PinnwxError as error:
        why = str(error)
    except Exception as error:  # axes that make no sense
        why = first_line(error)
    raise OutputError(
        f"{path} exists, and is no file of this job ({why}); give --force to replace it, or --out elsewhere"
    )


def _read(
    source_fields: Sequence[SourceField],
    names: Sequence[str],
    grid: str,
    start: str | None = None,
    end: str | None = None,
) -> xr.Dataset:
    findings = Findings(strict=True)
    dataset = merge_fields(source_fields, names, grid, findings, start=start, end=end)
    for problem in findings:
        if problem.severity == "warning":
            _log.warning("%s: %s", problem.severity, problem)
    return dataset


def _patiently(what: str, read: Callable[[], Read]) -> Read:
    """Reads again after a pause what cannot be decoded, as it may have been spoilt on its way.

    Raises:
        UnavailableError: it cannot be decoded whenever it is read.
    """
    for attempt in range(1, ATTEMPTS):
        pause = FIRST_PAUSE * 2 ** (attempt - 1)
        try:
            return read()
        except UnreadableError as error:
            _log.warning("warning: %s: %s; again in %g s", what, error, pause)
        time.sleep(pause)
    try:
        return read()
    except UnreadableError as error:
        raise UnavailableError(f"{what}: {ATTEMPTS} times in vain ({error}); {KEPT}") from error
