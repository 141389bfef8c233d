"""Networks that supply what the equations leave out: one interface, `Closure`, and a registry, `closure.kind`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pinnwx.errors import ConfigError, UsageError
from pinnwx.model.closures.base import Closure as Closure
from pinnwx.model.closures.experts import ExpertClosure as ExpertClosure
from pinnwx.model.closures.residual import ResidualClosure as ResidualClosure

_Kind = TypeVar("_Kind", bound=type[Closure])
_KINDS: dict[str, type[Closure]] = {"residual": ResidualClosure, "experts": ExpertClosure}


def register_closure(kind: str) -> Callable[[_Kind], _Kind]:
    """A decorator that makes a class of closures known as `model.closure.kind = kind`.

    Raises:
        UsageError: another class has this name.
    """

    def register(own: _Kind) -> _Kind:
        known = _KINDS.setdefault(kind, own)
        if (known.__module__, known.__qualname__) != (own.__module__, own.__qualname__):
            raise UsageError(
                f'a closure of kind "{kind}" exists: {known.__module__}.{known.__qualname__}; rename yours'
            )
        _KINDS[kind] = own  # a module that is loaded again brings the class again
        return own

    return register


def closure_class(kind: str) -> type[Closure]:
    """The class that is registered under a name.

    Raises:
        ConfigError: there is none.
    """
    if kind not in _KINDS:
        raise ConfigError(
            f'model.closure.kind = "{kind}" is not one of {", ".join(_KINDS)}; register your own with '
            "pinnwx.model.closures.register_closure"
        )
    return _KINDS[kind]
