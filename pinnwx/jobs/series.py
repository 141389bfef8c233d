"""Forecasts into a folder, one a file: what a schedule runs. Each is made once, late ones when their analysis has come.

    NAME_20260204T0600Z.nc           a forecast
    NAME_20260204T0600Z.png          its maps, on request
    NAME_20260204T0600Z.scores.json  its scores, on request, for as far as analyses have arrived
    latest.nc                        a link to the newest

Other files in the folder stay as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from pinnwx.data.calendar import format_time, initial_period
from pinnwx.errors import (
    DataError,
    LockedError,
    OutputError,
    PinnwxError,
    StabilityError,
    UnavailableError,
    UsageError,
)
from pinnwx.files import check_writable, kept_if_used, locked, output_lock, writing
from pinnwx.forecasting.calibration import CALIBRATION
from pinnwx.forecasting.cf import REALIZATION, lead_hours, reference_time, write_forecast
from pinnwx.jobs.events import NOTHING_TO_DO, Event, recorded
from pinnwx.jobs.forecast_job import CHANGED, ForecastJob, already_there
from pinnwx.jobs.readiness import require_an_age, require_timely
from pinnwx.jobs.series_files import LATEST, forecast_file
from pinnwx.jobs.series_folder import point_at_newest, remove_old
from pinnwx.jobs.series_scores import score_forecasts
from pinnwx.jobs.series_times import MOST_DAYS, initial_times, newest_analysis
from pinnwx.runtime import prepare

_log = logging.getLogger(__name__)


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
    out: str | Path,
    *,
    init: str = "latest",
    hours: float = 120,
    members: int | None = None,
    calibrated: bool = False,
    quantiles: Sequence[float] = (),
    thresholds: Sequence[str] = (),
    lateral_boundary: Sequence[str | Path] | str | Path | None = None,
    max_age: float | None = None,
    accept_suspicious: Sequence[str] = (),
    plots: bool = False,
    score: bool = False,
    keep_days: float | None = None,
    remake: bool = False,
    force: bool = False,
) -> Series:
    """Forecasts from one or many analyses into a folder, as `pinnwx.forecast` makes them.

    `init` is a time, "latest", or a period "FROM/TO" of which every analysis is taken. TO may be "latest", and FROM
    then also a length before it ("P3D/latest", "PT36H/latest"); a bare date includes its whole day. Existing forecasts
    are left alone, whatever model made them, unless `force`. A forecast that cannot be made does not stop the others;
    the result names it. Damaged files of analyses are left out, and forecasts that may need them are refused. The
    newest analysis is the newest that is not dated ahead of the clock; one that is dated ahead is refused.

    Args:
        run: as of `forecast`, and so are `data`, `hours`, `members`, `calibrated`, `quantiles`,
            `thresholds`, `lateral_boundary` and `accept_suspicious`.
        out: the folder; made if there is none, held by one job at a time.
        max_age: of the newest analysis, so that older ones of a period can still be caught up with.
        plots: maps of each forecast that is made, as a PNG beside it.
        score: score the forecasts in the folder for which analyses have arrived that they were not scored on yet.
        keep_days: remove forecasts of this job, and their maps, that began so many days or more before the newest whole
            one; their scores stay.
        remake: make a forecast again if its analyses have changed since, instead of a warning.
        force: make existing forecasts again.

    Raises:
        LockedError: another job is at work in the folder.
        UsageError: `keep_days` is no positive number, or the period is none.
        UnavailableError: no analysis is in the period.
        MissingInputError, CheckpointError, DataError, OutputError: nothing could be made.
    """
    prepare()
    initial_period(init)  # so that a wrong time or period is refused before anything is read
    folder = Path(out)
    request = _Request(folder, init, max_age, accept_suspicious, plots, keep_days, remake, force)
    with recorded(run, "forecast-series") as event, kept_if_used(folder):
        request.require_sense()
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock", str(folder)):
            check_writable(folder / LATEST, force=True)
            job = ForecastJob.open(
                run, data, hours=hours, members=members, calibrated=calibrated, quantiles=quantiles,
                thresholds=thresholds, lateral_boundary=lateral_boundary, leave_damaged=True,
            )  # fmt: skip
            name = job.trained.config.name
            event.details |= {"version": job.version, "folder": str(folder), "made": []}
            if job.archive.damaged:
                event.details["damaged"] = {one.file: one.reason for one in job.archive.damaged}
            try:
                attempts = _attempts(job, request, event)
            finally:
                point_at_newest(folder, name)
            scored = score_forecasts(folder, job, accept_suspicious) if score else []
            removed = [] if keep_days is None else remove_old(folder, name, keep_days)
        _note_outcome(event, attempts)
    damaged = tuple(one.file for one in job.archive.damaged)
    return Series(tuple(attempts), tuple(scored), tuple(removed), damaged)


@dataclass(frozen=True)
class _Request:
    """The options of `forecast_series` that each of its forecasts needs."""

    folder: Path
    init: str
    max_age: float | None
    accept_suspicious: Sequence[str]
    plots: bool
    keep_days: float | None
    remake: bool
    force: bool

    def require_sense(self) -> None:
        """Raises:
        UsageError: an age or a number of days is not positive.
        """
        require_an_age(self.max_age)
        if self.keep_days is not None and not 0 < self.keep_days <= MOST_DAYS:
            raise UsageError(f"--keep-days {self.keep_days:g}: the days must be positive and at most {MOST_DAYS:,}")

    def age_limit(self, when: np.datetime64, newest: np.datetime64) -> float | None:
        """The limit of age [h] for one analysis: of a period only the newest has one."""
        return self.max_age if "/" not in self.init or when == newest else None


def _attempts(job: ForecastJob, request: _Request, event: Event) -> list[Attempt]:
    """Every forecast of the period, with its maps; the event lists those that were written."""
    newest, attempts = newest_analysis(job.archive), []
    for when in initial_times(job, request.init, request.keep_days):
        file = forecast_file(request.folder, job.trained.config.name, when)
        attempts.append(_attempt(job, when, file, request.age_limit(when, newest), request))
        if attempts[-1].written:
            event.details["made"].append(format_time(when))
        if request.plots and file.is_file() and (attempts[-1].written or not file.with_suffix(".png").exists()):
            _plot(file)
    return attempts


def _attempt(
    job: ForecastJob,
    when: np.datetime64,
    file: Path,
    max_age: float | None,
    request: _Request,
) -> Attempt:
    """Makes one forecast if it is absent. A problem of this forecast alone is in the result; any other is raised."""
    try:
        require_timely(when, max_age, job.archive.times)  # of one that is there too: nobody should take it for new
        with output_lock(file):
            try:
                there = None if request.force else _there(job, when, file)
                if there is not None and not job.has_changed(there, when):
                    return Attempt(when, file)
                if there is not None and not request.remake:
                    _log.warning("warning: %s: %s; --remake makes it again", file.name, CHANGED)
                    return Attempt(when, file, outdated=True)
            except OutputError as error:
                return Attempt(when, file, refused=error)
            accepted = job.require_fit(when, max_age=max_age, accept_suspicious=request.accept_suspicious)
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
    is_calibrated = CALIBRATION in there.attrs
    wanted = (when, list(job.predictor.lead_hours), members)
    if of_it != wanted or not job.products.are_in(there) or is_calibrated != (CALIBRATION in job.predictor.settings):
        raise OutputError(
            f"{file} is there, of other leads, members, products or calibration; give --force to replace it, or "
            "another folder"
        )
    return there


def _plot(file: Path) -> None:
    from pinnwx.jobs.plot import plot  # matplotlib is slow to import

    try:
        plot(file, file.with_suffix(".png"), force=True)
    except (DataError, UnavailableError, UsageError) as error:
        _log.warning("no map of %s: %s", file.name, error)


def _note_outcome(event: Event, attempts: Sequence[Attempt]) -> None:
    refused = {format_time(one.init): str(one.refused) for one in attempts if one.refused is not None}
    if refused:
        event.details["refused"] = refused
    if outdated := [format_time(one.init) for one in attempts if one.outdated]:
        event.details["outdated"] = outdated
    if attempts[-1].refused is not None:  # the newest is what a schedule is for
        event.refuse(attempts[-1].refused)
    elif not event.details["made"]:
        event.outcome = NOTHING_TO_DO
