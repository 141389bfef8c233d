"""One forecast from one analysis, as a CF NetCDF file that is complete or not there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time, parse_time
from pinnwx.errors import UsageError
from pinnwx.files import check_writable
from pinnwx.forecasting.cf import forecast_dataset, write_forecast
from pinnwx.forecasting.driving import driving_archive
from pinnwx.forecasting.ensemble import Ensemble
from pinnwx.forecasting.predictor import Predictor, check_finite, whole_steps
from pinnwx.forecasting.trained import Trained
from pinnwx.jobs.evaluate import matching_archive
from pinnwx.jobs.runs import Run
from pinnwx.runtime import prepare


def forecast(
    run: str | Path,
    data: Sequence[str | Path] | str | Path,
    *,
    init: str = "latest",
    hours: float = 120,
    members: int | None = None,
    boundary: Sequence[str | Path] | str | Path | None = None,
    out: str | Path | None = None,
    force: bool = False,
) -> xr.Dataset:
    """The forecast of a run's live model at every step up to `hours` after `init`, an ISO 8601 time or "latest".

    With `members` it is an ensemble of so many (see `pinnwx.forecasting.ensemble`), along the dimension `realization`.
    A model with a driven edge (`model.driven_edge`) needs `boundary`: a forecast, or analyses, of its fields at every
    step. With `out` it is written there too. `pinnwx.point(dataset, latitude, longitude)` reads it at a place.

    Raises:
        UnavailableError: the data hold no analysis for `init`, or the boundary does not reach far enough.
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
    driving = _driving(trained, boundary)
    when = archive.times[-1] if init == "latest" else parse_time(init)
    made_with: dict[str, object] = {}
    if members is None:
        predictor = Predictor(trained, leads)
        fields = predictor.from_archive(archive, np.array([when]), driving)
        used_from = format_time(when + predictor.input_offsets[0])
    else:
        ensemble = Ensemble(trained, leads, members)
        fields = ensemble.from_archive(archive, when, driving)
        used_from, made_with["disturbance"] = None, ensemble.disturbance
    for one in fields:
        check_finite(one, leads, trained)
    if driving is not None:
        made_with |= {"driven_edge": trained.config.model.driven_edge, "boundary_sha256": driving.digest()}
    made_with |= {
        "model": trained.config.name,
        "model_sha256": trained.manifest["files"]["weights.safetensors"],
        "data_sha256": archive.select(used_from, format_time(when)).digest(),
        "config": trained.config_text,
        "versions": trained.manifest["versions"],
    }
    dataset = forecast_dataset(
        fields[0] if members is None else fields, archive.names, trained.grid, when, leads, provenance=made_with,
        variables=trained.config.variable_table(),
    )  # fmt: skip
    if out is not None:
        write_forecast(dataset, out, force=force)
    return dataset


def _driving(trained: Trained, boundary: Sequence[str | Path] | str | Path | None) -> Archive | None:
    """What tells a driven model its edge.

    Raises:
        UsageError: a driven model without a boundary, or a boundary for any other.
    """
    width = trained.config.model.driven_edge
    if width and boundary is None:
        raise UsageError(
            f"the outer {width} cell(s) of this model are told from outside: give a forecast as --boundary"
        )
    if boundary is not None and not width:
        raise UsageError("this model has no driven edge; leave out --boundary")
    return None if boundary is None else driving_archive(trained, boundary)
