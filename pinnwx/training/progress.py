"""Progress in Python: one line on standard error that is rewritten, where somebody is looking."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVarTuple

from pinnwx.training.fit import Progress

Arguments = TypeVarTuple("Arguments")
_WIDTH = 78


def is_watched() -> bool:
    """Whether standard error is a terminal, or the cell of a notebook."""
    ipython = sys.modules.get("IPython")
    return sys.stderr.isatty() or (ipython is not None and hasattr(ipython.get_ipython(), "kernel"))


@contextmanager
def shown(
    progress: Callable[[*Arguments], None] | None, text: Callable[[*Arguments], str]
) -> Iterator[Callable[[*Arguments], None]]:
    """The caller's own `progress`; where that is None, a line of `text`, if it is watched; it goes at the end."""
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
    """Where a training stands, in a line."""
    return (
        f"training: update {progress.update:,} of {progress.total:,}, rollouts of {progress.stage_steps} step(s), "
        f"loss {progress.loss:.3g}, {progress.seconds_left:.0f} s left"
    )


def scoring_text(done: int, total: int) -> str:
    """How many forecasts have been scored, in a line."""
    return f"scored {done:,} of {total:,} forecasts"
