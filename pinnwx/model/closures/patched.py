"""The base of closures with residual blocks: blocks on a coarser grid between two convolutions on the fine grid.

The convolutions are dense and channel-last, most of them on the coarser grid. On a CPU they run near the peak of the
machine; depthwise convolutions, and convolutions on the fine grid, do not.

Noise n among the features (`model.noise`) is not encoded. It scales and shifts the normalised channels of each block,

    (1 + A n) normalised x + B n,

with A and B zero at first. On the coarser grid, n is its mean over the cells of a patch.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from pinnwx.config import ClosureSettings
from pinnwx.grid import Grid
from pinnwx.model.closures.base import Closure, record_activation
from pinnwx.model.closures.channels import ChannelGroup, Slot, read, within, written
from pinnwx.model.convolution import SphereConv
from pinnwx.model.features import FeatureSpec
from pinnwx.model.initialisers import layer_norm, linear, zeros
from pinnwx.model.noise import NOISE_GAIN
from pinnwx.model.space_to_depth import coarse_grid, depth_to_space, patch_mean, space_to_depth

EXPANSION = 2  # of the width, between the two dense layers of a block


def dense_pair(inputs: int, hidden: int, outputs: int, rngs: nnx.Rngs) -> tuple[nnx.Linear, nnx.Linear]:
    """Two layers that mix the channels of a cell. Their output starts small, so that a stack of blocks starts near the
    identity."""
    return linear(inputs, hidden, rngs=rngs), linear(hidden, outputs, 0.1, rngs=rngs)


def mixed(
    features: Float[Array, "*cells channel"],
    widen: nnx.Linear,
    narrow: nnx.Linear,
    record: Callable[[str, Array], Array] = lambda _, values: values,
) -> Float[Array, "*cells channel2"]:
    """The output of a pair of layers in each cell; `record` is called with the input of each layer."""
    return narrow(record("narrow", jax.nn.relu(widen(record("widen", features)))))


class Modulation(nnx.Linear):
    """The layers A and B."""

    def __init__(self, noise: int, width: int, *, rngs: nnx.Rngs):
        super().__init__(noise, 2 * width, use_bias=False, kernel_init=zeros, param_dtype=np.float32, rngs=rngs)

    @classmethod
    def of(cls, noise: int, width: int, *, rngs: nnx.Rngs) -> Modulation | None:
        """For `noise` channels of noise; None without any."""
        return cls(noise, width, rngs=rngs) if noise else None


def modulated(
    normalised: Float[Array, "batch lat lon channel"],
    noise: Float[Array, "batch lat lon noise"],
    modulation: Modulation | None,
) -> Float[Array, "batch lat lon channel"]:
    """Normalised channels, scaled and shifted by the noise."""
    if modulation is None:
        return normalised
    scale, shift = jnp.split(modulation(NOISE_GAIN * noise), 2, axis=-1)
    return (1 + scale) * normalised + shift


def normalisation(path: str, modulation: Modulation | None) -> list[Slot]:
    """The slots of the channels in a normalisation at this path of a layer, and in its modulation."""
    slots = [Slot(f"{path}/norm/{part}", 0) for part in ("scale", "bias")]
    return slots if modulation is None else [*slots, Slot(f"{path}/modulation/kernel", 1, 2)]


class Block(nnx.Module):
    """x + mix(conv(normalised x)): each cell sees its neighbours once; then dense layers mix its channels.

    Abstract: subclasses have the dense layers, mix the channels with them and list them.
    """

    def __init__(self, grid: Grid, width: int, inner: int, noise: int, *, rngs: nnx.Rngs):
        self.norm = layer_norm(width, rngs=rngs)
        self.modulation = Modulation.of(noise, width, rngs=rngs)
        self.input_convolution = SphereConv(grid, width, inner, rngs=rngs)

    def __call__(
        self, features: Float[Array, "batch lat lon channel"], noise: Float[Array, "batch lat lon noise"]
    ) -> Float[Array, "batch lat lon channel"]:
        return features + self.mix(self.convolved(features, noise))

    def convolved(
        self, features: Float[Array, "batch lat lon channel"], noise: Float[Array, "batch lat lon noise"]
    ) -> Float[Array, "batch lat lon channel2"]:
        """The input of the dense layers."""
        normalised = modulated(self.norm(record_activation(self, "norm", features)), noise, self.modulation)
        return jax.nn.relu(self.input_convolution(record_activation(self, "input_convolution", normalised)))

    @abstractmethod
    def mix(self, features: Float[Array, "batch lat lon channel2"]) -> Float[Array, "batch lat lon channel"]:
        """The output of the dense layers, which mix the channels of each cell."""

    @abstractmethod
    def dense_channels(self, path: str) -> tuple[list[Slot], list[Slot], list[ChannelGroup]]:
        """The channels of the dense layers of a block at a path of its network: the writers of the block's output, the
        readers of its convolution, and the groups between."""


class PatchedClosure(Closure):
    """Fine features; space to depth onto the coarse grid; residual blocks there; depth to space back.

    Abstract: subclasses build the blocks. The last layer starts at zero, so an untrained closure adds nothing.
    """

    def __init__(
        self,
        grid: Grid,
        features: Sequence[FeatureSpec],
        outputs: Sequence[FeatureSpec],
        settings: ClosureSettings,
        *,
        rngs: nnx.Rngs,
    ):
        width, patch_size = settings.width, settings.patch_size
        coarse = coarse_grid(grid, patch_size)
        self.patch_size, fine_width = patch_size, settings.fine_width or max(width // 2, 16)
        self.noise = sum(feature.is_noise for feature in features)
        signs = tuple(feature.pole_parity for feature in features if not feature.is_noise)
        self.encode = SphereConv(grid, len(signs), fine_width, signs=signs, rngs=rngs)
        self.fold = linear(fine_width * patch_size**2, width, rngs=rngs)
        widths = settings.block_widths or ((width, EXPANSION * width),) * settings.blocks
        self.blocks = nnx.List(
            [self.make_block(coarse, width, inner, hidden, self.noise, settings, rngs=rngs) for inner, hidden in widths]
        )
        self.unfold = linear(width, fine_width * patch_size**2, rngs=rngs)
        self.decode = SphereConv(grid, fine_width, len(outputs), gain=0.0, rngs=rngs)

    @abstractmethod
    def make_block(
        self, grid: Grid, width: int, inner: int, hidden: int, noise: int, settings: ClosureSettings, *, rngs: nnx.Rngs
    ) -> Block:
        """A block of `width` channels, with `inner` after its convolution and `hidden` between its dense layers, which
        `noise` channels of noise modulate."""

    def __call__(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon channel2"]:
        fine, coarse, noise = self.encoded(features)
        added = self.unfold(record_activation(self, "unfold", self.processed(coarse, noise)))
        summed = jax.nn.relu(fine + depth_to_space(added, self.patch_size))
        return self.decode(record_activation(self, "decode", summed))

    def encoded(self, features: Array) -> tuple[Array, Array, Array]:
        """Fine and coarse features before the blocks, and the noise on the coarse grid."""
        known = features.shape[-1] - self.noise
        fine = jax.nn.relu(self.encode(features[..., :known]))
        coarse = self.fold(record_activation(self, "fold", space_to_depth(fine, self.patch_size)))
        return fine, coarse, patch_mean(features[..., known:], self.patch_size)

    def processed(
        self, coarse: Float[Array, "batch lat lon channel"], noise: Float[Array, "batch lat lon noise"]
    ) -> Float[Array, "batch lat lon channel"]:
        """Coarse features after the blocks."""
        for block in self.blocks:
            coarse = block(coarse, noise)
        return coarse

    def channel_groups(self) -> list[ChannelGroup]:
        """The fine features with the output of depth to space, `fine`; the channels that the blocks read and add to,
        `residual`; and of each block the output of its convolution, `input_convolution`, and the channels between its
        dense layers, `hidden`."""
        cells = self.patch_size**2
        writers, readers, norms = [*written("fold", 1)], [read("unfold", 0)], []
        of_blocks: list[ChannelGroup] = []
        for number, block in enumerate(self.blocks):
            path = f"blocks/{number}"
            readers.append(read(f"{path}/input_convolution", 2, norm=f"{path}/norm"))
            norms += normalisation(path, block.modulation)
            block_writers, convolution_readers, groups = block.dense_channels(path)
            writers += block_writers
            name, inner = "input_convolution", block.input_convolution.bias[...].shape[0]
            convolution = ChannelGroup(name, name, inner, written(f"{path}/{name}", 3), tuple(convolution_readers))
            of_blocks += within([*groups, convolution], path)
        fine, width = self.fold.in_features // cells, self.unfold.in_features
        fine_writers, fine_readers = (*written("encode", 3), *written("unfold", 1, cells)), read("fold", 0, cells)
        return [
            ChannelGroup("fine", "fine", fine, fine_writers, (fine_readers, read("decode", 2))),
            ChannelGroup("residual", "residual", width, tuple(writers), tuple(readers), tuple(norms)),
            *of_blocks,
        ]

    @classmethod
    def with_widths(cls, settings: ClosureSettings, widths: Mapping[str, int]) -> ClosureSettings:
        blocks = tuple(
            (widths[f"blocks/{number}/input_convolution"], widths[f"blocks/{number}/hidden"])
            for number in range(settings.blocks)
        )
        changes: dict[str, Any] = {
            "width": widths["residual"], "fine_width": widths["fine"], "block_widths": blocks
        }  # fmt: skip
        return settings.model_copy(update=changes)
