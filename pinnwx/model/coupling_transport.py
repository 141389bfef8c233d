"""Transport over one coupling interval, in which the wind is diagnosed once or several times.

Between two diagnoses the wind is constant, over an interval h:

    X_(k+1) = X_k + transport(X_k; v(X_k), h),    k = 0 .. updates - 1.

With a solver for half of h, the wind is that of X_k transported over h / 2 (the explicit midpoint rule): the result is
then second order in h, and first order without. The learned part of the wind stays as it is for the whole coupling
interval, because the network is asked once. Several diagnoses cost no more evaluations of the network, in contrast to
several coupling intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.model.interface import Fields
from pinnwx.model.transported_fields import Transported, TransportedFields
from pinnwx.physics.transport import AbstractTransport, Surroundings
from pinnwx.physics.velocity import stacked_winds

LearnedWinds = Float[Array, "batch learned lat lon 2"]


class Forcing(NamedTuple):
    """What is the same for the whole coupling interval.

    Attributes:
        learned: the learned winds [m s-1]; None without any.
        diffusivity: of each transported field [m2 s-1].
        surroundings: a function of the forecast fields: the arguments of terms.
    """

    learned: LearnedWinds | None
    diffusivity: Float[Array, " field"]
    surroundings: Callable[[Fields], Surroundings]


@dataclass(frozen=True)
class CouplingTransport:
    """Transport over one coupling interval; static under jit, and equal where the equations are.

    Attributes:
        transported: the stack of fields that the equations transport.
        solver: of the equations over the time between two diagnoses of the wind.
        midpoint_solver: over half of it, where the wind of the midpoint is used.
        updates: diagnoses of the wind.
    """

    transported: TransportedFields
    solver: AbstractTransport
    midpoint_solver: AbstractTransport | None
    updates: int

    def __call__(self, fields: Fields, forcing: Forcing) -> Transported:
        if self.updates == 1:
            return self._once(fields, forcing)

        def once(fields: Fields, _: None) -> tuple[Fields, Transported]:
            outcome = self._once(fields, forcing)
            return self._applied(fields, outcome), outcome

        _, outcome = jax.lax.scan(once, fields, length=self.updates)
        return Transported(outcome.conserved[-1], outcome.change.sum(0), outcome.winds.mean(0))

    def increments(self, fields: Fields, forcing: Forcing) -> dict[str, Float[Array, "batch updated lat lon"]]:
        """The increment of the changed fields by each term. Their sum is the change of a call, up to rounding."""

        def once(fields: Fields, _: None) -> tuple[Fields, dict[str, Array]]:
            parts = self._increments(fields, forcing, self.winds(fields, forcing))
            return fields + self.transported.scatter_to_state(jnp.sum(jnp.stack([*parts.values()]), 0)), parts

        return jax.tree.map(lambda parts: parts.sum(0), jax.lax.scan(once, fields, length=self.updates)[1])

    def winds(self, fields: Fields, forcing: Forcing) -> Float[Array, "batch transported lat lon 2"]:
        """The wind of each transported field until the next diagnosis [m s-1]."""
        winds = self._diagnosed(fields, forcing)
        if self.midpoint_solver is None:
            return winds
        _, increment = self._transport(self.midpoint_solver, fields, winds, forcing)
        change = self.transported.scatter_to_state(self.transported.changes(increment))
        return self._diagnosed(fields + change, forcing)

    def _diagnosed(self, fields: Fields, forcing: Forcing) -> Array:
        """The winds of the fields, plus the learned winds of the equations that have one."""
        named = {name: fields[:, row] for row, name in enumerate(self.transported.names)}
        winds = stacked_winds([one.wind for one in self.solver.equations], named, self.transported.grid)
        return winds if forcing.learned is None else winds.at[self._rows_learned].add(forcing.learned)

    @property
    def _rows_learned(self) -> Any:
        return (..., np.array(self.transported.learned), slice(None), slice(None), slice(None))

    def _once(self, fields: Fields, forcing: Forcing) -> Transported:
        winds = self.winds(fields, forcing)
        after, increment = self._transport(self.solver, fields, winds, forcing)
        rows, shown = np.array(self.transported.conserved_rows, int), np.array(self.transported.shown, int)
        return Transported(after[:, rows], self.transported.changes(increment), winds[:, shown])

    def _applied(self, fields: Fields, outcome: Transported) -> Fields:
        """The fields after transport; conserved ones are exactly the transported values."""
        return self.transported.with_conserved(
            fields + self.transported.scatter_to_state(outcome.change), outcome.conserved
        )

    def _transport(
        self, solver: AbstractTransport, fields: Fields, winds: Array, forcing: Forcing
    ) -> tuple[Array, Array]:
        """The transported fields after the solver's interval, and their increment, with constant winds."""
        return solver.advance(self.transported.values(fields), winds, forcing.diffusivity, forcing.surroundings(fields))

    def _increments(self, fields: Fields, forcing: Forcing, winds: Array) -> dict[str, Array]:
        """The increments by each term until the next diagnosis of the wind."""
        by_origin: Mapping[str, Array] = {"physical_wind": winds}
        if forcing.learned is not None:
            learned = jnp.zeros_like(winds).at[self._rows_learned].set(forcing.learned)
            by_origin = {"physical_wind": winds - learned, "learned_wind": learned}
        transported = self.transported.values(fields)
        parts = self.solver.increments(transported, by_origin, forcing.diffusivity, forcing.surroundings(fields))
        changes = jax.vmap(self.transported.changes)(jnp.stack([*parts.values()]))  # traced and compiled once
        return dict(zip(parts, changes, strict=True))
