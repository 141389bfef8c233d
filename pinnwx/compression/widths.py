"""The number of channels that each layer keeps when a fraction of all channels stays.

"uniform": every layer keeps the same fraction. This gives the fastest network: a narrow layer between wide ones saves
hardly any time.

"global": the channels with the largest gain for their weights stay, over all layers,

    gain of a channel = score / weights that are read or written by it.

Unimportant layers become narrow, and layers through which everything passes keep their width. This gives the smallest
error for the size. It needs scores that compare across layers (`taylor`, `integrated`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pinnwx.compression.channels import Weights
from pinnwx.compression.importance import Importance
from pinnwx.model.closures.channels import ChannelGroup

COMPARABLE = ("taylor", "integrated")  # criteria whose scores compare across layers
TOGETHER = 4  # channels that stay or go together, the width of a vector unit


def widths(
    shared: str,
    groups: Sequence[ChannelGroup],
    scores: Sequence[Importance],
    weights: Weights,
    keep: float,
    whole: Mapping[str, int],
) -> dict[str, int]:
    """The number of channels that stay in each layer.

    Args:
        shared: "global" or "uniform".
        groups: of one member; all members are alike.
        scores: of each member.
        weights: of one member; only their shapes count.
        keep: the fraction that stays of the channels before the first round.
        whole: the number of these in each layer.
    """
    if shared == "global":
        return by_gain(groups, scores, weights, keep * sum(whole[group.layer] for group in groups))
    sizes = uniformly(whole, keep)
    return {group.layer: min(sizes[group.layer], group.size) for group in groups}


def uniformly(whole: Mapping[str, int], keep: float) -> dict[str, int]:
    """The same fraction of every layer, at least one channel."""
    return {layer: max(round(keep * size), 1) for layer, size in whole.items()}


def by_gain(
    groups: Sequence[ChannelGroup], scores: Sequence[Importance], weights: Weights, most: float
) -> dict[str, int]:
    """The widths for the largest gain (see the module) with at most `most` channels in all, and a few of every layer.

    The groups of a layer, and the members, keep the same number of channels. The gain of the k-th channel of a layer is
    the mean of the gains of their k-th channels.
    """
    layers: dict[str, list[ChannelGroup]] = {}
    for group in groups:
        layers.setdefault(group.layer, []).append(group)
    steps = []  # the gain of the next few channels of a layer, and their number
    for layer, own in layers.items():
        ranked = np.mean([np.sort(score[group.name])[::-1] for score in scores for group in own], axis=0)
        gains = ranked / np.mean([_weights_of_a_channel(group, weights) for group in own])
        for first in range(0, len(gains), TOGETHER):
            few = gains[first : first + TOGETHER]
            steps.append((np.inf if first == 0 else few.mean(), layer, len(few), len(own)))
    sizes, left = dict.fromkeys(layers, 0), most
    for _, layer, count, copies in sorted(steps, key=lambda step: -step[0]):
        if sizes[layer] == 0 or count * copies <= left:
            sizes[layer] += count
            left -= count * copies
    return sizes


def _weights_of_a_channel(group: ChannelGroup, weights: Weights) -> float:
    return sum(np.size(weights[slot.array]) for slot in group.slots) / group.size
