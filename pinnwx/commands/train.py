"""`pinnwx train`: a run folder from a configuration and data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pinnwx.commands import clock
from pinnwx.commands.options import Data, ForceRun, InitFrom, Minutes, NewRun, NoiseLike, PromoteAnyway, Resume
from pinnwx.commands.printing import say


def train(
    config: Annotated[
        Path,
        typer.Argument(help="TOML file (see `pinnwx config template`), or a packaged experiment by its name: quick."),
    ],
    data: Data,
    out: NewRun,
    minutes: Minutes = None,
    init_from: InitFrom = None,
    noise_like: NoiseLike = None,
    resume: Resume = False,
    force: ForceRun = False,
    promote_anyway: PromoteAnyway = False,
) -> None:
    """Train a model into a run folder. It goes live unless it is worse than persistence (then exit 77)."""
    from pinnwx.jobs.train import train as job
    from pinnwx.terminal.progress import training_progress

    with training_progress() as progress:
        run = job(
            config, data, out, minutes=minutes, init_from=init_from, noise_like=noise_like, resume=resume,
            force=force, promote_anyway=promote_anyway, progress=progress, started=clock.STARTED,
        )  # fmt: skip
    say(f"Model {run.live} is live in {out}.")
