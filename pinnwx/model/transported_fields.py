"""The transported fields: computed from the forecast fields, and their changes mapped back to them.

Most equations transport a forecast field itself. Where vorticity is transported and is no forecast field, it is the
vorticity of the equation's wind. Its change goes to the fields of that wind, by the streamfunction of the change:

    laplacian(psi) - psi / L^2 = change of vorticity,    change of (u, v) = (-dpsi/dy, dpsi/dx).

L is the radius of deformation, infinite unless the equation names one. A prognostic wind changes by the second. The
geopotential that is in balance with psi (`physics.balance`) changes where the wind is its geostrophic wind, or where
the equation names it as balanced. Pressure changes by density times Phi.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.grid import Grid
from pinnwx.physics.balance import balanced_geopotential
from pinnwx.physics.diagnostics import mass_field, streamfunction_from_potential_vorticity
from pinnwx.physics.transported_field import TransportedField
from pinnwx.physics.winds import AbstractVorticityWind, AbstractWind

Fields = Float[Array, "batch field lat lon"]


@dataclass(frozen=True)
class TransportedFields:
    """The stack of fields that the equations transport; static under jit, and equal where the equations are.

    Attributes:
        names: of the forecast fields.
        equations: of the transported fields, one for each.
        grid: of all of them.
    """

    names: tuple[str, ...]
    equations: tuple[TransportedField, ...]
    grid: Grid

    @cached_property
    def updated(self) -> tuple[int, ...]:
        """Positions among the forecast fields of those that transport changes, ascending."""
        return tuple(sorted({self.names.index(name) for one in self.equations for name in one.targets(self.names)}))

    @cached_property
    def gated(self) -> tuple[bool, ...]:
        """Of each updated field, whether the network may weaken its transport."""
        ungated = [one for one in self.equations if one.conserved or not one.gated]
        names = {name for one in ungated for name in one.targets(self.names)}
        return tuple(self.names[index] not in names for index in self.updated)

    @cached_property
    def conserved(self) -> tuple[int, ...]:
        """Positions among the forecast fields of those that conserve their integral."""
        return tuple(self.names.index(one.field) for one in self.equations if one.conserved)

    @cached_property
    def conserved_rows(self) -> tuple[int, ...]:
        """Their positions among the transported fields."""
        return tuple(row for row, one in enumerate(self.equations) if one.conserved)

    @cached_property
    def learned(self) -> tuple[int, ...]:
        """Positions among the transported fields of those with a learned wind."""
        return tuple(row for row, one in enumerate(self.equations) if one.learned_wind is not None)

    @cached_property
    def shown(self) -> tuple[int, ...]:
        """Positions among the transported fields of those whose wind is a feature of the closure.

        Each wind stands there once, and no prognostic wind, which is a field already.
        """
        return _shown(self.equations)

    def values(self, fields: Fields) -> Float[Array, "batch transported lat lon"]:
        """The transported fields, one for each equation."""
        return jnp.stack([self._value(fields, equation) for equation in self.equations], axis=1)

    def changes(self, change: Float[Array, "batch transported lat lon"]) -> Float[Array, "batch updated lat lon"]:
        """The change of each updated forecast field, from the change of the transported fields."""
        parts: dict[str, Array] = {}
        for index, equation in enumerate(self.equations):
            for name, part in self._parts(change[:, index], equation).items():
                parts[name] = parts[name] + part if name in parts else part
        return jnp.stack([parts[self.names[index]] for index in self.updated], axis=1)

    def scatter_to_state(self, change: Float[Array, "batch updated lat lon"]) -> Fields:
        """The change of every forecast field: zero for those that transport does not change."""
        # By slices, because XLA's scatter runs element by element on a CPU.
        zero = jnp.zeros_like(change[:, 0])
        places = {index: change[:, position] for position, index in enumerate(self.updated)}
        return jnp.stack([places.get(index, zero) for index in range(len(self.names))], axis=1)

    def with_conserved(self, fields: Fields, after: Float[Array, "batch transported lat lon"]) -> Fields:
        """The fields, with exactly the transported values where they are conserved: no rounding between."""
        if not self.conserved:
            return fields
        places, rows = np.array(self.conserved), np.array(self.conserved_rows)
        return fields.at[:, places].set(after[:, rows])

    def _value(self, fields: Fields, equation: TransportedField) -> Float[Array, "batch lat lon"]:
        if equation.field in self.names:
            return fields[:, self.names.index(equation.field)]
        named = {name: fields[:, index] for index, name in enumerate(self.names)}
        return equation.wind.cell_vorticity(named, self.grid)

    def _parts(self, change: Float[Array, "batch lat lon"], equation: TransportedField) -> dict[str, Array]:
        parts = {equation.field: change} if equation.field in self.names else {}
        followers = [name for name in equation.targets(self.names) if name not in parts]
        if not followers:
            return parts
        streamfunction = streamfunction_from_potential_vorticity(change, self.grid, equation.deformation_radius)
        geopotential = balanced_geopotential(streamfunction, self.grid)
        wind = {}
        if isinstance(equation.wind, AbstractVorticityWind):
            wind = equation.wind.change_of_inputs(streamfunction, geopotential, self.grid)
        return parts | {name: wind[name] if name in wind else mass_field(name, geopotential) for name in followers}


def _shown(equations: Sequence[TransportedField]) -> tuple[int, ...]:
    shown: list[int] = []
    winds: set[AbstractWind] = set()
    for row, equation in enumerate(equations):
        if equation.learned_wind is not None or (equation.wind.is_diagnosed and equation.wind not in winds):
            shown.append(row)
            winds.add(equation.wind)
    return tuple(shown)
