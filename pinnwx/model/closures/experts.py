"""A mixture of experts: pairs of dense layers, each of which works on the regions of the grid that it chooses.

The grid is divided into regions of `REGION` x `REGION` cells. A router scores every region for every expert, by a
softmax over the experts of a linear function of the region's mean. Each expert takes the regions that score highest for
it, the same number for each:

    y(r) = sum over the experts e that took r of  count / per_region score(r, e) f_e(x(r)),
    regions that each takes = per_region R / count

(expert choice: Zhou et al. 2022, "Mixture-of-Experts with Expert Choice Routing"). So the load is balanced by
construction, shapes are static, only the regions that are taken are computed, and a forecast does not depend on the
others of its batch. A region that no expert takes passes through unchanged.

Experts take regions instead of cells, because gathering single cells would cost as much as the experts save. Regions
are gathered and scattered by products with a matrix of zeros and ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast, final

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pinnwx.config import ClosureSettings
from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.model.closures.base import record_activation
from pinnwx.model.closures.channels import ChannelGroup, Slot, read, written
from pinnwx.model.closures.patched import Block, PatchedClosure, dense_pair, mixed
from pinnwx.model.initialisers import linear
from pinnwx.model.space_to_depth import depth_to_space, space_to_depth

REGION = 2  # cells of the network's own grid, each way


class Experts(nnx.Module):
    """`count` pairs of dense layers, and the router."""

    def __init__(
        self, grid: Grid, inputs: int, hidden: int, outputs: int, count: int, per_region: int, *, rngs: nnx.Rngs
    ):
        """
        Raises:
            ConfigError: the grid does not divide into regions, or the regions do not divide among the experts.
        """
        rows, columns = grid.shape
        regions = rows // REGION * (columns // REGION)
        if rows % REGION or columns % REGION or regions * per_region % count:
            raise ConfigError(
                f"model.closure.experts = {count} with experts_per_region = {per_region}: the {rows} x {columns} cells "
                f"of the network do not divide into regions of {REGION} x {REGION} cells, as many for each expert; "
                "use another number"
            )
        self.route = linear(inputs, count, rngs=rngs)
        pairs = [dense_pair(inputs, hidden, outputs, rngs) for _ in range(count)]
        self.widen, self.narrow = (nnx.List(layers) for layers in zip(*pairs, strict=True))
        self.taken, self.fraction = regions * per_region // count, per_region / count

    def __call__(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon channel2"]:
        cells = _by_region(features)
        scores, chosen = self._choice(cells)
        parts = []
        for expert, (widen, narrow) in enumerate(zip(self.widen, self.narrow, strict=True)):
            takes = jax.nn.one_hot(chosen[:, expert], cells.shape[1], dtype=features.dtype)  # batch, taken, region
            output = mixed(jnp.einsum("btr,brcw->btcw", takes, cells), widen, narrow, partial(self._record, expert))
            weight = jnp.einsum("btr,br->bt", takes, scores[..., expert]) / self.fraction
            parts.append(jnp.einsum("btr,btcw->brcw", takes, weight[..., None, None] * output))
        rows, columns = features.shape[1] // REGION, features.shape[2] // REGION
        result = sum(parts[1:], parts[0])
        return depth_to_space(result.reshape(len(features), rows, columns, -1), REGION)

    def use(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon expert"]:
        """1 where an expert takes the cell, else 0."""
        cells = _by_region(features)
        chosen = self._choice(cells)[1]
        uses = jax.nn.one_hot(chosen, cells.shape[1], dtype=features.dtype).sum(axis=2)  # batch, expert, region
        rows, columns = features.shape[1] // REGION, features.shape[2] // REGION
        by_region = jnp.moveaxis(uses, 1, -1).reshape(len(features), rows, columns, -1)
        return by_region.repeat(REGION, axis=1).repeat(REGION, axis=2)

    def _record(self, expert: int, layer: str, values: Array) -> Array:
        return record_activation(self, f"{layer}/{expert}", values)

    def _choice(
        self, cells: Float[Array, "batch region cell channel"]
    ) -> tuple[Float[Array, "batch region expert"], Int[Array, "batch expert taken"]]:
        """The score of each region for each expert, and the regions that each expert takes."""
        means = record_activation(self, "route", cells.mean(axis=2))
        scores = jax.nn.softmax(self.route(means), axis=-1)
        _, chosen = jax.lax.top_k(jax.lax.stop_gradient(jnp.swapaxes(scores, 1, 2)), self.taken)
        return scores, chosen


def _by_region(features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch region cell channel"]:
    return space_to_depth(features, REGION).reshape(len(features), -1, REGION**2, features.shape[-1])


@final
class ExpertBlock(Block):
    """A block in which the experts that take a region mix its channels."""

    def __init__(
        self,
        grid: Grid,
        width: int,
        inner: int,
        hidden: int,
        noise: int,
        *,
        experts: int,
        per_region: int,
        rngs: nnx.Rngs,
    ):
        super().__init__(grid, width, inner, noise, rngs=rngs)
        self.experts = Experts(grid, inner, hidden, width, experts, per_region, rngs=rngs)

    def mix(self, features: Float[Array, "batch lat lon channel2"]) -> Float[Array, "batch lat lon channel"]:
        return self.experts(features)

    def dense_channels(self, path: str) -> tuple[list[Slot], list[Slot], list[ChannelGroup]]:
        """As for dense layers; the router reads the output of the convolution too."""
        writers, readers, groups = [], [read(f"{path}/experts/route", 0)], []
        for number, layer in enumerate(self.experts.widen):
            widen, narrow = (f"{path}/experts/{name}/{number}" for name in ("widen", "narrow"))
            writers += written(narrow, 1)
            readers.append(read(widen, 0))
            own = written(widen, 1), (read(narrow, 0),)
            groups.append(ChannelGroup(f"hidden/{number}", "hidden", layer.out_features, *own))
        return writers, readers, groups


@final
class ExpertClosure(PatchedClosure):
    """`closure.kind = "experts"`."""

    def make_block(
        self, grid: Grid, width: int, inner: int, hidden: int, noise: int, settings: ClosureSettings, *, rngs: nnx.Rngs
    ) -> Block:
        count = {"experts": settings.experts, "per_region": settings.experts_per_region}
        return ExpertBlock(grid, width, inner, hidden, noise, **count, rngs=rngs)

    def expert_use(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon expert"]:
        """The fraction of the blocks in which each expert is used, for features in the plain view."""
        _, coarse, noise = self.encoded(features)
        uses = []
        for block in cast("Sequence[ExpertBlock]", self.blocks):
            uses.append(block.experts.use(block.convolved(coarse, noise)))
            coarse = block(coarse, noise)
        fraction = jnp.mean(jnp.stack(uses), axis=0)
        return fraction.repeat(self.patch_size, axis=1).repeat(self.patch_size, axis=2)
