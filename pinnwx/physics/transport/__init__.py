"""Transport of fields by given winds over one interval: the methods, and the interface that they share."""

from __future__ import annotations

from pinnwx.physics.transport.base import NOTHING, AbstractTransport, Surroundings
from pinnwx.physics.transport.eulerian import SMALLEST_SPACING, EulerianTransport
from pinnwx.physics.transport.semi_lagrangian import SemiLagrangianTransport

__all__ = [
    "NOTHING",
    "SMALLEST_SPACING",
    "AbstractTransport",
    "EulerianTransport",
    "SemiLagrangianTransport",
    "Surroundings",
]
