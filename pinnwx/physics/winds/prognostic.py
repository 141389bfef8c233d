"""A wind that is forecast itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pinnwx.grid import Grid
from pinnwx.operators.compact import compact_rotational_wind
from pinnwx.physics.winds.base import AbstractVorticityWind, Field, Wind


@dataclass(frozen=True)
class PrognosticWind(AbstractVorticityWind):
    """The fields u and v of a level: `PrognosticWind("850")` is (u850, v850), and `"10m"` is (u10, v10)."""

    level: str

    syntax: ClassVar[str] = "prognostic:LEVEL"
    is_diagnosed: ClassVar[bool] = False

    @classmethod
    def from_source(cls, source: str) -> PrognosticWind:
        if not re.fullmatch(r"\d+m?|", source):
            raise ValueError(f'"{source}" is no level')
        return cls(source)

    @property
    def inputs(self) -> tuple[str, str]:
        level = self.level.removesuffix("m")
        return f"u{level}", f"v{level}"

    @property
    def vorticity_level(self) -> str:
        return self.level

    def __call__(self, fields: Mapping[str, Field], grid: Grid) -> Wind:  # noqa: ARG002
        eastward, northward = self.inputs
        return fields[eastward], fields[northward]

    def change_of_inputs(self, streamfunction: Field, geopotential: Field, grid: Grid) -> dict[str, Field]:  # noqa: ARG002
        return dict(zip(self.inputs, compact_rotational_wind(streamfunction, grid), strict=True))
