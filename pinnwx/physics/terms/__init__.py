"""The terms of the equation by kind: each an object with a name, a tendency, a stability rate and inputs.

A term of your own is a frozen dataclass after `AbstractTerm`, made known by `@terms.register("mine")`; settings name it
`[[model.physics.terms]] kind = "mine"`.
"""

from __future__ import annotations

from pinnwx.extensions import Registry
from pinnwx.physics.terms.advection import Advection
from pinnwx.physics.terms.base import AbstractTerm, Discretisation, TermContext
from pinnwx.physics.terms.diffusion import Diffusion
from pinnwx.physics.terms.planetary_vorticity import PlanetaryVorticity

__all__ = [
    "TERMS", "AbstractTerm", "Advection", "Diffusion", "Discretisation", "PlanetaryVorticity", "TermContext",
    "register",
]  # fmt: skip

TERMS: Registry[AbstractTerm] = Registry("term")  # those that settings may add; the equation has the others by itself
register = TERMS.register
