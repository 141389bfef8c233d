"""The networks that close the equations, with padding that is right on the sphere.

Dense channel-last convolutions, most of them on a coarser grid: on a CPU these run near the peak of the machine,
while depthwise or fine-grid ones do not.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.operators.stencils import pad

ROWS_AND_COLUMNS = (-3, -2)  # of a channel-last array


def coarse_grid(grid: Grid, factor: int) -> Grid:
    """The grid whose cells are blocks of `factor` x `factor` cells.

    Raises:
        ConfigError: the grid does not divide into such blocks, or has rows on the poles.
    """
    rows, columns = grid.shape
    if factor == 1:
        return grid
    if rows % factor or columns % (2 * factor) or grid.has_pole_rows:
        raise ConfigError(
            f"model.closure.coarsen = {factor} does not divide the {rows} x {columns} grid; use coarsen = 1"
        )
    latitude = np.asarray(grid.latitude).reshape(-1, factor).mean(axis=1)
    longitude = np.asarray(grid.longitude).reshape(-1, factor).mean(axis=1)
    return Grid(tuple(latitude.tolist()), tuple(longitude.tolist()))


class SphereConv(nnx.Module):
    """Convolution whose halo wraps in longitude and crosses the poles; on a box it repeats the edge."""

    def __init__(
        self,
        grid: Grid,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        signs: Sequence[float] | None = None,
        gain: float = 1.0,
        rngs: nnx.Rngs,
    ):
        """`signs` holds -1 for input channels that change sign across a pole (vector components)."""
        self.grid, self.stride, self.halo = grid, stride, (kernel - stride + 1) // 2
        self.signs = None if signs is None else tuple(signs)
        scale = gain * np.sqrt(2.0 / (kernel * kernel * inputs))
        self.kernel = nnx.Param(scale * jax.random.normal(rngs.params(), (kernel, kernel, inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros(outputs))

    def __call__(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat2 lon2 channel2"]:
        sign = 1.0 if self.signs is None else jnp.asarray(self.signs, features.dtype)
        padded = pad(features, self.grid, self.halo, sign=sign, axes=ROWS_AND_COLUMNS) if self.halo else features
        result = jax.lax.conv_general_dilated(
            padded,
            self.kernel[...],
            window_strides=(self.stride, self.stride),
            padding="VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return result + self.bias[...]


class ResidualBlock(nnx.Module):
    """x + conv(relu(conv(normalised x)))."""

    def __init__(self, grid: Grid, width: int, *, rngs: nnx.Rngs):
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.first = SphereConv(grid, width, width, rngs=rngs)
        self.second = SphereConv(grid, width, width, gain=0.1, rngs=rngs)

    def __call__(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon channel"]:
        return features + self.second(jax.nn.relu(self.first(self.norm(features))))


class ClosureNetwork(nnx.Module):
    """Encoder, residual blocks on the coarse grid, decoder that sees the fine features again.

    The last layer starts at zero, so an untrained closure adds nothing.
    """

    def __init__(
        self,
        grid: Grid,
        outputs: int,
        signs: Sequence[float],
        *,
        width: int,
        blocks: int,
        coarsen: int,
        rngs: nnx.Rngs,
    ):
        """`signs` has one entry an input channel: its factor across a pole, -1 for vector components."""
        inputs = len(signs)
        coarse = coarse_grid(grid, coarsen)
        self.coarsen, fine_width = coarsen, max(width // 2, 16)
        self.encode = SphereConv(
            grid, inputs, width, kernel=3 if coarsen == 1 else 2 * coarsen, stride=coarsen, signs=signs, rngs=rngs
        )
        self.blocks = nnx.List([ResidualBlock(coarse, width, rngs=rngs) for _ in range(blocks)])
        self.expand = SphereConv(coarse, width, fine_width * coarsen**2, kernel=1, rngs=rngs)
        self.skip = SphereConv(grid, inputs, fine_width, signs=signs, rngs=rngs)
        self.decode = SphereConv(grid, fine_width, outputs, gain=0.0, rngs=rngs)

    def __call__(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon channel2"]:
        hidden = self.encode(features)
        for block in self.blocks:
            hidden = block(hidden)
        hidden = _unfold(self.expand(hidden), self.coarsen) + self.skip(features)
        return self.decode(jax.nn.relu(hidden))


def _unfold(coarse: Float[Array, "batch lat lon channel"], factor: int) -> Float[Array, "batch lat2 lon2 channel2"]:
    """Blocks of channels laid out as `factor` x `factor` fine cells."""
    if factor == 1:
        return coarse
    batch, rows, columns, channels = coarse.shape
    blocks = coarse.reshape(batch, rows, columns, factor, factor, channels // factor**2)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * factor, columns * factor, channels // factor**2)
