"""A mixture of experts: dense layers of which each region of the globe is given those that chose it.

The grid is cut into regions of `REGION` x `REGION` cells. A router scores every region for every expert, by a softmax
over the experts of what the mean of the region's cells says, and each expert takes the regions that score highest for
it, as many for each:

    y(r) = sum over the experts e that took r of  count / per_region score(r, e) f_e(x(r)),
    regions that each takes = per_region R / count

(expert choice: Zhou et al. 2022, "Mixture-of-Experts with Expert Choice Routing"). So the load is balanced by
construction, shapes are static, only what was taken is computed, and a forecast does not depend on what else is in its
batch. What no expert takes is passed on as it is.

Regions and not cells, because to gather single cells would cost as much as the experts save: regions go to their
experts and come back as products with a matrix of zeros and ones.
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
            ConfigError: the grid does not divide into regions, or the regions not among the experts.
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

    def __call__(self, seen: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon channel2"]:
        cells = _by_region(seen)
        scores, chosen = self._choice(cells)
        parts = []
        for expert, (widen, narrow) in enumerate(zip(self.widen, self.narrow, strict=True)):
            takes = jax.nn.one_hot(chosen[:, expert], cells.shape[1], dtype=seen.dtype)  # batch, taken, region
            made = mixed(jnp.einsum("btr,brcw->btcw", takes, cells), widen, narrow, partial(self._record, expert))
            weight = jnp.einsum("btr,br->bt", takes, scores[..., expert]) / self.fraction
            parts.append(jnp.einsum("btr,btcw->brcw", takes, weight[..., None, None] * made))
        rows, columns = seen.shape[1] // REGION, seen.shape[2] // REGION
        result = sum(parts[1:], parts[0])
        return depth_to_space(result.reshape(len(seen), rows, columns, -1), REGION)

    def use(self, seen: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon expert"]:
        """1 where an expert took the cell, else 0."""
        cells = _by_region(seen)
        chosen = self._choice(cells)[1]
        took = jax.nn.one_hot(chosen, cells.shape[1], dtype=seen.dtype).sum(axis=2)  # batch, expert, region
        rows, columns = seen.shape[1] // REGION, seen.shape[2] // REGION
        by_region = jnp.moveaxis(took, 1, -1).reshape(len(seen), rows, columns, -1)
        return by_region.repeat(REGION, axis=1).repeat(REGION, axis=2)

    def _record(self, expert: int, layer: str, values: Array) -> Array:
        return record_activation(self, f"{layer}/{expert}", values)

    def _choice(
        self, cells: Float[Array, "batch region cell channel"]
    ) -> tuple[Float[Array, "batch region expert"], Int[Array, "batch expert taken"]]:
        """The score of each region for each expert, and which regions each takes."""
        means = record_activation(self, "route", cells.mean(axis=2))
        scores = jax.nn.softmax(self.route(means), axis=-1)
        _, chosen = jax.lax.top_k(jax.lax.stop_gradient(jnp.swapaxes(scores, 1, 2)), self.taken)
        return scores, chosen


def _by_region(seen: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch region cell channel"]:
    return space_to_depth(seen, REGION).reshape(len(seen), -1, REGION**2, seen.shape[-1])


@final
class ExpertBlock(Block):
    """A block of which each region is mixed by the experts that chose it."""

    def __init__(
        self, grid: Grid, width: int, inner: int, hidden: int, *, experts: int, per_region: int, rngs: nnx.Rngs
    ):
        super().__init__(grid, width, inner, rngs=rngs)
        self.experts = Experts(grid, inner, hidden, width, experts, per_region, rngs=rngs)

    def mix(self, features: Float[Array, "batch lat lon channel2"]) -> Float[Array, "batch lat lon channel"]:
        return self.experts(features)

    def dense_channels(self, path: str) -> tuple[list[Slot], list[Slot], list[ChannelGroup]]:
        """The router too reads what the convolution makes."""
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
        self, grid: Grid, width: int, inner: int, hidden: int, settings: ClosureSettings, *, rngs: nnx.Rngs
    ) -> Block:
        count = {"experts": settings.experts, "per_region": settings.experts_per_region}
        return ExpertBlock(grid, width, inner, hidden, **count, rngs=rngs)

    def expert_use(self, features: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch lat lon expert"]:
        """In which fraction of the blocks each expert is used, of features in a plain view."""
        _, coarse = self.encoded(features)
        used = []
        for block in cast("Sequence[ExpertBlock]", self.blocks):
            used.append(block.experts.use(block.convolved(coarse)))
            coarse = block(coarse)
        fraction = jnp.mean(jnp.stack(used), axis=0)
        return fraction.repeat(self.patch_size, axis=1).repeat(self.patch_size, axis=2)
