"""Several forecasters that learned apart: each step of a forecast is the mean of their steps.

What one small network got wrong by chance of its first weights and of the order of its lessons, another got wrong
differently (Perrone and Cooper 1993). Bounds, signs and integrals that every network keeps, the
mean keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from pinnwx.model.closures.channels import ChannelGroup
from pinnwx.model.interface import Analyses, Fields, Forecaster, LearnedFields, TendencyTerms, Time
from pinnwx.model.views import View


class DeepEnsemble(nnx.Module):
    """A forecaster of which every step is the mean of its networks'."""

    def __init__(self, networks: Sequence[Forecaster]):
        self.networks = nnx.List(networks)
        first = networks[0]
        self.input_times, self.views, self.has_lateral_boundary = (
            first.input_times,
            first.views,
            first.has_lateral_boundary,
        )

    def start(self, analyses: Analyses, time: Time, view: View | None = None) -> Any:
        return self._mean(lambda network: network.start(analyses, time, view))

    def advance(self, carry: Any, time: Time, view: View | None = None, lateral_boundary: Fields | None = None) -> Any:
        return self._mean(lambda network: network.advance(carry, time, view, lateral_boundary))

    def to_fields(self, carry: Any, time: Time, view: View | None = None) -> Fields:
        return self._mean(lambda network: network.to_fields(carry, time, view))

    def tendency_terms(
        self, carry: Any, time: Time, view: View | None = None, lateral_boundary: Fields | None = None
    ) -> TendencyTerms:
        return self._mean(lambda network: network.tendency_terms(carry, time, view, lateral_boundary))

    def channel_groups(self) -> list[ChannelGroup]:
        return self.networks[0].channel_groups()

    def learned_fields(
        self, carry: Any, time: Time, view: View | None = None, lateral_boundary: Fields | None = None
    ) -> LearnedFields:
        return self._mean(lambda network: network.learned_fields(carry, time, view, lateral_boundary))

    def _mean(self, of: Callable[[Forecaster], Any]) -> Any:
        """Exact where the networks agree, and positive where they all are.

        The networks differ in their weights alone: so what is asked of them is traced and compiled for one of them, and
        they take turns in a loop.
        """
        graph, _, fixed = nnx.split(self.networks[0], nnx.Param, ...)
        weights = [nnx.state(network, nnx.Param) for network in self.networks]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *weights)
        made = jax.lax.map(lambda own: of(nnx.merge(graph, own, fixed)), stacked)

        def mean(each: jax.Array) -> jax.Array:
            return each[0] + jnp.sum(each[1:] - each[0], axis=0) / len(self.networks)

        return jax.tree.map(mean, made)


def networks_of(model: Forecaster) -> list[Forecaster]:
    """The forecasters to train: the networks of a deep ensemble, or the model itself."""
    return list(model.networks) if isinstance(model, DeepEnsemble) else [model]


def give_weights(model: Forecaster, parameters: Sequence[Any]) -> None:
    """Gives each of `networks_of(model)` its own of these nnx states of `Param`s."""
    for network, learned in zip(networks_of(model), parameters, strict=True):
        nnx.update(network, learned)
