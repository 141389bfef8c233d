"""The schedule of a training: updates per stage of the curriculum, their revision, and the learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import jax.numpy as jnp
from jaxtyping import Array, Float

from pinnwx.config import Stage

REVISION_SECONDS = 30.0  # between two revisions of a plan,
REVISIONS = 20  # or this many in a short budget


@dataclass(frozen=True)
class Plan:
    """The updates of each stage: `updates[i]` on rollouts of `steps[i]` steps, one stage after another."""

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

    def stage_begin(self, stage: int) -> int:
        """The first update of this stage."""
        return sum(self.updates[:stage])

    def stage_end(self, stage: int) -> int:
        """The first update after this stage."""
        return sum(self.updates[: stage + 1])

    def done_in_stage(self, update: int) -> int:
        """The number of updates of the same stage before this one."""
        return update - self.stage_begin(self.stage_at(update))


def plan_updates(curriculum: Sequence[Stage], total: int, multiple: int = 1) -> Plan:
    """Splits `total` updates by the fractions of the stages; every stage gets a positive multiple of `multiple`."""
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
    """The plan whose remaining updates take `seconds`, given the seconds of an update of each stage.

    `done` counts the updates of each stage that has begun. The earlier ones of these are complete; the last goes on to
    its fraction of the new total. As in `plan_updates`, every stage gets a positive multiple of `multiple`.
    """
    complete, current = tuple(done[:-1]), sum(done[-1:])
    remaining = list(zip((stage.fraction for stage in curriculum), seconds_per_update, strict=True))[len(complete) :]
    # seconds = sum over the remaining stages of (fraction * total - updates done) * cost, solved for the total.
    total = (max(seconds, 0.0) + current * remaining[0][1]) / sum(fraction * cost for fraction, cost in remaining)
    counts = [max(int(total * fraction / multiple), 1) * multiple for fraction, _ in remaining]
    counts[0] = max(counts[0], current)
    return Plan(tuple(stage.steps for stage in curriculum), (*complete, *counts))


@dataclass
class Pace:
    """Revises a plan on a machine whose speed changes, so that it meets its deadline.

    All stages are assumed to become slower or faster by the same factor as the present one.

    Attributes:
        curriculum: the stages.
        deadline: of the same clock as `now` below.
        seconds_per_update: of each stage, from the warm-up.
        multiple: of which every stage gets a whole number.
    """

    curriculum: Sequence[Stage]
    deadline: float
    seconds_per_update: Sequence[float]
    multiple: int = 1
    _since: tuple[int, int, float] | None = field(default=None, init=False)  # stage, updates done, clock
    _every: float = field(default=REVISION_SECONDS, init=False)

    def plan(self, now: float) -> Plan:
        """The first plan."""
        self._every = min(REVISION_SECONDS, (self.deadline - now) / REVISIONS)
        return plan_within(self.deadline - now, self.curriculum, self.seconds_per_update, self.multiple)

    def revised(self, plan: Plan, update: int, now: float) -> Plan:
        """The plan after `update` updates: unchanged, or a new one if the last revision is long enough ago."""
        stage, in_stage = plan.stage_at(update), plan.done_in_stage(update)
        if self._since is None or self._since[0] != stage:
            self._since = (stage, update, now)
        _, before, then = self._since
        if update == before or now - then < self._every or in_stage % self.multiple:
            return plan
        self._since = (stage, update, now)
        slower = (now - then) / (update - before) / self.seconds_per_update[stage]
        costs = [slower * cost for cost in self.seconds_per_update]
        done = (*plan.updates[:stage], in_stage)
        return plan_within(self.deadline - now, self.curriculum, costs, self.multiple, done)


def learning_rate(
    progress: Float[Array, ""], peak: float, warmup_fraction: float, final_fraction: float = 0.01
) -> Float[Array, ""]:
    """Linear rise to `peak`, then half a cosine down to `final_fraction` of it; `progress` runs from 0 to 1."""
    rise = progress / max(warmup_fraction, 1e-6)
    fall = jnp.clip((progress - warmup_fraction) / (1 - warmup_fraction), 0.0, 1.0)
    decay = final_fraction + (1 - final_fraction) * 0.5 * (1 + jnp.cos(jnp.pi * fall))
    return peak * jnp.where(progress < warmup_fraction, rise, decay)
