"""`pinnwx evaluate`: scores of hindcasts."""

from __future__ import annotations

from typing import Annotated

import typer

from pinnwx.commands.lists import numbers
from pinnwx.commands.options import (
    Data,
    Details,
    End,
    ForceJson,
    Json,
    Leads,
    RunFolder,
    ScoredMembers,
    Start,
    Thresholds,
)


def evaluate(
    run: RunFolder,
    data: Data,
    start: Start,
    end: End,
    leads: Leads = None,
    members: ScoredMembers = None,
    threshold: Thresholds = None,
    calibrated: Annotated[
        bool,
        typer.Option(
            "--calibrated",
            help="Calibrate the members: as pinnwx calibrate did, or as fitted now at these leads.",
        ),
    ] = False,
    details: Details = False,
    json: Json = None,
    force: ForceJson = False,
) -> None:
    """Score forecasts from every analysis of a period. Persistence and climatology are scored on the same pairs."""
    from pinnwx.jobs.evaluate import evaluate as job
    from pinnwx.terminal.scores import score_table

    hours = numbers("--leads", leads)
    scores = job(
        run,
        data,
        start=start,
        end=end,
        leads=hours,
        members=members,
        thresholds=threshold or (),
        calibrated=calibrated,
        json=json,
        force=force,
    )
    score_table(scores, details=details)
