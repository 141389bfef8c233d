"""`pinnwx config`: the keys of a configuration."""

from __future__ import annotations

import typer


def template() -> None:
    """Print a configuration with every key, its description and a value."""
    from pinnwx.config.template import template as text

    typer.echo(text(), nl=False)


def schema() -> None:
    """Print the JSON schema of a configuration. Editors check and complete with it."""
    from pinnwx.config.reference import json_schema

    typer.echo(json_schema(), nl=False)
