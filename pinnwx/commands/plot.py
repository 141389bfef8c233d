"""`pinnwx plot`: pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pinnwx.commands.lists import names, numbers
from pinnwx.commands.options import PATH, Force
from pinnwx.commands.printing import say


def plot(
    source: Annotated[Path, typer.Argument(help="A forecast or its budget (.nc), scores (.json) or a run folder.")],
    out: Annotated[Path, typer.Option(help="PNG to write.")],
    variables: Annotated[str | None, typer.Option(help="Which variables, such as z500,msl.")] = None,
    leads: Annotated[str | None, typer.Option(help="Which lead times in hours, such as 24,72.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar=PATH, help="Analyses to draw beside a forecast; may be repeated."),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Draw whether the probabilities of scores of ensembles are right.")
    ] = False,
    threshold: Annotated[
        list[str] | None,
        typer.Option(metavar="EVENT", help="Map the probability of an event of an ensemble: t2m<273.15. Repeat it."),
    ] = None,
    stamps: Annotated[bool, typer.Option("--stamps", help="Draw one field of every member of an ensemble.")] = False,
    force: Force = False,
) -> None:
    """Draw a forecast, its budget, scores, or a training."""
    from pinnwx.jobs.plot import plot as job

    chosen = names(variables) if variables else None
    hours = numbers("--leads", leads)
    figure = job(
        source, out, variables=chosen, leads=hours, data=data, probabilities=probabilities,
        thresholds=threshold or (), stamps=stamps, force=force,
    )  # fmt: skip
    say(figure)
