"""`pinnwx explain`: the budget of a forecast, or the attribution of one number in it."""

from __future__ import annotations

from typing import Annotated

import typer

from pinnwx.commands.options import Accept, Data, Force, Hours, Init, LateralBoundary, NetcdfFile, RunFolder
from pinnwx.commands.printing import say


def explain(
    run: RunFolder,
    data: Data,
    out: NetcdfFile,
    init: Init = "latest",
    hours: Hours = 24,
    target: Annotated[
        str | None, typer.Option(help="A number to explain: FIELD@LAT,LON or FIELD@NORTH,WEST,SOUTH,EAST.")
    ] = None,
    lateral_boundary: LateralBoundary = None,
    accept_suspicious: Accept = None,
    force: Force = False,
) -> None:
    """Write the budget of a forecast. With --target: the sensitivity and the attribution of one number in it."""
    from pinnwx.explaining.reading import shares
    from pinnwx.jobs.explain import explain as job
    from pinnwx.terminal.explanations import attribution_lines, budget_table

    dataset = job(
        run, data, init=init, hours=hours, target=target, lateral_boundary=lateral_boundary,
        accept_suspicious=accept_suspicious or (),
        out=out, force=force,
    )  # fmt: skip
    if target is None:
        budget_table(shares(dataset))
    else:
        attribution_lines(dataset)
    say(f"Wrote {out}; pinnwx plot draws it.")
