"""`pinnwx fetch`: analyses from a public store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pinnwx.commands.lists import names, numbers
from pinnwx.commands.options import Force
from pinnwx.commands.printing import say


def fetch(
    source: Annotated[
        str, typer.Argument(help="weatherbench2, arco-era5, a source of your own, or a zarr store by path or URL.")
    ],
    fields: Annotated[str, typer.Option(help="Which fields, such as z500,t850,msl.")],
    start: Annotated[str, typer.Option(help="First time, ISO 8601 UTC.")],
    end: Annotated[str, typer.Option(help="Last time; a bare date includes its whole day.")],
    out: Annotated[Path, typer.Option(help="Folder for one file a month.")],
    static: Annotated[str, typer.Option(help="Fields that do not change in time, such as orography,lsm.")] = "",
    grid: Annotated[str, typer.Option(help='Grid to average onto, such as 5.625deg, or "native".')] = "native",
    region: Annotated[str | None, typer.Option(help="Box in degrees: north,west,south,east.")] = None,
    every: Annotated[float, typer.Option(help="Hours between analyses.")] = 6,
    timeout: Annotated[float, typer.Option(help="Seconds within which a server must send data.")] = 30,
    force: Force = False,
) -> None:
    """Download analyses from a public store into a folder. A second run continues where the first stopped."""
    from pinnwx.jobs.fetch import fetch as job
    from pinnwx.terminal.progress import counting_progress

    with counting_progress("months") as progress:
        files = job(
            source, out, fields=names(fields), start=start, end=end, static=names(static), grid=grid,
            region=numbers("--region", region), every_hours=every, timeout=timeout, force=force, progress=progress,
        )  # fmt: skip
    say(f"In {out}: {len(files)} file(s), {files[0].name} to {files[-1].name}.")
