"""Convolution on the sphere, with a gradient that stays fast inside compiled loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from pinnwx.grid import Grid
from pinnwx.operators.stencils import pad

ROWS_AND_COLUMNS = (-3, -2)  # of a channel-last array


def _valid(features: Array, kernel: Array) -> Array:
    """Convolution without padding in the one layout that XLA runs at full speed anywhere."""
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(features, kernel, (1, 1), "VALID", dimension_numbers=layout)


@jax.custom_vjp
def convolve(
    features: Float[Array, "batch padded_lat padded_lon inputs"], kernel: Float[Array, "rows columns inputs outputs"]
) -> Float[Array, "batch lat lon outputs"]:
    """Sum over the kernel's window, without padding.

    XLA brings the convolutions of a gradient into its fast layout only outside of loops; inside `lax.scan` they ran
    ten times slower (CPU, jaxlib 0.10). So both are written here: the gradient in `features` is a convolution of the
    padded cotangent with the turned kernel, that in `kernel` nine matrix products.
    """
    return _valid(features, kernel)


def _forward(features, kernel):
    return _valid(features, kernel), (features, kernel)


def _backward(saved, cotangent):
    features, kernel = saved
    rows, columns = kernel.shape[0] - 1, kernel.shape[1] - 1
    padded = jnp.pad(cotangent, ((0, 0), (rows, rows), (columns, columns), (0, 0)))
    turned = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
    return _valid(padded, turned), _of_kernel(features, cotangent, rows + 1, columns + 1)


def _of_kernel(features: Array, cotangent: Array, rows: int, columns: int) -> Array:
    """One matrix product for each place of the kernel: 1.6 times as fast as the convolution of the two."""
    batch, height, width, outputs = cotangent.shape
    flat = cotangent.reshape(-1, outputs)

    def place(i: int, j: int) -> Array:
        seen = jax.lax.slice(features, (0, i, j, 0), (batch, i + height, j + width, features.shape[-1]))
        return jnp.einsum("ni,no->io", seen.reshape(flat.shape[0], -1), flat)

    return jnp.stack([jnp.stack([place(i, j) for j in range(columns)]) for i in range(rows)])


convolve.defvjp(_forward, _backward)


def normal(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    """Standard normal numbers drawn on the host: XLA would compile its generator for every shape, 0.7 s each."""
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    return jnp.asarray(generator.standard_normal(shape), dtype)


def fan_in_normal(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    """Weights of a linear layer that keeps the variance."""
    return normal(key, shape, dtype) / float(np.sqrt(shape[0]))


class SphereConv(nnx.Module):
    """3 x 3 convolution whose halo wraps in longitude and crosses the poles; on a box it repeats the edge."""

    def __init__(
        self,
        grid: Grid,
        inputs: int,
        outputs: int,
        *,
        signs: Sequence[float] | None = None,
        gain: float = 1.0,
        rngs: nnx.Rngs,
    ):
        """`signs` holds -1 for input channels that change sign across a pole (vector components)."""
        self.grid = grid
        self.signs = None if signs is None else tuple(signs)
        scale = gain * float(np.sqrt(2.0 / (9 * inputs)))
        self.kernel = nnx.Param(scale * normal(rngs.params(), (3, 3, inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros(outputs))

    def __call__(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon channel2"]:
        sign = 1.0 if self.signs is None else jnp.asarray(self.signs, features.dtype)
        padded = pad(features, self.grid, 1, sign=sign, axes=ROWS_AND_COLUMNS)
        return convolve(padded, self.kernel[...]) + self.bias[...]
