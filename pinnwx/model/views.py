"""Ways to look at the same weather, between which a network should not tell.

The equations of motion keep their form when weather is reflected in the equator, half a year away: scalars keep their
sign, northward wind and vorticity change it, and latitude, on which the laws depend, stays what it is. And where a
network works on blocks of cells, the forecast should not depend on where the blocks begin. Each of these is a view.
Training looks through one view after another. A forecast takes the mean of both hemispheres' views, and so knows no
hemisphere, whatever the weights (averaging over a group). The mean over offsets too would halve its speed, and made
errors less than one percent smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.model.closures.base import Closure
from pinnwx.model.features import FeatureSpec


class View(NamedTuple):
    """One view: whether reflected in the equator, and by how many columns the blocks are shifted eastward."""

    reflected: Bool[ArrayLike, ""]
    offset: Int[ArrayLike, ""]


@dataclass(frozen=True)
class Views:
    """The views of one model: reflected too or not, times the offsets 0 ... offsets - 1."""

    hemispheric_symmetry: bool = False
    offsets: int = 1

    @classmethod
    def of(cls, grid: Grid, *, hemispheric_symmetry: bool, patch_size: int) -> Views:
        """All the views that a grid allows a network on blocks of `patch_size` columns.

        Raises:
            ConfigError: `hemispheric_symmetry` on a grid whose rows are not their own mirror image.
        """
        latitude = np.asarray(grid.latitude)
        if hemispheric_symmetry and not (grid.is_global and np.allclose(latitude, -latitude[::-1], atol=1e-6)):
            raise ConfigError(
                f"model.closure.hemispheric_symmetry = true needs a global grid symmetric about the equator, not {grid}"
            )
        return cls(hemispheric_symmetry, patch_size if grid.is_periodic else 1)

    def __len__(self) -> int:
        return (1 + self.hemispheric_symmetry) * self.offsets

    def __getitem__(self, number: int | Int[Array, ""]) -> View:
        """View `number`, counted round and round."""
        return View(
            number % (1 + self.hemispheric_symmetry) == 1, number // (1 + self.hemispheric_symmetry) % self.offsets
        )


class MultiViewNetwork(nnx.Module):
    """A network seen through one view, or the mean of its view and the reflected one."""

    def __init__(
        self,
        network: Closure,
        views: Views,
        features: Sequence[FeatureSpec],
        outputs: Sequence[FeatureSpec],
    ):
        """`features` and `outputs` describe the channels that the network is given and makes."""
        self.network, self.views = network, views
        self.features, self.outputs = tuple(features), tuple(outputs)

    def __call__(
        self, features: Float[Array, "batch lat lon channel"], view: View | None = None
    ) -> Float[Array, "batch lat lon channel2"]:
        """The output in the view of the features; without `view`, the mean of the plain and the reflected view."""
        if view is not None:
            return self._out_of(view, self.network(self._into(view, features)))
        views = [View(reflected, 0) for reflected in (False, True)[: 1 + self.views.hemispheric_symmetry]]
        seen = jnp.concatenate([self._into(view, features) for view in views])  # a larger batch runs faster
        parts = jnp.split(self.network(seen), len(views))
        turned = [self._out_of(view, part) for view, part in zip(views, parts, strict=True)]
        return jnp.mean(jnp.stack(turned), axis=0)

    def _into(self, view: View, features: Array) -> Array:
        return self._reflected(view, self._shifted(features, view.offset), self.features)

    def _out_of(self, view: View, output: Array) -> Array:
        return self._shifted(self._reflected(view, output, self.outputs), -jnp.asarray(view.offset))

    def _shifted(self, values: Array, offset: ArrayLike) -> Array:
        return values if self.views.offsets == 1 else jnp.roll(values, offset, axis=-2)

    def _reflected(self, view: View, values: Array, channels: Sequence[FeatureSpec]) -> Array:
        if not self.views.hemispheric_symmetry:
            return values
        signs = [channel.equator_parity for channel in channels]
        return jnp.where(view.reflected, jnp.asarray(signs, values.dtype) * values[..., ::-1, :, :], values)
