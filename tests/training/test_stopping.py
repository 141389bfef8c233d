"""Stopping rules: what they plan, when they end a training, and which state is its result."""

import numpy as np
import pytest

from pinnwx.config import Stage
from pinnwx.training.schedule import Plan
from pinnwx.training.stopping import CHECKS, PATIENCE, TIMED_FRACTION, EarlyStopping, UpdateCount, WallClock
from pinnwx.training.update import TrainingState

CURRICULUM = (Stage(steps=1, fraction=0.5), Stage(steps=4, fraction=0.5))
NO_WINDOWS = np.zeros((1, 2), np.int32)


class FakeTrainer:
    """A trainer on a clock of its own: a warm-up takes 10 s, an update of a stage `costs[stage]`, a check 1 s."""

    def __init__(self, members=1, errors=(), costs=(1.0, 3.0)):
        self.now, self.costs, self.errors, self.timed = 0.0, costs, iter(errors), []
        self.done, self.plan = [0] * members, Plan((), ())

    @property
    def states(self):
        return [TrainingState(None, None, None, np.array(done), np.array(0)) for done in self.done]

    @property
    def member_updates(self):
        return tuple(self.done)

    def clock(self):
        return self.now

    def seconds_per_update(self, stage, timed):
        self.timed.append(timed)
        self.now += 10.0
        return self.costs[stage]

    def validation_error(self, _):
        self.now += 1.0
        return next(self.errors)

    def run(self, rule) -> str:
        """The loop of the trainer, with turns of at most 4 updates."""
        self.plan = rule.plan(self)
        while sum(self.done) < self.plan.total:
            member = int(np.argmin(self.done))
            room = self.plan.total // len(self.done) - self.done[member]
            self.done[member] += min(4, room, rule.updates_to_check(self.done[member]))
            self.now += 1.0
            if ended := rule.reason_to_end(self):
                return ended
        return ""


@pytest.fixture(autouse=True)
def _states_are_copied_as_they_are(monkeypatch):
    monkeypatch.setattr("pinnwx.training.stopping.copied", list)


def selected(rule, trainer) -> list[int]:
    """The updates behind the states that are the result."""
    return [int(state.update) for state in rule.selected(trainer.states)]


def test_a_count_needs_no_clock():
    trainer = FakeTrainer()
    rule = UpdateCount(CURRICULUM, 40, multiple=4)
    assert trainer.run(rule) == ""
    assert (trainer.plan.updates, sum(trainer.done)) == ((20, 20), 40)
    assert selected(rule, trainer) == [40]
    assert rule.errors == ()


def test_a_wall_clock_plans_what_fits_after_the_warm_up():
    rule = WallClock(CURRICULUM, deadline=420.0, multiple=4)
    trainer = FakeTrainer()
    assert rule.plan(trainer).updates == (100, 100), "400 s at a mean of 2 s"
    assert trainer.timed == [420.0 * TIMED_FRACTION] * 2
    assert rule.seconds_left(410.0) == 10.0
    assert rule.seconds_left(430.0) == 0.0


def test_a_budget_that_compiling_would_take_up_leaves_out_long_rollouts():
    assert WallClock(CURRICULUM, deadline=40.0).plan(FakeTrainer()) == Plan((1,), (30,))


def test_time_is_reserved_for_other_work():
    assert WallClock(CURRICULUM[:1], deadline=110.0, reserved=lambda: 60.0).plan(FakeTrainer()).total == 40


def test_a_resumed_training_has_its_plan_and_a_deadline():
    trainer, rule, plan = FakeTrainer(), WallClock(CURRICULUM, deadline=5.0), Plan((1, 4), (8, 8))
    trainer.plan, trainer.done = plan, [4]
    assert rule.revised(plan, 4, 3.0) is plan
    assert rule.reason_to_end(trainer) == ""
    trainer.now = 6.0
    assert rule.reason_to_end(trainer) == "its time was up, 4 of 16 planned updates were done"


@pytest.mark.parametrize("members", [1, 3])
def test_early_stopping_checks_all_members_at_equal_intervals(members):
    rule = EarlyStopping(UpdateCount(CURRICULUM[:1], 100 * members, members), NO_WINDOWS)
    trainer = FakeTrainer(members, errors=np.arange(CHECKS + 1.0, 0.0, -1.0))
    assert trainer.run(rule) == ""
    assert trainer.done == [100] * members
    assert len(rule.errors) == 1 + CHECKS


def test_the_result_is_the_state_of_the_smallest_error():
    errors = [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    trainer = FakeTrainer(errors=errors)
    rule = EarlyStopping(UpdateCount(CURRICULUM[:1], 100), NO_WINDOWS)
    ended = trainer.run(rule)
    assert ended == "the error of early stopping fell no more, 90 of 100 planned updates were done"
    assert rule.errors == tuple(errors[: 7 + PATIENCE])
    assert selected(rule, trainer) == [60]


def test_an_error_that_is_not_finite_is_never_the_smallest():
    trainer = FakeTrainer(errors=[2.0, np.nan, 1.0, *[np.nan] * 20])
    rule = EarlyStopping(UpdateCount(CURRICULUM[:1], 100), NO_WINDOWS)
    trainer.run(rule)
    assert selected(rule, trainer) == [20]


def test_what_was_learned_before_the_deadline_is_checked_once_more():
    """The plan assumes updates of 0.1 s; turns take 1 s."""
    trainer = FakeTrainer(errors=np.arange(50.0, 0.0, -1.0), costs=(0.1,))
    rule = EarlyStopping(WallClock(CURRICULUM[:1], deadline=42.0), NO_WINDOWS)
    ended = trainer.run(rule)
    assert trainer.plan.total == 200, "42 s less two checks, the warm-up and ten checks"
    assert ended.startswith("its time was up")
    assert selected(rule, trainer) == trainer.done
    assert trainer.done[0] % 20, "between two checks of the plan"
