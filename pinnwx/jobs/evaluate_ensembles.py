"""Scores ensembles from every analysis of a period, beside climatology and the dressed single forecast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int, Shaped

from pinnwx.data.archive import Archive
from pinnwx.forecasting.ensemble import Ensemble
from pinnwx.forecasting.out_of_fold import OutOfFold, out_of_fold_forecasts
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.scored_area import ScoredArea, with_notes
from pinnwx.verification.ensemble_scores import EnsembleAccumulator
from pinnwx.verification.evaluate import score_pairs
from pinnwx.verification.pairing import pair_by_time
from pinnwx.verification.probability_baselines import ClimatologicalEnsemble, DressedForecast, ProbabilityBaseline
from pinnwx.verification.results import Scores
from pinnwx.verification.significance import BlockBootstrap

_AT_ONCE = 4  # initial times whose ensembles are in memory together
_MOST_OUT_OF_FOLD = 256  # forecasts of the training time, for the dressing


def score_ensembles(
    ensemble: Ensemble,
    archive: Archive,
    initial_times: Shaped[np.ndarray, " init"],
    progress: Callable[[int, int], None] | None = None,
    *,
    training: Archive | None = None,
) -> Scores:
    """Scores of ensembles: those of their means, and of their distributions (`verification.ensemble_scores`).

    Beside them stand climatology, and the single forecast of a cross-fitted model dressed with its errors in the
    training time, if `training` is given.
    """
    trained, predictor = ensemble.trained, ensemble.predictor
    inside = ScoredArea.of(trained, archive, training)
    pairs = pair_by_time(inside.archive, initial_times, ensemble.lead_hours, inputs=predictor.needed_offsets)
    baselines: dict[str, ProbabilityBaseline] = {}
    if training is not None and inside.training is not None:
        baselines["climatology"] = ClimatologicalEnsemble(inside.training)
        if (dressed := dressed_forecast(trained, training, ensemble.lead_hours)) is not None:
            baselines["dressed"] = dressed
    accumulator = EnsembleAccumulator(inside.archive, pairs, baselines)

    def means(starts: Int[np.ndarray, " init"]) -> np.ndarray:
        singles = inside.of_fields(predictor.from_archive(archive, archive.times[starts]))
        result = []
        for index, when, single in zip(starts.tolist(), archive.times[starts], singles, strict=True):
            members = inside.of_fields(ensemble.forecast(archive, when))
            accumulator.add(index, members, single)
            result.append(members.mean(axis=0))
        return np.stack(result)

    scores = score_pairs(
        inside.archive, means, inside.climatology, pairs, training=inside.training, batch_size=_AT_ONCE,
        bootstrap=BlockBootstrap(), progress=progress, run=trained.config.name,
    )  # fmt: skip
    scores = accumulator.added_to(scores)
    return with_notes(replace(scores, settings={**scores.settings, **ensemble.settings}), trained)


def dressed_forecast(trained: TrainedModel, training: Archive, lead_hours: Sequence[float]) -> DressedForecast | None:
    """The dressed single forecast at the leads that fit into a block of cross-fitting; None where there are none."""
    days, model = trained.config.training.cross_fitting_days, trained.config.model
    leads = [lead for lead in lead_hours if lead + (model.input_times - 1) * model.step_hours < 24 * days]
    if not leads:
        return None
    forecasts = out_of_fold_forecasts(trained, training, leads, _MOST_OUT_OF_FOLD)
    inside = ScoredArea.of(trained, training)
    parts = (OutOfFold(each.initial_times, *map(inside.of_fields, each[1:])) for each in forecasts)
    return DressedForecast.fit(parts, leads, inside.archive.grid)
