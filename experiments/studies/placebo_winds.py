"""A placebo of the prognostic wind, for studies: the same weather at the wrong place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from pinnwx.grid import Grid
from pinnwx.operators.compact import compact_curl
from pinnwx.physics import winds
from pinnwx.physics.winds.base import Field, Wind


@winds.register("displaced")
@dataclass(frozen=True)
class DisplacedWind(winds.PrognosticWind):
    """The wind of the same latitude, half a turn further east.

    It costs what the prognostic wind costs, and has its statistics. The vorticity that it transports, and the fields
    that follow, are those of the place itself.
    """

    syntax: ClassVar[str] = "displaced:LEVEL"

    def __call__(self, fields: Mapping[str, Field], grid: Grid) -> Wind:
        eastward, northward = super().__call__(fields, grid)
        half = grid.shape[1] // 2
        return jnp.roll(eastward, half, axis=-1), jnp.roll(northward, half, axis=-1)

    def cell_vorticity(self, fields: Mapping[str, Field], grid: Grid) -> Field:
        return compact_curl(*super().__call__(fields, grid), grid)
