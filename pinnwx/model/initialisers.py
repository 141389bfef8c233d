"""First weights, drawn on the host: XLA would compile its generator, and each product, for every shape of a layer.

Each function is an initialiser of `flax.nnx`: it maps a key, a shape and a dtype to an array. The same key gives the
same values on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array


def normal(key: Array, shape: Sequence[int], dtype: Any = np.float32, scale: float = 1.0) -> Array:
    """Normal values with mean zero and the standard deviation `scale`."""
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    return jax.device_put(np.asarray(scale, dtype) * generator.standard_normal(shape).astype(dtype))


def fan_in_normal(key: Array, shape: Sequence[int], dtype: Any = np.float32, gain: float = 1.0) -> Array:
    """Weights (inputs, outputs) of a linear layer that multiplies the variance by `gain` squared."""
    one = np.asarray(1, dtype)
    unit = np.asarray(normal(key, shape, dtype)) * (one / np.asarray(np.sqrt(shape[0]), dtype))
    return jax.device_put(np.asarray(gain, dtype) * unit)


def zeros(key: Any, shape: Sequence[int], dtype: Any = np.float32) -> Array:  # noqa: ARG001
    """Zeros; the key is not used."""
    return jax.device_put(np.zeros(shape, dtype))


def ones(key: Any, shape: Sequence[int], dtype: Any = np.float32) -> Array:  # noqa: ARG001
    """Ones; the key is not used."""
    return jax.device_put(np.ones(shape, dtype))


def linear(inputs: int, outputs: int, gain: float = 1.0, *, rngs: nnx.Rngs) -> nnx.Linear:
    """A linear layer: weights by `fan_in_normal`, bias zero."""
    return nnx.Linear(
        inputs,
        outputs,
        kernel_init=partial(fan_in_normal, gain=gain),
        bias_init=zeros,
        param_dtype=np.float32,
        rngs=rngs,
    )


def layer_norm(width: int, *, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """A normalisation over channels: scale one, bias zero."""
    return nnx.LayerNorm(width, scale_init=ones, bias_init=zeros, param_dtype=np.float32, rngs=rngs)
