"""`pinnwx retrain`: fresh analyses for the live model."""

from __future__ import annotations

from typing import Annotated

import typer

from pinnwx.commands import clock
from pinnwx.commands.options import Accept, Data, ForceJson, Json, Minutes, RunFolder
from pinnwx.commands.printing import say


def retrain(
    run: RunFolder,
    data: Data,
    since: Annotated[
        str | None, typer.Option(help="Time from which analyses are fresh; by default, the end of training.")
    ] = None,
    minutes: Minutes = None,
    accept_suspicious: Accept = None,
    json: Json = None,
    force: ForceJson = False,
) -> None:
    """Train the live model further with fresh analyses. It goes live if it passes the promotion check.

    Exit 77 if the candidate is worse, if nothing was learned, or if the days are too few to decide.
    """
    from pinnwx.jobs.retrain import retrain as job
    from pinnwx.terminal.progress import training_progress
    from pinnwx.terminal.scores import comparison_table

    with training_progress() as progress:
        done = job(
            run, data, since=since, minutes=minutes, accept_suspicious=accept_suspicious or (), json=json, force=force,
            progress=progress, started=clock.STARTED,
        )  # fmt: skip
    if done.promotion.comparison is not None:
        comparison_table(done.promotion.comparison)
    say(f"Model {done.version} is live in {run}, after {done.training.updates} updates.")
    say(f"Training ended: {done.training.ended}.")
