"""Channels of a closure: the weights that belong to each, and the layers that read it.

A channel is one entry of a layer's output. Layers whose outputs are added share their channels, so these form one
group. A closure that lists its groups can be pruned (`pinnwx.compression`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Slot:
    """The position of a group's channels in an array of weights.

    Attributes:
        array: name of the weights.
        axis: of the channels.
        copies: of the channels along the axis, one for each cell of a patch.
        bias: of a layer that reads them, the name of its bias.
        activation: of a layer that reads them, the name under which the closure records the input of the layer.
        norm: of a layer that reads them through a layer normalisation, the name of the normalisation, under which the
            closure records the input of the normalisation.
    """

    array: str
    axis: int
    copies: int = 1
    bias: str = ""
    activation: str = ""
    norm: str = ""

    def taken(self, values: np.ndarray, channels: Int[np.ndarray, " channel"], size: int) -> np.ndarray:
        """The array with only these of its `size` channels."""
        places = np.concatenate([size * copy + channels for copy in range(self.copies)])
        return np.take(values, places, axis=self.axis)

    def by_channel(self, values: np.ndarray, size: int) -> Float[np.ndarray, " channel"]:
        """The sum of the array over all axes except that of its channels."""
        other = tuple(axis for axis in range(values.ndim) if axis != self.axis % values.ndim)
        return np.sum(values, axis=other).reshape(self.copies, size).sum(axis=0)

    def below(self, path: str) -> Slot:
        """The slot in a model that has the network at this path."""
        names = ("array", "bias", "activation", "norm")
        return replace(self, **{name: f"{path}/{own}" for name in names if (own := getattr(self, name))})


@dataclass(frozen=True)
class ChannelGroup:
    """Channels of the same layer, or of layers that are added.

    Attributes:
        name: of the group.
        layer: that it belongs to; groups of one layer (those of the experts of a block) have one size.
        size: the number of channels.
        writers: the weights whose output is a channel, and its bias.
        readers: weights of the linear layers whose input is a channel. Multiplying the channel by m for all readers
            is the same as multiplying these weights by m.
        scales: the scale and bias of a channel's normalisation.
    """

    name: str
    layer: str
    size: int
    writers: tuple[Slot, ...]
    readers: tuple[Slot, ...]
    scales: tuple[Slot, ...] = ()

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All slots of a channel."""
        return (*self.writers, *self.readers, *self.scales)

    def below(self, path: str) -> ChannelGroup:
        """The group in a model that has the network at this path."""
        kinds = ("writers", "readers", "scales")
        return replace(self, **{kind: tuple(slot.below(path) for slot in getattr(self, kind)) for kind in kinds})


def written(layer: str, axis: int, copies: int = 1) -> tuple[Slot, ...]:
    """The slots of a layer's output: an axis of its kernel, and its bias."""
    return Slot(f"{layer}/kernel", axis, copies), Slot(f"{layer}/bias", 0, copies)


def read(layer: str, axis: int, copies: int = 1, norm: str = "") -> Slot:
    """The slot of a layer's input, an axis of its kernel; its activations are recorded under its own name."""
    return Slot(f"{layer}/kernel", axis, copies, f"{layer}/bias", layer, norm)


def within(groups: Sequence[ChannelGroup], block: str) -> list[ChannelGroup]:
    """The groups of a block of a network, with the name of the block before theirs."""
    return [replace(group, name=f"{block}/{group.name}", layer=f"{block}/{group.layer}") for group in groups]
