"""Why a forecast is what it is: the budget of its fields, or what a number in it comes from; a CF NetCDF file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from pinnwx.data.calendar import require_one_time
from pinnwx.explaining.attribution import Target, attribution
from pinnwx.explaining.budget import budget
from pinnwx.files import check_writable
from pinnwx.forecasting.cf import write_forecast
from pinnwx.jobs.forecast import REQUEST, ForecastJob
from pinnwx.runtime import prepare


def explain(
    run: str | Path,
    data: Sequence[str | Path] | str | Path,
    *,
    init: str = "latest",
    hours: float = 24,
    target: str | None = None,
    lateral_boundary: Sequence[str | Path] | str | Path | None = None,
    accept_suspicious: Sequence[str] = (),
    out: str | Path | None = None,
    force: bool = False,
) -> xr.Dataset:
    """The forecast of a run's live model with what each part of the model did to each field in each step.

    The variables are those of `pinnwx.explaining.budget`: `<field>_tendency_<part>` sum to `<field>_tendency_total`,
    but for `<field>_tendency_residual`, which is rounding. With a `target` such as `msl@52,10` (latitude, longitude; or
    north, west, south, east of a box) they are instead, for each analysis that the forecast starts from, the
    `<field>_sensitivity` and `<field>_attribution` of that number (`pinnwx.explaining.attribution`). Other arguments as
    `forecast`. With `out` it is written there too; `pinnwx.plot` draws it.

    Raises:
        UnavailableError: the data hold no analysis for `init`, or the boundary does not reach far enough.
        StabilityError: the forecast is not finite; nothing is written.
        MissingInputError, CheckpointError, DataError, OutputError, UsageError: as their names say.
    """
    prepare()
    require_one_time(init)
    if out is not None:
        check_writable(out, force=force)
    parsed = None if target is None else Target.parse(target)
    job = ForecastJob.open(run, data, hours=hours, lateral_boundary=lateral_boundary, init=init)
    when = job.initial_time(init)
    accepted = job.require_fit(when, max_age=None, accept_suspicious=accept_suspicious)
    provenance = job.provenance(when, accepted)
    del provenance[REQUEST]  # it is of a forecast, and this is none
    if parsed is None:
        dataset = budget(
            job.trained, job.archive, when, hours, lateral_boundary=job.lateral_boundary, provenance=provenance
        )
    else:
        dataset = attribution(job.trained, job.archive, when, hours, parsed, provenance=provenance)
    if out is not None:
        write_forecast(dataset, out, force=force)
    return dataset
