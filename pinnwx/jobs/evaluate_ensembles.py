"""Scores ensembles from every analysis of a period, beside climatology and the dressed single forecast."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from pinnwx.data.archive import Archive
from pinnwx.errors import UsageError
from pinnwx.forecasting.calibration import Calibration
from pinnwx.forecasting.ensemble import Ensemble
from pinnwx.forecasting.out_of_fold import (
    CROSS_FITTED,
    OutOfFold,
    OutOfFoldEnsembles,
    out_of_fold_ensembles,
    out_of_fold_forecasts,
)
from pinnwx.forecasting.predictor import require_room
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.scored_area import ScoredArea, with_notes
from pinnwx.verification.calibrating import fit_calibration
from pinnwx.verification.ensemble_scores import EnsembleAccumulator
from pinnwx.verification.evaluate import score_pairs
from pinnwx.verification.events import events_of
from pinnwx.verification.pairing import pair_by_time
from pinnwx.verification.probability_baselines import ClimatologicalEnsemble, DressedForecast, ProbabilityBaseline
from pinnwx.verification.results import Scores
from pinnwx.verification.significance import BlockBootstrap

_AT_ONCE = 4  # single forecasts in a batch
_MOST_OUT_OF_FOLD, _MOST_BYTES = 256, 2**29  # forecasts of the training time, for the dressing
_MOST_ENSEMBLES, MEMBERS_OF_CALIBRATION = 128, 8  # for a calibration


def score_ensembles(
    ensemble: Ensemble,
    archive: Archive,
    initial_times: Shaped[np.ndarray, " init"],
    progress: Callable[[int, int], None] | None = None,
    *,
    training: Archive | None = None,
    baselines: Mapping[str, ProbabilityBaseline] | None = None,
    thresholds: Sequence[str] = (),
    calibration: Calibration | None = None,
) -> Scores:
    """Scores of ensembles: those of their means, and of their distributions (`verification.ensemble_scores`).

    `baselines` are scored on the same forecasts, by default those of `probability_baselines`; `training` holds the
    analyses of the training time. Probabilities are scored for the `thresholds`, such as `t2m<273.15`, and for the
    percentiles of climatology (`verification.events`). The members are calibrated first, if there is a `calibration`.
    """
    trained, predictor = ensemble.trained, ensemble.predictor
    require_room(trained, len(ensemble.lead_hours), ensemble.size)
    inside = ScoredArea.of(trained, archive, training)
    pairs = pair_by_time(inside.archive, initial_times, ensemble.lead_hours, inputs=predictor.needed_offsets)
    if baselines is None:
        baselines = probability_baselines(trained, training, ensemble.lead_hours)
    notes: dict[str, Any] = dict(ensemble.settings)
    if calibration is not None:
        notes["calibration"] = {"forecasts": calibration.forecasts, "lead_hours": list(calibration.lead_hours)}
    if isinstance(dressed := baselines.get("dressed"), DressedForecast):
        notes["dressing"] = {"forecasts": dressed.forecasts, "lead_hours": list(dressed.lead_hours)}
    events = events_of(thresholds, inside.archive.names, inside.training, inside.climatology)
    accumulator = EnsembleAccumulator(inside.archive, pairs, baselines, events)

    def means(starts: Int[np.ndarray, " init"]) -> np.ndarray:
        singles = inside.of_fields(predictor.from_archive(archive, archive.times[starts]))
        result: dict[int, np.ndarray] = {}
        for index, when, single in zip(starts.tolist(), archive.times[starts], singles, strict=True):
            if index not in result:  # the last batch is filled with repetitions
                members = inside.of_fields(ensemble.forecast(archive, when))
                members = members if calibration is None else calibration(members, ensemble.lead_hours)
                accumulator.add(index, members, single)
                result[index] = members.mean(axis=0)
        return np.stack([result[index] for index in starts.tolist()])

    scores = score_pairs(
        inside.archive, means, inside.climatology, pairs, training=inside.training, batch_size=_AT_ONCE,
        bootstrap=BlockBootstrap(), progress=progress, run=trained.config.name,
    )  # fmt: skip
    scores = accumulator.added_to(scores)
    return with_notes(replace(scores, settings={**scores.settings, **notes}), trained)


def probability_baselines(
    trained: TrainedModel, training: Archive | None, lead_hours: Sequence[float]
) -> dict[str, ProbabilityBaseline]:
    """Climatology and, for a cross-fitted model, the dressed single forecast; none without the training time."""
    if training is None:
        return {}
    inside = ScoredArea.of(trained, training)
    baselines: dict[str, ProbabilityBaseline] = {
        "climatology": ClimatologicalEnsemble(inside.archive, inside.climatology)
    }
    if (dressed := dressed_forecast(trained, training, lead_hours)) is not None:
        baselines["dressed"] = dressed
    return baselines


def require_calibration(ensemble: Ensemble, training: Archive | None) -> Calibration:
    """As `calibration_of`.

    Raises:
        UsageError: there is none.
    """
    calibration = None if training is None else calibration_of(ensemble, training)
    if calibration is None:
        raise UsageError(
            "the ensemble cannot be calibrated: that needs a model trained with training.cross_fitting_days (and not "
            "trained further), leads of at most half such a block, and its training time in --data"
        )
    return calibration


def calibration_of(ensemble: Ensemble, training: Archive) -> Calibration | None:
    """The calibration of an ensemble, at leads of at most half a block of cross-fitting.

    It is None where `dressed_forecast` is.
    """
    trained = ensemble.trained
    if not (leads := _fitted_leads(trained, ensemble.lead_hours)):
        return None
    small = Ensemble(trained, leads, MEMBERS_OF_CALIBRATION, 0.0, ensemble.model_error_scale, noise=ensemble.noise)
    bytes_of_one = 4 * MEMBERS_OF_CALIBRATION * len(leads) * math.prod(training.fields.shape[1:])
    inside = ScoredArea.of(trained, training)
    ensembles = out_of_fold_ensembles(small, training, min(_MOST_ENSEMBLES, _MOST_BYTES // bytes_of_one))
    parts = (OutOfFoldEnsembles(each.initial_times, *map(inside.of_fields, each[1:])) for each in ensembles)
    bounds = np.array(trained.model.inputs.forecast_bounds, np.float32)
    conserved = {each.field for each in trained.config.model.physics.transport if each.conserved}
    exempt = [row for row, name in enumerate(trained.names) if name in conserved]
    return fit_calibration(parts, leads, inside.archive.grid, bounds, exempt)


def _fitted_leads(trained: TrainedModel, lead_hours: Sequence[float]) -> list[float]:
    """Of at most half a block, so that starts differ enough; none if the networks know their own blocks."""
    if not trained.manifest.get(CROSS_FITTED):
        return []
    return [lead for lead in lead_hours if lead <= 12 * trained.config.training.cross_fitting_days]


def dressed_forecast(trained: TrainedModel, training: Archive, lead_hours: Sequence[float]) -> DressedForecast | None:
    """The dressed single forecast, at leads of at most half a block of cross-fitting, so that starts differ enough.

    It is None for a model that was not cross-fitted, or that was trained further, and if the data hold too little of
    the training time.
    """
    if not (leads := _fitted_leads(trained, lead_hours)):
        return None
    most = min(_MOST_OUT_OF_FOLD, _MOST_BYTES // (4 * len(leads) * math.prod(training.fields.shape[1:])))
    forecasts = out_of_fold_forecasts(trained, training, leads, most)
    inside = ScoredArea.of(trained, training)
    parts = (OutOfFold(each.initial_times, *map(inside.of_fields, each[1:])) for each in forecasts)
    return DressedForecast.fit(parts, leads, inside.archive.grid)
