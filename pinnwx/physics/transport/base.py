"""The interface of a transport method: it solves the equation for a stack of fields over one interval."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float

from pinnwx.grid import Grid
from pinnwx.physics.equation import Equation
from pinnwx.physics.terms import Advection
from pinnwx.physics.transported_field import TransportedField
from pinnwx.time_features import TimeFeatures

Fields = Float[Array, "*batch field lat lon"]
Winds = Float[Array, "*batch field lat lon 2"]


class Surroundings(NamedTuple):
    """The arguments of terms besides the transported fields and the wind: see `TermContext`."""

    time: TimeFeatures | None = None
    inputs: Mapping[str, Float[Array, "*batch lat lon"]] | None = None


NOTHING = Surroundings()


@dataclass(frozen=True)
class AbstractTransport(ABC):
    """Solves dq/dt = sum of the named terms for a stack of fields over one interval; static under jit.

    Attributes:
        equations: one for each field of the stack.
        grid: the geometry.
        interval: over which the wind is constant [s].
        substeps: of the interval.
        solver: a name for `integrate`.
        adjoint: the method of its gradients, a name for `integrate`.
        courant_limit: largest outflow Courant number of an explicit sub-step.
        right_hand_side: the terms.
    """

    equations: tuple[TransportedField, ...]
    grid: Grid
    interval: float
    substeps: int = 4
    solver: str = "heun"
    adjoint: str = "recursive_checkpoint"
    courant_limit: float = 0.9
    right_hand_side: Equation = Equation((Advection(),))  # noqa: RUF009

    @property
    def substep(self) -> float:
        """Seconds."""
        return self.interval / self.substeps

    @cached_property
    def conserved(self) -> Bool[np.ndarray, "field 1 1"]:
        """Which fields of the stack are conserved."""
        return np.array([one.conserved for one in self.equations], bool)[:, None, None]

    @property
    @abstractmethod
    def largest_diffusivity(self) -> float:
        """The largest diffusivity that a sub-step allows [m2 s-1]."""

    @abstractmethod
    def advance(
        self,
        fields: Fields,
        winds: Winds,
        diffusivity: Float[Array, " field"],
        surroundings: Surroundings = NOTHING,
    ) -> tuple[Fields, Fields]:
        """The fields after the interval, and their increment.

        The second is for fields to which it is added; the first for conserved fields, which it replaces exactly.

        Args:
            fields: at the cell centres, before.
            winds: eastward and northward at the cell centres [m s-1].
            diffusivity: of each field [m2 s-1].
            surroundings: further arguments of the terms.
        """

    @abstractmethod
    def increments(
        self,
        fields: Fields,
        winds: Mapping[str, Winds],
        diffusivity: Float[Array, " field"],
        surroundings: Surroundings = NOTHING,
    ) -> dict[str, Fields]:
        """The increment by each named term, in which advection is split among the `winds`: `advection_by_<name>`.

        With the sum of the winds, the parts add up to the increment of `advance`, and those of a conserved field to the
        difference between the fields after and before; both up to rounding.
        """

    @abstractmethod
    def slowing(self, winds: Winds) -> Fields:
        """How fast the wind is, in units of the fastest that a sub-step allows. Above 1, it is divided by this."""
