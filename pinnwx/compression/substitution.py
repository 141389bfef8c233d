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
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from pinnwx.compression.channels import CLOSURE, Group, Slot, Substitute, Weights
from pinnwx.model.closure import closure_of
from pinnwx.model.forecaster import TransportForecaster
from pinnwx.model.interface import Analyses, Fields, Forecaster, Time

RIDGE = 1e-4  # of the mean variance of the kept channels; what makes the least squares well posed
_VARIANCE = 1e-6  # that a normalisation adds; that of nnx.LayerNorm


def readings(
    member: Forecaster, groups: Sequence[Group], analyses: Analyses, time: Time, driving: Fields
) -> dict[Slot, Float[np.ndarray, "cell channel"]]:
    """What the readers of all groups are given in one step of the forecaster, in every cell of every member of a batch,
    both views of a mirrored network. `driving` is what a driven model is told."""
    model, seen = nnx.clone(member), dict[str, list[Array]]()
    assert isinstance(model, TransportForecaster)
    assert model.closure is not None
    network, slots = closure_of(model.closure), [slot for group in groups for slot in group.readers]
    for name in {slot.array for slot in slots}:
        path = name.removeprefix(f"{CLOSURE}/").removesuffix("/kernel").split("/")
        _listen(network, path, seen.setdefault(name, []).append)

    @jax.jit
    def given(analyses: Analyses, time: Time, driving: Fields) -> dict[str, list[Array]]:
        model.advance(model.start(analyses, time), time, driving=driving if model.is_driven else None)
        return dict(seen)

    found = jax.device_get(given(analyses, time, driving))
    return {
        slot: np.concatenate([each.reshape(-1, each.shape[-1] // slot.copies) for each in found[slot.array]])
        for slot in slots
    }


def _listen(network: Any, path: Sequence[str], hear: Callable[[Array], None]) -> None:
    """Has the layer at a path of a network tell what it is given, from now on."""
    layer = network
    for name in path:
        layer = layer[int(name)] if name.isdigit() else getattr(layer, name)
    kind = type(layer)

    def listening(self: Any, values: Array) -> Array:
        hear(values)
        return kind.__call__(self, values)

    layer.__class__ = type(kind.__name__, (kind,), {"__call__": listening})


def substitutes(
    groups: Sequence[Group],
    kept: Mapping[str, Int[np.ndarray, " kept"]],
    given: Mapping[Slot, Float[np.ndarray, "cell channel"]],
    weights: Weights,
) -> dict[Slot, Substitute]:
    """Of each reader: how the channels that stay stand for all."""
    return {
        slot: _fitted(given[slot], _after(slot, given[slot], kept[group.name], weights), kept[group.name])
        for group in groups
        for slot in group.readers
    }


def _after(slot: Slot, given: np.ndarray, kept: np.ndarray, weights: Weights) -> np.ndarray:
    """What a reader will be given of the kept channels: the same, or normalised among fewer."""
    values = given[:, kept]
    if not slot.norm:
        return values
    scale, bias = (np.asarray(weights[f"{slot.norm}/{part}"])[kept] for part in ("scale", "bias"))
    plain = (values - bias) / np.where(np.abs(scale) < 1e-6, 1.0, scale)
    plain = plain - plain.mean(axis=1, keepdims=True)
    return scale * plain / np.sqrt(plain.var(axis=1, keepdims=True) + _VARIANCE) + bias


def _fitted(
    channels: Float[np.ndarray, "cell channel"],
    values: Float[np.ndarray, "cell kept"],
    kept: Int[np.ndarray, " kept"],
) -> Substitute:
    """The kept channels as they are, and least squares, slightly damped, for what that leaves."""
    left = channels.astype(np.float64)
    left[:, kept] -= values
    mean, mean_kept = left.mean(axis=0), values.mean(axis=0, dtype=np.float64)
    known = values - mean_kept
    square = known.T @ known
    damping = RIDGE * max(float(np.trace(square)) / len(square), np.finfo(np.float64).tiny)
    of_kept = np.linalg.solve(square + damping * np.eye(len(square)), known.T @ (left - mean))
    constant = mean - mean_kept @ of_kept
    of_kept[np.arange(len(kept)), kept] += 1.0
    return Substitute(of_kept, constant)
