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
from flax import nnx
from jaxtyping import Array, Float

from pinnwx.grid import Grid
from pinnwx.model.convolution import SphereConv
from pinnwx.model.experts import Experts, dense_pair, mixed
from pinnwx.model.initialisers import layer_norm, linear
from pinnwx.model.space_to_depth import coarse_grid, depth_to_space, space_to_depth
from pinnwx.model.views import MultiViewNetwork, Views

EXPANSION = 2  # of the width, between the two dense layers of a block


class ResidualBlock(nnx.Module):
    """x + mix(conv(normalised x)): neighbours are seen once, then each cell is mixed by two dense layers.

    As in ConvNeXt (Liu et al. 2022), but that the convolution is dense. Against two convolutions, a block has a quarter
    less operations, and those of the dense layers run faster on a CPU: at equal time it learned more.
    """

    def __init__(self, grid: Grid, width: int, seen: int, hidden: int, *, rngs: nnx.Rngs):
        self.norm = layer_norm(width, rngs=rngs)
        self.input_convolution = SphereConv(grid, width, seen, rngs=rngs)
        self.widen, self.narrow = dense_pair(seen, hidden, width, rngs)

    def __call__(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon channel"]:
        seen = jax.nn.relu(self.input_convolution(self.norm(features)))
        return features + mixed(seen, self.widen, self.narrow)


class ExpertBlock(nnx.Module):
    """A residual block of which each region is mixed by the experts that chose it (`model.experts`)."""

    def __init__(
        self, grid: Grid, width: int, seen: int, hidden: int, *, experts: int, per_region: int, rngs: nnx.Rngs
    ):
        self.norm = layer_norm(width, rngs=rngs)
        self.input_convolution = SphereConv(grid, width, seen, rngs=rngs)
        self.experts = Experts(grid, seen, hidden, width, experts, per_region, rngs=rngs)

    def __call__(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon channel"]:
        return features + self.experts(self.seen(features))

    def seen(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon channel2"]:
        """What the experts are shown."""
        return jax.nn.relu(self.input_convolution(self.norm(features)))


class ClosureNetwork(nnx.Module):
    """Fine features; space to depth onto the coarse grid; residual blocks there; depth to space back.

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
        patch_size: int,
        fine_width: int | None = None,
        block_widths: Sequence[tuple[int, int]] | None = None,
        experts: int = 1,
        experts_per_region: int = 1,
        rngs: nnx.Rngs,
    ):
        """
        Args:
            grid: of what it is given.
            outputs: how many channels it makes.
            signs: of each input channel its factor across a pole, -1 for vector components.
            width: channels that the blocks read and add to.
            blocks: how many.
            patch_size: cells of the fine grid, each way, in one of the blocks'.
            fine_width: channels on the fine grid; half of `width`, but at least 16, if None.
            block_widths: of each block, the channels that its convolution makes, and those between its dense layers;
                `width` and twice that, if None.
            experts: pairs of dense layers of a block.
            experts_per_region: how many of them a region is given on average.
            rngs: of the first weights.
        """
        coarse = coarse_grid(grid, patch_size)
        self.patch_size, fine_width = patch_size, fine_width or max(width // 2, 16)
        self.encode = SphereConv(grid, len(signs), fine_width, signs=signs, rngs=rngs)
        self.fold = linear(fine_width * patch_size**2, width, rngs=rngs)
        block = ResidualBlock
        if experts > 1:
            block = partial(ExpertBlock, experts=experts, per_region=experts_per_region)
        widths = block_widths or [(width, EXPANSION * width)] * blocks
        self.blocks = nnx.List([block(coarse, width, seen, hidden, rngs=rngs) for seen, hidden in widths])
        self.unfold = linear(width, fine_width * patch_size**2, rngs=rngs)
        self.decode = SphereConv(grid, fine_width, outputs, gain=0.0, rngs=rngs)

    def __call__(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon channel2"]:
        fine, hidden = self._begun(features)
        for block in self.blocks:
            hidden = block(hidden)
        return self.decode(jax.nn.relu(fine + depth_to_space(self.unfold(hidden), self.patch_size)))

    @property
    def has_experts(self) -> bool:
        return isinstance(self.blocks[0], ExpertBlock)

    def use_of_experts(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon expert"]:
        """In which share of the blocks each expert of a network that has some is used, of features in a plain view."""
        _, hidden = self._begun(features)
        used = []
        for block in self.blocks:
            assert isinstance(block, ExpertBlock)
            used.append(block.experts.use(block.seen(hidden)))
            hidden = block(hidden)
        fraction = jnp.mean(jnp.stack(used), axis=0)
        return fraction.repeat(self.patch_size, axis=1).repeat(self.patch_size, axis=2)

    def _begun(self, features: Array) -> tuple[Array, Array]:
        """Fine and coarse features before the blocks."""
        fine = jax.nn.relu(self.encode(features))
        return fine, self.fold(space_to_depth(fine, self.patch_size))


def closure_of(closure: MultiViewNetwork) -> ClosureNetwork:
    """The network behind views."""
    network = closure.network
    assert isinstance(network, ClosureNetwork)
    return network


def multi_view_closure(
    grid: Grid,
    views: Views,
    signs: Sequence[float],
    equator_parity: Sequence[float],
    output_signs: Sequence[float],
    **size: Any,
) -> MultiViewNetwork:
    """A closure network behind its views; `size` holds the keywords of `ClosureNetwork`.

    `signs` are the factors of the input channels across a pole, `equator_parity` and `output_signs` those of input and
    output channels under reflection in the equator.
    """
    network = ClosureNetwork(grid, len(output_signs), signs, **size)
    return MultiViewNetwork(network, views, equator_parity, output_signs)
