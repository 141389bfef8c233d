"""The lateral boundary of a regional forecast: outer cells that a forecast of a larger area tells at the end of every
step.

A box knows nothing of the air that enters it, so within a day most of its error comes from there. A model with a
lateral boundary sees what its edge is going to do, and inside the box the harmonic extension h of that change,

    laplacian(h) = 0,    h = change at the innermost told cells,

which is the smoothest field that meets it: so even the middle of the box hears of the edge in one step. At the end of
the step the outer cells are as told, whatever the network made of them.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.operators.poisson import inverse_laplacian

Fields = Float[Array, "batch field lat lon"]
_FEWEST_INSIDE = 3


class LateralBoundary:
    """The outer `width` cells on every side; static under jit."""

    def __init__(self, grid: Grid, width: int):
        """
        Raises:
            ConfigError: the grid has no edge, or nothing would be left inside.
        """
        if grid.is_periodic:
            raise ConfigError("model.boundary_width needs a box with an edge on every side, not a circle of latitude")
        if min(grid.shape) - 2 * width < _FEWEST_INSIDE:
            raise ConfigError(
                f"model.boundary_width = {width} leaves less than {_FEWEST_INSIDE} rows or columns of "
                f"{grid.shape[0]} x {grid.shape[1]}; use a narrower edge"
            )
        self.width, inside = width, slice(width, -width)
        self.inner = Grid(grid.latitude[inside], grid.longitude[inside])
        self.outer = np.ones(grid.shape, bool)
        self.outer[inside, inside] = False

    def extended(self, change: Fields) -> Fields:
        """The change to come at the edge, and its harmonic extension inside; the change inside is not looked at."""
        rows, columns = self.outer.shape
        ring = slice(self.width - 1, rows - self.width + 1), slice(self.width - 1, columns - self.width + 1)
        nothing = jnp.zeros((*change.shape[:-2], *self.inner.shape), change.dtype)
        extended = inverse_laplacian(nothing, self.inner, change[..., *ring])
        return jnp.where(self.outer, change, jnp.pad(extended, [(0, 0), (0, 0), *[(self.width, self.width)] * 2]))

    def imposed(self, fields: Fields, lateral_boundary: Fields) -> Fields:
        """The fields with the outer cells of the driving ones."""
        return jnp.where(self.outer, lateral_boundary, fields)
