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

COMPARABLE = ("taylor", "integrated")  # criteria whose scores do
TOGETHER = 4  # channels that stay or go together: vector units take so many at a time


def widths(
    shared: str,
    groups: Sequence[ChannelGroup],
    scores: Sequence[Importance],
    weights: Weights,
    keep: float,
    whole: Mapping[str, int],
) -> dict[str, int]:
    """Of each layer, how many of its channels stay.

    Args:
        shared: by "global" or "uniform".
        groups: of one member; all members are alike.
        scores: of each member.
        weights: of one member; only their shapes count.
        keep: the share that stays of the channels that there were at first.
        whole: how many those were, by layer.
    """
    if shared == "global":
        return by_gain(groups, scores, weights, keep * sum(whole[group.layer] for group in groups))
    wanted = uniformly(whole, keep)
    return {group.layer: min(wanted[group.layer], group.size) for group in groups}


def uniformly(whole: Mapping[str, int], keep: float) -> dict[str, int]:
    """The same share of every layer."""
    return {layer: max(round(keep * size), 1) for layer, size in whole.items()}


def by_gain(
    groups: Sequence[ChannelGroup], scores: Sequence[Importance], weights: Weights, most: float
) -> dict[str, int]:
    """The widths of the module's equation, of at most so many channels together (but a few of every layer). The groups
    of a layer, and the members, keep as many; what the k-th of a layer gains is the mean of what their k-th gain."""
    layers: dict[str, list[ChannelGroup]] = {}
    for group in groups:
        layers.setdefault(group.layer, []).append(group)
    steps = []  # gain of the next few channels of a layer, and how many they are
    for layer, own in layers.items():
        ranked = np.mean([np.sort(score[group.name])[::-1] for score in scores for group in own], axis=0)
        gains = ranked / np.mean([_weights_of_a_channel(group, weights) for group in own])
        for first in range(0, len(gains), TOGETHER):
            few = gains[first : first + TOGETHER]
            steps.append((np.inf if first == 0 else few.mean(), layer, len(few), len(own)))
    kept, left = dict.fromkeys(layers, 0), most
    for _, layer, count, copies in sorted(steps, key=lambda step: -step[0]):
        if kept[layer] == 0 or count * copies <= left:
            kept[layer] += count
            left -= count * copies
    return kept


def _weights_of_a_channel(group: ChannelGroup, weights: Weights) -> float:
    return sum(np.size(weights[slot.array]) for slot in group.slots) / group.size
