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

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.model.initialisers import linear
from pinnwx.model.space_to_depth import depth_to_space, space_to_depth

REGION = 2  # cells of the network's own grid, each way


def dense_pair(inputs: int, hidden: int, outputs: int, rngs: nnx.Rngs) -> tuple[nnx.Linear, nnx.Linear]:
    """Two layers that mix the channels of a cell; what they add starts small, so that a stack of them starts near the
    identity."""
    return linear(inputs, hidden, rngs=rngs), linear(hidden, outputs, 0.1, rngs=rngs)


def mixed(
    seen: Float[Array, "*cells channel"], widen: nnx.Linear, narrow: nnx.Linear
) -> Float[Array, "*cells channel2"]:
    """What a pair of layers makes of each cell."""
    return narrow(jax.nn.relu(widen(seen)))


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
            made = mixed(jnp.einsum("btr,brcw->btcw", takes, cells), widen, narrow)
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

    def _choice(
        self, cells: Float[Array, "batch region cell channel"]
    ) -> tuple[Float[Array, "batch region expert"], Int[Array, "batch expert taken"]]:
        """The score of each region for each expert, and which regions each takes."""
        scores = jax.nn.softmax(self.route(cells.mean(axis=2)), axis=-1)
        _, chosen = jax.lax.top_k(jax.lax.stop_gradient(jnp.swapaxes(scores, 1, 2)), self.taken)
        return scores, chosen


def _by_region(seen: Float[Array, "batch lat lon channel"]) -> Float[Array, "batch region cell channel"]:
    return space_to_depth(seen, REGION).reshape(len(seen), -1, REGION**2, seen.shape[-1])
