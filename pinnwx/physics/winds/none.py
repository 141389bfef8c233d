"""No wind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from pinnwx.grid import Grid
from pinnwx.physics.winds.base import AbstractWind, Field, Wind


@dataclass(frozen=True)
class NoWind(AbstractWind):
    """u = v = 0: without a learned wind, the field is not transported."""

    syntax: ClassVar[str] = "none"
    is_diagnosed: ClassVar[bool] = False

    @classmethod
    def from_source(cls, source: str) -> NoWind:  # noqa: ARG003
        return cls()

    @property
    def inputs(self) -> tuple[str, ...]:
        return ()

    def __call__(self, fields: Mapping[str, Field], grid: Grid) -> Wind:  # noqa: ARG002
        calm = jnp.zeros_like(next(iter(fields.values())))
        return calm, calm
