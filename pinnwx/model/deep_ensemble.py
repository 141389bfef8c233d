"""A deep ensemble: forecasters with different weights, of which each step of a forecast is the mean.

A small network has high variance: its errors depend on its first weights and on the order of its training windows. The
mean of several networks reduces it (Perrone and Cooper 1993). Bounds, signs and integrals that every network preserves
are preserved by the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from pinnwx.model.closures.channels import ChannelGroup
from pinnwx.model.inputs import Inputs
from pinnwx.model.interface import Analyses, ExplainedStep, Fields, Forecaster
from pinnwx.model.step_context import StepContext


class DeepEnsemble(nnx.Module):
    """A forecaster whose step is the mean of the steps of its networks."""

    def __init__(self, networks: Sequence[Forecaster]):
        self.networks = nnx.List(networks)
        first = networks[0]
        self.input_times, self.views = first.input_times, first.views
        self.has_lateral_boundary, self.noise = first.has_lateral_boundary, first.noise

    @property
    def inputs(self) -> Inputs:
        return self.networks[0].inputs

    def start(self, analyses: Analyses, context: StepContext) -> Any:
        return self._mean(lambda network: network.start(analyses, context))

    def advance(self, carry: Any, context: StepContext) -> Any:
        return self._mean(lambda network: network.advance(carry, context))

    def to_fields(self, carry: Any, context: StepContext) -> Fields:
        return self._mean(lambda network: network.to_fields(carry, context))

    def explain(self, carry: Any, context: StepContext) -> ExplainedStep:
        return self._mean(lambda network: network.explain(carry, context))

    def channel_groups(self) -> list[ChannelGroup]:
        return self.networks[0].channel_groups()

    def _mean(self, of: Callable[[Forecaster], Any]) -> Any:
        """The mean of a function of each network: exact where the networks agree, positive where all are positive.

        The networks differ only in their weights, so the function is traced and compiled once, and evaluated for each
        network in a loop.
        """
        graph, _, fixed = nnx.split(self.networks[0], nnx.Param, ...)
        weights = [nnx.state(network, nnx.Param) for network in self.networks]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *weights)
        results = jax.lax.map(lambda own: of(nnx.merge(graph, own, fixed)), stacked)

        def mean(each: jax.Array) -> jax.Array:
            return each[0] + jnp.sum(each[1:] - each[0], axis=0) / len(self.networks)

        return jax.tree.map(mean, results)


def networks_of(model: Forecaster) -> list[Forecaster]:
    """The forecasters to train: the networks of a deep ensemble, or the model itself."""
    return list(model.networks) if isinstance(model, DeepEnsemble) else [model]


def give_weights(model: Forecaster, parameters: Sequence[Any]) -> None:
    """Sets the weights of each of `networks_of(model)` to one of these nnx states of `Param`s."""
    for network, weights in zip(networks_of(model), parameters, strict=True):
        nnx.update(network, weights)
