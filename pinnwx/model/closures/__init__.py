"""Networks that represent what the equations leave out: one interface, `Closure`, and a registry, `closure.kind`.

A closure of your own is a subclass of `Closure`, registered by `@closures.register("mine")`. Settings name it
`closure.kind = "mine"`.
"""

from __future__ import annotations

from pinnwx.errors import ConfigError
from pinnwx.extensions import PINNWX_EXTENSIONS, Registry
from pinnwx.model.closures.base import Closure
from pinnwx.model.closures.experts import ExpertClosure
from pinnwx.model.closures.latent_transport import LatentTransportClosure
from pinnwx.model.closures.relaxation import RelaxationClosure
from pinnwx.model.closures.residual import ResidualClosure
from pinnwx.settings import Settings

__all__ = [
    "CLOSURES", "Closure", "ExpertClosure", "LatentTransportClosure", "RelaxationClosure", "ResidualClosure",
    "Settings", "closure_class", "register",
]  # fmt: skip

CLOSURES: Registry[Closure] = Registry("closure")
register = CLOSURES.register

register("residual")(ResidualClosure)
register("experts")(ExpertClosure)
register("latent_transport")(LatentTransportClosure)
register("relaxation")(RelaxationClosure)


def closure_class(kind: str) -> type[Closure]:
    """The class that is registered under a kind.

    Raises:
        ConfigError: there is none, or a module that the user lists cannot be imported.
    """
    closure = CLOSURES.find(kind)
    if closure is None:
        known = ", ".join(CLOSURES.parts)
        raise ConfigError(
            f'model.closure.kind = "{kind}" is not one of {known}; register your own with '
            f"pinnwx.model.closures.register, and list its module in {PINNWX_EXTENSIONS}"
        )
    return closure
