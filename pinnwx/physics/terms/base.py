"""The interface of a term, which computes one tendency of the transported fields, and the context that it reads."""

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
from pinnwx.time_features import TimeFeatures

Fields = Float[Array, "*batch field lat lon"]


@jax.tree_util.register_static
@dataclass(frozen=True)
class Discretisation:
    """The transported fields, the grid, and the cells merged into one in each row (`operators.polar`)."""

    transported: tuple[TransportedField, ...]
    grid: Grid
    groups: tuple[int, ...]


class TermContext(NamedTuple):
    """The arguments of the terms besides the fields. They are constant over one coupling interval.

    Attributes:
        discretisation: the transported fields and the grid.
        velocity: face winds of each transported field [m s-1].
        diffusivity: of each [m2 s-1].
        wind_divergence: div(v) of each in advective form, zero for those in flux form [s-1].
        time: the middle of the step, arrays (batch,); None outside a model.
        inputs: the fields that the terms name as their inputs, at the start of the interval: forecast fields,
            (*batch, lat, lon), and static ones, (lat, lon).
    """

    discretisation: Discretisation
    velocity: FaceVelocity
    diffusivity: Float[Array, " field"]
    wind_divergence: Fields
    time: TimeFeatures | None = None
    inputs: Mapping[str, Float[Array, "*batch lat lon"]] = {}

    @classmethod
    def of(
        cls,
        transported: Sequence[TransportedField],
        grid: Grid,
        velocity: FaceVelocity,
        diffusivity: Float[Array, " field"] | None = None,
        groups: tuple[int, ...] | None = None,
        time: TimeFeatures | None = None,
        inputs: Mapping[str, Float[Array, "*batch lat lon"]] | None = None,
    ) -> TermContext:
        """The context of these winds, one for each field. By default the cells at the poles are merged."""
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
        name: of its tendency, unique in an equation.
        inputs: names of the forecast and static fields that it reads from `TermContext.inputs`.
        is_held: whether its tendency is independent of the transported fields. It is then computed once per interval.
        is_conservative: whether it preserves the area integral and the sign of conserved fields, and one value in
            each group of polar cells. The tendency of any other term is averaged over such groups, and is zero for
            conserved fields. Where only terms change the fields, a group is a row on a pole (`EulerianTransport`).
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
        """Its rate [s-1]. A forward Euler step is stable if its length times the sum of all rates is at most 1."""
