"""Explains a forecast: the budget of its fields, or the attribution of a target, as a CF NetCDF file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from pinnwx.data.calendar import require_one_time
from pinnwx.explaining.attribution import Target, attribution
from pinnwx.explaining.budget import budget
from pinnwx.files import check_writable
from pinnwx.forecasting.cf import write_forecast
from pinnwx.jobs.forecast_job import REQUEST, ForecastJob
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
    """A forecast of the live model of a run, with the contribution of each part of the model to each field and step.

    The variables are those of `pinnwx.explaining.budget`: the parts `<field>_tendency_<part>` and the rounding error
    `<field>_tendency_residual` sum to `<field>_tendency_total`. With a `target` such as `msl@52,10` (latitude,
    longitude; or north, west, south, east of a box), they are instead `<field>_sensitivity` and `<field>_attribution`
    of the target for each input analysis (`pinnwx.explaining.attribution`). The other arguments are those of
    `forecast`. With `out`, the result is also written to this file; `pinnwx.plot` draws it.

    Raises:
        UnavailableError: the data hold no analysis for `init`, or the lateral boundary is too short.
        StabilityError: the forecast is not finite; nothing is written.
        MissingInputError, CheckpointError, DataError, OutputError, UsageError: see `pinnwx.errors`.
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
    del provenance[REQUEST]  # only forecasts have a request
    if parsed is None:
        dataset = budget(
            job.trained, job.archive, when, hours, lateral_boundary=job.lateral_boundary, provenance=provenance
        )
    else:
        dataset = attribution(job.trained, job.archive, when, hours, parsed, provenance=provenance)
    if out is not None:
        write_forecast(dataset, out, force=force)
    return dataset
