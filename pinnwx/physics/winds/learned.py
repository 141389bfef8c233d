"""The wind of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from pinnwx.grid import Grid
from pinnwx.physics.winds.base import AbstractWind, Field, Wind


@dataclass(frozen=True)
class LearnedWind(AbstractWind):
    """v = v_max tanh(w / v_max) for each component, with the velocity w that a network supplies [m s-1].

    The network is outside of physics: its two outputs are inputs of the wind, like fields of other winds.

    Attributes:
        field: the transported field to whose wind it is added.
        maximum: v_max, the upper bound of the speed of each component [m s-1].
    """

    field: str
    maximum: float = 20.0

    syntax: ClassVar[str] = "learned:FIELD"

    @classmethod
    def from_source(cls, source: str) -> LearnedWind:
        return cls(source)

    @property
    def inputs(self) -> tuple[str, str]:
        return f"{self.field} eastward wind", f"{self.field} northward wind"

    def __call__(self, fields: Mapping[str, Field], grid: Grid) -> Wind:  # noqa: ARG002
        eastward, northward = (self.maximum * jnp.tanh(fields[name] / self.maximum) for name in self.inputs)
        return eastward, northward
