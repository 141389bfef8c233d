"""Transport by the wind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.operators.advection import FaceVelocity, flux_divergence, get_scheme
from pinnwx.operators.stability import courant_number
from pinnwx.operators.stencils import entries
from pinnwx.physics.terms.base import AbstractTerm, Fields, TermContext


@dataclass(frozen=True)
class Advection(AbstractTerm):
    """-div(v q) in flux form, -v . grad q = -div(v q) + q div(v) in advective form.

    Flux form keeps the area integral. In advective form a constant stays constant in any wind.
    """

    name: ClassVar[str] = "advection"
    is_conservative: ClassVar[bool] = True

    def tendency(self, fields: Fields, context: TermContext) -> Fields:
        return advected(fields, context)

    def stability_rate(self, context: TermContext) -> Float[Array, "*batch field lat lon"]:
        """The outflow Courant number of a second over the limit of each field's scheme."""
        schemes = [get_scheme(one.scheme) for one in context.discretisation.transported]
        limits = np.array([scheme.outflow_limit or 1.0 for scheme in schemes], np.float32)[:, None, None]
        return courant_number(context.velocity, context.grid, 1.0, context.discretisation.groups) / limits


def advected(fields: Fields, context: TermContext) -> Fields:
    """The tendency by advection. All fields with the same scheme share one call of the operator."""
    transported, grid, groups = context.discretisation.transported, context.grid, context.discretisation.groups
    velocity, schemes = context.velocity, [one.scheme for one in transported]
    tendencies: dict[int, Array] = {}
    for scheme in dict.fromkeys(schemes):
        members = [index for index, own in enumerate(schemes) if own == scheme]
        winds = FaceVelocity(entries(velocity.east, members), entries(velocity.north, members))
        fluxes = flux_divergence(entries(fields, members), winds, grid, scheme, groups=groups)
        tendencies |= {index: fluxes[..., position, :, :] for position, index in enumerate(members)}
    return jnp.stack([tendencies[index] for index in range(len(schemes))], axis=-3) + fields * context.wind_divergence
