"""One forecast from one analysis, as a CF NetCDF file that is complete or not there, and is made once."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from pinnwx.data.calendar import format_time, require_one_time
from pinnwx.errors import OutputError
from pinnwx.files import check_writable, output_lock
from pinnwx.forecasting.cf import write_forecast
from pinnwx.jobs.events import NOTHING_TO_DO, recorded
from pinnwx.jobs.forecast_job import CHANGED, REQUEST, ForecastJob, already_there
from pinnwx.runtime import prepare


def forecast(
    run: str | Path,
    data: Sequence[str | Path] | str | Path,
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
    out: str | Path | None = None,
    remake: bool = False,
    force: bool = False,
) -> xr.Dataset:
    """The forecast of a run's live model at every step up to `hours` after `init`, an ISO 8601 time or "latest".

    With `members` it is an ensemble of this size (see `pinnwx.forecasting.ensemble`), along the dimension
    `realization`; with `calibrated`, its members are calibrated (`pinnwx.calibrate`). With `quantiles`, such as
    (0.1, 0.5, 0.9), or `thresholds`, such as ("t2m<273.15",) in SI units, it has these products beside the members,
    with mean and spread (`pinnwx.forecasting.products`). A model with a lateral boundary (`model.boundary_width`) needs
    `lateral_boundary`: a forecast, or analyses, of its fields at every step. With `out` the forecast is written to this
    file too. If the file holds the same forecast, of the same analyses by the same model, it is returned and nothing is
    done. If those analyses have changed since, the file is refused, or with `remake` made again.
    `pinnwx.point(dataset, latitude, longitude)` reads the forecast at a place; `pinnwx.forecast_series` fills a folder.

    `max_age` is the largest age of the analysis in hours. An analysis that repeats the step before it, jumps, or has
    values that no weather has (`pinnwx.data.outliers`) is refused unless `accept_suspicious` names it: `FIELD`,
    `FIELD:KIND` or `KIND`, each with or without `@TIME`. The refusal prints the value; the file lists what was
    accepted.

    Raises:
        UnavailableError: the data hold no analysis for `init`, or the boundary does not reach far enough.
        StabilityError: the forecast is not finite; nothing is written.
        LockedError: another job is writing `out`.
        UsageError: `init` is a period, or another argument impossible.
        OutputError: `out` is a folder, or exists and holds something else, or cannot be written.
        MissingInputError, CheckpointError, DataError: as their names say.
    """
    prepare()
    require_one_time(init)
    _require_file(out)
    with contextlib.ExitStack() as held:
        event = held.enter_context(recorded(run, "forecast"))
        there = None
        if out is not None:
            event.details["file"] = str(out)
            check_writable(out, force=True)
            held.enter_context(output_lock(out))
            there = None if force else already_there(Path(out))
        job = ForecastJob.open(
            run, data, hours=hours, members=members, calibrated=calibrated, quantiles=quantiles,
            thresholds=thresholds, lateral_boundary=lateral_boundary, init=init,
        )  # fmt: skip
        when = job.initial_time(init)
        event.details |= {"version": job.version, "init": format_time(when)}
        accepted = job.require_fit(when, max_age=max_age, accept_suspicious=accept_suspicious)
        if there is not None:
            if there.attrs[REQUEST] == job.origin(when)[REQUEST]:
                event.outcome = NOTHING_TO_DO
                return there
            _require_replaceable(job, there, when, out, remake)
        dataset = job.make(when, accepted)
        if out is not None:
            write_forecast(dataset, out, force=True)
    return dataset


def _require_file(out: str | Path | None) -> None:
    """Raises:
    OutputError: the name is that of a folder.
    """
    if out is not None and (str(out).endswith("/") or Path(out).is_dir()):
        raise OutputError(f"{out} is a folder; give a file name, or fill the folder with forecast-series")


def _require_replaceable(
    job: ForecastJob, there: xr.Dataset, when: np.datetime64, out: str | Path | None, remake: bool
) -> None:
    """Raises:
    OutputError: the existing file is another forecast, or one of analyses that have changed, and `remake` is false.
    """
    if not job.differs_by_analyses(there, when):
        raise OutputError(f"{out} exists, and is another forecast; give --force to replace it, or another name")
    if not remake:
        raise OutputError(f"{out} exists, and {CHANGED}; give --remake to make it again, or another name")
