"""Registries of model parts by kind, and user modules that register further parts.

Importing a module runs its code, and settings may be untrusted (for example, those of a run folder). Therefore settings
never import a module. The user lists modules in the environment variable `PINNWX_EXTENSIONS`, separated by commas:
names of installed modules, or paths that end in `.py`. They are imported when settings name an unknown part or module.
A module that the program has already imported needs no entry.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Generic, TypeVar

from pinnwx.errors import ConfigError

PINNWX_EXTENSIONS = "PINNWX_EXTENSIONS"  # the environment variable
_Part = TypeVar("_Part")


class Registry(Generic[_Part]):
    """The classes of one type of part (winds, terms, ...) by kind, in the order of registration."""

    def __init__(self, what: str):
        self.what = what
        self._parts: dict[str, type[_Part]] = {}

    def register(self, kind: str) -> Callable[[type[_Part]], type[_Part]]:
        """A class decorator that registers a part under this kind.

        Raises:
            ConfigError: another class has this kind.
        """

        def add(part: type[_Part]) -> type[_Part]:
            known = self._parts.setdefault(kind, part)
            if _origin(known) != _origin(part):
                raise ConfigError(
                    f'{self.what} "{kind}" of {_origin(part)} is already registered by {_origin(known)}; rename it'
                )
            self._parts[kind] = part  # replaces the class of the same origin if a module is loaded again
            return part

        return add

    def find(self, kind: str) -> type[_Part] | None:
        """The class of this kind, also from the listed modules; None if there is none.

        Raises:
            ConfigError: a listed module cannot be imported.
        """
        if kind not in self._parts:
            import_listed()
        return self._parts.get(kind)

    def kind_of(self, part: _Part) -> str:
        """The kind of a part; for an unregistered part, its module and class."""
        return next((kind for kind, known in self._parts.items() if known is type(part)), _origin(type(part)))

    @property
    def parts(self) -> dict[str, type[_Part]]:
        """Every known class by kind."""
        return dict(self._parts)


def origin(part: object) -> str | None:
    """The origin of a part as `module.Class`; None for parts of pinnwx."""
    kind = type(part)
    return None if kind.__module__.split(".")[0] == "pinnwx" else _origin(kind)


def import_listed() -> None:
    """Imports the modules that the user lists, unless they are imported already.

    Raises:
        ConfigError: a module cannot be imported.
    """
    for entry in listed_extensions():
        name = module_name(entry)
        if name in sys.modules:
            continue
        try:
            _import_file(name, Path(entry)) if entry.endswith(".py") else import_module(name)
        except Exception as error:  # a user module may raise any exception
            raise ConfigError(
                f"{PINNWX_EXTENSIONS}: {entry} cannot be imported: {type(error).__name__}: {error}"
            ) from error


def missing_extensions(names: tuple[str, ...]) -> tuple[str, ...]:
    """Imports the listed modules, and returns the names that are still not imported."""
    if any(name not in sys.modules for name in names):
        import_listed()
    return tuple(name for name in names if name not in sys.modules)


def listed_extensions() -> tuple[str, ...]:
    """The entries of the list, as the user wrote them."""
    return tuple(entry for part in os.environ.get(PINNWX_EXTENSIONS, "").split(",") if (entry := part.strip()))


def module_name(entry: str) -> str:
    """The name of a listed module; for a file, the file name without `.py`."""
    return Path(entry).stem if entry.endswith(".py") else entry


def _import_file(name: str, path: Path) -> None:
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError("no such file")
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _origin(part: type) -> str:
    return f"{part.__module__}.{part.__qualname__}"
