"""`pinnwx forecast`: a forecast file, or a folder of them."""

from __future__ import annotations

from pinnwx.commands.options import Accept, Data, Force, Hours, LateralBoundary, RunFolder
from pathlib import Path
from typing import Annotated

import typer

from pinnwx.commands.printing import say
from pinnwx.errors import UsageError


def forecast(
    run: RunFolder,
    data: Data,
    out: Annotated[str, typer.Option(help="NetCDF file to write, or a folder for a series of them, ending in /.")],
    init: Annotated[
        str, typer.Option(help='Initial time, ISO 8601 UTC, or "latest"; into a folder also a period FROM/TO.')
    ] = "latest",
    hours: Hours = 120,
    members: Annotated[int | None, typer.Option(help="Make an ensemble of this many forecasts.")] = None,
    lateral_boundary: LateralBoundary = None,
    max_age: Annotated[
        float | None, typer.Option(help="Refuse an analysis older than this many hours (exit 69).")
    ] = None,
    accept_suspicious: Accept = None,
    plots: Annotated[bool, typer.Option("--plots", help="In a folder: draw maps of each forecast.")] = False,
    score: Annotated[bool, typer.Option("--score", help="In a folder: score earlier forecasts.")] = False,
    keep_days: Annotated[
        float | None, typer.Option(help="In a folder: remove forecasts older than the newest by this many days.")
    ] = None,
    remake: Annotated[
        bool, typer.Option("--remake", help="Make a forecast again if its analyses have changed since.")
    ] = False,
    force: Force = False,
) -> None:
    """Write one forecast file, or a series into a folder. Existing forecasts are not made again."""
    options = {
        "init": init, "hours": hours, "members": members, "lateral_boundary": lateral_boundary, "max_age": max_age,
        "accept_suspicious": accept_suspicious or (), "remake": remake, "force": force,
    }  # fmt: skip
    if out.endswith("/") or Path(out).is_dir():
        from pinnwx.jobs.series import forecast_series
        from pinnwx.terminal.runs import series_lines

        series = forecast_series(run, data, out, plots=plots, score=score, keep_days=keep_days, **options)
        series_lines(series)
        series.require_all()
        return
    from pinnwx.data.calendar import initial_period

    if plots or score or keep_days is not None or initial_period(init) is not None:
        raise UsageError(f"--plots, --score, --keep-days and periods need a folder, not the file {out}: --out FOLDER/")
    from pinnwx.jobs.forecast import forecast as job

    dataset = job(run, data, out=out, **options)
    last = dataset["time"].values[-1].astype("datetime64[m]")
    many = "" if members is None else f" of {members} members"
    holds = ", ".join(map(str, dataset.data_vars))
    did = "Already in" if "source" in dataset.encoding else "Wrote"  # a file that was read knows its own name
    say(f"{did} {out}: {holds}, {dataset.sizes['time']} steps{many} to {last}Z.")
