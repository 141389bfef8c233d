"""What the channels that stay can tell of those that go.

Channels of a layer say similar things. So when some go, what read them need not miss all that they said: their values
are predicted, by least squares over many cells, from the channels that stay,

    channels(cell) = kept(cell) M + c,

and the layers that read them read M and c of the kept ones instead (after He, Zhang and Sun 2017, "Channel Pruning for
Accelerating Very Deep Neural Networks", who solve for the weights of each reader). Nothing is added to the network, for
readers are linear: their kernel becomes M kernel, and their bias gains c kernel; a convolution too, because M is the
same in every cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from pinnwx.compression.channels import Substitute, Weights
from pinnwx.model.closures.base import captured
from pinnwx.model.closures.channels import ChannelGroup, Slot
from pinnwx.model.interface import Forecaster
from pinnwx.runtime import compiler_options
from pinnwx.training.update import Source

RIDGE = 1e-6  # of the mean variance of the kept channels; what makes the least squares well posed
MOST = 2**16  # cells of a reader that are looked at
VARIANCE = 1e-6  # that nnx.LayerNorm adds


class Given(NamedTuple):
    """What a reader is given of a group in some cells, and the channels of the group themselves; the same but where
    the reader sees them through a normalisation."""

    read: Float[np.ndarray, "cell channel"]
    plain: Float[np.ndarray, "cell channel"]


def capture_activations(
    like: Forecaster, groups: Sequence[ChannelGroup]
) -> Callable[[Forecaster, Source, Sequence[Int[Array, "batch times"]]], dict[Slot, Given]]:
    """What tells, of any forecaster alike, what the readers of all groups are given in one step, in batches of windows
    of analyses (and of the one after, which drives a model with a lateral boundary), both views of a network with
    hemispheric symmetry; compiled once."""
    slots = [slot for group in groups for slot in group.readers]
    names = {name for slot in slots for name in (slot.activation, slot.norm) if name}
    graph, _, fixed = nnx.split(like, nnx.Param, ...)

    @partial(jax.jit, compiler_options=compiler_options())
    def step(parameters: Any, windows: Array, source: Source) -> dict[str, tuple[Array, ...]]:
        member, inputs = nnx.merge(graph, parameters, fixed), like.input_times
        fields, time = source.fields[windows], source.time[windows[:, inputs - 1]]
        boundary = fields[:, inputs] if member.has_lateral_boundary else None

        def advanced(member: Forecaster) -> Any:
            return member.advance(member.start(fields[:, :inputs], time), time, lateral_boundary=boundary)

        return {name: values for name, values in captured(advanced, member).items() if name in names}

    def capture(member: Forecaster, source: Source, batches: Sequence[Array]) -> dict[Slot, Given]:
        parameters = nnx.state(member, nnx.Param)
        parts: dict[str, list[np.ndarray]] = {}
        for windows in batches:
            for name, values in step(parameters, windows, source).items():
                parts.setdefault(name, []).extend(_some(each, len(values) * len(batches)) for each in values)
        whole = {name: np.concatenate(values) for name, values in parts.items()}

        def of(name: str, slot: Slot) -> np.ndarray:
            values = whole[name]
            return values.reshape(-1, values.shape[-1] // slot.copies)

        return {slot: Given(of(slot.activation, slot), of(slot.norm or slot.activation, slot)) for slot in slots}

    return capture


def _some(values: Array, parts: int) -> np.ndarray:
    """Cells of one of so many arrays, evenly and no more than `MOST` of all together."""
    cells = np.asarray(values).reshape(-1, values.shape[-1])
    return cells[:: -(-len(cells) * parts // MOST) | 1]  # odd, so that it is no whole number of columns


def substitutes(
    groups: Sequence[ChannelGroup],
    kept: Mapping[str, Int[np.ndarray, " kept"]],
    given: Mapping[Slot, Given],
    weights: Weights,
) -> dict[Slot, Substitute]:
    """Of each reader: how the channels that stay stand for all."""
    return {
        slot: _fitted(given[slot].read, _after(slot, given[slot].plain[:, stay], stay, weights), stay)
        for group in groups
        for stay in (kept[group.name],)
        for slot in group.readers
    }


def _after(slot: Slot, values: np.ndarray, kept: np.ndarray, weights: Weights) -> np.ndarray:
    """What a reader will be given of the kept channels: the same, or normalised among fewer."""
    if not slot.norm:
        return values
    scale, bias = (np.asarray(weights[f"{slot.norm}/{part}"])[kept] for part in ("scale", "bias"))
    apart = values - values.mean(axis=1, keepdims=True)
    return scale * apart / np.sqrt(np.square(apart).mean(axis=1, keepdims=True) + VARIANCE) + bias


def _fitted(
    channels: Float[np.ndarray, "cell channel"],
    values: Float[np.ndarray, "cell kept"],
    kept: Int[np.ndarray, " kept"],
) -> Substitute:
    """The kept channels as they are, and least squares, slightly damped, for what that leaves."""
    left = channels.astype(np.float64)
    left[:, kept] -= values
    mean, centre = left.mean(axis=0), values.mean(axis=0, dtype=np.float64)
    known = values - centre
    square = known.T @ known
    damping = RIDGE * max(float(np.trace(square)) / len(square), float(np.finfo(np.float32).tiny))
    of_kept = np.linalg.solve(square + damping * np.eye(len(square)), known.T @ (left - mean))
    constant = mean - centre @ of_kept
    of_kept[np.arange(len(kept)), kept] += 1.0
    return Substitute(of_kept, constant)
