"""One forecast from one analysis, as a CF NetCDF file that is complete or not there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from pinnwx.data.calendar import format_time, parse_time
from pinnwx.files import check_writable
from pinnwx.forecasting.cf import forecast_dataset, write_forecast
from pinnwx.forecasting.predictor import Predictor, check_finite, whole_steps
from pinnwx.jobs.evaluate import matching_archive
from pinnwx.jobs.runs import Run
from pinnwx.runtime import prepare


def forecast(
    run: str | Path,
    data: Sequence[str | Path] | str | Path,
    *,
    init: str = "latest",
    hours: float = 120,
    out: str | Path | None = None,
    force: bool = False,
) -> xr.Dataset:
    """The forecast of a run's live model at every step up to `hours` after `init`, an ISO 8601 time or "latest".

    With `out` it is written there too. `pinnwx.point(dataset, latitude, longitude)` reads it at a place.

    Raises:
        UnavailableError: the data hold no analysis for `init`.
        StabilityError: the forecast is not finite; nothing is written.
        MissingInputError, CheckpointError, DataError, OutputError, UsageError.
    """
    prepare()
    if out is not None:
        check_writable(out, force=force)
    trained = Run.open(run).load()
    step = trained.config.model.step_hours
    leads = tuple(step * k for k in range(1, whole_steps("--hours", hours, step) + 1))
    archive = matching_archive(trained, data)
    when = archive.times[-1] if init == "latest" else parse_time(init)
    predictor = Predictor(trained, leads)
    fields = predictor.from_archive(archive, np.array([when]))[0]
    check_finite(fields, leads, trained)
    provenance = {
        "model": trained.config.name,
        "model_sha256": trained.manifest["files"]["weights.safetensors"],
        "data_sha256": archive.select(format_time(when + predictor.input_offsets[0]), format_time(when)).digest(),
        "config": trained.config_text,
        "versions": trained.manifest["versions"],
    }
    dataset = forecast_dataset(
        np.asarray(fields), archive.names, trained.grid, when, leads, provenance=provenance,
        variables=trained.config.variable_table(),
    )  # fmt: skip
    if out is not None:
        write_forecast(dataset, out, force=force)
    return dataset
