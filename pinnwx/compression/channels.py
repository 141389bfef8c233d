"""Channels taken away: the gradients of factors on them, and the weights of the network without some of them.

Which numbers make a channel, and which layers read it, the closure says (`pinnwx.model.closures.channels`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from pinnwx.model.closures.channels import ChannelGroup, Slot

# On the host: XLA would compile each of these small operations for every shape, at a tenth of a second each.
Weights = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Substitute:
    """What stands for all channels of a group, when only some stay: channels = kept @ `of_kept` + `constant`."""

    of_kept: Float[np.ndarray, "kept channel"]
    constant: Float[np.ndarray, " channel"]

    def read_by(self, kernel: np.ndarray, slot: Slot) -> tuple[np.ndarray, Float[np.ndarray, " output"]]:
        """The kernel that makes of the kept channels what `kernel` made of all, and what its bias gains."""
        by_channel = np.moveaxis(np.asarray(kernel, np.float64), slot.axis, 0)
        rest = by_channel.shape[1:]
        by_channel = by_channel.reshape(slot.copies, len(self.constant), *rest)
        made = np.einsum("kc,nc...->nk...", self.of_kept, by_channel).reshape(-1, *rest)
        more = np.einsum("c,nc...->n...", self.constant, by_channel).reshape(-1, kernel.shape[-1]).sum(axis=0)
        return np.moveaxis(made, 0, slot.axis).astype(kernel.dtype), more.astype(kernel.dtype)


def gate_gradients(
    groups: Sequence[ChannelGroup], weights: Weights, gradient: Weights
) -> dict[str, Float[np.ndarray, " channel"]]:
    """dL/dm of every channel, where m = 1 is a factor on what its readers are given of it, from dL/dw of the weights:

        dL/dm_c = sum over the weights w that read c of  w dL/dw,

    for a reader is linear in m_c w.
    """
    found = {}
    for group in groups:
        parts = [slot.by_channel(weights[slot.array] * gradient[slot.array], group.size) for slot in group.readers]
        found[group.name] = np.sum(parts, axis=0)
    return found


def remove_channels(
    weights: Weights,
    groups: Sequence[ChannelGroup],
    kept: Mapping[str, Int[np.ndarray, " kept"]],
    substitutes: Mapping[Slot, Substitute] | None = None,
) -> dict[str, np.ndarray]:
    """The weights of the network that has only the `kept` channels of each group, by name.

    What read a channel that goes does without it, or has of those that stay what its `substitutes` say.
    """
    found = dict(weights)
    for group in groups:
        for slot in (*group.writers, *group.scales):
            found[slot.array] = slot.taken(found[slot.array], kept[group.name], group.size)
        for slot in group.readers:
            if substitutes is None:
                found[slot.array] = slot.taken(found[slot.array], kept[group.name], group.size)
            else:
                found[slot.array], more = substitutes[slot].read_by(found[slot.array], slot)
                found[slot.bias] = found[slot.bias] + more
    return found
