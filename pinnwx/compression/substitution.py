"""Substitutes for removed channels: a linear prediction from the channels that stay.

Channels of a layer are correlated. The values of removed channels are predicted, by least squares over many cells, from
the channels that stay,

    channels(cell) = remaining(cell) M + c,

and the layers that read them read the prediction (after He, Zhang and Sun 2017, "Channel Pruning for Accelerating Very
Deep Neural Networks", who solve for the weights of each reader). Nothing is added to the network, because readers are
linear: their kernel becomes M kernel, and c kernel is added to their bias. This holds for a convolution too, because M
is the same in every cell.
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
from pinnwx.model.step_context import StepContext
from pinnwx.runtime import compiler_options
from pinnwx.training.update import Source

RIDGE = 1e-6  # of the mean variance of the remaining channels, so that the least squares are well posed
MOST = 2**16  # cells in the fit of a reader
VARIANCE = 1e-6  # that nnx.LayerNorm adds


class Activations(NamedTuple):
    """The channels of a group in some cells: as a reader gets them, and before the normalisation of that reader if it
    has one."""

    read: Float[np.ndarray, "cell channel"]
    plain: Float[np.ndarray, "cell channel"]


def capture_activations(
    like: Forecaster, groups: Sequence[ChannelGroup]
) -> Callable[[Forecaster, Source, Sequence[Int[Array, "batch times"]]], dict[Slot, Activations]]:
    """Returns a function that captures the inputs of the readers of all groups in one step.

    It serves any forecaster of the same architecture, and is compiled once. A window holds the analyses and the one
    after them, which is the lateral boundary condition of a regional model. A network with hemispheric symmetry gives
    both of its views.
    """
    slots = [slot for group in groups for slot in group.readers]
    names = {name for slot in slots for name in (slot.activation, slot.norm) if name}
    graph, _, fixed = nnx.split(like, nnx.Param, ...)

    @partial(jax.jit, compiler_options=compiler_options())
    def step(parameters: Any, windows: Array, source: Source) -> dict[str, tuple[Array, ...]]:
        member, inputs = nnx.merge(graph, parameters, fixed), like.input_times
        fields, time = source.fields[windows], source.time.select(windows[:, inputs - 1])
        context = StepContext(time, lateral_boundary=fields[:, inputs] if member.has_lateral_boundary else None)

        def advanced(member: Forecaster) -> Any:
            return member.advance(member.start(fields[:, :inputs], context), context)

        return {name: values for name, values in captured(advanced, member).items() if name in names}

    def capture(member: Forecaster, source: Source, batches: Sequence[Array]) -> dict[Slot, Activations]:
        parameters = nnx.state(member, nnx.Param)
        parts: dict[str, list[np.ndarray]] = {}
        for windows in batches:
            for name, values in step(parameters, windows, source).items():
                parts.setdefault(name, []).extend(_some(each, len(values) * len(batches)) for each in values)
        whole = {name: np.concatenate(values) for name, values in parts.items()}

        def of(name: str, slot: Slot) -> np.ndarray:
            values = whole[name]
            return values.reshape(-1, values.shape[-1] // slot.copies)

        return {slot: Activations(of(slot.activation, slot), of(slot.norm or slot.activation, slot)) for slot in slots}

    return capture


def _some(values: Array, parts: int) -> np.ndarray:
    """Evenly spaced cells of one of `parts` arrays, at most `MOST` of all arrays together."""
    cells = np.asarray(values).reshape(-1, values.shape[-1])
    return cells[:: -(-len(cells) * parts // MOST) | 1]  # odd, so that it is no multiple of the number of columns


def substitutes(
    groups: Sequence[ChannelGroup],
    remaining: Mapping[str, Int[np.ndarray, " remaining"]],
    activations: Mapping[Slot, Activations],
    weights: Weights,
) -> dict[Slot, Substitute]:
    """The substitute of each reader."""
    return {
        slot: _fitted(
            activations[slot].read, _after(slot, activations[slot].plain[:, indices], indices, weights), indices
        )
        for group in groups
        for indices in (remaining[group.name],)
        for slot in group.readers
    }


def _after(slot: Slot, values: np.ndarray, remaining: np.ndarray, weights: Weights) -> np.ndarray:
    """The input of a reader from the remaining channels: the same, or normalised among fewer channels."""
    if not slot.norm:
        return values
    scale, bias = (np.asarray(weights[f"{slot.norm}/{part}"])[remaining] for part in ("scale", "bias"))
    apart = values - values.mean(axis=1, keepdims=True)
    return scale * apart / np.sqrt(np.square(apart).mean(axis=1, keepdims=True) + VARIANCE) + bias


def _fitted(
    channels: Float[np.ndarray, "cell channel"],
    values: Float[np.ndarray, "cell remaining"],
    remaining: Int[np.ndarray, " remaining"],
) -> Substitute:
    """The remaining channels unchanged, and slightly damped least squares for the others."""
    left = channels.astype(np.float64)
    left[:, remaining] -= values
    mean, centre = left.mean(axis=0), values.mean(axis=0, dtype=np.float64)
    known = values - centre
    square = known.T @ known
    damping = RIDGE * max(float(np.trace(square)) / len(square), float(np.finfo(np.float32).tiny))
    matrix = np.linalg.solve(square + damping * np.eye(len(square)), known.T @ (left - mean))
    constant = mean - centre @ matrix
    matrix[np.arange(len(remaining)), remaining] += 1.0
    return Substitute(matrix, constant)
