"""How many updates of which kind: the curriculum, the wall-clock budget, the learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import jax.numpy as jnp
from jaxtyping import Array, Float

from pinnwx.config import Stage

REVISION_SECONDS = 30.0  # after which a plan is made anew from what updates take now; a short budget has
REVISIONS = 20  # times for it


@dataclass(frozen=True)
class Plan:
    """The curriculum in numbers: `updates[i]` updates on rollouts of `steps[i]` steps, one stage after another."""

    steps: tuple[int, ...]
    updates: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.updates)

    def stage_at(self, update: int) -> int:
        """The stage that this update (counted from 0) belongs to."""
        end = 0
        for stage, count in enumerate(self.updates):
            end += count
            if update < end:
                return stage
        return len(self.updates) - 1

    def stage_end(self, stage: int) -> int:
        """The first update after this stage."""
        return sum(self.updates[: stage + 1])

    def done_in_stage(self, update: int) -> int:
        """How many updates of its stage come before this one."""
        stage = self.stage_at(update)
        return update - self.stage_end(stage) + self.updates[stage]


def plan_updates(curriculum: Sequence[Stage], total: int, multiple: int = 1) -> Plan:
    """Splits `total` updates by the shares; every stage gets a whole number of `multiple` updates, at least one."""
    whole = sum(stage.fraction for stage in curriculum)
    counts = [max(round(total * stage.fraction / whole / multiple), 1) * multiple for stage in curriculum]
    return Plan(tuple(stage.steps for stage in curriculum), tuple(counts))


def plan_within(
    seconds: float,
    curriculum: Sequence[Stage],
    seconds_per_update: Sequence[float],
    multiple: int = 1,
    done: Sequence[int] = (),
) -> Plan:
    """The plan that takes `seconds` more, given what one update of each stage takes.

    Of the stages that have begun, `done` counts the updates: the earlier ones are over, and the last goes on as far as
    its share of the new total. As in `plan_updates`, a stage has a whole number of `multiple` updates, at least one.
    """
    before, now = tuple(done[:-1]), sum(done[-1:])
    left = list(zip((stage.fraction for stage in curriculum), seconds_per_update, strict=True))[len(before) :]
    # Seconds left = sum over the stages left of (share * total - done so far) * cost, solved for the total.
    total = (max(seconds, 0.0) + now * left[0][1]) / sum(fraction * cost for fraction, cost in left)
    counts = [max(int(total * fraction / multiple), 1) * multiple for fraction, _ in left]
    counts[0] = max(counts[0], now)
    return Plan(tuple(stage.steps for stage in curriculum), (*before, *counts))


@dataclass
class Pace:
    """Keeps a plan to its deadline on a machine whose speed changes.

    `seconds_per_update` is what one update of each stage took when the plan was made; a stage that has not begun is
    taken to have become slower or faster by as much as the present one. `deadline` and `now` are of one clock.
    """

    curriculum: Sequence[Stage]
    deadline: float
    seconds_per_update: Sequence[float]
    multiple: int = 1
    _since: tuple[int, int, float] | None = field(default=None, init=False)  # stage, updates done, clock
    _every: float = field(default=REVISION_SECONDS, init=False)

    def plan(self, now: float) -> Plan:
        """The plan at the outset."""
        self._every = min(REVISION_SECONDS, (self.deadline - now) / REVISIONS)
        return plan_within(self.deadline - now, self.curriculum, self.seconds_per_update, self.multiple)

    def revised(self, plan: Plan, update: int, now: float) -> Plan:
        """The plan from here on, after `update` updates: the same, or now and then a new one."""
        stage, so_far = plan.stage_at(update), plan.done_in_stage(update)
        if self._since is None or self._since[0] != stage:
            self._since = (stage, update, now)
        _, before, then = self._since
        if update == before or now - then < self._every or so_far % self.multiple:
            return plan
        self._since = (stage, update, now)
        slower = (now - then) / (update - before) / self.seconds_per_update[stage]
        costs = [slower * cost for cost in self.seconds_per_update]
        done = (*plan.updates[:stage], so_far)
        return plan_within(self.deadline - now, self.curriculum, costs, self.multiple, done)


def learning_rate(
    progress: Float[Array, ""], peak: float, warmup_fraction: float, final_fraction: float = 0.01
) -> Float[Array, ""]:
    """Linear rise to `peak`, then half a cosine down to `final_fraction` of it; `progress` runs from 0 to 1."""
    rise = progress / max(warmup_fraction, 1e-6)
    fall = jnp.clip((progress - warmup_fraction) / (1 - warmup_fraction), 0.0, 1.0)
    decay = final_fraction + (1 - final_fraction) * 0.5 * (1 + jnp.cos(jnp.pi * fall))
    return peak * jnp.where(progress < warmup_fraction, rise, decay)
