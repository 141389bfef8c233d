"""`pinnwx demo`: from the embedded sample to scores and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pinnwx.commands.options import Force
from pinnwx.commands.printing import say


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    minutes: Annotated[float | None, typer.Option(help="Wall-clock budget of the training; 2 by default.")] = None,
    force: Force = False,
) -> None:
    """Train, forecast, verify and plot with an embedded sample. It needs no other data and no network."""
    from pinnwx.jobs.demo import demo as job
    from pinnwx.terminal.progress import training_progress
    from pinnwx.terminal.scores import score_table

    with training_progress() as progress:
        result = job(out, minutes=minutes, force=force, progress=progress, say=say)
    score_table(result.scores)
    say("")
    say(f"In {out}: " + ", ".join(result.files))
