"""Forecasts into a folder, one a file: what a schedule runs. Each is made once, late ones when their analysis has come.

    NAME_20260204T0600Z.nc           a forecast
    NAME_20260204T0600Z.png          its maps, on request
    NAME_20260204T0600Z.scores.json  how it did, on request, as far as the analyses since reach
    latest.nc                        a link to the newest

Whatever else is in the folder is left alone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pinnwx.data.calendar import format_time, initial_period
from pinnwx.errors import (
    DataError,
    LockedError,
    MissingInputError,
    OutputError,
    PinnwxError,
    StabilityError,
    UnavailableError,
    UsageError,
)
from pinnwx.files import check_writable, kept_if_used, locked, output_lock, writing
from pinnwx.forecasting.cf import REALIZATION, lead_hours, read_forecast, reference_time, write_forecast
from pinnwx.jobs.events import NOTHING_TO_DO, recorded
from pinnwx.jobs.forecast import CHANGED, ForecastJob, already_there
from pinnwx.jobs.readiness import doubtful_analyses, require_an_age, require_timely, without
from pinnwx.jobs.series_folder import LATEST, forecasts_in, point_at_newest, remove_old
from pinnwx.jobs.series_times import MOST_DAYS, initial_times, newest_analysis
from pinnwx.runtime import prepare
from pinnwx.verification.results import Scores
from pinnwx.verification.verify import verify_forecasts

_log = logging.getLogger(__name__)
SCORES = ".scores.json"


@dataclass(frozen=True)
class Attempt:
    """What became of one forecast: written now, there already, or `refused` and why.

    `outdated`: it is there, and the analyses that it was made from have changed since.
    """

    init: np.datetime64
    file: Path
    written: bool = False
    refused: PinnwxError | None = None
    outdated: bool = False


@dataclass(frozen=True)
class Series:
    """What a call did: the forecasts it tried, those it scored, and the files it removed because they were old.

    `damaged` are the files of analyses that were left out.
    """

    attempts: tuple[Attempt, ...]
    scored: tuple[Path, ...] = ()
    removed: tuple[Path, ...] = ()
    damaged: tuple[str, ...] = ()

    def require_all(self) -> None:
        """Raises:
        PinnwxError: a forecast was refused; the first reason, of the class it was refused with.
        """
        refused = [attempt for attempt in self.attempts if attempt.refused is not None]
        if refused:
            raise refused[0].refused  # type: ignore[misc]


def forecast_series(
    run: str | Path,
    data: Sequence[str | Path] | str | Path,
    folder: str | Path,
    *,
    init: str = "latest",
    hours: float = 120,
    members: int | None = None,
    lateral_boundary: Sequence[str | Path] | str | Path | None = None,
    max_age: float | None = None,
    accept_suspicious: Sequence[str] = (),
    plots: bool = False,
    score: bool = False,
    keep_days: float | None = None,
    remake: bool = False,
    force: bool = False,
) -> Series:
    """Forecasts from one or many analyses into a folder, as `pinnwx.jobs.forecast` makes them.

    `init` is a time, "latest", or a period "FROM/TO" of which every analysis is taken. TO may be "latest", and FROM
    then also a length before it ("P3D/latest", "PT36H/latest"); a bare date includes its whole day. What is there
    already is left alone, whatever model made it, unless `force`; what cannot be made does not hold up the others, and
    is in the result. Nor do damaged files of analyses: they are left out, and what they may hold is refused. The newest
    analysis is the newest that is not dated ahead of the clock; one that is, is refused.

    Args:
        run: as of `forecast`, and so are `data`, `hours`, `members`, `lateral_boundary` and `accept_suspicious`.
        max_age: of the newest analysis, so that older ones of a period can still be caught up with.
        folder: where the files go; made if there is none, held by one job at a time.
        plots: maps of each forecast that is made, as a PNG beside it.
        score: score what is in the folder, as far as analyses have arrived since and it was not scored yet.
        keep_days: remove forecasts of this job, and their maps, that began so many days or more before the newest that
            is whole; their scores stay.
        remake: make again what is there where its analyses have changed since, instead of a warning.
        force: make anew what is there.

    Raises:
        LockedError: another job is at work in the folder.
        UsageError: `keep_days` is no positive number, or the period is none.
        UnavailableError: no analysis is in the period.
        MissingInputError, CheckpointError, DataError, OutputError: nothing could be made.
    """
    prepare()
    initial_period(init)  # so that what is neither time nor period is refused before anything is read
    folder = Path(folder)
    with recorded(run, "forecast") as event, kept_if_used(folder):
        require_an_age(max_age)
        if keep_days is not None and not 0 < keep_days <= MOST_DAYS:
            raise UsageError(f"--keep-days {keep_days:g}: the days must be positive and at most {MOST_DAYS:,}")
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock", str(folder)):
            check_writable(folder / LATEST, force=True)
            job = ForecastJob.open(
                run, data, hours=hours, members=members, lateral_boundary=lateral_boundary, leave_damaged=True
            )
            name, newest = job.trained.config.name, newest_analysis(job.archive)
            event.details |= {"version": job.version, "folder": str(folder), "made": []}
            if job.archive.damaged:
                event.details["damaged"] = {one.file: one.reason for one in job.archive.damaged}
            attempts = []
            try:
                for when in initial_times(job, init, keep_days):
                    age = max_age if "/" not in init or when == newest else None
                    file = folder / f"{name}_{_stamp(when)}.nc"
                    attempts.append(_attempt(job, when, file, age, accept_suspicious, remake, force))
                    if attempts[-1].written:
                        event.details["made"].append(format_time(when))
                    if plots and file.is_file() and (attempts[-1].written or not file.with_suffix(".png").exists()):
                        _plot(file)
            finally:
                point_at_newest(folder, name)
            scored = _score(folder, job, accept_suspicious) if score else []
            removed = [] if keep_days is None else remove_old(folder, name, keep_days)
        refused = {format_time(one.init): str(one.refused) for one in attempts if one.refused is not None}
        if refused:
            event.details["refused"] = refused
        if outdated := [format_time(one.init) for one in attempts if one.outdated]:
            event.details["outdated"] = outdated
        if attempts[-1].refused is not None:  # the newest is what a schedule is for
            event.refuse(attempts[-1].refused)
        elif not event.details["made"]:
            event.outcome = NOTHING_TO_DO
    damaged = tuple(one.file for one in job.archive.damaged)
    return Series(tuple(attempts), tuple(scored), tuple(removed), damaged)


def _stamp(when: np.datetime64) -> str:
    return format_time(when).replace("-", "").replace(":", "")


def _attempt(
    job: ForecastJob,
    when: np.datetime64,
    file: Path,
    max_age: float | None,
    accept_suspicious: Sequence[str],
    remake: bool,
    force: bool,
) -> Attempt:
    """Makes one forecast, if it is not there; what holds for this one alone is refused, anything else is raised."""
    try:
        require_timely(when, max_age, job.archive.times)  # of one that is there too: nobody should take it for new
        with output_lock(file):
            try:
                there = None if force else _there(job, when, file)
                if there is not None and not job.has_changed(there, when):
                    return Attempt(when, file)
                if there is not None and not remake:
                    _log.warning("warning: %s: %s; --remake makes it again", file.name, CHANGED)
                    return Attempt(when, file, outdated=True)
            except OutputError as error:
                return Attempt(when, file, refused=error)
            accepted = job.require_fit(when, max_age=max_age, accept_suspicious=accept_suspicious)
            dataset = job.make(when, accepted)
            write_forecast(dataset, file, force=True)
    except (DataError, UnavailableError, StabilityError, LockedError) as error:
        return Attempt(when, file, refused=error)
    return Attempt(when, file, written=True)


def _there(job: ForecastJob, when: np.datetime64, file: Path) -> xr.Dataset | None:
    """This forecast, by whatever model, if the file holds it.

    Raises:
        OutputError: it holds something else.
    """
    there = already_there(file)
    if there is None:
        return None
    members = job.predictor.size
    of_it = reference_time(there), lead_hours(there).tolist(), there.sizes.get(REALIZATION)
    if of_it != (when, list(job.predictor.lead_hours), members):
        raise OutputError(f"{file} is there, of other leads or members; give --force to replace it, or another folder")
    return there


def _plot(file: Path) -> None:
    from pinnwx.jobs.plot import plot  # matplotlib is slow to import

    try:
        plot(file, file.with_suffix(".png"), force=True)
    except (DataError, UnavailableError, UsageError) as error:
        _log.warning("no map of %s: %s", file.name, error)


def _score(folder: Path, job: ForecastJob, accept: Sequence[str]) -> list[Path]:
    """Scores every forecast for which more analyses have come than it was scored on.

    Analyses that no forecast would start from are no truth either: they are left out, and named.
    """
    config, written = job.trained.config, []
    name, width = config.name, config.model.boundary_width
    files = forecasts_in(folder, name)
    files = {when: file for when, file in files.items() if not _is_scored_to_its_end(file, file.with_suffix(SCORES))}
    if not files:
        return []
    doubtful = doubtful_analyses(job.archive, min(files), accept=accept, variables=config.variable_table())
    for when, reason in doubtful.items():
        _log.warning("warning: not scored with the analysis of %s: %s", format_time(when), reason)
    archive = without(job.archive, doubtful).inside(width)
    climatology = job.trained.climatology.inside(width)
    for file in files.values():
        path = file.with_suffix(SCORES)
        try:
            arrived = int(np.isin(read_forecast(file)["time"].values, archive.times).sum())
            if arrived > _scored_leads(path):
                verify_forecasts([file], archive, climatology, run=name).save(path)
                written.append(path)
        except (DataError, UnavailableError) as error:
            _log.warning("not scored: %s: %s", file.name, error)
    return written


def _is_scored_to_its_end(file: Path, scores: Path) -> bool:
    """Whether nothing is left to score, which spares reading the forecast; not so if it was made anew since."""
    entries = _entries(scores)
    return bool(entries) and all(entry["n"] for entry in entries) and scores.stat().st_mtime >= file.stat().st_mtime


def _scored_leads(path: Path) -> int:
    """On how many lead times a forecast was scored."""
    return len({entry["lead_hours"] for entry in _entries(path) if entry["n"]})


def _entries(path: Path) -> Sequence[Mapping[str, Any]]:
    """What stands in a scores file; nothing where there is none that can be read."""
    try:
        return [{key: entry[key] for key in ("lead_hours", "n")} for entry in Scores.load(path).scores]
    except (MissingInputError, DataError, KeyError):
        return []
