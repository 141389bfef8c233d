"""Stopping rules: how many updates a training makes, and what ends it earlier.

- `UpdateCount`: a fixed number of updates. Such a training repeats bit for bit.
- `WallClock`: the updates that fit before a deadline, by a timed warm-up.
- `EarlyStopping`: one of these, but only as long as the error on windows that are not trained on falls.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pinnwx.config import Stage
from pinnwx.training.sampling import Windows
from pinnwx.training.schedule import Pace, Plan, plan_updates
from pinnwx.training.update import TrainingState, copied

if TYPE_CHECKING:
    from pinnwx.training.trainer import Trainer

_log = logging.getLogger(__name__)
COMPILING_FRACTION = 0.25  # of a wall-clock budget; stages that are not compiled by then are left out
# A plan needs the cost of one stage relative to another, and the time of three updates may be wrong by a third.
TIMED_FRACTION = 0.005  # of a wall-clock budget in which the update of each stage is timed
CHECKS = 10  # checks of a training that early stopping does not end
PATIENCE = 3  # checks without a smaller error that end a training in its second half; in the first half the learning
# rate rises again, which may increase the error for a while
_NEVER = 2**31


class StoppingRule(ABC):
    """Plans the updates of a training and ends it. One rule serves one training."""

    @abstractmethod
    def plan(self, trainer: Trainer) -> Plan:
        """The planned updates of all members together."""

    def revised(self, plan: Plan, update: int, now: float) -> Plan:  # noqa: ARG002
        """The plan from here on, after `update` updates."""
        return plan

    def updates_to_check(self, member_updates: int) -> int:  # noqa: ARG002
        """The updates that a member with so many may make before `reason_to_end` has to be asked."""
        return _NEVER

    def reason_to_end(self, trainer: Trainer) -> str:  # noqa: ARG002
        """Why the training ends before its plan is complete; empty if it goes on."""
        return ""

    def seconds_left(self, now: float) -> float | None:  # noqa: ARG002
        """The time until the training ends; None if that follows from the rate of the updates."""
        return None

    def selected(self, states: Sequence[TrainingState]) -> Sequence[TrainingState]:
        """The states that are the result; `states` are the last ones."""
        return states

    @property
    def errors(self) -> tuple[float, ...]:
        """The errors of early stopping, before the first update and at each check; none for other rules."""
        return ()


@dataclass(eq=False)
class UpdateCount(StoppingRule):
    """A fixed number of updates.

    Attributes:
        curriculum: its stages share the updates.
        updates: of all members together.
        multiple: of which every stage gets a whole number.
    """

    curriculum: Sequence[Stage]
    updates: int
    multiple: int = 1

    def plan(self, trainer: Trainer) -> Plan:  # noqa: ARG002
        return plan_updates(self.curriculum, self.updates, self.multiple)


@dataclass(eq=False)
class WallClock(StoppingRule):
    """As many updates as fit before a deadline.

    Each stage is compiled, and timed on a copy of the first state for `TIMED_FRACTION` of the budget; that gives the
    plan. The plan is revised as the machine becomes faster or slower. Updates after the deadline are left out.

    Longer rollouts take longer to compile. After `COMPILING_FRACTION` of the budget the stages that remain are left
    out: a short budget is better spent on short rollouts.

    Attributes:
        curriculum: its stages share the updates.
        deadline: by the clock of the trainer.
        multiple: of which every stage gets a whole number.
        reserved: the seconds that are left for other work before the deadline, measured after the warm-up.
    """

    curriculum: Sequence[Stage]
    deadline: float
    multiple: int = 1
    reserved: Callable[[], float] = lambda: 0.0
    _pace: Pace | None = field(default=None, init=False)

    def plan(self, trainer: Trainer) -> Plan:
        began = trainer.clock()
        timed, compiling = (fraction * (self.deadline - began) for fraction in (TIMED_FRACTION, COMPILING_FRACTION))
        seconds = [trainer.seconds_per_update(0, timed)]
        while len(seconds) < len(self.curriculum) and trainer.clock() < began + compiling:
            seconds.append(trainer.seconds_per_update(len(seconds), timed))
        if len(seconds) < len(self.curriculum):
            left_out = self.curriculum[len(seconds) :]
            stages = ", ".join(f"{stage.steps} step(s)" + _members(stage) for stage in left_out)
            _log.info("note: the budget is too short for rollouts of %s", stages)
            trained = max(stage.members for stage in self.curriculum[: len(seconds)])
            if trained == 1 < max(stage.members for stage in left_out):
                _log.warning("warning: model.noise is not trained and does nothing in ensembles; give more --minutes")
        deadline = self.deadline - self.reserved()
        self._pace = Pace(self.curriculum[: len(seconds)], deadline, seconds, self.multiple)
        return self._pace.plan(trainer.clock())

    def revised(self, plan: Plan, update: int, now: float) -> Plan:
        return plan if self._pace is None else self._pace.revised(plan, update, now)

    def reason_to_end(self, trainer: Trainer) -> str:
        return _so_far("its time was up", trainer) if trainer.clock() > self.deadline else ""

    def seconds_left(self, now: float) -> float:
        return max(self.deadline - now, 0.0)


def _members(stage: Stage) -> str:
    return f" with {stage.members} members" if stage.members > 1 else ""


@dataclass(eq=False)
class EarlyStopping(StoppingRule):
    """Ends a training when the error on windows that are not trained on stops falling.

    The error is that of the averaged weights. It is checked at `CHECKS` equal intervals. The result is the state with
    the smallest error. The plan is not revised, because the checks divide it.

    Attributes:
        budget: plans the updates.
        windows: rows of indices into the archive of the trainer.
    """

    budget: UpdateCount | WallClock
    windows: Windows
    _errors: list[float] = field(default_factory=list, init=False)
    _interval: int = field(default=1, init=False)  # updates of a member between two checks
    _checked_at: int = field(default=0, init=False)  # updates of all members at the last check
    _best: Sequence[TrainingState] = field(default=(), init=False)

    def plan(self, trainer: Trainer) -> Plan:
        self._check(trainer)
        if isinstance(self.budget, WallClock):
            self.budget.reserved = lambda: CHECKS * self._seconds_per_check(trainer)
        plan = self.budget.plan(trainer)
        self._interval = -(-plan.total // len(trainer.states) // CHECKS)
        return plan

    def updates_to_check(self, member_updates: int) -> int:
        return self._interval - member_updates % self._interval

    def reason_to_end(self, trainer: Trainer) -> str:
        own, each = set(trainer.member_updates), trainer.plan.total // len(trainer.states)
        if len(own) == 1 and (max(own) % self._interval == 0 or max(own) == each):
            self._check(trainer)
            if len(self._errors) > PATIENCE + max(int(np.argmin(self._errors)), CHECKS // 2):
                return _so_far("the error of early stopping fell no more", trainer)
        reason = self.budget.reason_to_end(trainer)
        if reason and self._checked_at < sum(trainer.member_updates):
            self._check(trainer)
        return reason

    def selected(self, states: Sequence[TrainingState]) -> Sequence[TrainingState]:  # noqa: ARG002
        return self._best

    @property
    def errors(self) -> tuple[float, ...]:
        return tuple(self._errors)

    def _check(self, trainer: Trainer) -> None:
        """Measures the error; copies the states if it is the smallest so far, because updates take them over."""
        error = trainer.validation_error(self.windows)
        if not self._errors or error < min(self._errors):
            self._best = copied(trainer.states)
        self._errors.append(error)
        self._checked_at = sum(trainer.member_updates)

    def _seconds_per_check(self, trainer: Trainer) -> float:
        began = trainer.clock()
        trainer.validation_error(self.windows)
        return trainer.clock() - began


def _so_far(reason: str, trainer: Trainer) -> str:
    return f"{reason}, {sum(trainer.member_updates)} of {trainer.plan.total} planned updates were done"
