"""`pinnwx forecast-series`: every forecast of a period, a file each in one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pinnwx.commands.lists import numbers
from pinnwx.commands.options import (
    Accept,
    CalibratedMembers,
    Data,
    Force,
    Hours,
    LateralBoundary,
    MaxAge,
    Members,
    Quantiles,
    Remake,
    RunFolder,
    Thresholds,
)


def forecast_series(
    run: RunFolder,
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the forecasts; latest.nc in it links to the newest.")],
    init: Annotated[
        str,
        typer.Option(help='Initial time, "latest", or a period: FROM/TO, FROM/latest, or a length such as P3D/latest.'),
    ] = "latest",
    hours: Hours = 120,
    members: Members = None,
    calibrated: CalibratedMembers = False,
    quantiles: Quantiles = None,
    threshold: Thresholds = None,
    lateral_boundary: LateralBoundary = None,
    max_age: MaxAge = None,
    accept_suspicious: Accept = None,
    plots: Annotated[bool, typer.Option("--plots", help="Draw maps of each forecast.")] = False,
    score: Annotated[bool, typer.Option("--score", help="Score earlier forecasts against the analyses.")] = False,
    keep_days: Annotated[
        float | None, typer.Option(help="Remove forecasts older than the newest by this many days.")
    ] = None,
    remake: Remake = False,
    force: Force = False,
) -> None:
    """Write every forecast of a period that a folder lacks. What cannot be made does not stop the others."""
    from pinnwx.jobs.series import forecast_series as job
    from pinnwx.terminal.runs import series_lines

    series = job(
        run, data, out, init=init, hours=hours, members=members, calibrated=calibrated,
        quantiles=numbers("--quantiles", quantiles) or (), thresholds=threshold or (),
        lateral_boundary=lateral_boundary, max_age=max_age, accept_suspicious=accept_suspicious or (), plots=plots,
        score=score, keep_days=keep_days, remake=remake, force=force,
    )  # fmt: skip
    series_lines(series)
    series.require_all()
