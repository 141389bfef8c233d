"""`pinnwx check`: what files hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pinnwx.commands.options import Data, ForceJson, Json


def check(
    data: Data,
    config: Annotated[Path | None, typer.Option(help="Config: would `train` accept it with these data?")] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="Run folder: can its model forecast from these data?")
    ] = None,
    json: Json = None,
    force: ForceJson = False,
) -> None:
    """Show what files hold, and every problem found. Exit 65 if `train` or a forecast would be refused."""
    from pinnwx.jobs.check import check as job
    from pinnwx.terminal.files import check_tables

    report = job(data, config=config, run=run, json=json, force=force)
    check_tables(report)
    if not report.ok:
        raise typer.Exit(65)
