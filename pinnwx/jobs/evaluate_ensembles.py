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
from pinnwx.forecasting.ensemble import Ensemble
from pinnwx.forecasting.out_of_fold import (
    OutOfFold,
    out_of_fold_forecasts,
)
from pinnwx.forecasting.predictor import require_room
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.calibrate import calibration_of, fitted_leads
from pinnwx.jobs.scored_area import ScoredArea, with_notes
from pinnwx.verification.ensemble_scores import EnsembleAccumulator
from pinnwx.verification.evaluate import score_pairs
from pinnwx.verification.events import events_of
from pinnwx.verification.pairing import pair_by_time
from pinnwx.verification.probability_baselines import ClimatologicalEnsemble, DressedForecast, ProbabilityBaseline
from pinnwx.verification.results import Scores
from pinnwx.verification.significance import BlockBootstrap

_AT_ONCE = 4  # single forecasts in a batch
_MOST_OUT_OF_FOLD, _MOST_BYTES = 256, 2**29  # forecasts of the training time, for the dressing


def score_ensembles(
    ensemble: Ensemble,
    archive: Archive,
    initial_times: Shaped[np.ndarray, " init"],
    progress: Callable[[int, int], None] | None = None,
    *,
    training: Archive | None = None,
    baselines: Mapping[str, ProbabilityBaseline] | None = None,
    thresholds: Sequence[str] = (),
) -> Scores:
    """Scores of ensembles: those of their means, and of their distributions (`verification.ensemble_scores`).

    `baselines` are scored on the same forecasts, by default those of `probability_baselines`; `training` holds the
    analyses of the training time. Probabilities are scored for the `thresholds`, such as `t2m<273.15`, and for the
    percentiles of climatology (`verification.events`).
    """
    trained, predictor = ensemble.trained, ensemble.predictor
    require_room(trained, len(ensemble.lead_hours), ensemble.size)
    inside = ScoredArea.of(trained, archive, training)
    pairs = pair_by_time(inside.archive, initial_times, ensemble.lead_hours, inputs=predictor.needed_offsets)
    if baselines is None:
        baselines = probability_baselines(trained, training, ensemble.lead_hours)
    notes: dict[str, Any] = dict(ensemble.settings)
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


def calibrated_ensemble(ensemble: Ensemble, training: Archive | None) -> Ensemble:
    """An ensemble as large with the calibration of its model and its scales, or with one that is fitted on the training
    time for the scales of this ensemble.

    Raises:
        UsageError: there is none.
    """
    calibration = ensemble.trained.calibration
    if calibration is None and training is not None:
        calibration = calibration_of(ensemble, training)
    if calibration is None:
        raise UsageError(
            "the ensemble cannot be calibrated: that needs a model trained with training.cross_fitting_days (and not "
            "trained further), leads of at most half such a block, and its training time in --data"
        )
    return Ensemble(ensemble.trained, ensemble.lead_hours, ensemble.size, calibration=calibration, noise=ensemble.noise)


def dressed_forecast(trained: TrainedModel, training: Archive, lead_hours: Sequence[float]) -> DressedForecast | None:
    """The dressed single forecast, at leads of at most half a block of cross-fitting, so that starts differ enough.

    It is None for a model that was not cross-fitted, or that was trained further, and if the data hold too little of
    the training time.
    """
    if not (leads := fitted_leads(trained, lead_hours)):
        return None
    most = min(_MOST_OUT_OF_FOLD, _MOST_BYTES // (4 * len(leads) * math.prod(training.fields.shape[1:])))
    forecasts = out_of_fold_forecasts(trained, training, leads, most)
    inside = ScoredArea.of(trained, training)
    parts = (OutOfFold(each.initial_times, *map(inside.of_fields, each[1:])) for each in forecasts)
    return DressedForecast.fit(parts, leads, inside.archive.grid)
