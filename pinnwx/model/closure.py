"""The networks that close the equations, with padding that is right on the sphere.

Dense channel-last convolutions, most of them on a coarser grid: on a CPU these run near the peak of the machine,
while depthwise or fine-grid ones do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.model.convolution import SphereConv, fan_in_normal
from pinnwx.model.frames import FramedNetwork, Frames

_EXPANSION = 2  # of the width, between the two dense layers of a block


def coarse_grid(grid: Grid, factor: int) -> Grid:
    """The grid whose cells are blocks of `factor` x `factor` cells.

    Raises:
        ConfigError: the grid does not divide into such blocks, or has rows on the poles.
    """
    rows, columns = grid.shape
    if factor == 1:
        return grid
    if rows % factor or rows < 3 * factor or columns % (2 * factor) or grid.has_pole_rows:
        raise ConfigError(
            f"model.closure.coarsen = {factor} does not divide the {rows} x {columns} grid; use coarsen = 1"
        )
    latitude = np.asarray(grid.latitude).reshape(-1, factor).mean(axis=1)
    longitude = np.asarray(grid.longitude).reshape(-1, factor).mean(axis=1)
    return Grid(tuple(latitude.tolist()), tuple(longitude.tolist()))


class ResidualBlock(nnx.Module):
    """x + mix(conv(normalised x)): neighbours are seen once, then each cell is mixed by two dense layers.

    As in ConvNeXt (Liu et al. 2022), but that the convolution is dense. Against two convolutions, a block has a quarter
    less operations, and those of the dense layers run faster on a CPU: at equal time it learned more.
    """

    def __init__(self, grid: Grid, width: int, *, rngs: nnx.Rngs):
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.look = SphereConv(grid, width, width, rngs=rngs)
        self.widen = nnx.Linear(width, _EXPANSION * width, kernel_init=fan_in_normal, rngs=rngs)
        self.narrow = nnx.Linear(_EXPANSION * width, width, kernel_init=_a_tenth, rngs=rngs)

    def __call__(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon channel"]:
        seen = jax.nn.relu(self.look(self.norm(features)))
        return features + self.narrow(jax.nn.relu(self.widen(seen)))


def _a_tenth(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    """Small first weights, so that a stack of blocks starts near the identity."""
    return 0.1 * fan_in_normal(key, shape, dtype)


class ClosureNetwork(nnx.Module):
    """Fine features, folded onto the coarse grid, residual blocks there, and unfolded onto the fine features again.

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
        coarse = coarse_grid(grid, coarsen)
        self.coarsen, fine_width = coarsen, max(width // 2, 16)
        self.encode = SphereConv(grid, len(signs), fine_width, signs=signs, rngs=rngs)
        linear = partial(nnx.Linear, kernel_init=fan_in_normal, rngs=rngs)
        self.fold = linear(fine_width * coarsen**2, width)
        self.blocks = nnx.List([ResidualBlock(coarse, width, rngs=rngs) for _ in range(blocks)])
        self.unfold = linear(width, fine_width * coarsen**2)
        self.decode = SphereConv(grid, fine_width, outputs, gain=0.0, rngs=rngs)

    def __call__(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon channel2"]:
        fine = jax.nn.relu(self.encode(features))
        hidden = self.fold(_folded(fine, self.coarsen))
        for block in self.blocks:
            hidden = block(hidden)
        return self.decode(jax.nn.relu(fine + _unfolded(self.unfold(hidden), self.coarsen)))


def framed_closure(
    grid: Grid,
    frames: Frames,
    signs: Sequence[float],
    mirror_signs: Sequence[float],
    output_signs: Sequence[float],
    **size: Any,
) -> FramedNetwork:
    """A closure network behind its frames; `size` holds the keywords of `ClosureNetwork`.

    `signs` are the factors of the input channels across a pole, `mirror_signs` and `output_signs` those of input and
    output channels under reflection in the equator.
    """
    network = ClosureNetwork(grid, len(output_signs), signs, **size)
    return FramedNetwork(network, frames, mirror_signs, output_signs)


def _folded(fine: Float[Array, "batch lat lon channel"], factor: int) -> Float[Array, "batch lat2 lon2 channel2"]:
    """`factor` x `factor` neighbouring cells laid out as channels of one coarse cell."""
    batch, rows, columns, channels = fine.shape
    blocks = fine.reshape(batch, rows // factor, factor, columns // factor, factor, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows // factor, columns // factor, -1)


def _unfolded(coarse: Float[Array, "batch lat lon channel"], factor: int) -> Float[Array, "batch lat2 lon2 channel2"]:
    """The inverse of `_folded`."""
    batch, rows, columns, channels = coarse.shape
    blocks = coarse.reshape(batch, rows, columns, factor, factor, channels // factor**2)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * factor, columns * factor, -1)
