"""How many updates of which kind: the curriculum, the wall-clock budget, the learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

from pinnwx.config import Stage


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


def plan_updates(curriculum: Sequence[Stage], total: int, multiple: int = 1) -> Plan:
    """Splits `total` updates by the shares; every stage gets a whole number of `multiple` updates, at least one."""
    whole = sum(stage.share for stage in curriculum)
    counts = [max(round(total * stage.share / whole / multiple), 1) * multiple for stage in curriculum]
    return Plan(tuple(stage.steps for stage in curriculum), tuple(counts))


def updates_within(seconds: float, curriculum: Sequence[Stage], seconds_per_update: Sequence[float]) -> int:
    """The number of updates that fits into `seconds`, given what one update of each stage takes."""
    whole = sum(stage.share for stage in curriculum)
    mean = sum(stage.share / whole * cost for stage, cost in zip(curriculum, seconds_per_update, strict=True))
    return max(int(seconds / mean), len(curriculum))


def learning_rate(
    progress: Float[Array, ""], peak: float, warmup_share: float, final_share: float = 0.01
) -> Float[Array, ""]:
    """Linear rise to `peak`, then half a cosine down to `final_share` of it; `progress` runs from 0 to 1."""
    rise = progress / max(warmup_share, 1e-6)
    fall = jnp.clip((progress - warmup_share) / (1 - warmup_share), 0.0, 1.0)
    decay = final_share + (1 - final_share) * 0.5 * (1 + jnp.cos(jnp.pi * fall))
    return peak * jnp.where(progress < warmup_share, rise, decay)
