"""The transported fields: computed from the forecast fields, and their changes mapped back to them.

Most equations transport a forecast field itself. Where vorticity is transported and is no forecast field, it is the
vorticity of the equation's wind. Its change goes to the fields of that wind, by the streamfunction of the change:

    laplacian(psi) - psi / L^2 = change of vorticity,    change of (u, v) = (-dpsi/dy, dpsi/dx).

L is the radius of deformation, infinite unless the equation names one. Where levels stretch each other, potential
vorticity is transported, and its changes at all levels are inverted together (`physics.potential_vorticity`).

A prognostic wind changes by the second. The geopotential that is in balance with psi (`physics.balance`) changes where
the wind is its geostrophic wind, or where the equation names it as balanced. Pressure changes by density times Phi.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.grid import Grid
from pinnwx.physics.balance import balanced_geopotential, layer_temperature
from pinnwx.physics.diagnostics import mass_field
from pinnwx.physics.potential_vorticity import CoupledLevels
from pinnwx.physics.transported_field import TransportedField
from pinnwx.physics.winds import AbstractVorticityWind, AbstractWind

Fields = Float[Array, "batch field lat lon"]


class Transported(NamedTuple):
    """What transport makes of forecast fields.

    Attributes:
        conserved: the conserved fields after it, (batch, conserved, lat, lon).
        change: of the fields that transport changes, (batch, updated, lat, lon).
        winds: that the closure sees [m s-1], (batch, shown, lat, lon, 2); the mean of all diagnoses.
    """

    conserved: Array
    change: Array
    winds: Array


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
        values = [self._value(fields, equation) for equation in self.equations]
        stretched = self.levels.stretched([values[row] for row in self._followed], self.grid)
        for row, value in zip(self._followed, stretched, strict=True):
            values[row] = value
        return jnp.stack(values, axis=1)

    def changes(self, change: Float[Array, "batch transported lat lon"]) -> Float[Array, "batch updated lat lon"]:
        """The change of each updated forecast field, from the change of the transported fields."""
        rows = self._followed
        streamfunctions = self.levels.streamfunctions([change[:, row] for row in rows], self.grid)
        following = {
            self.equations[row].field: _Following.of(psi, self.grid)
            for row, psi in zip(rows, streamfunctions, strict=True)
        }
        parts: dict[str, Array] = {}
        for row, equation in enumerate(self.equations):
            for name, part in self._parts(change[:, row], equation, following).items():
                parts[name] = parts[name] + part if name in parts else part
        return jnp.stack([parts[self.names[index]] for index in self.updated], axis=1)

    def scatter_to_state(self, change: Float[Array, "batch updated lat lon"]) -> Fields:
        """The change of every forecast field: zero for those that transport does not change."""
        return scattered(change, self.updated, len(self.names))

    def with_conserved(self, fields: Fields, conserved: Float[Array, "batch conserved lat lon"]) -> Fields:
        """The fields, with exactly the transported values where they are conserved: no rounding between."""
        return fields.at[:, np.array(self.conserved)].set(conserved) if self.conserved else fields

    def _value(self, fields: Fields, equation: TransportedField) -> Float[Array, "batch lat lon"]:
        if equation.field in self.names:
            return fields[:, self.names.index(equation.field)]
        named = {name: fields[:, index] for index, name in enumerate(self.names)}
        return equation.wind.cell_vorticity(named, self.grid)

    @cached_property
    def _followed(self) -> tuple[int, ...]:
        """Positions among the transported fields of vorticity that other fields follow."""
        return tuple(row for row, one in enumerate(self.equations) if self._followers(one))

    @cached_property
    def levels(self) -> CoupledLevels:
        """The levels of transported vorticity that other fields follow.

        Raises:
            ConfigError: their coupling has no real vertical modes.
        """
        levels = [self.equations[row] for row in self._followed]
        place = {one.field: index for index, one in enumerate(levels)}
        between = ((place[one.field], place[other], radius) for one in levels for other, radius in one.stretching)
        return CoupledLevels(tuple(one.deformation_radius for one in levels), tuple(between))

    def _followers(self, equation: TransportedField) -> tuple[str, ...]:
        """The forecast fields that its change changes, without its own."""
        return tuple(name for name in equation.targets(self.names) if name != equation.field)

    def _parts(
        self, change: Float[Array, "batch lat lon"], equation: TransportedField, following: Mapping[str, _Following]
    ) -> dict[str, Array]:
        """The changes of forecast fields by that of one transported field, and by what follows vorticity."""
        parts = {equation.field: change} if equation.field in self.names else {}
        if equation.layer is not None:
            upper, lower = (following[name].geopotential for name in equation.layer)
            thickness = layer_temperature(upper - lower, *(float(name.removeprefix("vo")) for name in equation.layer))
            parts[equation.field] = change + equation.hydrostatic_fraction * (thickness - change)
        if followers := self._followers(equation):
            streamfunction, geopotential = following[equation.field]
            wind = {}
            if isinstance(equation.wind, AbstractVorticityWind):
                wind = equation.wind.change_of_inputs(streamfunction, geopotential, self.grid)
            parts |= {name: wind[name] if name in wind else mass_field(name, geopotential) for name in followers}
        return parts


def scattered(
    parts: Float[Array, "batch part lat lon"], rows: Sequence[int], count: int
) -> Float[Array, "batch {count} lat lon"]:
    """A stack of `count` fields with these parts in these rows, and zero elsewhere."""
    # By slices, because XLA's scatter runs element by element on a CPU.
    zero = jnp.zeros_like(parts[:, 0])
    places = {row: parts[:, place] for place, row in enumerate(rows)}
    return jnp.stack([places.get(row, zero) for row in range(count)], axis=1)


class _Following(NamedTuple):
    """What follows a change of vorticity: streamfunction [m2 s-1], and the geopotential in balance [m2 s-2]."""

    streamfunction: Float[Array, "batch lat lon"]
    geopotential: Float[Array, "batch lat lon"]

    @classmethod
    def of(cls, streamfunction: Float[Array, "batch lat lon"], grid: Grid) -> _Following:
        return cls(streamfunction, balanced_geopotential(streamfunction, grid))


def _shown(equations: Sequence[TransportedField]) -> tuple[int, ...]:
    shown: list[int] = []
    winds: set[AbstractWind] = set()
    for row, equation in enumerate(equations):
        if equation.learned_wind is not None or (equation.wind.is_diagnosed and equation.wind not in winds):
            shown.append(row)
            winds.add(equation.wind)
    return tuple(shown)
