"""Analyses of a source, one file a month. Each file is whole or absent, so an interrupted call can continue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from pinnwx.data.calendar import period_bounds
from pinnwx.data.readers import first_line
from pinnwx.data.storage import read_netcdf, write_netcdf
from pinnwx.errors import DataError, OutputError, PinnwxError, UnavailableError, UsageError
from pinnwx.files import check_writable, locked, writing
from pinnwx.grid import Grid
from pinnwx.sources import DataSource, Offer, Region, Request, find_source, load
from pinnwx.sources.base import TIMEOUT
from pinnwx.sources.registry import description
from pinnwx.sources.retry import with_retries

LONGEST_TIMEOUT = 3600.0  # seconds
STATIC = "static.nc"
_HOUR = np.timedelta64(1, "h")


def fetch(
    source: str | Path | DataSource,
    out: str | Path,
    *,
    fields: Sequence[str],
    start: str,
    end: str,
    static: Sequence[str] = (),
    grid: str = "native",
    region: Sequence[float] | None = None,
    every_hours: float = 6.0,
    timeout: float = TIMEOUT,
    force: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _months: None,
) -> tuple[Path, ...]:
    """Writes the canonical fields of a source into `out`, one file a month. Returns the files, present ones included.

    Only the requested part is transferred. A month that has all its times and fields stays as it is. A month that lacks
    some is completed. So a call that was interrupted continues where it stopped, and later calls add what is new.
    Dropped connections are retried a few times.

    Args:
        source: a name in `pinnwx.sources.SOURCES`, as `NAME` or `NAME:LOCATION`; the URL or path of a zarr store; or a
            source itself.
        out: folder; it is created if absent.
        fields: canonical names, such as `z500`.
        start: first time, ISO 8601.
        end: last time, included; a bare date includes its whole day.
        static: names of fields that do not change in time, for `static.nc`.
        grid: "native", or the grid to average onto conservatively.
        region: north, west, south and east in degrees, or None for all.
        every_hours: only times at multiples of this since midnight are read.
        timeout: seconds within which a server must send data, at least a thousand bytes for each of them; a source
            that is given itself has its own.
        force: replace the files that exist.
        progress: called after each month, with the number done and the number of all.

    Raises:
        MissingInputError: there is no such source.
        DataError: it lacks a field or a chunk, or its values cannot be true.
        UnavailableError: it has no time in the period, its server is silent, or the connection drops repeatedly.
        OutputError: a file in the folder is on another grid, or cannot be written.
        UsageError, GridError, LockedError: as their names say.
    """
    if not 0 < every_hours <= 24:
        raise UsageError(f"--every {every_hours:g}: the hours must be positive and at most 24")
    if not 0 < timeout <= LONGEST_TIMEOUT:
        raise UsageError(f"--timeout {timeout:g}: the seconds must be positive and at most {LONGEST_TIMEOUT:g}")
    if region is not None and len(region) != 4:
        raise UsageError("--region takes four numbers: north,west,south,east")
    box = None if region is None else Region(*region)
    period_bounds(start, end)
    folder = Path(out)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    origin = source if isinstance(source, DataSource) else find_source(str(source), timeout)
    with locked(folder / ".lock", str(folder)), closing(origin):
        check_writable(folder / STATIC, force=True)
        job = _Job(origin, folder, grid, box, force)
        offers = _offers(origin, fields, static)
        times = _times(offers, start, end, every_hours)
        if not len(times):
            raise UnavailableError(f"{job.name} holds no time from {start} to {end}")
        months = list(_months(times))
        files = []
        for number, (month, own) in enumerate(months):
            files.append(job.complete(f"{month}.nc", Request(tuple(fields), own), offers))
            progress(number + 1, len(months))
        if static:
            files.append(job.complete(STATIC, Request(tuple(static)), offers))
    return tuple(files)


def _offers(source: DataSource, fields: Sequence[str], static: Sequence[str]) -> list[Offer]:
    """What the source offers of the wanted fields.

    Raises:
        UsageError: no field is wanted, or a field is wanted as static and is not, or the other way round.
        DataError: the source lacks a field; lists the fields that it holds.
    """
    if not fields:
        raise UsageError("no field to fetch; give for example --fields z500,msl")
    name = description(source)
    offers = with_retries(name, source.offers)
    names = {offer.name for offer in offers}
    missing = [field for field in (*fields, *static) if field not in names]
    if missing:
        raise DataError(f"{', '.join(missing)} not in {name}; found: {', '.join(sorted(names)) or 'nothing'}")
    for offer in offers:
        if offer.name in fields and offer.times is None:
            raise UsageError(f"{offer.name} does not change in time; ask for it with --static")
        if offer.name in static and offer.times is not None:
            raise UsageError(f"{offer.name} changes in time; ask for it with --fields")
    return [offer for offer in offers if offer.name in (*fields, *static)]


def _times(offers: Sequence[Offer], start: str, end: str, every_hours: float) -> np.ndarray:
    """The times of a period at multiples of so many hours since midnight, sorted."""
    first, last = period_bounds(start, end)
    times = np.unique(np.concatenate([offer.times for offer in offers if offer.times is not None]))
    multiples = (times - times.astype("datetime64[D]")) / _HOUR / every_hours
    return times[(np.abs(multiples - np.round(multiples)) < 1e-6) & (times >= first) & (times <= last)]


def _months(times: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    months = times.astype("datetime64[M]")
    for month in np.unique(months):
        yield str(month), times[months == month]


@dataclass(frozen=True)
class _Job:
    """Brings the files of a folder up to date with a source."""

    source: DataSource
    folder: Path
    grid: str
    region: Region | None
    force: bool

    @property
    def name(self) -> str:
        return description(self.source)

    def complete(self, file: str, request: Request, offers: Sequence[Offer]) -> Path:
        """Reads the requested fields and times that a file lacks, and writes them into it.

        Raises:
            OutputError: the file is not one of this job, or is on another grid.
            DataError: the source delivers another grid than it offers.
        """
        path = self.folder / file
        present = None if self.force else _content(path)
        target = self._target(next(offer.grid for offer in offers if offer.name == request.fields[0]))
        if present is not None:
            _require_grid(present, target, path)
            if _holds(present, request):
                return path
        what = f"{path.stem} of {self.name}"
        dataset = with_retries(what, lambda: load(self.source, request, grid=self.grid, region=self.region))
        if (delivered := _grid_of(dataset)) != target:
            raise DataError(f"{self.name} delivers {delivered}, but offers {target}; correct its `offers`")
        write_netcdf(dataset if present is None else _merged(dataset, present), path)
        return path

    def _target(self, offered: Grid) -> Grid:
        if self.grid != "native":
            return Grid.parse(self.grid)
        return offered if self.region is None else self.region.cut(offered)[0]


def _holds(present: xr.Dataset, request: Request) -> bool:
    times = request.times
    return set(request.fields) <= set(present.data_vars) and (
        times is None or bool(np.isin(times, present["time"].values).all())
    )


def _grid_of(dataset: xr.Dataset) -> Grid:
    return Grid.from_coordinates(dataset["latitude"].values, dataset["longitude"].values)


def _require_grid(present: xr.Dataset, target: Grid, path: Path) -> None:
    if (own := _grid_of(present)) != target:
        raise OutputError(f"{path} is {own}, and {target} is asked for; give --force to replace it, or --out elsewhere")


def _merged(dataset: xr.Dataset, present: xr.Dataset) -> xr.Dataset:
    """Both; where both hold a value, that of `dataset`. The attribute `source` names the sources of both."""
    sources = (str(one.attrs["source"]) for one in (present, dataset) if "source" in one.attrs)
    names = dict.fromkeys(name for source in sources for name in source.split("; "))
    merged = dataset.combine_first(present)
    return merged.assign_attrs(present.attrs | dataset.attrs | {"source": "; ".join(names)})


def _content(path: Path) -> xr.Dataset | None:
    """The dataset in a file that was fetched; None where there is no such file.

    Raises:
        OutputError: it is another file, or damaged.
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
    except Exception as error:  # xarray raises many types on axes that make no sense
        why = first_line(error)
    raise OutputError(
        f"{path} exists, and is no file of this job ({why}); give --force to replace it, or --out elsewhere"
    )
