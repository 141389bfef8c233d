"""Computes a forecast in memory, from an analysis to a CF dataset; no file is written."""

from __future__ import annotations

import hashlib
import logging

import numpy as np
import xarray as xr
from jaxtyping import Float32
from safetensors.numpy import save as save_tensors

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time, parse_time
from pinnwx.data.find import Paths
from pinnwx.data.inputs import Data
from pinnwx.errors import UsageError
from pinnwx.forecasting.cf import forecast_dataset
from pinnwx.forecasting.ensemble import Ensemble
from pinnwx.forecasting.lateral_boundary import lateral_boundary_archive
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.plausibility import implausibilities
from pinnwx.forecasting.predictor import ForecastPredictor, Predictor, require_room, whole_steps
from pinnwx.forecasting.stability import require_bounded
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.model.weights import named_weights
from pinnwx.runtime import prepare

_log = logging.getLogger(__name__)
NEWEST = "latest"  # as an initial time


def forecast(
    trained: TrainedModel,
    data: Data,
    *,
    init: str | np.datetime64 = NEWEST,
    hours: float = 120,
    members: int | None = None,
    calibrated: bool = False,
    lateral_boundary: Paths | xr.Dataset | None = None,
) -> xr.Dataset:
    """Forecasts every step up to `hours` after `init` (an ISO 8601 time, a `datetime64` or "latest").

    With `members`, the result is an ensemble of this size along `realization`; with `calibrated`, its members are
    calibrated, which needs a model that is (`jobs.calibrate`). A model with a lateral boundary
    (`model.boundary_width`) needs `lateral_boundary`: files or a dataset with its fields at every step, such as a
    forecast for a larger area. This function does not check whether the analyses are old or suspicious; the command
    `forecast` does.

    Raises:
        UnavailableError: the data hold no analysis for `init`.
        StabilityError: the forecast is unstable. An implausible forecast only gives a warning here; the command refuses
            it.
        UsageError, DataError, MissingInputError: an argument is invalid, or the data cannot be read.
    """
    prepare()
    width = trained.config.model.boundary_width
    if bool(width) != (lateral_boundary is not None):
        use = "needs" if width else "has no"
        raise UsageError(f"this model {use} lateral_boundary; model.boundary_width is {width}")
    predictor = predictor_of(trained, "hours", hours, members, calibrated=calibrated)
    archive = matching_archive(trained, data)
    boundary = None if lateral_boundary is None else lateral_boundary_archive(trained, lateral_boundary)
    when = _time(init, archive.times[-1])
    fields = predictor.forecast(archive, when, boundary)
    _require_weather(predictor, fields, when, archive, boundary)
    provenance = {
        **trained.config.output.attributes,
        "model": trained.config.name,
        "model_sha256": hashlib.sha256(save_tensors(named_weights(trained.model))).hexdigest(),
        "config": trained.config_text,
        "data_sha256": data_digest(predictor, archive, when),
        **predictor.settings,
    }
    return forecast_dataset(
        fields, trained.names, trained.grid, when, predictor.lead_hours,
        provenance=provenance, variables=trained.config.variable_table(),
    )  # fmt: skip


def predictor_of(
    trained: TrainedModel, option: str, hours: float, members: int | None, *, calibrated: bool = False
) -> ForecastPredictor:
    """The predictor of every step up to `hours`, for an ensemble if `members` is given; `option` names the hours.

    Raises:
        UsageError: the hours are not a whole number of steps, or the forecast does not fit into memory; or it is to be
            calibrated, and is no ensemble, or its model is not calibrated.
    """
    if calibrated and members is None:
        raise UsageError("a calibration needs an ensemble; give --members")
    if calibrated and trained.calibration is None:
        raise UsageError("the model is not calibrated; pinnwx calibrate does it, for a cross-fitted model")
    step = trained.config.model.step_hours
    steps = whole_steps(option, hours, step)
    require_room(trained, steps, members or 1)
    leads = tuple(step * number for number in range(1, steps + 1))
    if members is None:
        return Predictor(trained, leads)
    return Ensemble(trained, leads, members, calibration=trained.calibration if calibrated else None)


def data_digest(predictor: ForecastPredictor, archive: Archive, when: np.datetime64) -> str:
    """The SHA-256 of the analyses that a forecast from `when` may have used."""
    used_from = None if predictor.uses_earlier_analyses else format_time(when + predictor.input_offsets[0])
    return archive.select(used_from, format_time(when)).digest()


def _require_weather(
    predictor: ForecastPredictor,
    fields: Float32[np.ndarray, "*member lead field lat lon"],
    when: np.datetime64,
    archive: Archive,
    boundary: Archive | None,
) -> None:
    """Refuses an unstable forecast, and warns of an implausible one, which may be inspected in memory."""
    trained, analysis = predictor.trained, archive.fields[int(np.searchsorted(archive.times, when))]
    for member in fields.reshape(-1, *fields.shape[-4:]):
        require_bounded(
            member, predictor.lead_hours, trained, when, archive if predictor.size is None else None, boundary
        )
        if odd := list(implausibilities(member, predictor.lead_hours, trained, when, analysis)):
            _log.warning("warning: the forecast is implausible: %s; train for longer, or check the analysis", odd[0])


def _time(init: str | np.datetime64, newest: np.datetime64) -> np.datetime64:
    if isinstance(init, str):
        return newest if init == NEWEST else parse_time(init)
    return np.datetime64(init).astype("datetime64[ns]")
