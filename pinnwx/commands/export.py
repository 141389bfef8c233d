"""`pinnwx export`: the live model as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pinnwx.commands.options import Force, RunFolder
from pinnwx.commands.printing import say


def export(
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="File to write, ending in .npz.")],
    weights: Annotated[str, typer.Option(help="How weights are stored: float32, bfloat16 or int8.")] = "float32",
    force: Force = False,
) -> None:
    """Write the live model as one file. jax runs it without pinnwx."""
    from pinnwx.jobs.export import export as job

    path = job(run, out, weights=weights, force=force)
    say(f"Wrote {path}: {path.stat().st_size / 2**20:.2f} MiB, weights as {weights}.")
