"""Distillation as a job: a small model that trains on forecasts of a run's live one, in a run folder of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinnwx.compression.distill import student_of, teacher_trajectories
from pinnwx.data.archive import Archive
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.compress import Budget, Method, Start, compress
from pinnwx.training.progress import Progress

_log = logging.getLogger(__name__)


def distill(
    run: str | Path,
    data: Sequence[str | Path] | str | Path,
    out: str | Path,
    *,
    size: float = 0.25,
    minutes: float | None = None,
    updates: int | None = None,
    resume: bool = False,
    force: bool = False,
    promote_anyway: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
    started: float | None = None,
) -> Run:
    """Trains a new, smaller model on the analyses and on forecasts of the live model of `run`, in a new run folder.

    `run` stays as it is. The method is `compression.distill`, with the settings of `[compression]` in the config of the
    model. Training uses the time that the live model was trained on, and no later one.

    Args:
        run: the run folder.
        data: files, globs, folders or zarr stores that hold the training time.
        out: the run folder to make, which is returned.
        size: the fraction of the weights that the new model has, between 0 and 1.
        minutes: wall-clock budget of the whole call; `compression.minutes` if None.
        updates: number of updates, instead of as many as the minutes allow.
        resume: continue an interrupted compression in `out`.
        force: start again in an existing run folder; its versions stay.
        promote_anyway: make the smaller model live even if the training check refuses it.
        progress: called during training, for a progress bar.
        started: `time.monotonic()` at which the budget began; now, if None.

    Raises:
        NotPromotedError: the smaller model is worse than persistence (`jobs.training_check`). It is stored, not live.
        UsageError: `size` is no fraction, or no network is that small; `updates` is below 1, or given with `minutes`.
        StabilityError: the loss, or most forecasts of the live model, are not finite.
        UnavailableError: the data hold too little of the training time.
        MissingInputError, CheckpointError, DataError, OutputError, LockedError: as their names say.
        Interrupted: a signal asked to stop. A checkpoint is saved, from which `resume` continues.
    """
    return compress(
        _Distillation(size), run, data, out, minutes=minutes, updates=updates, resume=resume, force=force,
        promote_anyway=promote_anyway, progress=progress, started=started,
    )  # fmt: skip


@dataclass(frozen=True)
class _Distillation(Method):
    """A new model with a fraction of the weights."""

    size: float

    def plan(self, trained: TrainedModel, updates: int | None) -> Callable[[Archive, Budget], Start]:
        student = student_of(trained, self.size, updates)
        return lambda _archive, _budget: Start(student)

    def notes(self, trained: TrainedModel) -> dict[str, Any]:
        count = trained.config.compression.teacher_trajectories
        return {"distilled": {"size": self.size, "teacher_trajectories": count}}

    def teacher_trajectories(self, trained: TrainedModel, archive: Archive) -> list[Archive]:
        began = time.monotonic()
        forecasts = teacher_trajectories(trained, archive)
        _log.info("note: the teacher made %d forecasts in %.0f s", len(forecasts), time.monotonic() - began)
        return forecasts
