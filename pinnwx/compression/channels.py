"""Channels of a closure network: which numbers make one, which use it, and how to take some away.

A channel is one entry of a layer's output. Layers that are added to each other share their channels, and so these are
in one group: the fine features and what is added to them by depth to space, `fine`; everything that the residual blocks
read and add to, `residual`. Each block has two more: what its convolution sees, `input_convolution`, and what its dense
layers make of it, `hidden` (one for each expert of a mixture).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from pinnwx.errors import UsageError
from pinnwx.model.closure import ClosureNetwork, ExpertBlock, ResidualBlock, closure_of
from pinnwx.model.forecaster import TransportForecaster
from pinnwx.model.interface import Forecaster

CLOSURE = "closure/network"  # how the names of a forecaster's weights in its closure begin

# On the host: XLA would compile each of these small operations for every shape, at a tenth of a second each.
Weights = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Slot:
    """Where the channels of a group lie in an array: along `axis`, `copies` times over (one for each cell of a patch).
    What reads them through a normalisation names it in `norm`."""

    array: str
    axis: int
    copies: int = 1
    norm: str = ""

    def taken(self, values: np.ndarray, kept: Int[np.ndarray, " kept"], size: int) -> np.ndarray:
        """The array with these of its `size` channels only."""
        places = np.concatenate([size * copy + kept for copy in range(self.copies)])
        return np.take(values, places, axis=self.axis)

    def by_channel(self, values: np.ndarray, size: int) -> Float[np.ndarray, " channel"]:
        """The sum of the array over all but its channels."""
        other = tuple(axis for axis in range(values.ndim) if axis != self.axis % values.ndim)
        return np.sum(values, axis=other).reshape(self.copies, size).sum(axis=0)


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


@dataclass(frozen=True)
class Group:
    """Channels of the same layer, or of layers that are added.

    Attributes:
        name: of the group.
        layer: what it is in the settings; groups of one layer (those of the experts of a block) have one size.
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


def groups_of(model: Forecaster) -> list[Group]:
    """The channels of the closure network of a forecaster that is no deep ensemble.

    Raises:
        UsageError: it has none to prune.
    """
    if not isinstance(model, TransportForecaster):
        raise UsageError('only models of kind = "transport" can be pruned')
    if model.closure is None:
        raise UsageError("the model has no closure network (model.closure.enabled = false): there is nothing to prune")
    return channels_of(closure_of(model.closure), CLOSURE)


def channels_of(network: ClosureNetwork, prefix: str) -> list[Group]:
    """The channels of a network whose weights' names begin with `prefix`."""

    def written(layer: str, axis: int, copies: int = 1) -> tuple[Slot, ...]:
        """Along the last axis of the kernel, and the bias."""
        return Slot(f"{prefix}/{layer}/kernel", axis, copies), Slot(f"{prefix}/{layer}/bias", 0, copies)

    def read(layer: str, axis: int, copies: int = 1) -> Slot:
        return Slot(f"{prefix}/{layer}/kernel", axis, copies)

    cells = network.patch_size**2
    fine, width = network.fold.in_features // cells, network.unfold.in_features
    residual_writers, residual_readers, norms = [*written("fold", 1)], [read("unfold", 0)], []
    of_blocks = []
    for number, block in enumerate(network.blocks):
        here = f"blocks/{number}"
        residual_readers.append(replace(read(f"{here}/input_convolution", 2), norm=f"{prefix}/{here}/norm"))
        norms += [Slot(f"{prefix}/{here}/norm/{part}", 0) for part in ("scale", "bias")]
        convolution_readers = [read(f"{here}/experts/route", 0)] if isinstance(block, ExpertBlock) else []
        for label, widen, narrow, hidden in _dense_layers(block):
            residual_writers += written(f"{here}/{narrow}", 1)
            convolution_readers.append(read(f"{here}/{widen}", 0))
            own = written(f"{here}/{widen}", 1), (read(f"{here}/{narrow}", 0),)
            layer = f"{prefix}/{here}/hidden"
            of_blocks.append(Group(layer + label, layer, hidden, *own))
        seen = block.input_convolution.bias[...].shape[0]
        layer, own = (
            f"{prefix}/{here}/input_convolution",
            (written(f"{here}/input_convolution", 3), tuple(convolution_readers)),
        )
        of_blocks.append(Group(layer, layer, seen, *own))
    fine_writers = (*written("encode", 3), *written("unfold", 1, cells))
    return [
        Group(f"{prefix}/fine", f"{prefix}/fine", fine, fine_writers, (read("fold", 0, cells), read("decode", 2))),
        Group(
            f"{prefix}/residual",
            f"{prefix}/residual",
            width,
            tuple(residual_writers),
            tuple(residual_readers),
            tuple(norms),
        ),
        *of_blocks,
    ]


def _dense_layers(block: ResidualBlock | ExpertBlock) -> list[tuple[str, str, str, int]]:
    """Of each pair of dense layers of a block: its label, the names of both layers, the channels between them."""
    if not isinstance(block, ExpertBlock):
        return [("", "widen", "narrow", block.widen.out_features)]
    return [
        (f"/{number}", f"experts/widen/{number}", f"experts/narrow/{number}", widen.out_features)
        for number, widen in enumerate(block.experts.widen)
    ]


def gate_gradients(
    groups: Sequence[Group], weights: Weights, gradient: Weights
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
    groups: Sequence[Group],
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
                bias = slot.array.removesuffix("kernel") + "bias"
                found[slot.array], more = substitutes[slot].read_by(found[slot.array], slot)
                found[bias] = found[bias] + more
    return found
