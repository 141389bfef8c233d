"""One transported field: its wind, the form of its equation and its scheme."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from pinnwx.physics.winds import AbstractWind, LearnedWind, NoWind


@dataclass(frozen=True)
class TransportedField:
    """A field that the equation transports; static under jit.

    Attributes:
        field: its name, or the vorticity of its wind where that is no forecast field.
        wind: the physical part of its wind.
        form: "flux", -div(v q), or "advective", -v . grad q.
        scheme: of the face values, a name in `operators.advection.SCHEMES`.
        absolute_vorticity: whether planetary vorticity is transported too.
        balanced_field: the geopotential or pressure that follows a change of vorticity.
        deformation_radius: with which wind and balanced field follow a change of vorticity [m]; None for infinite.
        stretching: pairs of another transported vorticity and the radius of deformation between the two levels [m].
        layer: transported vorticity of its upper and lower level, with whose thickness a temperature changes.
        hydrostatic_fraction: of its change that follows this thickness.
        learned_wind: the wind that a network adds; None without one.
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
    deformation_radius: float | None = None
    stretching: tuple[tuple[str, float], ...] = ()
    layer: tuple[str, str] | None = None
    hydrostatic_fraction: float = 0.5
    learned_wind: LearnedWind | None = None
    conserved: bool = False
    gated: bool = True
    diffusivity: float = 0.0

    def targets(self, fields: Sequence[str]) -> tuple[str, ...]:
        """The forecast fields that its transport changes."""
        own = (self.field,) if self.field in fields else self.wind.inputs
        return own if self.balanced_field is None else (*own, self.balanced_field)
