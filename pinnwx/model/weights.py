"""The weights of a model by name, such as `closure/network/blocks/0/input_convolution/kernel`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx


def named(weights: Any) -> dict[str, jax.Array]:
    """The arrays of an nnx state of `Param`s, or of a pytree of its structure, by name."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(weights)
    return {_name(path): leaf for path, leaf in leaves}


def on_host(weights: Any) -> dict[str, np.ndarray]:
    """As `named`, as NumPy arrays; without a copy where they are on the host already."""
    return {name: np.asarray(leaf) for name, leaf in named(weights).items()}


def like(weights: Any, arrays: Mapping[str, Any]) -> Any:
    """The inverse of `named`, in the structure of `weights`."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(weights)
    return jax.tree_util.tree_unflatten(structure, [jax.device_put(arrays[_name(path)]) for path, _ in leaves])


def named_weights(model: Any) -> dict[str, np.ndarray]:
    """A copy of all trained weights of a model, by name."""
    return {name: np.array(leaf, order="C") for name, leaf in named(nnx.state(model, nnx.Param)).items()}


def set_weights(model: Any, arrays: Mapping[str, Any]) -> None:
    """Sets the weights of a model, which have its names and shapes."""
    nnx.update(model, like(nnx.state(model, nnx.Param), arrays))


def count_weights(model: Any) -> int:
    """The number of trained weights."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


def _name(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/").removesuffix("/value")
