"""`pinnwx report`: a page about the live model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pinnwx.commands.lists import numbers
from pinnwx.commands.options import Data, Force, Leads, OptionalEnd, RunFolder
from pinnwx.commands.printing import say


def report(
    run: RunFolder,
    data: Data,
    out: Annotated[Path, typer.Option(help="HTML file to write.")],
    start: Annotated[
        str | None, typer.Option(help="First initial time to score; by default that of data.validate.")
    ] = None,
    end: OptionalEnd = None,
    leads: Leads = None,
    force: Force = False,
) -> None:
    """Write one HTML page about the live model. It shows scores, maps, budgets, history and provenance."""
    from pinnwx.jobs.report import report as job

    page = job(run, data, out, start=start, end=end, leads=numbers("--leads", leads), force=force)
    say(f"Wrote {page}; open it in a browser.")
