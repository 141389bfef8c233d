"""How the wind transports one field."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from pinnwx.physics.winds import AbstractWind, NoWind


@dataclass(frozen=True)
class TransportedField:
    """One field that the equation transports: which wind, in which form, by which scheme; static under jit.

    Attributes:
        field: its name; or the vorticity of the wind, which no forecast field holds.
        wind: the physical part of its wind.
        form: "flux", -div(v q), or "advective", -v . grad q.
        scheme: of the face values, a name in `operators.advection.SCHEMES`.
        absolute_vorticity: whether the planetary vorticity is transported with it.
        balanced_field: the geopotential or pressure that follows a change of vorticity.
        learned_wind: whether a network adds to its wind.
        conserved: whether it keeps its area integral and its sign for any weights.
        gated: whether the network may weaken its transport.
        diffusivity: kappa [m2 s-1].
    """

    field: str
    wind: AbstractWind = dataclasses.field(default_factory=NoWind)
    form: str = "advective"
    scheme: str = "upwind3"
    absolute_vorticity: bool = False
    balanced_field: str | None = None
    learned_wind: bool = False
    conserved: bool = False
    gated: bool = True
    diffusivity: float = 0.0

    def targets(self, fields: Sequence[str]) -> tuple[str, ...]:
        """Those of the forecast fields that its transport changes."""
        own = (self.field,) if self.field in fields else self.wind.inputs
        return own if self.balanced_field is None else (*own, self.balanced_field)
