"""The terms of the equation by kind: each an object with a name, a tendency, a stability rate and inputs.

A term of your own is a frozen dataclass that inherits from `AbstractTerm`, registered by `@terms.register("mine")`.
Settings name it `[[model.physics.terms]] kind = "mine"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pinnwx.extensions import PINNWX_EXTENSIONS, Registry
from pinnwx.physics.terms.advection import Advection
from pinnwx.physics.terms.base import AbstractTerm, Discretisation, TermContext
from pinnwx.physics.terms.diffusion import Diffusion
from pinnwx.physics.terms.planetary_vorticity import PlanetaryVorticity

__all__ = [
    "TERMS", "AbstractTerm", "Advection", "Diffusion", "Discretisation", "PlanetaryVorticity", "TermContext",
    "make_term", "register",
]  # fmt: skip

TERMS: Registry[AbstractTerm] = Registry("term")  # that settings may add; the equation adds the others
register = TERMS.register


def make_term(options: Mapping[str, Any]) -> AbstractTerm:
    """The term that settings describe: an object of the class of their `kind`, with the other options.

    Raises:
        ValueError: there is no such kind, or its class has no such options.
        ConfigError: a module that the user lists cannot be imported.
    """
    kind = options.get("kind")
    if not isinstance(kind, str):
        raise ValueError('a term needs its kind: kind = "NAME"')
    term = TERMS.find(kind)
    if term is None:
        known = ", ".join(TERMS.parts) or "none"
        raise ValueError(f'term "{kind}" is not registered ({known}); list its module in {PINNWX_EXTENSIONS}')
    try:
        return term(
            **{
                name: tuple(value) if isinstance(value, list) else value
                for name, value in options.items()
                if name != "kind"
            }
        )
    except TypeError as error:
        raise ValueError(f'term "{kind}": {error}') from None
