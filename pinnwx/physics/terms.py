"""The named tendency terms of the transport equation, and their sum.

    dq/dt = advection + planetary_vorticity + diffusion

for every carried field q, each with a wind of its own that is held over one coupling interval:

    advection            -div(v q)  or  -v . grad q
    planetary_vorticity  the same operator on the Coriolis parameter f, for fields carried as absolute vorticity
    diffusion            div(kappa grad q)

A term is a function of the stack of carried fields and the `Environment`; it knows the grid and the equations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.config import Transport
from pinnwx.grid import Grid
from pinnwx.operators.advection import FaceVelocity, advective_tendency, flux_divergence
from pinnwx.operators.diffusion import diffusive_tendency


class Environment(NamedTuple):
    """What the terms need besides the fields: face winds [m s-1] and diffusivity [m2 s-1] of each carried field."""

    velocity: FaceVelocity
    diffusivity: Float[Array, " field"]


Fields = Float[Array, "*batch field lat lon"]
Term = Callable[[Fields, Environment], Fields]

_OPERATORS = {"flux": flux_divergence, "advective": advective_tendency}


def terms(
    equations: Sequence[Transport], grid: Grid, groups: tuple[int, ...], *, diffusive: bool
) -> Mapping[str, Term]:
    """The terms that these equations have, by name; `equations[i]` governs field i of the stack.

    The stack holds one value a group of the reduced grid (`operators.polar`), and so does each tendency.
    """

    def carry(fields: Fields, velocity: FaceVelocity) -> Fields:
        return _carry(fields, velocity, equations, grid, groups)

    found: dict[str, Term] = {"advection": lambda fields, given: carry(fields, given.velocity)}
    if any(equation.absolute for equation in equations):
        planetary = _planetary_vorticity(equations, grid)
        found["planetary_vorticity"] = lambda fields, given: carry(
            jnp.broadcast_to(planetary.astype(fields.dtype), fields.shape), given.velocity
        )
    if diffusive:
        found["diffusion"] = lambda fields, given: diffusive_tendency(
            fields, jnp.broadcast_to(given.diffusivity[:, None, None], fields.shape[-3:]), grid, groups=groups
        )
    return found


def total(parts: Mapping[str, Term]) -> Term:
    """The right-hand side: the sum of the terms."""
    return lambda fields, given: sum((term(fields, given) for term in parts.values()), jnp.zeros_like(fields))


def _planetary_vorticity(equations: Sequence[Transport], grid: Grid) -> Array:
    carries = np.array([equation.absolute for equation in equations])
    return jnp.asarray(np.where(carries[:, None, None], np.broadcast_to(grid.coriolis, grid.shape), 0.0))


def _carry(
    fields: Fields, velocity: FaceVelocity, equations: Sequence[Transport], grid: Grid, groups: tuple[int, ...]
) -> Fields:
    """Advection of each field in its own form and scheme, one operator call for all fields that share them."""
    kinds = [(equation.form, equation.scheme) for equation in equations]
    parts, order = [], []
    for form, scheme in dict.fromkeys(kinds):
        members = [index for index, kind in enumerate(kinds) if kind == (form, scheme)]
        order += members
        chosen = np.array(members)
        part = FaceVelocity(velocity.east[..., chosen, :, :], velocity.north[..., chosen, :, :])
        parts.append(_OPERATORS[form](fields[..., chosen, :, :], part, grid, scheme, groups=groups))
    return jnp.concatenate(parts, axis=-3)[..., np.argsort(order), :, :]
