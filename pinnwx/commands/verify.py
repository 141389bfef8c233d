"""`pinnwx verify`: scores of finished forecasts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pinnwx.commands.options import Data, Details, Force, Json, Thresholds


def verify(
    forecasts: Annotated[list[Path], typer.Argument(help="Forecast files.")],
    data: Data,
    run: Annotated[
        Path | None, typer.Option("--run", help="Run folder whose climatology is scored beside the forecasts.")
    ] = None,
    threshold: Thresholds = None,
    details: Details = False,
    json: Json = None,
    drift: Annotated[
        Path | None,
        typer.Option(help="PNG of one forecast beside the climate of the training time: area means and spectra."),
    ] = None,
    force: Force = False,
) -> None:
    """Score forecast files against later analyses."""
    from pinnwx.jobs.verify import verify as job
    from pinnwx.terminal.scores import score_table

    scores = job(forecasts, data, run=run, json=json, drift=drift, thresholds=threshold or (), force=force)
    score_table(scores, details=details)
