"""The equation.

    dq/dt = advection + planetary_vorticity + diffusion + ...

for every transported field q. Each field has its own wind v, constant over one coupling interval:

    advection            -div(v q)  or  -v . grad q
    planetary_vorticity  the same operator on the Coriolis parameter f, for fields transported as absolute vorticity
    diffusion            div(kappa grad q)
    ...                  terms that settings add (`physics.terms.register`)

The network's source S is not a term: it is added once per interval (`model.forecaster`). A term maps the stack of
transported fields and the `TermContext` to a tendency. The context holds wind, diffusivity, time and further fields.
`physics.transport` integrates the equation; `physics.winds` are the winds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.errors import ConfigError
from pinnwx.operators.polar import zonal_group_mean
from pinnwx.operators.stability import SafeStep, safe_step
from pinnwx.physics.terms import AbstractTerm, Advection, Diffusion, PlanetaryVorticity, TermContext
from pinnwx.physics.terms.base import Fields
from pinnwx.physics.transported_field import TransportedField


@dataclass(frozen=True)
class Equation:
    """d(fields)/dt as the sum of named terms; static under jit.

    Raises:
        ConfigError: two terms share a name.
    """

    terms: tuple[AbstractTerm, ...]

    def __post_init__(self) -> None:
        names = [term.name for term in self.terms]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ConfigError(f'two terms are called "{min(twice)}"; give each its own name')

    @classmethod
    def of(
        cls, transported: Sequence[TransportedField], others: tuple[AbstractTerm, ...] = (), *, diffusive: bool = False
    ) -> Equation:
        """Advection, the terms that these fields need, and others."""
        terms: list[AbstractTerm] = [Advection()]
        if any(one.absolute_vorticity for one in transported):
            terms.append(PlanetaryVorticity())
        if diffusive or any(one.diffusivity > 0 for one in transported):
            terms.append(Diffusion())
        return cls((*terms, *others))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the terms."""
        return tuple(term.name for term in self.terms)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The fields that the terms read from `TermContext.inputs`."""
        return tuple(dict.fromkeys(name for term in self.terms for name in term.inputs))

    def __call__(self, fields: Fields, context: TermContext, held: Mapping[str, Fields] | None = None) -> Fields:
        """The right-hand side [units of each field per second]; `held` is the result of `self.held`."""
        return sum(self.tendencies(fields, context, held).values(), jnp.zeros_like(fields))

    def tendencies(
        self, fields: Fields, context: TermContext, held: Mapping[str, Fields] | None = None
    ) -> dict[str, Fields]:
        """The tendency of each term, by name."""
        constant = self.held(fields, context) if held is None else held
        return {
            term.name: constant[term.name] if term.is_held else _tendency(term, fields, context) for term in self.terms
        }

    def held(self, fields: Fields, context: TermContext) -> dict[str, Fields]:
        """The tendencies that are constant over the interval. Only the shape of `fields` matters."""
        return {term.name: _tendency(term, fields, context) for term in self.terms if term.is_held}

    def without(self, name: str) -> Equation:
        """The equation without the term of this name."""
        return Equation(tuple(term for term in self.terms if term.name != name))

    def stability_rate(self, context: TermContext) -> Float[Array, "*batch field lat lon"]:
        """The sum of the terms' rates [s-1]."""
        return sum((term.stability_rate(context) for term in self.terms), jnp.zeros_like(context.wind_divergence))

    def largest_step(self, context: TermContext) -> SafeStep:
        """The longest stable forward Euler step, hence sub-step of the solvers [s]. Not for use under jit."""
        return safe_step(self.stability_rate(context), context.grid)


def _tendency(term: AbstractTerm, fields: Fields, context: TermContext) -> Fields:
    tendency = term.tendency(fields, context)
    if term.is_conservative:
        return tendency
    conserved = np.array([one.conserved for one in context.discretisation.transported])[:, None, None]
    free = jnp.where(conserved, 0, jnp.broadcast_to(tendency, fields.shape))
    return zonal_group_mean(free, context.grid, context.discretisation.groups)
