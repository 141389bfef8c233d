"""The importance of each channel of a network for the error of its forecasts, by four criteria.

With m a factor on the values that a channel gives to the layers that read it (1 in the network, 0 without the
channel), and L the loss of forecasts:

    taylor      mean over batches of (dL/dm)^2, the first-order estimate of the change of the loss without the channel,
                squared because near a minimum it has either sign (Molchanov et al. 2019)
    integrated  integral over a from 0 to 1 of -dL/dm, all channels of a group having m = a (integrated gradients:
                Sundararajan et al. 2017): the sum over a group is the reduction of the loss by the group
    magnitude   length of the weights that write the channel (Li et al. 2017); uses no data
    random      drawn; the control

Larger is more important. The criteria use windows of the training time, never the validation days.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from flax import nnx
from jaxtyping import Float

from pinnwx.compression.channels import Weights, gate_gradients
from pinnwx.model.closures.channels import ChannelGroup
from pinnwx.model.interface import Forecaster
from pinnwx.model.weights import like, on_host

Importance = Mapping[str, Float[np.ndarray, " channel"]]
Gradient = Callable[[Any, Any], tuple[Any, Any]]  # (parameters, windows) to loss and its gradient

CRITERIA = ("taylor", "integrated", "magnitude", "random")
PATH = 8  # points of an integral
PATH_BATCHES = 4  # of the batches, that an integral is taken over


def importance(
    criterion: str,
    member: Forecaster,
    groups: Sequence[ChannelGroup],
    gradient: Gradient,
    batches: Sequence[Any],
    generator: np.random.Generator,
) -> Importance:
    """The importance of each channel of each group, by the name of the group.

    Args:
        criterion: one of `CRITERIA`.
        member: the forecaster that has the channels.
        groups: its channels.
        gradient: of the loss.
        batches: windows for the gradient, in turn.
        generator: of the random criterion.
    """
    parameters = nnx.state(member, nnx.Param)
    weights = on_host(parameters)
    if criterion == "random":
        return {group.name: generator.random(group.size) for group in groups}
    if criterion == "magnitude":
        return {group.name: _length(group, weights) for group in groups}
    if criterion == "integrated":
        return integrated(parameters, groups, gradient, batches[:PATH_BATCHES])
    each = [_gates(groups, weights, gradient(parameters, batch)[1]) for batch in batches]
    return {group.name: np.mean([np.square(one[group.name]) for one in each], axis=0) for group in groups}


def integrated(
    parameters: Any, groups: Sequence[ChannelGroup], gradient: Gradient, batches: Sequence[Any], points: int = PATH
) -> Importance:
    """`integrated` of the module, by the midpoint rule."""
    weights = on_host(parameters)
    scores = {}
    for group in groups:
        total = np.zeros(group.size)
        for point in (np.arange(points) + 0.5) / points:
            scaled = dict(weights)
            for slot in group.readers:
                scaled[slot.array] = np.float32(point) * weights[slot.array]
            for batch in batches:
                total -= _gates([group], weights, gradient(like(parameters, scaled), batch)[1])[group.name]
        scores[group.name] = total / (points * len(batches))
    return scores


def _gates(groups: Sequence[ChannelGroup], weights: Weights, gradient: Any) -> dict[str, np.ndarray]:
    return gate_gradients(groups, weights, on_host(gradient))


def _length(group: ChannelGroup, weights: Weights) -> np.ndarray:
    squares = sum(slot.by_channel(weights[slot.array] ** 2, group.size) for slot in group.writers)
    return np.sqrt(squares)
