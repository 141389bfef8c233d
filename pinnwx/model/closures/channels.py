"""Channels of a closure: which numbers make one, and which layers read it.

A channel is one entry of a layer's output. Layers whose outputs are added to each other share their channels, so these
are in one group. A closure that lists its groups can be pruned (`pinnwx.compression`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Slot:
    """Where the channels of a group lie in an array of weights.

    Attributes:
        array: name of the weights.
        axis: along which the channels lie.
        copies: how many times over, one for each cell of a patch.
        bias: of a layer that reads them, the name of its bias.
        activation: of a layer that reads them, the name under which the closure records what the layer is given.
        norm: of a layer that reads them through a layer normalisation, the name of that, under which the closure
            records what it is given.
    """

    array: str
    axis: int
    copies: int = 1
    bias: str = ""
    activation: str = ""
    norm: str = ""

    def taken(self, values: np.ndarray, kept: Int[np.ndarray, " kept"], size: int) -> np.ndarray:
        """The array with these of its `size` channels only."""
        places = np.concatenate([size * copy + kept for copy in range(self.copies)])
        return np.take(values, places, axis=self.axis)

    def by_channel(self, values: np.ndarray, size: int) -> Float[np.ndarray, " channel"]:
        """The sum of the array over all but its channels."""
        other = tuple(axis for axis in range(values.ndim) if axis != self.axis % values.ndim)
        return np.sum(values, axis=other).reshape(self.copies, size).sum(axis=0)

    def below(self, path: str) -> Slot:
        """The slot in a network that lies at a path of a model."""
        names = ("array", "bias", "activation", "norm")
        return replace(self, **{name: f"{path}/{own}" for name in names if (own := getattr(self, name))})


@dataclass(frozen=True)
class ChannelGroup:
    """Channels of the same layer, or of layers that are added.

    Attributes:
        name: of the group.
        layer: to which it belongs; groups of one layer (those of the experts of a block) have one size.
        size: how many channels it has.
        writers: what makes a channel: weights into it, its bias.
        readers: weights of the linear layers that take it in. A channel times m, seen by all of them, is the same as
            these weights times m.
        scales: what else belongs to a channel: the scale and bias of its normalisation.
    """

    name: str
    layer: str
    size: int
    writers: tuple[Slot, ...]
    readers: tuple[Slot, ...]
    scales: tuple[Slot, ...] = ()

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All places that a channel is taken from."""
        return (*self.writers, *self.readers, *self.scales)

    def below(self, path: str) -> ChannelGroup:
        """The group of a network that lies at a path of a model."""
        kinds = ("writers", "readers", "scales")
        return replace(self, **{kind: tuple(slot.below(path) for slot in getattr(self, kind)) for kind in kinds})


def written(layer: str, axis: int, copies: int = 1) -> tuple[Slot, ...]:
    """What a layer writes: along an axis of its kernel, and its bias."""
    return Slot(f"{layer}/kernel", axis, copies), Slot(f"{layer}/bias", 0, copies)


def read(layer: str, axis: int, copies: int = 1, norm: str = "") -> Slot:
    """What a layer reads along an axis of its kernel; its activations are recorded under its own name."""
    return Slot(f"{layer}/kernel", axis, copies, f"{layer}/bias", layer, norm)


def within(groups: Sequence[ChannelGroup], block: str) -> list[ChannelGroup]:
    """The groups of a block of a network, with its name before theirs."""
    return [replace(group, name=f"{block}/{group.name}", layer=f"{block}/{group.layer}") for group in groups]
