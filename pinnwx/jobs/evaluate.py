"""Scores hindcasts from every analysis of a period, with persistence and climatology."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from pinnwx.data.archive import Archive
from pinnwx.data.inputs import Data
from pinnwx.errors import UsageError
from pinnwx.files import check_writable
from pinnwx.forecasting.ensemble import Ensemble
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.evaluate_ensembles import calibrated_ensemble, score_ensembles
from pinnwx.jobs.scored_area import ScoredArea, training_part, with_notes
from pinnwx.runtime import prepare
from pinnwx.training.progress import scoring_text, shown
from pinnwx.verification.evaluate import score_hindcasts
from pinnwx.verification.pairing import initial_times_between
from pinnwx.verification.results import Scores

DEFAULT_LEADS = (6, 12, 24, 48, 72)


def evaluate(
    model: TrainedModel | str | Path,
    data: Data,
    *,
    start: str,
    end: str,
    leads: Sequence[float] | None = None,
    members: int | None = None,
    thresholds: Sequence[str] = (),
    calibrated: bool = False,
    json: str | Path | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Scores forecasts from every analysis between `start` and `end`, both included.

    `model` is a model, or a run folder with a live model. Pairs without truth are skipped and counted. Model
    and baselines are scored on the same pairs. Damped persistence and the linear inverse model are fitted on the
    training time, as far as the data contain it. For a model with a lateral boundary
    (`model.boundary_width`), the analyses provide the boundary fields, which the settings of the scores record, and
    only cells inside the boundary are scored. `leads` defaults to 6, 12, 24, 48 and 72 h, or to 1 to 3 steps if the
    step is longer.

    With `members`, ensembles of this size are scored (`jobs.evaluate_ensembles`), and their probabilities of the
    `thresholds`, such as `t2m<273.15` in SI units. With `calibrated`, the members are calibrated first
    (`forecasting.calibration`): as the model is, or else on its training time, if it is cross-fitted.

    Raises:
        MissingInputError, CheckpointError, DataError, UnavailableError, StabilityError, OutputError: see
            `pinnwx.errors`.
        UsageError: a threshold is not one, or there are no members; or as `Ensemble`.
    """
    prepare()
    if members is None and (thresholds or calibrated):
        what = "the probability of a threshold" if thresholds else "a calibration"
        raise UsageError(f"{what} needs an ensemble; give --members")
    if json is not None:
        check_writable(json, force=force)
    trained = model if isinstance(model, TrainedModel) else Run.open(model).load()
    predictor = Predictor(trained, leads or default_leads(trained))
    with shown(progress, scoring_text) as show:
        archive = matching_archive(trained, data)
        starts, training = initial_times_between(archive, start, end), training_part(trained, archive)
        if members is None:
            scores = score_from(predictor, archive, starts, predictor.needed_offsets, show, training=training)
        else:
            ensemble = Ensemble(trained, predictor.lead_hours, members)
            ensemble = calibrated_ensemble(ensemble, training) if calibrated else ensemble
            scores = score_ensembles(ensemble, archive, starts, show, training=training, thresholds=thresholds)
    if json is not None:
        scores.save(json)
    return scores


def default_leads(trained: TrainedModel) -> tuple[float, ...]:
    """The multiples of the step of the model in `DEFAULT_LEADS`, or its first three steps."""
    step = trained.config.model.step_hours
    return tuple(hours for hours in DEFAULT_LEADS if hours % step == 0) or (step, 2 * step, 3 * step)


def score_period(
    predictor: Predictor,
    data: Data,
    start: str,
    end: str,
    inputs: Shaped[np.ndarray, " input"],
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """`score_on` for the fields of the model in the data."""
    return score_on(predictor, matching_archive(predictor.trained, data), start, end, inputs, progress)


def score_on(
    predictor: Predictor,
    archive: Archive,
    start: str,
    end: str,
    inputs: Shaped[np.ndarray, " input"],
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Scores of forecasts from every analysis of the period for which all `inputs` exist."""
    return score_from(predictor, archive, initial_times_between(archive, start, end), inputs, progress)


def score_from(
    predictor: Predictor,
    archive: Archive,
    initial_times: Shaped[np.ndarray, " init"],
    inputs: Shaped[np.ndarray, " input"],
    progress: Callable[[int, int], None] | None = None,
    *,
    training: Archive | None = None,
) -> Scores:
    """Scores of forecasts from the initial times for which all `inputs` exist.

    With the analyses of the training time, `training`, all baselines are scored. The lateral boundary cells of a model
    are not scored, because their values are prescribed.
    """
    trained, inside = predictor.trained, ScoredArea.of(predictor.trained, archive, training)
    scores = score_hindcasts(
        inside.archive,
        lambda starts: inside.of_fields(predictor.from_archive(archive, archive.times[starts])),
        inside.climatology,
        initial_times,
        predictor.lead_hours,
        inputs=inputs,
        training=inside.training,
        progress=progress,
        run=trained.config.name,
    )
    return with_notes(scores, trained)


def shared_inputs(predictors: Sequence[Predictor]) -> Shaped[np.ndarray, " input"]:
    """The times of the analyses that any of these predictors needs, relative to the initial time; the last is 0."""
    present = np.zeros(1, "timedelta64[s]")
    needed = np.unique(np.concatenate([present, *(predictor.needed_offsets for predictor in predictors)]))
    return np.concatenate([np.setdiff1d(needed, present), present])
