"""`pinnwx compress`: a smaller model."""

from __future__ import annotations

from pinnwx.commands.options import Data, ForceRun, Minutes, NewRun, PromoteAnyway, RunFolder
from pathlib import Path
from typing import Annotated

import typer

from pinnwx.commands import clock


def compress(
    run: RunFolder,
    data: Data,
    out: NewRun,
    prune: Annotated[bool, typer.Option("--prune", help="Remove the least important channels.")] = False,
    keep: Annotated[float, typer.Option(help="Pruning: fraction of the channels that stays.")] = 0.5,
    criterion: Annotated[
        str, typer.Option(help="Pruning: score of a channel: taylor, integrated, magnitude or random.")
    ] = "taylor",
    distill: Annotated[bool, typer.Option("--distill", help="Train a smaller model on forecasts of this one.")] = False,
    size: Annotated[float, typer.Option(help="Distillation: fraction of the weights that the student has.")] = 0.25,
    minutes: Minutes = None,
    updates: Annotated[
        int | None, typer.Option(help="Number of updates, instead of as many as the minutes allow.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted compression.")] = False,
    force: ForceRun = False,
    promote_anyway: PromoteAnyway = False,
) -> None:
    """Make the live model smaller, by pruning or distillation. The smaller model gets a run folder of its own."""
    from pinnwx.jobs.compress import compress as job
    from pinnwx.terminal.progress import training_progress
    from pinnwx.terminal.runs import compression_lines

    with training_progress() as progress:
        smaller = job(
            run, data, out, keep=keep if prune else None, size=size if distill else None, criterion=criterion,
            minutes=minutes, updates=updates, resume=resume, force=force, promote_anyway=promote_anyway,
            progress=progress, started=clock.STARTED,
        )  # fmt: skip
    compression_lines(smaller)
