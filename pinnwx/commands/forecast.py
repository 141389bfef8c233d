"""`pinnwx forecast`: one forecast file."""

from __future__ import annotations

from typing import Annotated

import typer

from pinnwx.commands.lists import numbers
from pinnwx.commands.options import (
    Accept,
    CalibratedMembers,
    Data,
    Force,
    Hours,
    Init,
    LateralBoundary,
    MaxAge,
    Members,
    Quantiles,
    Remake,
    RunFolder,
    Thresholds,
)
from pinnwx.commands.printing import say


def forecast(
    run: RunFolder,
    data: Data,
    out: Annotated[str, typer.Option(help="NetCDF file to write.")],
    init: Init = "latest",
    hours: Hours = 120,
    members: Members = None,
    calibrated: CalibratedMembers = False,
    quantiles: Quantiles = None,
    threshold: Thresholds = None,
    lateral_boundary: LateralBoundary = None,
    max_age: MaxAge = None,
    accept_suspicious: Accept = None,
    remake: Remake = False,
    force: Force = False,
) -> None:
    """Write one forecast file. The same forecast is not made twice."""
    from pinnwx.forecasting.products import is_product
    from pinnwx.jobs.forecast import forecast as job

    dataset = job(
        run, data, init=init, hours=hours, members=members, calibrated=calibrated,
        quantiles=numbers("--quantiles", quantiles) or (), thresholds=threshold or (),
        lateral_boundary=lateral_boundary, max_age=max_age, accept_suspicious=accept_suspicious or (), out=out,
        remake=remake, force=force,
    )  # fmt: skip
    last = dataset["time"].values[-1].astype("datetime64[m]")
    many = "" if members is None else f" of {members} members"
    holds = ", ".join(str(name) for name, array in dataset.data_vars.items() if not is_product(array))
    holds += " and their products" if any(map(is_product, dataset.data_vars.values())) else ""
    did = "Already in" if "source" in dataset.encoding else "Wrote"  # a file that was read knows its own name
    say(f"{did} {out}: {holds}, {dataset.sizes['time']} steps{many} to {last}Z.")
