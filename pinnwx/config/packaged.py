"""The packaged experiments."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pinnwx.errors import MissingInputError


def experiments() -> tuple[str, ...]:
    """The names of the packaged experiments, such as `quick` or `era5_hybrid`."""
    return tuple(sorted(path.stem for path in _folder().glob("*.toml") if path.stem != "template"))


def experiment_path(name: str) -> Path:
    """The TOML file of a packaged experiment.

    Raises:
        MissingInputError: there is no experiment with this name.
    """
    if name not in experiments():
        raise MissingInputError(f"no config file {name}, and no experiment of that name: {', '.join(experiments())}")
    return _folder() / f"{name}.toml"


def _folder() -> Path:
    """The folder of experiments in the installed package or in the checkout."""
    package = Path(str(files("pinnwx")))
    inside = package / "experiments"
    return inside if inside.is_dir() else package.parent / "experiments"
