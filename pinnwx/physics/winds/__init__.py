"""Winds by kind, each an object with `.inputs` and `__call__(fields, grid)`, and the parser of their names.

A wind of your own is a frozen dataclass that inherits from `AbstractWind`, registered by `@winds.register("mine")`.
Settings name it `wind = "mine:SOURCE"`. The learned wind needs a network, so settings name it `learned_wind = true`.
"""

from __future__ import annotations

from contextlib import suppress

from pinnwx.extensions import Registry
from pinnwx.physics.winds.base import AbstractVorticityWind, AbstractWind
from pinnwx.physics.winds.geostrophic import GeostrophicWind
from pinnwx.physics.winds.learned import LearnedWind
from pinnwx.physics.winds.none import NoWind
from pinnwx.physics.winds.prognostic import PrognosticWind
from pinnwx.physics.winds.rotational import RotationalWind

__all__ = [
    "WINDS", "AbstractVorticityWind", "AbstractWind", "GeostrophicWind", "LearnedWind", "NoWind", "PrognosticWind",
    "RotationalWind", "parse_wind", "register",
]  # fmt: skip

WINDS: Registry[AbstractWind] = Registry("wind")
register = WINDS.register

register("prognostic")(PrognosticWind)
register("rotational")(RotationalWind)
register("geostrophic")(GeostrophicWind)
register("none")(NoWind)


def parse_wind(text: str) -> AbstractWind:
    """The wind that settings write as `kind` or `kind:source`, such as `"prognostic:850"`.

    Raises:
        ValueError: no kind has this form.
        ConfigError: a module that the user lists cannot be imported.
    """
    kind, _, source = text.partition(":")
    wind = WINDS.find(kind)
    if wind is not None and (":" in text) == (":" in wind.syntax):
        with suppress(ValueError):
            return wind.from_source(source)
    known = ", ".join(part.syntax for part in WINDS.parts.values())
    raise ValueError(f'wind "{text}" is not one of {known}')
