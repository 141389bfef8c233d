"""Pruning as a job: the live model of a run without its least important channels, in a run folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pinnwx.compression.importance import CRITERIA
from pinnwx.compression.prune import prune as prune_in_rounds
from pinnwx.compression.prune import require_prunable, shared_by
from pinnwx.data.archive import Archive
from pinnwx.errors import UsageError
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import TrainedModel, error_scale
from pinnwx.jobs.compress import Budget, Method, Start, compress
from pinnwx.jobs.interrupts import Interrupts
from pinnwx.training.progress import Progress
from pinnwx.training.trainer import Hooks


def prune(
    run: str | Path,
    data: Sequence[str | Path] | str | Path,
    out: str | Path,
    *,
    keep: float = 0.5,
    criterion: str = "taylor",
    minutes: float | None = None,
    updates: int | None = None,
    resume: bool = False,
    force: bool = False,
    promote_anyway: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
    started: float | None = None,
) -> Run:
    """Removes the least important channels of the live model of `run` and trains the rest in a new run folder.

    `run` stays as it is. The method is `compression.prune`, with the settings of `[compression]` in the config of the
    model. Training uses the time that the live model was trained on, and no later one.

    Args:
        run: the run folder.
        data: files, globs, folders or zarr stores that hold the training time.
        out: the run folder to make, which is returned.
        keep: the fraction of channels that stays, between 0 and 1.
        criterion: the score of a channel: "taylor", "integrated", "magnitude" or "random". The highest stay.
        minutes: wall-clock budget of the whole call; `compression.minutes` if None.
        updates: number of updates of all rounds and members together, instead of as many as the minutes allow.
        resume: continue an interrupted compression in `out`.
        force: start again in an existing run folder; its versions stay.
        promote_anyway: make the smaller model live even if the training check refuses it.
        progress: called during training, for a progress bar.
        started: `time.monotonic()` at which the budget began; now, if None.

    Raises:
        NotPromotedError: the smaller model is worse than persistence (`jobs.training_check`). It is stored, not live.
        UsageError: `keep` is no fraction, or keeps all channels; the criterion is unknown; `updates` is below 1, or
            given with `minutes`.
        StabilityError: the loss is not finite.
        UnavailableError: the data hold too little of the training time.
        MissingInputError, CheckpointError, DataError, OutputError, LockedError: as their names say.
        Interrupted: a signal asked to stop. During the last training a checkpoint is saved, from which `resume`
            continues.
    """
    if criterion not in CRITERIA:
        raise UsageError(f'--criterion "{criterion}" is none of {", ".join(CRITERIA)}')
    return compress(
        _Pruning(keep, criterion), run, data, out, minutes=minutes, updates=updates, resume=resume, force=force,
        promote_anyway=promote_anyway, progress=progress, started=started,
    )  # fmt: skip


@dataclass(frozen=True)
class _Pruning(Method):
    """Fewer channels: the fraction that stays, and the criterion by which."""

    keep: float
    criterion: str

    def plan(self, trained: TrainedModel, updates: int | None) -> Callable[[Archive, Budget], Start]:  # noqa: ARG002
        require_prunable(trained, self.keep)
        return partial(self._prune, trained)

    def notes(self, trained: TrainedModel) -> dict[str, Any]:
        rounds, shared = trained.config.compression.rounds, shared_by(trained.config, self.criterion)
        return {"pruned": {"keep": self.keep, "criterion": self.criterion, "rounds": rounds, "widths": shared}}

    def _prune(self, trained: TrainedModel, archive: Archive, budget: Budget) -> Start:
        """Raises:
        Interrupted: a signal asked to stop.
        """
        with Interrupts("stopping") as interrupts:
            model, rounds = prune_in_rounds(
                trained, archive, error_scale(trained), self.keep, self.criterion, updates=budget.updates,
                deadline=budget.deadline if budget.updates is None else None,
                hooks=Hooks(budget.progress, interrupts.arrived),
            )  # fmt: skip
            if interrupts.arrived():
                interrupts.raise_for("nothing was made; start it again")
        return Start(model, tuple(rounds))
