"""Views: transformations of the features under which the forecast should not change.

The equations of motion keep their form under reflection in the equator, half a year apart: scalars keep their sign,
northward wind and vorticity change it, and latitude, on which the equations depend, stays. Where a network works on
blocks of cells, the forecast should not depend on the position of the blocks. Each reflection and each offset is a
view. Training uses one view after another. A forecast is the mean of the plain and the reflected view, so it has the
symmetry exactly, for any weights (group averaging). A mean over offsets as well would halve its speed and reduce errors
by less than one percent.
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
    """One view: whether it is reflected in the equator, and the eastward shift of the blocks in columns."""

    reflected: Bool[ArrayLike, ""]
    offset: Int[ArrayLike, ""]


@dataclass(frozen=True)
class Views:
    """The views of one model: with reflection or without, times the offsets 0 ... offsets - 1."""

    hemispheric_symmetry: bool = False
    offsets: int = 1

    @classmethod
    def of(cls, grid: Grid, *, hemispheric_symmetry: bool, patch_size: int) -> Views:
        """All views of a network on blocks of `patch_size` columns that the grid allows.

        Raises:
            ConfigError: `hemispheric_symmetry` on a grid that is not symmetric about the equator.
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
        """View `number`, modulo their count."""
        return View(
            number % (1 + self.hemispheric_symmetry) == 1, number // (1 + self.hemispheric_symmetry) % self.offsets
        )


class MultiViewNetwork(nnx.Module):
    """A network in one view, or the mean of its plain and its reflected view."""

    def __init__(
        self,
        network: Closure,
        views: Views,
        features: Sequence[FeatureSpec],
        outputs: Sequence[FeatureSpec],
    ):
        """`features` and `outputs` describe the channels of the network."""
        self.network, self.views = network, views
        self.features, self.outputs = tuple(features), tuple(outputs)

    def __call__(
        self, features: Float[Array, "batch lat lon channel"], view: View | None = None
    ) -> Float[Array, "batch lat lon channel2"]:
        """The output, transformed back from `view`; without it, the mean of the plain and the reflected view."""
        if view is not None:
            return self._out_of(view, self.network(self._into(view, features)))
        views = [View(reflected, 0) for reflected in (False, True)[: 1 + self.views.hemispheric_symmetry]]
        batch = jnp.concatenate([self._into(view, features) for view in views])  # a larger batch runs faster
        parts = jnp.split(self.network(batch), len(views))
        outputs = [self._out_of(view, part) for view, part in zip(views, parts, strict=True)]
        return jnp.mean(jnp.stack(outputs), axis=0)

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
