"""The trainer: one loop for training, retraining, fine-tuning after pruning, and distillation.

A `Trainer` holds a model, the compiled update with its optimiser (`training.update`), a batch sampler for each stage
of the curriculum, and a stopping rule (`training.stopping`). It works in turns. In a turn one member of a deep ensemble
makes a few updates, which are queued on the device. Then the host reads their metrics, asks the rule whether to go on,
reports the progress, and hands a `Turn` to the callbacks. The log and the checkpoints are callbacks
(`training.recording`). All times come from one clock, which tests replace.

The weights after N updates depend on the seed, the data and the settings alone. The batches are numbered, so a resumed
training repeats the uninterrupted one bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pinnwx.config import Config
from pinnwx.data.archive import Archive
from pinnwx.errors import StabilityError
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.model.interface import Forecaster
from pinnwx.training.devices import Devices
from pinnwx.training.progress import Progress
from pinnwx.training.sampling import BatchSampler, Windows
from pinnwx.training.schedule import Plan
from pinnwx.training.stopping import StoppingRule
from pinnwx.training.update import TrainingState, copied, device_archives, make_loss, make_update, with_transport

UPDATES_PER_TURN = 4  # updates that are queued on the device before the host looks at their metrics
FEWEST_TIMED, MOST_TIMED = 3, 50  # updates of a warm-up
MOST_SKIPPED = 20  # skipped updates, with no turn without one in between, after which training ends
_TOTAL_OF_WARM_UP = 1000  # planned updates that the learning rate of the warm-up assumes; its result is dropped


@dataclass(frozen=True, eq=False)
class Hooks:
    """What a caller gives a training besides its settings.

    Attributes:
        progress: is called after each turn.
        stop: ends the training after the turn in which it returns true.
        clock: the time in seconds, from any origin. A deadline is a time of this clock.
    """

    progress: Callable[[Progress], None] = lambda _: None
    stop: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic


NO_HOOKS = Hooks()


@dataclass(frozen=True, eq=False)
class Turn:
    """The training after a turn.

    Attributes:
        states: of all members.
        metrics: of each update of the turn.
        update: updates of all members so far.
        plan: the plan from here on.
        stage: the stage of this turn.
        members: from each window.
        began: when this process began to train.
        now: the time.
        ended: why training ends after this turn; empty if it goes on.
    """

    states: Sequence[TrainingState]
    metrics: Sequence[dict[str, float]]
    update: int
    plan: Plan
    stage: int
    members: int
    began: float
    now: float
    ended: str

    @property
    def stage_steps(self) -> int:
        """The steps of the rollouts of this turn."""
        return self.plan.steps[self.stage]

    @property
    def precedes_compilation(self) -> bool:
        """Whether the next turn begins a stage, whose update may have to be compiled."""
        return self.update < self.plan.total and self.plan.stage_at(self.update) != self.stage


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """What a training ends with.

    Attributes:
        parameters: the averaged parameters of each member (nnx states of their `Param`s).
        optimiser: the optimiser state of each member, at the same update.
        updates: of all members together.
        plan: the planned updates of each stage.
        ended: why the training ended.
        early_stopping_errors: the error on the windows of early stopping, before the first update and at each check.
    """

    parameters: list[Any]
    optimiser: list[Any]
    updates: int
    plan: Plan
    ended: str = ""
    early_stopping_errors: tuple[float, ...] = ()

    @property
    def helped(self) -> bool:
        """Whether the error of early stopping was smaller at a check than before the first update."""
        return min(self.early_stopping_errors[1:], default=np.inf) < self.early_stopping_errors[0]


@dataclass(eq=False)
class Trainer:
    """Updates the weights of a model until its stopping rule ends that. One trainer serves one training.

    Attributes:
        model: the members of a deep ensemble take turns, and train independently.
        archives: on one grid; windows index into all of them, end to end.
        config: the settings of the model and of its training.
        scale: the unit of each field's error, (field, 1, 1).
        batches: of each stage of the curriculum.
        stopping: plans the updates and ends the training.
        hooks: progress, a request to stop, the clock.
        members: of the ensemble from each window, in each stage; 1 if there are none.
        states: of each member; arrays that an update takes over.
        plan: the planned updates.
    """

    model: Forecaster
    archives: Sequence[Archive]
    config: Config
    scale: np.ndarray
    batches: Sequence[BatchSampler]
    stopping: StoppingRule
    hooks: Hooks = NO_HOOKS
    members: Sequence[int] = ()
    states: list[TrainingState] = field(default_factory=list, init=False)
    plan: Plan = field(default=Plan((), ()), init=False)

    def __post_init__(self) -> None:
        settings, self._members = self.config.training, networks_of(self.model)
        self.clock, self._devices = self.hooks.clock, Devices()
        self._devices.require_even_shares(settings.batch_size)
        source = device_archives(self.archives, self.config.model.step_hours)
        if settings.precompute_transport and any(stage.steps == 1 for stage in settings.curriculum):
            source = with_transport(source, self._members[0])
        self._source = self._devices.on_all(source)
        # The members are alike but for their weights, so one compiled update serves them all.
        self._update = make_update(
            self._members[0],
            self.archives[0].grid,
            self.scale,
            settings,
            self._devices,
            self.config.model.step_hours,
        )
        self._skipped = 0  # updates since the last turn without a skipped one

    def run(
        self,
        states: Sequence[TrainingState],
        plan: Plan | None = None,
        callbacks: Sequence[Callable[[Turn], None]] = (),
    ) -> TrainingResult:
        """Trains from these states on, whose memory it takes over.

        Args:
            states: of each member.
            plan: of a training that is resumed; the stopping rule makes one if None.
            callbacks: are called after each turn, in this order.

        Raises:
            StabilityError: the loss or its gradient stays non-finite.
        """
        self.states = self._devices.on_all(list(states))
        self._updates = [int(state.update) for state in self.states]
        self.plan = self.stopping.plan(self) if plan is None else plan
        self._began, self._first_update, ended = self.clock(), sum(self._updates), ""
        while not ended and sum(self._updates) < self.plan.total:
            turn = self._turn()
            for callback in callbacks:
                callback(turn)
            self._require_finite(turn)
            ended = turn.ended
        updates = sum(self._updates)
        if 0 < updates == sum(int(state.skipped) for state in self.states):
            raise StabilityError("no update had a finite loss and gradient: nothing was learned; check the data")
        chosen = self.stopping.selected(self.states)
        return TrainingResult(
            [self._devices.from_all(state.average) for state in chosen],
            [state.optimiser for state in chosen],
            updates,
            self.plan,
            ended or f"all {self.plan.total} planned updates were done",
            self.stopping.errors,
        )

    @property
    def member_updates(self) -> tuple[int, ...]:
        """The updates of each member so far."""
        return tuple(self._updates)

    def seconds_per_update(self, stage: int, timed: float = 0.0) -> float:
        """Compiles the update of a stage and times it on a copy of the first state, for `timed` seconds.

        The first update, which compiles, does not count; of the others, `FEWEST_TIMED` to `MOST_TIMED`, the median
        does.
        """
        state, seconds = copied(self.states[0]), []
        while len(seconds) <= FEWEST_TIMED or (sum(seconds[1:]) < timed and len(seconds) <= MOST_TIMED):
            windows = self._batch(stage, len(seconds), 0)
            start = self.clock()
            state, _ = jax.block_until_ready(self._advanced(state, windows, _TOTAL_OF_WARM_UP, stage))
            seconds.append(self.clock() - start)
        return float(np.median(seconds[1:]))

    def validation_error(self, windows: Windows) -> float:
        """The loss of the averaged weights on these windows, the mean over the members."""
        rows = self._devices.on_all(jnp.asarray(windows))
        return float(np.mean([self._loss(state.average, rows, self._source) for state in self.states]))

    @cached_property
    def _loss(self) -> Callable[..., Any]:
        return make_loss(self._members[0], self.archives[0].grid, self.scale, self._devices)

    def _batch(self, stage: int, number: int, member: int) -> jax.Array:
        return self._devices.shared_out(self.batches[stage].batch(number, member))

    def _advanced(self, state: TrainingState, windows: jax.Array, total: int, stage: int) -> tuple[TrainingState, Any]:
        """The state after an update of a stage, and its metrics."""
        members = self._members_of(stage)
        return self._update(state, windows, self._source, total, members, self._averaged_from(stage))

    def _averaged_from(self, stage: int) -> int:
        """The update of a network at which the stages with as many members as this one began."""
        members = [self._members_of(number) for number in range(stage + 1)]
        first = next(number for number in range(stage, -1, -1) if number == 0 or members[number - 1] != members[stage])
        return self.plan.stage_begin(first) // len(self.states) if self.plan.steps else 0

    def _members_of(self, stage: int) -> int:
        return self.members[stage] if self.members else 1

    def _turn(self) -> Turn:
        """Some updates of the member that has made the fewest; then the rule decides."""
        stage = self.plan.stage_at(sum(self._updates))
        metrics = self._update_member(int(np.argmin(self._updates)), stage)
        update, now = sum(self._updates), self.clock()
        self.plan = self.stopping.revised(self.plan, update, now)
        self.hooks.progress(self._progress(update, now, metrics[-1]["loss"], stage))
        if self.hooks.stop():
            ended = f"it was stopped, {update} of {self.plan.total} planned updates were done"
        else:
            ended = self.stopping.reason_to_end(self)
        return Turn(self.states, metrics, update, self.plan, stage, self._members_of(stage), self._began, now, ended)

    def _progress(self, update: int, now: float, loss: float, stage: int) -> Progress:
        rate = (update - self._first_update) / max(now - self._began, 1e-9)
        left = self.stopping.seconds_left(now)
        if left is None:
            left = (self.plan.total - update) / rate
        return Progress(update, self.plan.total, loss, rate, left, self.plan.steps[stage])

    def _update_member(self, member: int, stage: int) -> list[dict[str, float]]:
        """The updates of a turn, and their metrics; the last line waits for the device."""
        each, before = self.plan.total // len(self.states), self._updates[member]
        first = before - self.plan.stage_begin(stage) // len(self.states)
        room = self.plan.stage_end(stage) // len(self.states) - before
        count = min(UPDATES_PER_TURN, room, self.stopping.updates_to_check(before))
        metrics = []
        for number in range(first, first + count):
            windows = self._batch(stage, number, member)
            self.states[member], one = self._advanced(self.states[member], windows, each, stage)
            metrics.append(one)
        self._updates[member] += count
        return [{name: float(value) for name, value in one._asdict().items()} for one in metrics]

    def _require_finite(self, turn: Turn) -> None:
        finite = np.isfinite([[one["loss"], one["gradient_norm"]] for one in turn.metrics]).all(axis=1)
        self._skipped = 0 if finite.all() else self._skipped + int((~finite).sum())
        if self._skipped >= MOST_SKIPPED:
            raise StabilityError(
                f"{MOST_SKIPPED} updates up to update {turn.update} had no finite loss and gradient; lower "
                "training.learning_rate or model.physics.courant_limit"
            )
