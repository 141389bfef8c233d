"""How a gradient becomes a step of the weights."""

from __future__ import annotations

from typing import Any

import jax
import optax
import optax.contrib

from pinnwx.config import TrainingSettings

# The usual size of an entry of an Adam step; so a learning rate means about the same to both (Liu et al. 2025).
_ADAM_RMS = 0.2
_SECOND_MOMENT = 0.99  # decay of Adam's; a run is a few hundred updates long, so the usual 0.999 would never settle


def optimiser(settings: TrainingSettings) -> optax.GradientTransformation:
    """The direction to subtract from the weights, before the learning rate, from a clipped gradient.

    "adam": Adam with decoupled weight decay on all but vectors (biases, scales). "muon": momentum made orthogonal by
    Newton-Schulz iterations for matrices (Jordan 2024), so that every direction of a weight matrix learns at the same
    pace, and Adam for vectors. A convolution is the matrix of its window and inputs by its outputs.
    """
    if settings.optimiser == "muon":
        muon = optax.contrib.muon(
            -1.0,
            consistent_rms=_ADAM_RMS,
            weight_decay=settings.weight_decay,
            adam_b2=_SECOND_MOMENT,
            muon_weight_dimension_numbers=_matrices,
        )
        return optax.chain(optax.clip_by_global_norm(settings.clip_norm), muon)
    return optax.chain(
        optax.clip_by_global_norm(settings.clip_norm),
        optax.scale_by_adam(b2=_SECOND_MOMENT),
        optax.add_decayed_weights(settings.weight_decay, mask=_are_matrices),
    )


def _are_matrices(parameters: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, parameters)


def _matrices(parameters: Any) -> Any:
    """For each linear layer and convolution, which axes are inputs and which outputs; None for all else."""

    def axes(leaf: jax.Array) -> optax.contrib.MuonDimensionNumbers | None:
        if leaf.ndim not in (2, 4):
            return None
        *inputs, outputs = range(leaf.ndim)
        return optax.contrib.MuonDimensionNumbers(tuple(inputs), (outputs,))

    return jax.tree.map(axes, parameters)
