"""Which fields the wind carries, and what becomes of the others when it has carried them.

Most equations carry a forecast field itself. Where vorticity is carried but not forecast, it is that of the equation's
wind, and what transport makes of it goes back to the fields the wind is made from, by the streamfunction of the change:

    laplacian(psi) = change of vorticity,    change of (u, v) = (-dpsi/dy, dpsi/dx),    change of Phi = f psi.

The wind takes up the second where it is prognostic; geopotential the third (linear balance), where the wind is its
geostrophic one or the equation names it as in balance; pressure follows as density times Phi.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from pinnwx.grid import Grid
from pinnwx.operators.calculus import curl
from pinnwx.physics.diagnostics import balanced_geopotential, mass_field, streamfunction_from_vorticity
from pinnwx.physics.transported_field import TransportedField
from pinnwx.physics.winds import AbstractVorticityWind

Fields = Float[Array, "batch field lat lon"]


class TransportedFields:
    """The stack of fields that the equations carry; static under jit.

    Attributes:
        updated: positions among the forecast fields of those that transport changes, ascending.
    """

    def __init__(self, names: Sequence[str], equations: Sequence[TransportedField], grid: Grid):
        self.names, self.equations, self.grid = tuple(names), tuple(equations), grid
        targets = [name for equation in equations for name in equation.targets(names)]
        self.updated = tuple(sorted({self.names.index(name) for name in targets}))

    def values(self, fields: Fields) -> Float[Array, "batch carried lat lon"]:
        """What is carried, one entry an equation."""
        return jnp.stack([self._value(fields, equation) for equation in self.equations], axis=1)

    def changes(self, change: Float[Array, "batch carried lat lon"]) -> Float[Array, "batch updated lat lon"]:
        """What a change of the carried fields means for each updated forecast field."""
        parts: dict[str, Array] = {}
        for index, equation in enumerate(self.equations):
            for name, part in self._parts(change[:, index], equation).items():
                parts[name] = parts[name] + part if name in parts else part
        return jnp.stack([parts[self.names[index]] for index in self.updated], axis=1)

    def scatter_to_state(self, change: Float[Array, "batch updated lat lon"]) -> Fields:
        """The change of every forecast field: zero for those that transport leaves alone."""
        # Put together by slices: XLA's scatter runs element by element on a CPU.
        nothing = jnp.zeros_like(change[:, 0])
        places = {index: change[:, position] for position, index in enumerate(self.updated)}
        return jnp.stack([places.get(index, nothing) for index in range(len(self.names))], axis=1)

    def _value(self, fields: Fields, equation: TransportedField) -> Float[Array, "batch lat lon"]:
        if equation.field in self.names:
            return fields[:, self.names.index(equation.field)]
        named = {name: fields[:, index] for index, name in enumerate(self.names)}
        return curl(*equation.wind(named, self.grid), self.grid)

    def _parts(self, change: Float[Array, "batch lat lon"], equation: TransportedField) -> dict[str, Array]:
        parts = {equation.field: change} if equation.field in self.names else {}
        followers = [name for name in equation.targets(self.names) if name not in parts]
        if not followers:
            return parts
        streamfunction = streamfunction_from_vorticity(change, self.grid)
        geopotential = balanced_geopotential(streamfunction, self.grid)
        known = {}
        if isinstance(equation.wind, AbstractVorticityWind):
            known = equation.wind.change_of_inputs(streamfunction, geopotential, self.grid)
        return parts | {name: known[name] if name in known else mass_field(name, geopotential) for name in followers}
