"""Diffusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from pinnwx.operators.diffusion import diffusive_tendency
from pinnwx.operators.stability import diffusion_number
from pinnwx.physics.terms.base import AbstractTerm, Fields, TermContext


@dataclass(frozen=True)
class Diffusion(AbstractTerm):
    """div(kappa grad q) in flux form, with one kappa for each field."""

    name: ClassVar[str] = "diffusion"
    is_conservative: ClassVar[bool] = True

    def tendency(self, fields: Fields, context: TermContext) -> Fields:
        diffusivity = jnp.broadcast_to(context.diffusivity[:, None, None], fields.shape[-3:])
        return diffusive_tendency(fields, diffusivity, context.grid, groups=context.discretisation.groups)

    def stability_rate(self, context: TermContext) -> Float[Array, "field lat lon"]:
        """The diffusion number of a second."""
        kappa, groups = context.diffusivity[:, None, None], context.discretisation.groups
        return diffusion_number(kappa, context.grid, 1.0, groups)
