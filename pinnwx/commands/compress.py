"""`pinnwx compress`: a smaller model, by pruning or by distillation."""

from __future__ import annotations

from typing import Annotated

import typer

from pinnwx.commands import clock
from pinnwx.commands.options import Data, ForceRun, Minutes, NewRun, PromoteAnyway, Resume, RunFolder

_Updates = Annotated[int | None, typer.Option(help="Number of updates, instead of as many as the minutes allow.")]


def prune(
    run: RunFolder,
    data: Data,
    out: NewRun,
    keep: Annotated[float, typer.Option(help="Fraction of the channels that stays.")] = 0.5,
    criterion: Annotated[
        str, typer.Option(help="Score of a channel: taylor, integrated, magnitude or random.")
    ] = "taylor",
    minutes: Minutes = None,
    updates: _Updates = None,
    resume: Resume = False,
    force: ForceRun = False,
    promote_anyway: PromoteAnyway = False,
) -> None:
    """Remove the least important channels of the live model. The smaller model gets a run folder of its own."""
    from pinnwx.jobs.prune import prune as job
    from pinnwx.terminal.progress import training_progress
    from pinnwx.terminal.runs import compression_lines

    with training_progress() as progress:
        smaller = job(
            run, data, out, keep=keep, criterion=criterion, minutes=minutes, updates=updates, resume=resume,
            force=force, promote_anyway=promote_anyway, progress=progress, started=clock.STARTED,
        )  # fmt: skip
    compression_lines(smaller)


def distill(
    run: RunFolder,
    data: Data,
    out: NewRun,
    size: Annotated[float, typer.Option(help="Fraction of the weights that the smaller model has.")] = 0.25,
    minutes: Minutes = None,
    updates: _Updates = None,
    resume: Resume = False,
    force: ForceRun = False,
    promote_anyway: PromoteAnyway = False,
) -> None:
    """Train a smaller model on forecasts of the live one. It gets a run folder of its own."""
    from pinnwx.jobs.distill import distill as job
    from pinnwx.terminal.progress import training_progress
    from pinnwx.terminal.runs import compression_lines

    with training_progress() as progress:
        smaller = job(
            run, data, out, size=size, minutes=minutes, updates=updates, resume=resume, force=force,
            promote_anyway=promote_anyway, progress=progress, started=clock.STARTED,
        )  # fmt: skip
    compression_lines(smaller)
