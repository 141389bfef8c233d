"""Progress bars on a terminal; lines elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from pinnwx.terminal.table import Console

if TYPE_CHECKING:
    from pinnwx.training.progress import Progress


@contextlib.contextmanager
def training_progress() -> Iterator[Callable[[Progress], None]]:
    """A progress bar on a terminal; a line every tenth of the way elsewhere (log files, cron mail)."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _every_tenth(console)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}  {task.fields[rate]:.1f}/s"), TimeRemainingColumn(compact=True),
    )  # fmt: skip
    with ProgressBar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("compiling", total=None, loss=float("nan"), rate=0.0)

        def show(progress: Progress) -> None:
            bar.update(
                task, description=f"training {progress.stage_steps:2d}-step", completed=progress.update,
                total=progress.total, loss=progress.loss, rate=progress.updates_per_second,
            )  # fmt: skip

        yield show


@contextlib.contextmanager
def counting_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar that counts, on a terminal; elsewhere a line each."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: console.print(f"{done} of {total} {what}", highlight=False)
        return
    columns = TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), TimeRemainingColumn()
    with ProgressBar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _every_tenth(console: Console) -> Callable[[Progress], None]:
    last = -1

    def show(progress: Progress) -> None:
        nonlocal last
        tenth = 10 * progress.update // progress.total
        if tenth > last:
            last = tenth
            console.print(
                f"update {progress.update} of {progress.total} ({progress.stage_steps}-step), "
                f"loss {progress.loss:.3f}, {progress.updates_per_second:.1f}/s, {progress.seconds_left:.0f} s left",
                highlight=False,
            )

    return show
