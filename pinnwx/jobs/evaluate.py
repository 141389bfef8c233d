"""Scores hindcasts from every analysis of a period, with persistence and climatology."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time, parse_time
from pinnwx.data.inputs import Data
from pinnwx.errors import UnavailableError
from pinnwx.files import check_writable
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.runtime import prepare
from pinnwx.training.progress import scoring_text, shown
from pinnwx.verification.evaluate import score_hindcasts
from pinnwx.verification.pairing import initial_times_between
from pinnwx.verification.results import Scores

_log = logging.getLogger(__name__)
OVERLAP = "trained_on"  # key in the settings of scores: the part of the scored period that is in the training time
DEFAULT_LEADS = (6, 12, 24, 48, 72)


def evaluate(
    model: TrainedModel | str | Path,
    data: Data,
    *,
    start: str,
    end: str,
    leads: Sequence[float] | None = None,
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

    Raises:
        MissingInputError, CheckpointError, DataError, UnavailableError, StabilityError, OutputError: see
            `pinnwx.errors`.
    """
    prepare()
    if json is not None:
        check_writable(json, force=force)
    trained = model if isinstance(model, TrainedModel) else Run.open(model).load()
    predictor = Predictor(trained, leads or default_leads(trained))
    with shown(progress, scoring_text) as show:
        archive = matching_archive(trained, data)
        starts, training = initial_times_between(archive, start, end), training_part(trained, archive)
        scores = score_from(predictor, archive, starts, predictor.needed_offsets, show, training=training)
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

    With the analyses of the training time, `training`, all baselines are scored.

    The lateral boundary cells of a model are not scored, because their values are prescribed.
    """
    width = predictor.trained.config.model.boundary_width
    rows, columns = (slice(width, size - width) for size in archive.grid.shape)
    scores = score_hindcasts(
        archive.inside(width),
        lambda starts: predictor.from_archive(archive, archive.times[starts])[..., rows, columns],
        predictor.trained.climatology.inside(width),
        initial_times,
        predictor.lead_hours,
        inputs=inputs,
        training=None if training is None else training.inside(width),
        progress=progress,
        run=predictor.trained.config.name,
    )
    if width:
        scores = replace(scores, settings={**scores.settings, "lateral_boundary": "analyses of the valid times"})
    return _with_overlap(scores, predictor.trained)


def training_part(trained: TrainedModel, archive: Archive) -> Archive | None:
    """The analyses of the archive in the training time of a model, `None` without any."""
    period = trained.config.data.train
    start, end = trained.manifest.get("trained_on", (period.start, period.end))
    try:
        return archive.select(start, end)
    except UnavailableError:
        return None


def _with_overlap(scores: Scores, trained: TrainedModel) -> Scores:
    """The scores; if the scored period overlaps the training time, a setting records it, and a warning is logged."""
    training_time = trained.manifest.get("trained_on")
    if not training_time:
        return scores
    first, last = (parse_time(scores.settings[key]) for key in ("first_initial_time", "last_valid_time"))
    begin, end = max(first, parse_time(training_time[0])), min(last, parse_time(training_time[-1]))
    if begin > end:
        return scores
    overlap = [format_time(begin), format_time(end)]
    _log.warning(
        "warning: %s was trained on analyses from %s to %s, which are scored here: errors in the training time are too "
        "small; choose later days",
        trained.config.name, *overlap,
    )  # fmt: skip
    return replace(scores, settings={**scores.settings, OVERLAP: overlap})


def shared_inputs(predictors: Sequence[Predictor]) -> Shaped[np.ndarray, " input"]:
    """The times of the analyses that any of these predictors needs, relative to the initial time; the last is 0."""
    present = np.zeros(1, "timedelta64[s]")
    needed = np.unique(np.concatenate([present, *(predictor.needed_offsets for predictor in predictors)]))
    return np.concatenate([np.setdiff1d(needed, present), present])
