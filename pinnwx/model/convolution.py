"""Convolution on the sphere, with a gradient that stays fast inside compiled loops."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from pinnwx.grid import Grid
from pinnwx.model.initialisers import normal, zeros
from pinnwx.operators.stencils import pad

ROWS_AND_COLUMNS = (-3, -2)  # of a channel-last array


def _row_patches(features: Array, columns: int) -> Array:
    """The values of `columns` neighbouring cells of a row side by side in the channels of one."""
    width = features.shape[2] - columns + 1
    return jnp.concatenate([features[:, :, j : j + width] for j in range(columns)], axis=-1)


def _shifted(features: Array, kernel: Array) -> Array:
    """Convolution without padding as one matrix product with all cells of the kernel. The results are shifted and
    added."""
    rows, columns, inputs, outputs = kernel.shape
    height, width = features.shape[1] - rows + 1, features.shape[2] - columns + 1
    products = features @ kernel.transpose(2, 0, 1, 3).reshape(inputs, -1)
    products = products.reshape(*features.shape[:-1], rows, columns, outputs)
    parts = [products[:, i : i + height, j : j + width, i, j] for i in range(rows) for j in range(columns)]
    return sum(parts[1:], parts[0])


def _products(features: Array, kernel: Array) -> Array:
    """Convolution without padding as one matrix product for each row of the kernel."""
    rows, columns, _, outputs = kernel.shape
    patches = _row_patches(features, columns)
    height = features.shape[1] - rows + 1
    parts = [
        patches[:, i : i + height].reshape(-1, patches.shape[-1]) @ kernel[i].reshape(-1, outputs) for i in range(rows)
    ]
    return sum(parts[1:], parts[0]).reshape(features.shape[0], height, patches.shape[2], outputs)


def convolve(
    features: Float[Array, "batch padded_lat padded_lon inputs"], kernel: Float[Array, "rows columns inputs outputs"]
) -> Float[Array, "batch lat lon outputs"]:
    """Sum over the kernel's window, without padding; differentiable in forward and reverse mode, to any order.

    The convolution is written as matrix products, which are faster on a CPU than XLA's convolution. On two cores, 64
    channels of two coarse grids take 375 us by XLA, 261 us by a product for each row of the kernel, and 215 us by one
    product with shifted results; 32 channels to 4 on the fine grid take 175, 157 and 59 us. Forecasts use the last
    form. Training uses the second, because its gradient needs the patches of the rows anyway. The gradient is written
    out: a convolution of the padded cotangent with the flipped kernel, and products of the patches, which are computed
    again instead of stored. XLA's own gradient convolves in a slow layout inside `lax.scan` (CPU, jaxlib 0.10).

    It is a primitive of JAX, because only a primitive may have a tangent and a transpose of its own: a `custom_vjp`
    has no forward mode, and a `custom_jvp` has no transpose of its own.
    """
    return _convolution.bind(jnp.asarray(features), jnp.asarray(kernel), by_rows=False)


def _compute(features: Array, kernel: Array, *, by_rows: bool) -> Array:
    return (_products if by_rows else _shifted)(features, kernel)


def _shape(features: ShapedArray, kernel: ShapedArray, *, by_rows: bool) -> ShapedArray:
    del by_rows
    rows, columns, _, outputs = kernel.shape
    batch, height, width, _ = features.shape
    shape = (batch, height - rows + 1, width - columns + 1, outputs)
    return ShapedArray(shape, jnp.result_type(features.dtype, kernel.dtype))


def _tangent(primals, tangents, *, by_rows: bool):
    """The convolution is linear in each argument, so its tangent is the sum of two convolutions."""
    del by_rows
    (features, kernel), (of_features, of_kernel) = primals, tangents
    convolved = partial(_convolution.bind, by_rows=True)
    terms = []
    if not isinstance(of_features, ad.Zero):
        terms.append(convolved(of_features, kernel))
    if not isinstance(of_kernel, ad.Zero):
        terms.append(convolved(features, of_kernel))
    return convolved(features, kernel), sum(terms[1:], terms[0])


def _transpose(cotangent, features, kernel, *, by_rows: bool):
    """The cotangent of one argument; the other is known."""
    undefined = features if ad.is_undefined_primal(features) else kernel
    cotangent = ad.instantiate_zeros(cotangent)
    if undefined is features:
        rows, columns = kernel.shape[:2]
        padded = jnp.pad(cotangent, ((0, 0), (rows - 1, rows - 1), (columns - 1, columns - 1), (0, 0)))
        flipped = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
        return _convolution.bind(padded, flipped, by_rows=by_rows), None
    rows, columns, inputs, outputs = kernel.aval.shape
    patches, flat = _row_patches(features, columns), cotangent.reshape(-1, outputs)
    height = cotangent.shape[1]
    of_rows = [jnp.einsum("ni,no->io", patches[:, i : i + height].reshape(len(flat), -1), flat) for i in range(rows)]
    return None, jnp.stack(of_rows).reshape(rows, columns, inputs, outputs)


def _batch(arguments, axes, *, by_rows: bool):
    """Many features and one kernel are one larger batch; many kernels are as many matrix products."""
    (features, kernel), (axis, axis_of_kernels) = arguments, axes
    if axis_of_kernels is not None:
        return jax.vmap(partial(_compute, by_rows=by_rows), in_axes=axes)(*arguments), 0
    features = jnp.moveaxis(features, axis, 0)
    convolved = _convolution.bind(features.reshape(-1, *features.shape[2:]), kernel, by_rows=by_rows)
    return convolved.reshape(*features.shape[:2], *convolved.shape[1:]), 0


_convolution = Primitive("convolution_by_products")
_convolution.def_impl(jax.jit(_compute, static_argnames="by_rows"))
_convolution.def_abstract_eval(_shape)
ad.primitive_jvps[_convolution] = _tangent
ad.primitive_transposes[_convolution] = _transpose
batching.primitive_batchers[_convolution] = _batch
mlir.register_lowering(_convolution, mlir.lower_fun(_compute, multiple_results=False))


class SphereConv(nnx.Module):
    """3 x 3 convolution. Its halo wraps in longitude and crosses the poles; on a regional grid it repeats the edge."""

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
        self.kernel = nnx.Param(normal(rngs.params(), (3, 3, inputs, outputs), scale=scale))
        self.bias = nnx.Param(zeros(None, (outputs,)))

    def __call__(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon channel2"]:
        sign = 1.0 if self.signs is None else jnp.asarray(self.signs, features.dtype)
        padded = pad(features, self.grid, 1, sign=sign, axes=ROWS_AND_COLUMNS)
        return convolve(padded, self.kernel[...]) + self.bias[...]
