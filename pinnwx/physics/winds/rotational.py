"""The wind of a vorticity field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pinnwx.grid import Grid
from pinnwx.physics.diagnostics import rotational_wind
from pinnwx.physics.winds.base import AbstractWind, Field, Wind


@dataclass(frozen=True)
class RotationalWind(AbstractWind):
    """laplacian(psi) = vorticity, (u, v) = (-dpsi/dy, dpsi/dx): non-divergent.

    On a regional grid psi is zero beyond the edge, so the wind ends there.
    """

    vorticity: str

    syntax: ClassVar[str] = "rotational:voLEVEL"
    ends_at_edge: ClassVar[bool] = True

    @classmethod
    def from_source(cls, source: str) -> RotationalWind:
        if not re.fullmatch(r"vo\d+", source):
            raise ValueError(f'"{source}" is no vorticity')
        return cls(source)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.vorticity,)

    def __call__(self, fields: Mapping[str, Field], grid: Grid) -> Wind:
        return rotational_wind(fields[self.vorticity], grid)
