"""Progress of a training, and one line on standard error that shows it on a terminal or in a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVarTuple

Arguments = TypeVarTuple("Arguments")
_WIDTH = 78


@dataclass(frozen=True)
class Progress:
    """How far a training is, for a progress bar."""

    update: int
    total: int
    loss: float
    updates_per_second: float
    seconds_left: float
    stage_steps: int


def is_watched() -> bool:
    """Whether standard error is a terminal, or the cell of a notebook."""
    ipython = sys.modules.get("IPython")
    return sys.stderr.isatty() or (ipython is not None and hasattr(ipython.get_ipython(), "kernel"))


@contextmanager
def shown(
    progress: Callable[[*Arguments], None] | None, text: Callable[[*Arguments], str]
) -> Iterator[Callable[[*Arguments], None]]:
    """The caller's own `progress`; if that is None, a line of `text`, where it is watched, erased at the end."""
    if progress is not None:
        yield progress
    elif not is_watched():
        yield lambda *_: None
    else:
        try:
            yield lambda *state: print(f"\r{text(*state)[:_WIDTH]:<{_WIDTH}}", end="", file=sys.stderr, flush=True)
        finally:
            print(f"\r{'':<{_WIDTH}}\r", end="", file=sys.stderr, flush=True)


def training_text(progress: Progress) -> str:
    """The progress of a training in a line."""
    return (
        f"training: update {progress.update:,} of {progress.total:,}, rollouts of {progress.stage_steps} step(s), "
        f"loss {progress.loss:.3g}, {progress.seconds_left:.0f} s left"
    )


def scoring_text(done: int, total: int) -> str:
    """The number of scored forecasts in a line."""
    return f"scored {done:,} of {total:,} forecasts"
