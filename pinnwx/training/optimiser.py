"""The optimiser: from a gradient to the direction of an update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

# The typical RMS of an Adam step, so that one learning rate suits both optimisers (Liu et al. 2025).
_ADAM_RMS = 0.2
_SECOND_MOMENT = 0.99  # decay of Adam's second moment; a run has a few hundred updates, too few for the usual 0.999


def optimiser(kind: str, weight_decay: float, clip_norm: float) -> optax.GradientTransformation:
    """The direction to subtract from the weights, before the learning rate, from a clipped gradient.

    "adam": Adam with decoupled weight decay on all but vectors (biases, scales). "muon": momentum made orthogonal by
    Newton-Schulz iterations for matrices (Jordan 2024), which moves every direction of a weight matrix by the same
    amount, and Adam for vectors. A convolution counts as a matrix: its window and inputs by its outputs. Weights of one
    shape are one batch, which compiles and runs faster.
    """
    if kind == "muon":
        muon = optax.contrib.muon(
            -1.0,
            consistent_rms=_ADAM_RMS,
            weight_decay=weight_decay,
            adam_b2=_SECOND_MOMENT,
            muon_weight_dimension_numbers=_matrices,
        )
        return optax.chain(optax.clip_by_global_norm(clip_norm), _by_shape(muon))
    return optax.chain(
        optax.clip_by_global_norm(clip_norm),
        optax.scale_by_adam(b2=_SECOND_MOMENT),
        optax.add_decayed_weights(weight_decay, mask=_are_matrices),
    )


def _are_matrices(parameters: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, parameters)


def _by_shape(transformation: optax.GradientTransformation) -> optax.GradientTransformation:
    """A transformation that is given weights of one shape as one array, along a new first axis.

    It must treat that axis as a batch.
    """

    def stack(tree: Any) -> Any:
        groups: dict[tuple[int, ...], list[jax.Array]] = {}
        for leaf in jax.tree.leaves(tree):
            groups.setdefault(leaf.shape, []).append(leaf)
        return {shape: jnp.stack(leaves) for shape, leaves in groups.items()}

    def init(params: Any) -> Any:
        return transformation.init(stack(params))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        stacked: Any
        stacked, state = transformation.update(stack(updates), state, stack(params))
        parts = {shape: iter(leaves) for shape, leaves in stacked.items()}
        return jax.tree.map(lambda leaf: next(parts[leaf.shape]), updates), state

    return optax.GradientTransformation(init, update)


def _matrices(stacked: Any) -> Any:
    """The input and output axes of stacked linear layers and convolutions; None for other weights."""

    def axes(leaf: jax.Array) -> optax.contrib.MuonDimensionNumbers | None:
        if leaf.ndim not in (3, 5):
            return None
        *inputs, outputs = range(1, leaf.ndim)
        return optax.contrib.MuonDimensionNumbers(tuple(inputs), (outputs,))

    return jax.tree.map(axes, stacked)


def named_leaves(states: Sequence[Any]) -> dict[str, np.ndarray]:
    """The arrays of the optimiser states of all members, by name, to be stored."""
    return {
        f"{member}/{place:04d}": np.asarray(leaf)
        for member, state in enumerate(states)
        for place, leaf in enumerate(jax.tree.leaves(state))
    }


def from_named_leaves(stored: Mapping[str, np.ndarray], like: Sequence[Any]) -> list[Any] | None:
    """The inverse, in the structure of `like`; None if the arrays belong to another model or optimiser."""
    expected = named_leaves(like)
    shapes = [{name: (leaf.shape, leaf.dtype) for name, leaf in leaves.items()} for leaves in (stored, expected)]
    if shapes[0] != shapes[1]:
        return None
    places = [len(jax.tree.leaves(state)) for state in like]
    return [
        jax.tree.unflatten(jax.tree.structure(state), [stored[f"{member}/{place:04d}"] for place in range(count)])
        for member, (state, count) in enumerate(zip(like, places, strict=True))
    ]
