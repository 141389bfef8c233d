"""Compression: a smaller model out of a run's live one, in a run folder of its own."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pinnwx.compression.distill import student_of, teacher_trajectories
from pinnwx.compression.importance import CRITERIA
from pinnwx.compression.prune import Round, prune, require_prunable, shared_by
from pinnwx.config import MOST_UPDATES, parse_config
from pinnwx.data.archive import Archive
from pinnwx.enclosed import read_own
from pinnwx.errors import CheckpointError, UsageError
from pinnwx.files import write_text, writing
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.runs import Run, new_run
from pinnwx.forecasting.trained_model import CONFIG, WEIGHTS, TrainedModel, error_scale
from pinnwx.jobs.events import NOTHING_TO_DO, recorded
from pinnwx.jobs.interrupts import Interrupts
from pinnwx.jobs.train import budget_ends, learn
from pinnwx.jobs.training_check import require_promoted, validation_archive
from pinnwx.model.weights import count_weights
from pinnwx.records import CompressionReport, NotARecord, checked, parsed
from pinnwx.runlayout import REPORTS
from pinnwx.runtime import prepare
from pinnwx.training.fit import Progress

_log = logging.getLogger(__name__)
REPORT = "compression.json"


def compress(
    run: str | Path,
    data: Sequence[str | Path] | str | Path,
    out: str | Path,
    *,
    keep: float | None = None,
    size: float | None = None,
    criterion: str = "taylor",
    minutes: float | None = None,
    updates: int | None = None,
    resume: bool = False,
    force: bool = False,
    promote_anyway: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
    started: float | None = None,
) -> Run:
    """Makes a smaller model of the live one of `run` in a new run folder, which it returns; `run` is left as it is.

    With `keep` it is pruned (`compression.prune`): this share of its channels stays, and learns on as it was trained.
    With `size` it is distilled (`compression.distill`): a new model of this share of the weights is trained on the
    weather and on the live model's forecasts. Both learn from the time that the live model was trained on, and no later
    one.

    The settings are those of `[compression]` in the model's config.

    Args:
        run: the run folder.
        data: files, globs, folders or zarr stores that hold the training time.
        out: the run folder to make.
        keep: the share of channels to keep, between 0 and 1.
        size: the share of weights of the student, between 0 and 1.
        criterion: which channels stay: those that matter most by "taylor", "integrated", "magnitude" or "random".
        minutes: wall-clock budget of the whole call; `compression.minutes` if None.
        updates: how many to make, in all rounds or of all members together, instead of as many as the minutes allow.
        resume: go on with an interrupted compression in `out`.
        force: start afresh in an existing run folder, keeping its versions.
        promote_anyway: make the smaller model live whatever the training check says.
        progress: called as it learns, for a progress bar.
        started: `time.monotonic()` at which the budget began; now, if None.

    Raises:
        NotPromotedError: the smaller model is worse than persistence (`jobs.training_check`); it is kept, not live.
        UsageError: not one of `keep` and `size` is given, or it is no share; `updates` is below 1, or given with
            `minutes`.
        StabilityError: the loss, or a forecast to learn from, is not finite.
        UnavailableError: the data hold too little of the training time.
        MissingInputError, CheckpointError, DataError, OutputError, LockedError: as their names say.
        Interrupted: a signal asked to stop; while it learns, a checkpoint is saved and `resume` goes on from it.
    """
    prepare()
    begun = time.monotonic() if started is None else started
    if (keep is None) == (size is None):
        raise UsageError("give one of keep (--prune --keep SHARE) and size (--distill --size SHARE)")
    if criterion not in CRITERIA:
        raise UsageError(f'--criterion "{criterion}" is none of {", ".join(CRITERIA)}')
    if updates is not None and minutes is not None:
        raise UsageError("give one of --minutes and --updates: a budget of time, or of updates")
    if updates is not None and not 1 <= updates <= MOST_UPDATES:
        raise UsageError(f"--updates {str(updates)[:40]}: at least 1 is needed, and at most {MOST_UPDATES:,}")
    source = Run.open(run)
    if source.folder.resolve() == Path(out).resolve():
        raise UsageError(f"{out} is the run to compress; give the smaller model a folder of its own")
    live = source.live
    trained = source.load()
    deadline = budget_ends(trained.config.compression.minutes if minutes is None else minutes, begun)
    if keep is not None:
        require_prunable(trained, keep)
    student = None if size is None else student_of(trained, size, updates)
    archive = training_time(trained, data)
    settings = trained.config.compression
    compression = {"distilled": {"size": size, "teacher_trajectories": settings.teacher_trajectories}}
    if student is None:
        shared = shared_by(trained.config, criterion)
        compression = {"pruned": {"keep": keep, "criterion": criterion, "rounds": settings.rounds, "widths": shared}}
    notes = {
        "source": "pinnwx compress",
        "compressed_from": {
            "name": trained.config.name,
            "version": live,
            "weights_sha256": trained.manifest["files"][WEIGHTS],
            "parameters": count_weights(trained.model),
        },
        **compression,
    }
    smaller = Run.open(out) if resume else new_run(out, force=force)
    with recorded(out, "compress") as event, smaller.lock():
        goes_on = resume and not smaller.may_begin()
        if goes_on:
            student = _begun(smaller, trained, notes, updates)
            if smaller.is_finished():
                event.outcome = NOTHING_TO_DO
                require_promoted(smaller, anyway=promote_anyway)
                return smaller
        else:
            rounds: list[Round] = []
            if student is None:
                assert keep is not None
                student, rounds = _pruned(trained, archive, keep, criterion, updates, deadline, progress)
            with writing(smaller.folder):
                smaller.begin()
                write_text(
                    smaller.reports() / REPORT,
                    json.dumps(notes | {"budget": updates, "rounds": _told(rounds)}, indent=1) + "\n",
                )
        teacher_trajectories = [] if size is None else _teacher_trajectories(trained, archive)
        notes["updates_between_rounds"] = sum(one["updates"] for one in _report(smaller)["rounds"])
        event.details["version"] = learn(
            smaller, student, archive, deadline, validation_archive(student, data),
            teacher_trajectories=teacher_trajectories, notes=notes, resume=goes_on,
            promote_anyway=promote_anyway, progress=progress,
        )  # fmt: skip
    return smaller


def training_time(trained: TrainedModel, data: Sequence[str | Path] | str | Path) -> Archive:
    """What the model was trained on, out of the data.

    Raises:
        UnavailableError: the data hold none of it.
    """
    train = trained.config.data.train
    start, end = trained.manifest.get("trained_on", (train.start, train.end))
    return matching_archive(trained, data).select(start, end)


def _begun(run: Run, trained: TrainedModel, notes: Mapping[str, Any], updates: int | None) -> TrainedModel:
    """The untrained model of the compression that began in the run.

    Raises:
        CheckpointError: what began there was another one.
    """
    stored, config = _report(run), run.text(CONFIG)
    expected = {**notes, "budget": updates}
    other = [key for key, value in expected.items() if stored.get(key) != value]
    if other or config is None:
        raise CheckpointError(
            f"{run.folder} is not of this compression ({', '.join(other) or CONFIG} differs); resume with what it "
            "began with, or --force"
        )
    return trained.with_config(parse_config(config, str(run.folder / CONFIG)))


def _report(run: Run) -> dict[str, Any]:
    """What was written when the compression in the run began; nothing where none did.

    Raises:
        CheckpointError: it is damaged.
    """
    content = read_own(run.folder, f"{REPORTS}/{REPORT}")
    if content is None:
        return {}
    try:
        progress = parsed(content)
        checked(progress, CompressionReport)
        return progress
    except NotARecord as error:
        path = run.folder / REPORTS / REPORT
        raise CheckpointError(f"{path} is damaged ({error}); start afresh with --force") from None


def _pruned(
    trained: TrainedModel,
    archive: Archive,
    keep: float,
    criterion: str,
    updates: int | None,
    deadline: float,
    progress: Callable[[Progress], None],
) -> tuple[TrainedModel, list[Round]]:
    """The model without the channels that go, which has to learn on still.

    Raises:
        Interrupted: a signal asked to stop.
    """
    with Interrupts("stopping") as interrupts:
        result = prune(
            trained, archive, error_scale(trained), keep, criterion, updates=updates,
            deadline=deadline if updates is None else None, progress=progress, stop=interrupts.arrived,
        )  # fmt: skip
        if interrupts.arrived():
            interrupts.raise_for("nothing was made; start it again")
    return result


def _teacher_trajectories(teacher: TrainedModel, archive: Archive) -> list[Archive]:
    began = time.monotonic()
    forecasts = teacher_trajectories(teacher, archive)
    _log.info("note: the teacher made %d forecasts in %.0f s", len(forecasts), time.monotonic() - began)
    return forecasts


def _told(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """What the rounds did, to be kept: of each group of channels their scores, the highest first."""
    return [
        {
            "widths": one.widths,
            "updates": one.updates,
            "importance": [{name: _ranked(scores) for name, scores in own.items()} for own in one.importance],
        }
        for one in rounds
    ]


def _ranked(scores: np.ndarray) -> list[float]:
    return [float(f"{score:.4g}") for score in np.sort(scores)[::-1]]
