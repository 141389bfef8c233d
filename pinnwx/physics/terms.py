"""The named tendency terms of the transport equation, and their sum.

    dq/dt = advection + planetary_vorticity + diffusion

for every carried field q, each with a wind of its own that is held over one coupling interval:

    advection            -div(v q)  or  -v . grad q
    planetary_vorticity  the same operator on the Coriolis parameter f, for fields carried as absolute vorticity
    diffusion            div(kappa grad q)

A term is a function of the stack of carried fields and the `TermContext`; it knows the grid and the equations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.grid import Grid
from pinnwx.operators.advection import FaceVelocity, flux_divergence
from pinnwx.operators.calculus import face_divergence
from pinnwx.operators.diffusion import diffusive_tendency
from pinnwx.physics.transported_field import TransportedField


class TermContext(NamedTuple):
    """What the terms need besides the fields: all that the held winds decide for the whole interval.

    Attributes:
        velocity: face winds of each carried field [m s-1].
        diffusivity: of each [m2 s-1].
        wind_divergence: div(v) of each carried in advective form, zero for those in flux form [s-1].
        planetary: the tendency that the Coriolis parameter gives each carried as absolute vorticity [s-2], or None.
    """

    velocity: FaceVelocity
    diffusivity: Float[Array, " field"]
    wind_divergence: Float[Array, "*batch field lat lon"]
    planetary: Float[Array, "*batch field lat lon"] | None


Fields = Float[Array, "*batch field lat lon"]
Term = Callable[[Fields, TermContext], Fields]


def term_context(
    equations: Sequence[TransportedField],
    grid: Grid,
    groups: tuple[int, ...],
    velocity: FaceVelocity,
    diffusivity: Float[Array, " field"],
) -> TermContext:
    """The context of these winds, one entry an equation, on the reduced grid of `groups`."""
    advective = np.array([equation.form == "advective" for equation in equations])[:, None, None]
    wind_divergence = jnp.where(advective, face_divergence(velocity, grid, groups), 0)
    planetary = None
    if any(equation.absolute_vorticity for equation in equations):
        absolute_vorticity = np.array([equation.absolute_vorticity for equation in equations])[:, None, None]
        coriolis = jnp.asarray(
            np.where(absolute_vorticity, np.broadcast_to(grid.coriolis, grid.shape), 0.0), wind_divergence.dtype
        )
        planetary = _carry(
            jnp.broadcast_to(coriolis, wind_divergence.shape), velocity, wind_divergence, equations, grid, groups
        )
    return TermContext(velocity, diffusivity, wind_divergence, planetary)


def terms(
    equations: Sequence[TransportedField], grid: Grid, groups: tuple[int, ...], *, diffusive: bool
) -> Mapping[str, Term]:
    """The terms that these equations have, by name; `equations[i]` governs field i of the stack.

    The stack holds one value a group of the reduced grid (`operators.polar`), and so does each tendency.
    """

    def advection(fields: Fields, given: TermContext) -> Fields:
        return _carry(fields, given.velocity, given.wind_divergence, equations, grid, groups)

    def planetary_vorticity(fields: Fields, given: TermContext) -> Fields:
        return jnp.zeros_like(fields) if given.planetary is None else given.planetary

    def diffusion(fields: Fields, given: TermContext) -> Fields:
        diffusivity = jnp.broadcast_to(given.diffusivity[:, None, None], fields.shape[-3:])
        return diffusive_tendency(fields, diffusivity, grid, groups=groups)

    found: dict[str, Term] = {"advection": advection}
    if any(equation.absolute_vorticity for equation in equations):
        found["planetary_vorticity"] = planetary_vorticity
    if diffusive:
        found["diffusion"] = diffusion
    return found


def total(parts: Mapping[str, Term]) -> Term:
    """The right-hand side: the sum of the terms."""
    return lambda fields, given: sum((term(fields, given) for term in parts.values()), jnp.zeros_like(fields))


def _carry(
    fields: Fields,
    velocity: FaceVelocity,
    wind_divergence: Fields,
    equations: Sequence[TransportedField],
    grid: Grid,
    groups: tuple[int, ...],
) -> Fields:
    """-div(v q) + q wind_divergence, each field in its own scheme: one operator call for all fields that share one.

    With div(v) for the wind divergence that is -v . grad q: a constant stays constant in any wind.
    """
    schemes = [equation.scheme for equation in equations]
    tendencies: dict[int, Array] = {}
    for scheme in dict.fromkeys(schemes):
        members = [index for index, own in enumerate(schemes) if own == scheme]
        winds = FaceVelocity(_entries(velocity.east, members), _entries(velocity.north, members))
        made = flux_divergence(_entries(fields, members), winds, grid, scheme, groups=groups)
        tendencies |= {index: made[..., position, :, :] for position, index in enumerate(members)}
    return jnp.stack([tendencies[index] for index in range(len(schemes))], axis=-3) + fields * wind_divergence


def _entries(stack: Array, members: Sequence[int]) -> Array:
    """These entries of a stack of fields. By slices: XLA gathers, and scatters in the gradient, slowly on a CPU."""
    if list(members) == list(range(stack.shape[-3])):
        return stack
    return jnp.stack([stack[..., index, :, :] for index in members], axis=-3)
