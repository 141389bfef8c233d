"""The wind in balance with a geopotential or pressure field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pinnwx.constants import REFERENCE_AIR_DENSITY
from pinnwx.grid import Grid
from pinnwx.physics.balance import geostrophic_vorticity
from pinnwx.physics.diagnostics import geostrophic_wind, geostrophic_wind_from_pressure, mass_field
from pinnwx.physics.winds.base import AbstractVorticityWind, Field, Wind


@dataclass(frozen=True)
class GeostrophicWind(AbstractVorticityWind):
    """(u, v) = (-dPhi/dy, dPhi/dx) / f, bounded near the equator.

    Attributes:
        source: the geopotential, `z500`, or the pressure, `msl`: Phi is p over the density of air.
    """

    source: str

    syntax: ClassVar[str] = "geostrophic:zLEVEL"

    @classmethod
    def from_source(cls, source: str) -> GeostrophicWind:
        if not re.fullmatch(r"z\d+|msl", source):
            raise ValueError(f'"{source}" is no geopotential, nor msl')
        return cls(source)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def vorticity_level(self) -> str | None:
        return None if self.source == "msl" else self.source.removeprefix("z")

    def __call__(self, fields: Mapping[str, Field], grid: Grid) -> Wind:
        if self.source == "msl":
            return geostrophic_wind_from_pressure(fields[self.source], grid)
        return geostrophic_wind(fields[self.source], grid)

    def cell_vorticity(self, fields: Mapping[str, Field], grid: Grid) -> Field:
        field = fields[self.source]
        return geostrophic_vorticity(field / REFERENCE_AIR_DENSITY if self.source == "msl" else field, grid)

    def change_of_inputs(self, streamfunction: Field, geopotential: Field, grid: Grid) -> dict[str, Field]:  # noqa: ARG002
        return {self.source: mass_field(self.source, geopotential)}
