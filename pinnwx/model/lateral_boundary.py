"""Lateral boundary conditions of a regional model: a forecast of a larger area sets the outer cells after every step.

A regional model without them has no information about the air that enters the region. Within a day, most of its error
comes from the edge. With them, the change of the outer cells over the coming step is a feature of the networks. Inside
the region the feature is the harmonic extension h of that change,

    laplacian(h) = 0,    h = change in the innermost of the outer cells,

the smoothest field with these boundary values. So the whole region receives the boundary values in one step. At the end
of the step the outer cells have the boundary values, whatever the network adds there.
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
            ConfigError: the grid has no edge, or no cells would remain inside.
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
        """The coming change in the outer cells, and its harmonic extension inside. The change inside is not used."""
        rows, columns = self.outer.shape
        ring = slice(self.width - 1, rows - self.width + 1), slice(self.width - 1, columns - self.width + 1)
        zero = jnp.zeros((*change.shape[:-2], *self.inner.shape), change.dtype)
        extended = inverse_laplacian(zero, self.inner, change[..., *ring])
        return jnp.where(self.outer, change, jnp.pad(extended, [(0, 0), (0, 0), *[(self.width, self.width)] * 2]))

    def imposed(self, fields: Fields, lateral_boundary: Fields) -> Fields:
        """The fields, with the outer cells of `lateral_boundary`."""
        return jnp.where(self.outer, lateral_boundary, fields)
