"""`pinnwx point`: the forecast at a place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pinnwx.commands.lists import names
from pinnwx.commands.options import Force
from pinnwx.commands.printing import say


def point(
    forecast: Annotated[Path, typer.Argument(help="A forecast file.")],
    latitude: Annotated[float, typer.Option(help="Degrees north.")],
    longitude: Annotated[float, typer.Option(help="Degrees east.")],
    out: Annotated[Path, typer.Option(help="File to write: a picture (.png) or a table (.csv).")],
    variables: Annotated[str | None, typer.Option(help="Which variables, such as t2m,msl.")] = None,
    method: Annotated[Literal["nearest", "linear"], typer.Option(help="The cell, or between cells.")] = "nearest",
    force: Force = False,
) -> None:
    """Write the forecast at a place as a picture or a table."""
    from pinnwx.jobs.point import point as job

    chosen = names(variables) if variables else None
    here = job(forecast, latitude, longitude, method, variables=chosen, out=out, force=force)
    say(f"Wrote {out}: {float(here['latitude']):g} N, {float(here['longitude']):g} E, {here.sizes['time']} steps.")
