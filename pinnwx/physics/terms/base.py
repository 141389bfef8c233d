"""What a term is: an object that makes one tendency of the transported fields; and what it may see."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.grid import Grid
from pinnwx.operators.advection import FaceVelocity
from pinnwx.operators.calculus import face_divergence
from pinnwx.operators.polar import cap_groups
from pinnwx.physics.transported_field import TransportedField

Fields = Float[Array, "*batch field lat lon"]


@jax.tree_util.register_static
@dataclass(frozen=True)
class Discretisation:
    """What is transported, on which grid; `groups` are the cells merged into one in each row (`operators.polar`)."""

    transported: tuple[TransportedField, ...]
    grid: Grid
    groups: tuple[int, ...]


class TermContext(NamedTuple):
    """What the terms see besides the fields: all that is held over one coupling interval.

    Attributes:
        discretisation: what is transported, on which grid.
        velocity: face winds of each transported field [m s-1].
        diffusivity: of each [m2 s-1].
        wind_divergence: div(v) of each in advective form, zero for those in flux form [s-1].
        time: features of the middle of the step, (batch, 5): sine and cosine of the time of year and of the UTC time of
            day, and the fifth of `data.calendar.time_features`; None outside a model.
        inputs: the fields that the terms name as their inputs, at the start of the interval: forecast fields,
            (*batch, lat, lon), and static ones, (lat, lon).
    """

    discretisation: Discretisation
    velocity: FaceVelocity
    diffusivity: Float[Array, " field"]
    wind_divergence: Fields
    time: Float[Array, "batch 5"] | None = None
    inputs: Mapping[str, Float[Array, "*batch lat lon"]] = {}

    @classmethod
    def of(
        cls,
        transported: Sequence[TransportedField],
        grid: Grid,
        velocity: FaceVelocity,
        diffusivity: Float[Array, " field"] | None = None,
        groups: tuple[int, ...] | None = None,
        time: Float[Array, "batch 5"] | None = None,
        inputs: Mapping[str, Float[Array, "*batch lat lon"]] | None = None,
    ) -> TermContext:
        """The context of these winds, one entry a field; by default nothing diffuses and no cells are merged."""
        groups = cap_groups(grid) if groups is None else groups
        if diffusivity is None:
            diffusivity = jnp.asarray([one.diffusivity for one in transported], velocity.east.dtype)
        advective = np.array([one.form == "advective" for one in transported])[:, None, None]
        wind_divergence = jnp.where(advective, face_divergence(velocity, grid, groups), 0)
        discretisation = Discretisation(tuple(transported), grid, groups)
        return cls(discretisation, velocity, diffusivity, wind_divergence, time, inputs or {})

    @property
    def grid(self) -> Grid:
        """The geometry."""
        return self.discretisation.grid

    @property
    def names(self) -> tuple[str, ...]:
        """The transported fields, in the order of the stack."""
        return tuple(one.field for one in self.discretisation.transported)


class AbstractTerm(ABC):
    """One term of the equation. Subclasses are frozen dataclasses: hashable, hence static under jit.

    Attributes:
        name: by which its tendency is asked for; no two terms of an equation share one.
        inputs: names of the forecast and static fields that it finds in `TermContext.inputs`.
        is_held: whether its tendency does not depend on the transported fields; it is computed once an interval then.
        is_conservative: whether it keeps what transport promises: the area integral and the sign of conserved fields,
            and one value in each group of polar cells. The tendency of another term is averaged over such groups, and
            left out for conserved fields.
    """

    name: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]] = ()
    is_held: ClassVar[bool] = False
    is_conservative: ClassVar[bool] = False

    @abstractmethod
    def tendency(self, fields: Fields, context: TermContext) -> Fields:
        """d(field)/dt of each transported field [its units per second], in the order of `context.names`."""

    @abstractmethod
    def stability_rate(self, context: TermContext) -> Float[Array, "*#batch #field #lat #lon"]:
        """How fast it is [s-1]: a forward Euler step times the sum of these rates of all terms must not exceed 1."""
