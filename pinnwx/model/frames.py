"""Ways to look at the same weather, between which a network should not tell.

The equations of motion keep their form when weather is reflected in the equator, half a year away: scalars keep their
sign, northward wind and vorticity change it, and latitude, on which the laws depend, stays what it is. And where a
network works on blocks of cells, the forecast should not depend on where the blocks begin. Each such view is a frame.
Training looks through one frame after another. A forecast takes the mean of both hemispheres' views, and so knows no
hemisphere, whatever the weights (averaging over a group). The mean over offsets too would halve its speed, and made
errors less than one percent smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from pinnwx.errors import ConfigError
from pinnwx.grid import Grid


class Frame(NamedTuple):
    """One view: whether reflected in the equator, and by how many columns the blocks are shifted eastward."""

    mirrored: Bool[ArrayLike, ""]
    offset: Int[ArrayLike, ""]


@dataclass(frozen=True)
class Frames:
    """The views of one model: reflected too or not, times the offsets 0 ... offsets - 1."""

    mirror: bool = False
    offsets: int = 1

    @classmethod
    def of(cls, grid: Grid, *, mirror: bool, coarsen: int) -> Frames:
        """All the views that a grid allows a network on blocks of `coarsen` columns.

        Raises:
            ConfigError: `mirror` on a grid whose rows are not their own mirror image.
        """
        latitude = np.asarray(grid.latitude)
        if mirror and not (grid.is_global and np.allclose(latitude, -latitude[::-1], atol=1e-6)):
            raise ConfigError(
                f"model.closure.mirror = true needs a global grid that is symmetric about the equator, not {grid}"
            )
        return cls(mirror, coarsen if grid.is_periodic else 1)

    def __len__(self) -> int:
        return (1 + self.mirror) * self.offsets

    def __getitem__(self, number: int | Int[Array, ""]) -> Frame:
        """View `number`, counted round and round."""
        return Frame(number % (1 + self.mirror) == 1, number // (1 + self.mirror) % self.offsets)


class FramedNetwork(nnx.Module):
    """A network seen through one frame, or the mean of its view and the reflected one."""

    def __init__(
        self,
        network: Callable[[Array], Array],
        frames: Frames,
        signs: Sequence[float],
        output_signs: Sequence[float],
    ):
        """`signs` and `output_signs` are the factors of each channel under reflection in the equator."""
        self.network, self.frames = network, frames
        self.signs, self.output_signs = tuple(signs), tuple(output_signs)

    def __call__(
        self, features: Float[Array, "batch lat lon channel"], frame: Frame | None = None
    ) -> Float[Array, "batch lat lon channel2"]:
        """The output in the frame of the features; without `frame`, the mean of the plain and the reflected view."""
        if frame is not None:
            return self._out_of(frame, self.network(self._into(frame, features)))
        views = [Frame(mirrored, 0) for mirrored in (False, True)[: 1 + self.frames.mirror]]
        seen = jnp.concatenate([self._into(view, features) for view in views])  # a larger batch runs faster
        parts = jnp.split(self.network(seen), len(views))
        turned = [self._out_of(view, part) for view, part in zip(views, parts, strict=True)]
        return jnp.mean(jnp.stack(turned), axis=0)

    def _into(self, frame: Frame, features: Array) -> Array:
        return self._mirrored(frame, self._shifted(features, frame.offset), self.signs)

    def _out_of(self, frame: Frame, output: Array) -> Array:
        return self._shifted(self._mirrored(frame, output, self.output_signs), -jnp.asarray(frame.offset))

    def _shifted(self, values: Array, offset: ArrayLike) -> Array:
        return values if self.frames.offsets == 1 else jnp.roll(values, offset, axis=-2)

    def _mirrored(self, frame: Frame, values: Array, signs: Sequence[float]) -> Array:
        if not self.frames.mirror:
            return values
        return jnp.where(frame.mirrored, jnp.asarray(signs, values.dtype) * values[..., ::-1, :, :], values)
