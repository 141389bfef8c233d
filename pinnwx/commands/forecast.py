"""`pinnwx forecast`: one forecast file."""

from __future__ import annotations

from typing import Annotated

import typer

from pinnwx.commands.options import (
    Accept,
    Data,
    Force,
    Hours,
    Init,
    LateralBoundary,
    MaxAge,
    Members,
    Remake,
    RunFolder,
)
from pinnwx.commands.printing import say


def forecast(
    run: RunFolder,
    data: Data,
    out: Annotated[str, typer.Option(help="NetCDF file to write.")],
    init: Init = "latest",
    hours: Hours = 120,
    members: Members = None,
    lateral_boundary: LateralBoundary = None,
    max_age: MaxAge = None,
    accept_suspicious: Accept = None,
    remake: Remake = False,
    force: Force = False,
) -> None:
    """Write one forecast file. The same forecast is not made twice."""
    from pinnwx.jobs.forecast import forecast as job

    dataset = job(
        run, data, init=init, hours=hours, members=members, lateral_boundary=lateral_boundary, max_age=max_age,
        accept_suspicious=accept_suspicious or (), out=out, remake=remake, force=force,
    )  # fmt: skip
    last = dataset["time"].values[-1].astype("datetime64[m]")
    many = "" if members is None else f" of {members} members"
    holds = ", ".join(map(str, dataset.data_vars))
    did = "Already in" if "source" in dataset.encoding else "Wrote"  # a file that was read knows its own name
    say(f"{did} {out}: {holds}, {dataset.sizes['time']} steps{many} to {last}Z.")
