"""Several forecasters that learned apart: each step of a forecast is the mean of their steps.

What one small network got wrong by chance of its first weights and of the order of its lessons, another got wrong
differently (a committee machine; Perrone and Cooper 1993). Bounds, signs and integrals that every member keeps, the
mean keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from pinnwx.model.frames import Frame
from pinnwx.model.interface import Analyses, Fields, Forecaster, Learned, Parts, Time


class Committee(nnx.Module):
    """A forecaster of which every step is the mean of its members'."""

    def __init__(self, members: Sequence[Forecaster]):
        self.members = nnx.List(members)
        first = members[0]
        self.input_times, self.frames, self.is_driven = first.input_times, first.frames, first.is_driven

    def start(self, analyses: Analyses, time: Time, frame: Frame | None = None) -> Any:
        return self._mean(lambda member: member.start(analyses, time, frame))

    def advance(self, carry: Any, time: Time, frame: Frame | None = None, driving: Fields | None = None) -> Any:
        return self._mean(lambda member: member.advance(carry, time, frame, driving))

    def observe(self, carry: Any, time: Time, frame: Frame | None = None) -> Fields:
        return self._mean(lambda member: member.observe(carry, time, frame))

    def parts(self, carry: Any, time: Time, frame: Frame | None = None, driving: Fields | None = None) -> Parts:
        return self._mean(lambda member: member.parts(carry, time, frame, driving))

    def learned(self, carry: Any, time: Time, frame: Frame | None = None, driving: Fields | None = None) -> Learned:
        return self._mean(lambda member: member.learned(carry, time, frame, driving))

    def _mean(self, of: Callable[[Forecaster], Any]) -> Any:
        """Exact where the members agree, and positive where they all are.

        The members differ in their weights alone: so what is asked of them is traced and compiled for one of them, and
        they take turns in a loop.
        """
        graph, _, fixed = nnx.split(self.members[0], nnx.Param, ...)
        weights = [nnx.state(member, nnx.Param) for member in self.members]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *weights)
        made = jax.lax.map(lambda own: of(nnx.merge(graph, own, fixed)), stacked)

        def mean(each: jax.Array) -> jax.Array:
            return each[0] + jnp.sum(each[1:] - each[0], axis=0) / len(self.members)

        return jax.tree.map(mean, made)


def members_of(model: Forecaster) -> list[Forecaster]:
    """The forecasters to train: the members of a committee, or the model itself."""
    return list(model.members) if isinstance(model, Committee) else [model]


def give_weights(model: Forecaster, parameters: Sequence[Any]) -> None:
    """Gives each of `members_of(model)` its own of these nnx states of `Param`s."""
    for member, learned in zip(members_of(model), parameters, strict=True):
        nnx.update(member, learned)
