"""The default closure: residual blocks, each a dense convolution and two dense layers.

As in ConvNeXt (Liu et al. 2022), but with a dense convolution. Compared with two convolutions, a block has a quarter
fewer operations, and dense layers run faster on a CPU. In equal time its training reached lower errors.
"""

from __future__ import annotations

from functools import partial
from typing import final

from flax import nnx
from jaxtyping import Array, Float

from pinnwx.config import ClosureSettings
from pinnwx.grid import Grid
from pinnwx.model.closures.base import record_activation
from pinnwx.model.closures.channels import ChannelGroup, Slot, read, written
from pinnwx.model.closures.patched import Block, PatchedClosure, dense_pair, mixed


@final
class ResidualBlock(Block):
    """A block in which two dense layers mix the channels of each cell."""

    def __init__(self, grid: Grid, width: int, inner: int, hidden: int, noise: int, *, rngs: nnx.Rngs):
        super().__init__(grid, width, inner, noise, rngs=rngs)
        self.widen, self.narrow = dense_pair(inner, hidden, width, rngs)

    def mix(self, features: Float[Array, "batch lat lon channel2"]) -> Float[Array, "batch lat lon channel"]:
        return mixed(features, self.widen, self.narrow, partial(record_activation, self))

    def dense_channels(self, path: str) -> tuple[list[Slot], list[Slot], list[ChannelGroup]]:
        widen, narrow = f"{path}/widen", f"{path}/narrow"
        hidden = ChannelGroup("hidden", "hidden", self.widen.out_features, written(widen, 1), (read(narrow, 0),))
        return [*written(narrow, 1)], [read(widen, 0)], [hidden]


@final
class ResidualClosure(PatchedClosure):
    """`closure.kind = "residual"`."""

    def make_block(
        self,
        grid: Grid,
        width: int,
        inner: int,
        hidden: int,
        noise: int,
        settings: ClosureSettings,  # noqa: ARG002
        *,
        rngs: nnx.Rngs,
    ) -> Block:
        return ResidualBlock(grid, width, inner, hidden, noise, rngs=rngs)
