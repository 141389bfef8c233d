"""Removing channels: the gradient of the loss by a factor on each channel, and the weights without some channels.

The closure states which weights write a channel and which layers read it (`pinnwx.model.closures.channels`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from pinnwx.model.closures.channels import ChannelGroup, Slot

# On the host, because XLA would compile each of these small operations for every shape, in 0.1 s each.
Weights = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Substitute:
    """All channels of a group from those that stay: channels = kept @ `of_kept` + `constant`."""

    of_kept: Float[np.ndarray, "kept channel"]
    constant: Float[np.ndarray, " channel"]

    def read_by(self, kernel: np.ndarray, slot: Slot) -> tuple[np.ndarray, Float[np.ndarray, " output"]]:
        """The kernel for the kept channels that has the effect of `kernel` on all, and the increment of its bias."""
        by_channel = np.moveaxis(np.asarray(kernel, np.float64), slot.axis, 0)
        rest = by_channel.shape[1:]
        by_channel = by_channel.reshape(slot.copies, len(self.constant), *rest)
        narrow = np.einsum("kc,nc...->nk...", self.of_kept, by_channel).reshape(-1, *rest)
        more = np.einsum("c,nc...->n...", self.constant, by_channel).reshape(-1, kernel.shape[-1]).sum(axis=0)
        return np.moveaxis(narrow, 0, slot.axis).astype(kernel.dtype), more.astype(kernel.dtype)


def gate_gradients(
    groups: Sequence[ChannelGroup], weights: Weights, gradient: Weights
) -> dict[str, Float[np.ndarray, " channel"]]:
    """dL/dm of every channel, where m = 1 is a factor on the channel at the input of its readers:

        dL/dm_c = sum over the weights w that read c of  w dL/dw,

    because a reader is linear in m_c w.
    """
    gradients = {}
    for group in groups:
        parts = [slot.by_channel(weights[slot.array] * gradient[slot.array], group.size) for slot in group.readers]
        gradients[group.name] = np.sum(parts, axis=0)
    return gradients


def remove_channels(
    weights: Weights,
    groups: Sequence[ChannelGroup],
    remaining: Mapping[str, Int[np.ndarray, " remaining"]],
    substitutes: Mapping[Slot, Substitute] | None = None,
) -> dict[str, np.ndarray]:
    """The weights, by name, of the network with only the `remaining` channels of each group.

    The readers of a removed channel do without it, or read its `substitutes` among the channels that stay.
    """
    narrow = dict(weights)
    for group in groups:
        for slot in (*group.writers, *group.scales):
            narrow[slot.array] = slot.taken(narrow[slot.array], remaining[group.name], group.size)
        for slot in group.readers:
            if substitutes is None:
                narrow[slot.array] = slot.taken(narrow[slot.array], remaining[group.name], group.size)
            else:
                narrow[slot.array], more = substitutes[slot].read_by(narrow[slot.array], slot)
                narrow[slot.bias] = narrow[slot.bias] + more
    return narrow
