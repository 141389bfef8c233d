"""`pinnwx compare`: two runs on the same forecasts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pinnwx.commands.lists import numbers
from pinnwx.commands.options import PATH, ForceJson, Json, Leads, OptionalEnd, OptionalStart


def compare(
    first: Annotated[Path, typer.Argument(help="Run folder, or a scores file of evaluate.")],
    second: Annotated[Path, typer.Argument(help="Run folder or scores file to compare it with.")],
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar=PATH, help="Analyses to evaluate run folders on; may be repeated."),
    ] = None,
    start: OptionalStart = None,
    end: OptionalEnd = None,
    leads: Leads = None,
    json: Json = None,
    force: ForceJson = False,
) -> None:
    """Compare the errors of two runs on the same forecasts. The bounds are those of a paired comparison."""
    from pinnwx.jobs.compare import compare as job
    from pinnwx.terminal.scores import comparison_table

    hours = numbers("--leads", leads)
    comparison_table(job(first, second, data, start=start, end=end, leads=hours, json=json, force=force))
