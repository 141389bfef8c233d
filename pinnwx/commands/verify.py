"""`pinnwx verify`: scores of finished forecasts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pinnwx.commands.options import Data, Details, Force, Json


def verify(
    forecasts: Annotated[list[Path], typer.Argument(help="Forecast files.")],
    data: Data,
    run: Annotated[
        Path | None, typer.Option("--run", help="Run folder whose climatology is scored beside the forecasts.")
    ] = None,
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

    score_table(job(forecasts, data, run=run, json=json, drift=drift, force=force), details=details)
