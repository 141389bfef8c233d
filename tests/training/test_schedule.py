"""How many updates of which kind, and how fast: numbers that a budget can rely on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinnwx.config import Stage
from pinnwx.training.schedule import REVISIONS, Pace, Plan, learning_rate, plan_updates, plan_within

STAGES = st.lists(
    st.builds(Stage, steps=st.integers(1, 12), fraction=st.floats(0.05, 10.0)), min_size=1, max_size=4
).map(tuple)


@settings(deadline=None)
@given(curriculum=STAGES, total=st.integers(1, 100_000), multiple=st.integers(1, 8))
def test_a_plan_follows_the_shares(curriculum, total, multiple):
    plan = plan_updates(curriculum, total, multiple)
    assert plan.steps == tuple(stage.steps for stage in curriculum)
    assert all(count >= multiple and count % multiple == 0 for count in plan.updates)
    whole = sum(stage.fraction for stage in curriculum)
    for stage, count in zip(curriculum, plan.updates, strict=True):
        assert abs(count - total * stage.fraction / whole) <= multiple
    assert plan.total == sum(plan.updates)


@settings(deadline=None)
@given(curriculum=STAGES, total=st.integers(1, 1000), data=st.data())
def test_every_update_belongs_to_one_stage(curriculum, total, data):
    plan = plan_updates(curriculum, total)
    update = data.draw(st.integers(0, plan.total - 1))
    stage = plan.stage_at(update)
    assert plan.stage_end(stage) - plan.updates[stage] <= update < plan.stage_end(stage)
    assert plan.stage_at(plan.total) == len(curriculum) - 1


def test_stages_follow_each_other():
    plan = Plan((1, 4), (8, 4))
    assert [plan.stage_at(update) for update in range(12)] == [0] * 8 + [1] * 4
    assert (plan.stage_end(0), plan.stage_end(1), plan.total) == (8, 12, 12)


COSTS = st.lists(st.floats(1e-3, 5.0), min_size=4, max_size=4)


@settings(deadline=None)
@given(curriculum=STAGES, seconds=st.floats(1.0, 1e5), costs=COSTS, multiple=st.integers(1, 8))
def test_the_updates_fit_into_the_time(curriculum, seconds, costs, multiple):
    costs = costs[: len(curriculum)]
    plan = plan_within(seconds, curriculum, costs, multiple)
    needed = np.dot(plan.updates, costs)
    least = multiple * sum(costs)
    assert all(count >= multiple and count % multiple == 0 for count in plan.updates)
    assert needed <= seconds + least * (1 + 1e-9), "not longer than the time, but for one round of every stage"
    assert needed > seconds - least * (1 + 1e-9), "and no round less than fits"


@settings(deadline=None)
@given(curriculum=STAGES, total=st.integers(100, 10_000), costs=COSTS, data=st.data())
def test_a_plan_made_anew_goes_on_with_the_old_one(curriculum, total, costs, data):
    costs = costs[: len(curriculum)]
    plan = plan_updates(curriculum, total)
    update = data.draw(st.integers(0, plan.total - 1))
    stage = plan.stage_at(update)
    done = (*plan.updates[:stage], update - plan.stage_end(stage) + plan.updates[stage])
    left = np.dot(plan.updates, costs) - np.dot(done, costs[: stage + 1])
    again = plan_within(left, curriculum, costs, done=done)
    assert again.updates[:stage] == plan.updates[:stage]
    assert again.updates[stage] >= done[-1]
    for before, after, cost in zip(plan.updates, again.updates, costs, strict=True):
        assert abs(before - after) <= 2 + 2 * sum(costs) / cost, "rounding, in updates of this stage"


def test_no_time_is_still_one_update_a_stage():
    assert plan_within(0.0, (Stage(steps=1, fraction=1.0), Stage(steps=4, fraction=3.0)), (0.1, 0.4)).updates == (1, 1)


@pytest.mark.parametrize("slower", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("deadline", [60.0, 600.0])
def test_the_plan_follows_the_machine(slower, deadline):
    """A run on a clock of its own, on a machine that is `slower` than when the plan was made."""
    costs = 0.1 * deadline / 600, 0.5 * deadline / 600
    curriculum = Stage(steps=1, fraction=0.8), Stage(steps=4, fraction=0.2)
    pace, now, update = Pace(curriculum, deadline, costs, multiple=4), 0.0, 0
    plan = first = pace.plan(now)
    while update < plan.total:
        now += 4 * slower * costs[plan.stage_at(update)]
        update += 4
        plan = pace.revised(plan, update, now)
    assert now == pytest.approx(deadline, abs=deadline / REVISIONS), "neither idle nor late"
    assert plan.updates[0] / plan.total == pytest.approx(0.8, abs=0.03), "the shares are kept"
    assert plan.total == pytest.approx(first.total / slower, rel=0.07)


@settings(deadline=None)
@given(warmup=st.floats(0.0, 0.9), peak=st.floats(1e-6, 1.0))
def test_learning_rate_rises_to_its_peak_and_falls_to_a_hundredth(warmup, peak):
    def rate(progress):
        return float(learning_rate(jnp.float32(progress), peak, warmup))

    assert rate(warmup) == pytest.approx(peak, rel=1e-3)
    assert rate(1.0) == pytest.approx(0.01 * peak, rel=1e-3)
    assert rate(0.5 * (1 + warmup)) == pytest.approx(0.505 * peak, rel=1e-3)
    if warmup > 0.01:
        assert rate(0.0) == 0.0
        assert rate(0.5 * warmup) == pytest.approx(0.5 * peak, rel=1e-3)


def test_learning_rate_has_no_jump():
    progress = jnp.linspace(0, 1, 2001)
    rates = np.asarray(jax.vmap(lambda p: learning_rate(p, 1.0, 0.1))(progress))
    assert np.abs(np.diff(rates)).max() < 0.006  # the rise is 1 in 200 of these steps
    assert (np.diff(rates[200:]) <= 1e-7).all()
