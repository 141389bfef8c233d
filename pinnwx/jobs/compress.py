"""Compression: a smaller model out of a run's live one, in a run folder of its own."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pinnwx.compression.distill import student_of, trajectories
from pinnwx.compression.importance import ORDERS
from pinnwx.compression.prune import Pruned, prune, rounds_of
from pinnwx.config import Config
from pinnwx.data.archive import Archive
from pinnwx.errors import CheckpointError, UsageError
from pinnwx.files import write_text, writing
from pinnwx.forecasting.trained import CONFIG, WEIGHTS, Trained
from pinnwx.jobs.evaluate import matching_archive
from pinnwx.jobs.events import NOTHING_TO_DO, recorded
from pinnwx.jobs.interrupts import Interrupts
from pinnwx.jobs.runs import REPORTS, Run, new_run
from pinnwx.jobs.train import budget_ends, error_scale, learn, lineage
from pinnwx.model.weights import count_weights
from pinnwx.runtime import prepare
from pinnwx.training.fit import Report
from pinnwx.training.optimiser import named_leaves

_log = logging.getLogger(__name__)


def compress(
    run: str | Path,
    data: Sequence[str | Path] | str | Path,
    out: str | Path,
    *,
    keep: float | None = None,
    size: float | None = None,
    order: str = "taylor",
    minutes: float | None = None,
    resume: bool = False,
    force: bool = False,
    report: Callable[[Report], None] = lambda _: None,
    started: float | None = None,
) -> Run:
    """Makes a smaller model of the live one of `run` in a new run folder, which it returns; `run` is left as it is.

    With `keep` it is pruned (`compression.prune`): this share of its width stays. With `size` it is
    distilled (`compression.distill`): a new model of this share of the weights is trained on the weather and on the
    live model's forecasts. Both learn from the time that the live model was trained on, and no later one.

    The settings are those of `[compression]` in the model's config.

    Args:
        run: the run folder.
        data: files, globs, folders or zarr stores that hold the training time.
        out: the run folder to make.
        keep: the share of `model.closure.width` to keep, between 0 and 1.
        size: the share of weights of the student, between 0 and 1.
        order: which channels stay: those that matter most by "taylor", "integrated", "magnitude" or "random".
        minutes: wall-clock budget of the whole call; `compression.minutes` if None. Ignored where the settings fix the
            number of updates (`compression.updates`, and `training.updates` of a student).
        resume: go on with an interrupted distillation in `out`.
        force: start afresh in an existing run folder, keeping its versions.
        report: called as it learns, for a progress bar.
        started: `time.monotonic()` at which the budget began; now, if None.

    Raises:
        UsageError: not one of `keep` and `size` is given, or it is no share.
        StabilityError: the loss, or a forecast to learn from, is not finite.
        UnavailableError: the data hold too little of the training time.
        MissingInputError, CheckpointError, DataError, OutputError, LockedError: as their names say.
        Interrupted: SIGINT or SIGTERM came. A distillation can be resumed; pruning leaves nothing.
    """
    prepare()
    begun = time.monotonic() if started is None else started
    if (keep is None) == (size is None):
        raise UsageError("give one of keep (--prune --keep SHARE) and size (--distill --size SHARE)")
    if resume and size is None:
        raise UsageError("--resume is for --distill; pruning is short, start it again")
    if order not in ORDERS:
        raise UsageError(f'--order "{order}" is none of {", ".join(ORDERS)}')
    source = Run.open(run)
    if source.folder.resolve() == Path(out).resolve():
        raise UsageError(f"{out} is the run to compress; give the smaller model a folder of its own")
    live = source.live
    trained = source.load()
    deadline = budget_ends(trained.config.compression.minutes if minutes is None else minutes, begun)
    student = None if size is None else student_of(trained, size)
    rounds = [] if keep is None else rounds_of(trained.config, keep)
    archive = training_time(trained, data)
    notes = {
        "source": "pinnwx compress",
        "compressed_from": {
            "name": trained.config.name,
            "version": live,
            "weights_sha256": trained.manifest["files"][WEIGHTS],
            "parameters": count_weights(trained.model),
        },
    }
    smaller = Run.open(out) if resume else new_run(out, force=force)
    with recorded(out, "compress") as event, smaller.lock():
        if student is None:
            notes["pruned"] = {"keep": keep, "order": order}
            _prune(smaller, trained, archive, rounds, order, deadline, notes, report)
        else:
            notes["distilled"] = {"size": size, "trajectories": trained.config.compression.trajectories}
            if resume and _is_there(smaller, student, notes):
                event.outcome = NOTHING_TO_DO
            else:
                _distill(smaller, student, trained, archive, deadline, notes, resume, report)
        event.details["version"] = smaller.live
    return smaller


def training_time(trained: Trained, data: Sequence[str | Path] | str | Path) -> Archive:
    """What the model was trained on, out of the data.

    Raises:
        UnavailableError: the data hold none of it.
    """
    train = trained.config.data.train
    start, end = trained.manifest.get("trained_on", (train.start, train.end))
    return matching_archive(trained, data).select(start, end)


def _prune(
    run: Run,
    trained: Trained,
    archive: Archive,
    rounds: Sequence[Config],
    order: str,
    deadline: float,
    notes: Mapping[str, Any],
    report: Callable[[Report], None],
) -> None:
    until = deadline if trained.config.compression.updates is None else None
    scale = error_scale(trained)
    with Interrupts() as interrupts:
        pruned = prune(
            trained, archive, scale, rounds, order, deadline=until, report=report, stop=interrupts.arrived
        )  # fmt: skip
        if interrupts.arrived():
            interrupts.raise_for("nothing was made; start it again")
    made = {**lineage(pruned.trained, archive), "updates": sum(one.updates for one in pruned.rounds), **notes}
    with writing(run.folder):
        run.begin()
        write_text(run.folder / CONFIG, pruned.trained.config_text)
        (run.folder / REPORTS).mkdir(exist_ok=True)
        write_text(run.folder / REPORTS / "pruning.json", json.dumps(_told(pruned), indent=1) + "\n")
        run.publish(pruned.trained, made, named_leaves(pruned.optimiser))


def _told(pruned: Pruned) -> list[dict[str, Any]]:
    """What the rounds did, to be kept: of each group of channels their scores, the highest first."""
    return [
        {
            "width": one.width,
            "updates": one.updates,
            "importance": [{name: _ranked(scores) for name, scores in own.items()} for own in one.importance],
        }
        for one in pruned.rounds
    ]


def _ranked(scores: np.ndarray) -> list[float]:
    return [float(f"{score:.4g}") for score in np.sort(scores)[::-1]]


def _is_there(run: Run, student: Trained, notes: Mapping[str, Any]) -> bool:
    """Whether this very distillation has finished in the run.

    Raises:
        CheckpointError: the run is of something else.
    """
    path = run.folder / CONFIG
    same = path.is_file() and path.read_text(encoding="utf-8") == student.config_text
    finished = run.is_finished()
    if finished and same:
        manifest = run.load().manifest
        same = all(manifest.get(key) == value for key, value in notes.items())
    if not same and (finished or path.is_file()):
        raise CheckpointError(f"{run.folder} is not of this distillation; resume with what it began with, or --force")
    return finished


def _distill(
    run: Run,
    student: Trained,
    teacher: Trained,
    archive: Archive,
    deadline: float,
    notes: Mapping[str, Any],
    resume: bool,
    report: Callable[[Report], None],
) -> None:
    began = time.monotonic()
    taught = trajectories(teacher, archive)
    _log.info("note: the teacher made %d forecasts in %.0f s", len(taught), time.monotonic() - began)
    resume = resume and not run.may_begin()
    if not resume:
        run.begin()
    learn(run, student, archive, deadline, taught=taught, notes=notes, resume=resume, report=report)
