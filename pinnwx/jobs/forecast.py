"""One forecast from one analysis, as a CF NetCDF file that is complete or not there, and is made once."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float32

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time, parse_time
from pinnwx.errors import DataError, OutputError, UsageError
from pinnwx.files import check_writable, output_lock
from pinnwx.forecasting.cf import forecast_dataset, read_forecast, write_forecast
from pinnwx.forecasting.driving import driving_archive
from pinnwx.forecasting.ensemble import Ensemble
from pinnwx.forecasting.predictor import Predictor, whole_steps
from pinnwx.forecasting.stability import require_stable
from pinnwx.forecasting.trained import WEIGHTS, Trained
from pinnwx.jobs.evaluate import matching_archive
from pinnwx.jobs.readiness import require_credible, require_timely
from pinnwx.jobs.runs import Run
from pinnwx.runtime import prepare

REQUEST = "request_sha256"


def forecast(
    run: str | Path,
    data: Sequence[str | Path] | str | Path,
    *,
    init: str = "latest",
    hours: float = 120,
    members: int | None = None,
    boundary: Sequence[str | Path] | str | Path | None = None,
    max_age: float | None = None,
    accept_suspicious: bool = False,
    out: str | Path | None = None,
    force: bool = False,
) -> xr.Dataset:
    """The forecast of a run's live model at every step up to `hours` after `init`, an ISO 8601 time or "latest".

    With `members` it is an ensemble of so many (see `pinnwx.forecasting.ensemble`), along the dimension `realization`.
    A model with a driven edge (`model.driven_edge`) needs `boundary`: a forecast, or analyses, of its fields at every
    step. With `out` it is written there too; where that file holds the very same forecast already, of the same
    analyses by the same model, nothing is done and it is returned. `pinnwx.point(dataset, latitude, longitude)` reads
    it at a place.

    `max_age` is the age in hours from which an analysis is too old. One that repeats the step before it, jumps or has a
    spike is refused unless `accept_suspicious`; then the file says what was accepted.

    Raises:
        UnavailableError: the data hold no analysis for `init`, or the boundary does not reach far enough.
        StabilityError: the forecast is not finite; nothing is written.
        LockedError: another job is writing `out`.
        MissingInputError, CheckpointError, DataError, OutputError, UsageError.
    """
    prepare()
    with contextlib.ExitStack() as held:
        there = None
        if out is not None:
            check_writable(out, force=True)
            held.enter_context(output_lock(out))
            there = None if force else _already_there(Path(out))
        trained = Run.open(run).load()
        step = trained.config.model.step_hours
        leads = tuple(step * k for k in range(1, whole_steps("--hours", hours, step) + 1))
        archive = matching_archive(trained, data)
        driving = _driving(trained, boundary)
        when = archive.times[-1] if init == "latest" else parse_time(init)
        predictor = Predictor(trained, leads)
        predictor.analyses(archive, np.array([when]))  # that they are there
        maker = predictor if members is None else Ensemble(trained, leads, members)
        require_timely(when, max_age)
        accepted = require_credible(archive, when + maker.input_offsets[0], when, accept=accept_suspicious)
        if driving is not None:
            end = when + np.timedelta64(round(3600 * hours), "s")
            accepted += require_credible(driving, when, end, accept=accept_suspicious)
        origin = _origin(trained, archive, driving, maker, when)
        if there is not None:
            if there.attrs[REQUEST] != origin[REQUEST]:
                raise OutputError(f"{out} exists, and is another forecast; give --force to replace it, or another name")
            return there
        provenance = origin | ({"accepted": accepted} if accepted else {})
        if archive.preliminary:
            provenance["preliminary"] = "some of the analyses read may still be replaced by their producer"
        dataset = forecast_dataset(
            _fields(trained, maker, archive, driving, when), archive.names, trained.grid, when, leads,
            provenance=provenance, variables=trained.config.variable_table(),
        )  # fmt: skip
        if out is not None:
            write_forecast(dataset, out, force=True)
    return dataset


def _already_there(out: Path) -> xr.Dataset | None:
    """The forecast that `out` holds, or None where there is no such file.

    Raises:
        OutputError: the file is something else.
    """
    if not out.exists():
        return None
    why = "and is no forecast of this job"
    try:
        found = read_forecast(out)
        if REQUEST in found.attrs:
            return found
    except DataError as error:
        why = f"({error})"
    raise OutputError(f"{out} exists {why}; give --force to replace it, or another name")


def _fields(
    trained: Trained, maker: Predictor | Ensemble, archive: Archive, driving: Archive | None, when: np.datetime64
) -> Float32[np.ndarray, "*member lead field lat lon"]:
    """The forecast, none of which blew up."""
    if isinstance(maker, Ensemble):
        fields = maker.from_archive(archive, when, driving)
        for member in fields:
            require_stable(member, maker.lead_hours, trained, when)
        return fields
    fields = maker.from_archive(archive, np.array([when]), driving)[0]
    require_stable(fields, maker.lead_hours, trained, when, archive, driving)
    return fields


def _origin(
    trained: Trained, archive: Archive, driving: Archive | None, maker: Predictor | Ensemble, when: np.datetime64
) -> dict[str, Any]:
    """What a forecast is made from and with; under `REQUEST` the digest of it, the same for the same forecast."""
    origin: dict[str, Any] = {
        "model": trained.config.name,
        "model_sha256": trained.manifest["files"][WEIGHTS],
        "config": trained.config_text,
        "versions": trained.manifest["versions"],
    }
    used_from = format_time(when + maker.input_offsets[0])
    if isinstance(maker, Ensemble):
        used_from = None  # members draw on all analyses before
        origin |= {"members": maker.size, "disturbance": maker.disturbance}
    origin["data_sha256"] = archive.select(used_from, format_time(when)).digest()
    if driving is not None:
        origin |= {"driven_edge": trained.config.model.driven_edge, "boundary_sha256": driving.digest()}
    asked = [origin, trained.manifest["files"], format_time(when), maker.lead_hours]
    return origin | {REQUEST: hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()}


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
