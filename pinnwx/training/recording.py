"""What a training writes into its run folder: a log of the updates, and checkpoints from which it is resumed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from pinnwx.config import Config
from pinnwx.data.archive import Archive
from pinnwx.enclosed import appended_own, read_own_text
from pinnwx.errors import CheckpointError, DataError
from pinnwx.files import write_text
from pinnwx.records import CheckpointNotes, NotARecord, checked
from pinnwx.runlayout import METRICS
from pinnwx.training.checkpoint import Checkpoints
from pinnwx.training.schedule import Plan
from pinnwx.training.trainer import Turn
from pinnwx.training.update import TrainingState

FOLDER = "training"  # of the checkpoints
CHECKPOINT_SECONDS = 60.0  # between two checkpoints, in the long run
FIRST_CHECKPOINTS_SECONDS = 9.0  # and at first
CHECKPOINT_FRACTION = 0.12  # of the time so far that may pass between two


class Resumed(NamedTuple):
    """A training that goes on: its states, its plan, and the seconds it has taken so far."""

    states: list[TrainingState]
    plan: Plan
    seconds: float


def identity(archives: Sequence[Archive], config: Config, initial_weights: str | None = None) -> dict[str, str]:
    """Digests of what a training depends on: its analyses (the first archive), forecasts of a teacher, its settings.

    `initial_weights` is the digest of those that it begins with, where they do not follow from the seed.
    """
    notes = {"data": archives[0].digest(), "config": training_digest(config)}
    if len(archives) > 1:
        digests = " ".join(forecast.digest() for forecast in archives[1:])
        notes["teacher_trajectories"] = hashlib.sha256(digests.encode()).hexdigest()
    if initial_weights is not None:
        notes["initial_weights"] = initial_weights
    return notes


def training_digest(config: Config) -> str:
    """A digest of the settings that a training depends on: all but the description and the output of forecasts."""
    return hashlib.sha256(config.model_dump_json(exclude={"description", "output"}).encode()).hexdigest()


@contextmanager
def recording(
    folder: Path, states: list[TrainingState], expected: dict[str, str], *, resume: bool
) -> Iterator[tuple[Resumed | None, list[Callable[[Turn], None]]]]:
    """The callbacks that record a training, and the training that goes on where `resume` is set.

    `expected` is the `identity` of the training; `states` have the structure of those to resume.

    Raises:
        CheckpointError: there is no state to resume that fits, or the folder is damaged.
        DataError: the training began with other data.
    """
    checkpoints = Checkpoints(folder / FOLDER)
    try:
        resumed = _resumed(checkpoints, states, expected) if resume else None
        if resumed is not None:
            _truncate_log(folder, sum(int(state.update) for state in resumed.states))
        seconds = 0.0 if resumed is None else resumed.seconds
        with appended_own(folder, METRICS) as held, os.fdopen(os.dup(held), "a", encoding="utf-8") as log:
            yield resumed, [MetricsLog(log, seconds), CheckpointWriter(checkpoints, expected, seconds)]
    finally:
        checkpoints.close()


@dataclass(frozen=True, eq=False)
class MetricsLog:
    """Appends a JSON line for each update; `seconds` is what the training took before this process."""

    log: TextIO
    seconds: float

    def __call__(self, turn: Turn) -> None:
        seconds = round(self.seconds + turn.now - turn.began, 3)
        for update, metrics in enumerate(turn.metrics, start=turn.update - len(turn.metrics) + 1):
            finite = {name: value if np.isfinite(value) else None for name, value in metrics.items()}
            line = {"update": update, "wall_seconds": seconds, **finite, "stage_steps": turn.stage_steps}
            line |= {"stage_members": turn.members} if turn.members > 1 else {}
            self.log.write(json.dumps(line) + "\n")
        self.log.flush()


@dataclass(eq=False)
class CheckpointWriter:
    """Saves a checkpoint after the first turn, at the end, before a stage is compiled, and now and then.

    The longer this process has trained, the longer the time between two checkpoints: from
    `FIRST_CHECKPOINTS_SECONDS` to `CHECKPOINT_SECONDS`.
    """

    checkpoints: Checkpoints
    identity: dict[str, str]
    seconds: float
    _saved: float | None = field(default=None, init=False)
    _previous: float | None = field(default=None, init=False)  # the time after the turn before

    def __call__(self, turn: Turn) -> None:
        expected_end = 2 * turn.now - (turn.began if self._previous is None else self._previous)  # of the next turn
        self._previous = turn.now
        is_last = bool(turn.ended) or turn.update == turn.plan.total
        if is_last or turn.precedes_compilation or self._is_due(turn.began, expected_end):
            taken = self.seconds + turn.now - turn.began
            notes = self.identity | {"steps": turn.plan.steps, "updates": turn.plan.updates, "seconds": taken}
            self.checkpoints.save(turn.update, turn.states, notes)
            self._saved = turn.now

    def _is_due(self, began: float, expected_end: float) -> bool:
        if self._saved is None:
            return True
        interval = max(CHECKPOINT_FRACTION * (expected_end - began), FIRST_CHECKPOINTS_SECONDS)
        return expected_end - self._saved > min(interval, CHECKPOINT_SECONDS)


def _resumed(checkpoints: Checkpoints, states: list[TrainingState], expected: dict[str, str]) -> Resumed:
    states, notes = checkpoints.load(states)
    _require_notes(notes)
    if notes["data"] != expected["data"]:
        raise DataError(
            "the data differ from those this training began with; give the same --data (and --noise-like), or --force "
            "to start afresh"
        )
    if notes.get("teacher_trajectories") != expected.get("teacher_trajectories"):
        raise CheckpointError(
            "the teacher, or what it forecasts on this machine, is not what this training began with; give --force to "
            "start afresh"
        )
    if notes.get("initial_weights") != expected.get("initial_weights"):
        raise CheckpointError(
            "this training began with other weights; give the same --init-from, or --force to start afresh"
        )
    if notes["config"] != expected["config"]:
        raise CheckpointError(
            "the training state belongs to another config or version of pinnwx; start afresh with --force"
        )
    return Resumed(states, Plan(tuple(notes["steps"]), tuple(notes["updates"])), float(notes["seconds"]))


def _require_notes(notes: Any) -> None:
    """Raises:
    CheckpointError: the notes beside a training state are damaged.
    """
    try:
        checked(notes, CheckpointNotes)
    except NotARecord as error:
        raise CheckpointError(f"the training state is damaged ({error}); start afresh with --force") from None


def _truncate_log(folder: Path, updates: int) -> None:
    """Removes from the log the updates after the checkpoint, because they are repeated."""
    lines = (read_own_text(folder, METRICS) or "").splitlines(keepends=True)[:updates]
    write_text(folder / METRICS, "".join(lines))
