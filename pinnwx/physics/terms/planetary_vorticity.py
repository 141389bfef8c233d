"""Transport of the planetary vorticity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.physics.terms.advection import advected
from pinnwx.physics.terms.base import AbstractTerm, Fields, TermContext


@dataclass(frozen=True)
class PlanetaryVorticity(AbstractTerm):
    """Advection of the Coriolis parameter f, for fields of absolute vorticity: in advective form -v df/dy."""

    name: ClassVar[str] = "planetary_vorticity"
    is_held: ClassVar[bool] = True
    is_conservative: ClassVar[bool] = True

    def tendency(self, fields: Fields, context: TermContext) -> Fields:  # noqa: ARG002
        divergence, grid = context.wind_divergence, context.grid
        absolute = np.array([one.absolute_vorticity for one in context.discretisation.transported])[:, None, None]
        coriolis = jnp.asarray(np.where(absolute, np.broadcast_to(grid.coriolis, grid.shape), 0.0), divergence.dtype)
        return advected(jnp.broadcast_to(coriolis, divergence.shape), context)

    def stability_rate(self, context: TermContext) -> Float[Array, ""]:
        """0, because it does not depend on the fields."""
        return jnp.zeros((), context.wind_divergence.dtype)
