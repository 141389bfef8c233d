"""The training loop: warm up, plan, update, log, checkpoint."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32

from pinnwx.config import Config, ModelSettings
from pinnwx.data.archive import Archive
from pinnwx.data.calendar import time_features
from pinnwx.data.windows import window_indices
from pinnwx.enclosed import appended_own, read_own_text
from pinnwx.errors import CheckpointError, DataError, StabilityError
from pinnwx.files import write_text
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.model.interface import Forecaster
from pinnwx.records import CheckpointNotes, NotARecord, checked
from pinnwx.runlayout import METRICS
from pinnwx.training.checkpoint import Checkpoints
from pinnwx.training.devices import Devices
from pinnwx.training.sampling import BatchSampler
from pinnwx.training.schedule import Pace, Plan, plan_updates
from pinnwx.training.update import Source, TrainingState, copied, initial_state, make_update

_log = logging.getLogger(__name__)
UPDATES_PER_DISPATCH = 4  # updates that are queued before the host looks at the result
CHECKPOINT_SECONDS = 60.0  # between two checkpoints, in the long run
FIRST_CHECKPOINTS_SECONDS = 9.0  # and at first
CHECKPOINT_FRACTION = 0.12  # of the time so far that may pass between two
COMPILING_FRACTION = 0.25  # of a budget of wall-clock; what is left of the curriculum then is not compiled
MOST_SKIPPED = 20  # updates without a finite loss in a row after which training stops


@dataclass(frozen=True)
class Progress:
    """Where training stands, for a progress bar."""

    update: int
    total: int
    loss: float
    updates_per_second: float
    seconds_left: float
    stage_steps: int


@dataclass
class Training:
    """One training of one model; `run()` does it. The members of a deep ensemble take turns, and learn each for itself.

    `teacher_trajectories` holds forecasts of a teacher, each an archive of its own that begins with the analyses it
    started from; of a batch, `teacher_fraction` are windows of those.

    `deadline` is a `time.monotonic()` value before which the updates must be done, or None when the config fixes
    their number. The plan to meet it follows the machine, faster or slower; updates past it are left out. `stop()`
    returning true ends training at the next dispatch, after a checkpoint. Without a `folder` nothing is written: no
    checkpoint and no log.
    """

    model: Forecaster
    archive: Archive
    config: Config
    scale: np.ndarray
    folder: Path | None
    teacher_trajectories: Sequence[Archive] = ()
    teacher_fraction: float = 0.0
    deadline: float | None = None
    progress: Callable[[Progress], None] = lambda _: None
    stop: Callable[[], bool] = lambda: False
    updates: int = field(default=0, init=False)
    plan: Plan | None = field(default=None, init=False)
    optimiser: list[Any] = field(default_factory=list, init=False)  # its state at the end, of each member

    def run(self, *, resume: bool = False) -> Any:
        """Trains and returns the averaged parameters of each member (nnx states of their `Param`s).

        Raises:
            DataError: no window of the training time is long enough, or the data are not those to resume with.
            CheckpointError: `resume` without a fitting training state.
            StabilityError: the loss stays non-finite.
        """
        settings = self.config.training
        self._stages = [self._sampler(number, stage.steps) for number, stage in enumerate(settings.curriculum)]
        self._devices = Devices()
        self._devices.require_even_shares(settings.batch_size)
        self._source = self._devices.on_all(
            device_archives([self.archive, *self.teacher_trajectories], self.config.model.step_hours)
        )
        members = networks_of(self.model)  # alike but for their weights, so one compiled update serves them all
        self._update = make_update(members[0], self.archive.grid, self.scale, settings, self._devices)
        self._notes = {"data": self.archive.digest(), "config": training_digest(self.config)}
        if self.teacher_trajectories:
            digests = " ".join(forecast.digest() for forecast in self.teacher_trajectories)
            self._notes["teacher_trajectories"] = hashlib.sha256(digests.encode()).hexdigest()
        self._seconds, self._pace = 0.0, None
        states = [initial_state(member, settings) for member in members]
        checkpoints = None if self.folder is None else Checkpoints(self.folder / "training")
        try:
            if resume and checkpoints is not None:
                states, notes = checkpoints.load(states)
                _require_notes(notes)
                if notes["data"] != self._notes["data"]:
                    raise DataError(
                        "the data differ from those this training began with; give the same --data, or --force to "
                        "start afresh"
                    )
                if notes.get("teacher_trajectories") != self._notes.get("teacher_trajectories"):
                    raise CheckpointError(
                        "the teacher, or what it forecasts on this machine, is not what this training began with; give "
                        "--force to start afresh"
                    )
                if notes["config"] != self._notes["config"]:
                    raise CheckpointError(
                        "the training state belongs to another config or version of pinnwx; start afresh with --force"
                    )
                self._forget_after(_updates(states))
                self._seconds = float(notes["seconds"])
                self.plan = Plan(tuple(notes["steps"]), tuple(notes["updates"]))
                _log.info("going on from update %s of %s", f"{_updates(states):,}", f"{self.plan.total:,}")
            else:
                self.plan = self._make_plan(states[0], len(states))
            states = self._loop(self._devices.on_all(states), checkpoints)
            self.updates, self.optimiser = _updates(states), [state.optimiser for state in states]
            return [state.average for state in states]
        finally:
            if checkpoints is not None:
                checkpoints.close()

    def _sampler(self, stage: int, steps: int) -> BatchSampler:
        """What a stage of the curriculum learns from: windows of analyses, and of what a teacher made."""
        model, training = self.config.model, self.config.training
        analyses = model.input_times + steps
        windows = windows_of(self.archive, model, steps)
        teacher_trajectories, place = [windows[:0]], len(self.archive)
        for forecast in self.teacher_trajectories:
            teacher_trajectories.append(
                window_indices(forecast.times, model.step_hours, analyses - 1) + np.int32(place)
            )
            place += len(forecast)
        teacher_trajectories = np.concatenate(teacher_trajectories)
        return BatchSampler.of(
            windows, teacher_trajectories, self.teacher_fraction, training.batch_size, (self.config.seed, stage)
        )

    def _make_plan(self, state: TrainingState, members: int) -> Plan:
        """The updates of all members together: the config's number, or what fits before the deadline by a warm-up.

        A longer rollout takes longer to compile. Once compiling has taken `COMPILING_FRACTION` of the time, the stages
        left are left out: a short budget had rather learn from short rollouts than wait for long ones.
        """
        settings, together = self.config.training, UPDATES_PER_DISPATCH * members
        if settings.updates is not None:
            return plan_updates(settings.curriculum, settings.updates, together)
        assert self.deadline is not None
        began, costs = time.monotonic(), [self._seconds_of(0, state)]
        until = began + COMPILING_FRACTION * (self.deadline - began)
        while len(costs) < len(self._stages) and time.monotonic() < until:
            costs.append(self._seconds_of(len(costs), state))
        if len(costs) < len(self._stages):
            _log.info(
                "note: too little time for rollouts of more than %d step(s)", settings.curriculum[len(costs) - 1].steps
            )
        self._pace = Pace(settings.curriculum[: len(costs)], self.deadline, costs, together)
        return self._pace.plan(time.monotonic())

    def _seconds_of(self, stage: int, state: TrainingState) -> float:
        """Compiles a stage; what one update of it takes."""
        return seconds_per_update(self._update, self._devices.on_all(state), self._batches(stage, 0, 0), self._source)

    def _batches(self, stage: int, first: int, member: int) -> list[jax.Array]:
        """Windows for a member's updates of a stage, from its update `first` on."""
        numbers = range(first, first + UPDATES_PER_DISPATCH)
        return [self._devices.shared_out(self._stages[stage].batch(number, member)) for number in numbers]

    def _loop(self, states: list[TrainingState], checkpoints: Checkpoints | None) -> list[TrainingState]:
        plan, began, first = self.plan, time.monotonic(), _updates(states)
        assert plan is not None
        now, saved, skipped = began, None, _skipped(states)
        with self._metrics() as log:
            while (done := _updates(states)) < plan.total:
                stage, each = plan.stage_at(done), plan.total // len(states)
                turns, member = divmod(plan.done_in_stage(done) // UPDATES_PER_DISPATCH, len(states))
                dispatched = []
                for windows in self._batches(stage, turns * UPDATES_PER_DISPATCH, member):
                    states[member], metrics = self._update(states[member], windows, self._source, each)
                    dispatched.append(metrics)
                logged = [{name: float(value) for name, value in one._asdict().items()} for one in dispatched]
                before, now, done = now, time.monotonic(), _updates(states)
                self._log(log, logged, done, plan.steps[stage], self._seconds + now - began)
                rate = (done - first) / (now - began)
                left = (plan.total - done) / rate if self.deadline is None else max(self.deadline - now, 0.0)
                self.progress(Progress(done, plan.total, logged[-1]["loss"], rate, left, plan.steps[stage]))
                if _skipped(states) - skipped >= MOST_SKIPPED:
                    raise StabilityError(
                        f"{MOST_SKIPPED} updates up to update {done} had no finite loss and gradient; lower "
                        "training.learning_rate or model.physics.courant_limit"
                    )
                if np.isfinite([[one["loss"], one["gradient_norm"]] for one in logged]).all():
                    skipped = _skipped(states)
                if self._pace is not None:
                    self.plan = plan = self._pace.revised(plan, done, now)
                stopping = self.stop() or (self.deadline is not None and now > self.deadline)
                compiles_next = done < plan.total and plan.stage_at(done) != stage
                due = stopping or compiles_next or done == plan.total or _is_due(saved, began, 2 * now - before)
                if due and checkpoints is not None:
                    so_far = {"steps": plan.steps, "updates": plan.updates, "seconds": self._seconds + now - began}
                    checkpoints.save(done, states, self._notes | so_far)
                    saved = now
                if stopping:
                    break
        if 0 < _updates(states) == _skipped(states):
            raise StabilityError("no update had a finite loss and gradient: nothing was learned; check the data")
        return states

    @contextmanager
    def _metrics(self) -> Iterator[TextIO | None]:
        """The log of the updates, to append to; None where nothing is written."""
        if self.folder is None:
            yield None
            return
        with appended_own(self.folder, METRICS) as held, os.fdopen(os.dup(held), "a", encoding="utf-8") as log:
            yield log

    def _forget_after(self, update: int) -> None:
        """Drops from the log what was done after the checkpoint, for it will be done again."""
        assert self.folder is not None
        done = (read_own_text(self.folder, METRICS) or "").splitlines(keepends=True)[:update]
        write_text(self.folder / METRICS, "".join(done))

    def _log(self, log: TextIO | None, logged: list[dict[str, float]], done: int, steps: int, seconds: float) -> None:
        if log is None:
            return
        for update, metrics in enumerate(logged, start=done - len(logged) + 1):
            finite = {name: value if np.isfinite(value) else None for name, value in metrics.items()}
            line = {"update": update, "wall_seconds": round(seconds, 3), **finite, "stage_steps": steps}
            log.write(json.dumps(line) + "\n")
        log.flush()


def windows_of(archive: Archive, model: ModelSettings, steps: int) -> Int32[np.ndarray, "window analysis"]:
    """Where in the archive the analyses stand that a rollout of so many steps learns from.

    Raises:
        DataError: nowhere are there so many in a row.
    """
    analyses = model.input_times + steps
    windows = window_indices(archive.times, model.step_hours, analyses - 1)
    if not len(windows):
        raise DataError(
            f"the training time holds no {analyses} analyses in a row {model.step_hours:g} h apart; "
            f"its {len(archive.times)} analyses are {archive.step_hours:g} h apart"
        )
    return windows


def _is_due(saved: float | None, began: float, then: float) -> bool:
    """Whether a checkpoint is due before the next updates, which end at `then`.

    The first is at once, the others are the rarer the longer this process has trained.
    """
    often = CHECKPOINT_FRACTION * (then - began)
    return saved is None or then - saved > min(max(often, FIRST_CHECKPOINTS_SECONDS), CHECKPOINT_SECONDS)


def _require_notes(notes: Any) -> None:
    """Raises:
    CheckpointError: what stands beside a training state is not what was written there.
    """
    try:
        checked(notes, CheckpointNotes)
    except NotARecord as error:
        raise CheckpointError(f"the training state is damaged ({error}); start afresh with --force") from None


def training_digest(config: Config) -> str:
    """What tells the settings that decide a training: not what is said of a model, nor what its forecasts say."""
    return hashlib.sha256(config.model_dump_json(exclude={"description", "output"}).encode()).hexdigest()


def _updates(states: Sequence[TrainingState]) -> int:
    return sum(int(state.update) for state in states)


def _skipped(states: Sequence[TrainingState]) -> int:
    return sum(int(state.skipped) for state in states)


def seconds_per_update(
    update: Callable[..., tuple[TrainingState, Any]], state: TrainingState, batches: Sequence[jax.Array], source: Source
) -> float:
    """What an update takes, the median over all batches but the first, which compiles; on a copy of the state."""
    state, seconds = copied(state), []
    for windows in batches:
        start = time.monotonic()
        state, _ = jax.block_until_ready(update(state, windows, source, 1000))
        seconds.append(time.monotonic() - start)
    return float(np.median(seconds[1:]))


def device_archive(archive: Archive, step_hours: float) -> Source:
    """The archive on the device, each time with the features of the middle of the step that begins there."""
    return device_archives([archive], step_hours)


def device_archives(archives: Sequence[Archive], step_hours: float) -> Source:
    """As `device_archive`, of several archives end to end."""
    middles = [archive.times + np.timedelta64(round(step_hours * 1800), "s") for archive in archives]
    fields = archives[0].fields if len(archives) == 1 else np.concatenate([archive.fields for archive in archives])
    return Source(jnp.asarray(fields), jnp.asarray(time_features(np.concatenate(middles))))
