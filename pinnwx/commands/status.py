"""`pinnwx status`: the health of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pinnwx.commands.options import ForceJson, Json, RunFolder


def status(
    run: RunFolder,
    forecasts: Annotated[Path | None, typer.Option(help="Folder of scored forecasts, to show their skill.")] = None,
    json: Json = None,
    metrics: Annotated[Path | None, typer.Option(help="Write gauges for Prometheus to this file.")] = None,
    force: ForceJson = False,
) -> None:
    """Show the health of a run and of its forecasts. Exit 65 if no forecast can be made.

    It shows when each job last succeeded, which model is live, and whether forecasts get worse.
    """
    from pinnwx.jobs.status import status as job
    from pinnwx.terminal.health import status_table

    health = job(run, forecasts=forecasts, json=json, metrics=metrics, force=force)
    status_table(health)
    if health.alarm:
        raise typer.Exit(65)
