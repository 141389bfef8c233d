"""What the verbs print: progress bars and tables that fit 80 columns."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from pinnwx.variables import VARIABLES, Variable

if TYPE_CHECKING:
    from pinnwx.training.fit import Report
    from pinnwx.verification.results import Scores


@contextlib.contextmanager
def training_progress() -> Iterator[Callable[[Report], None]]:
    """A progress bar on a terminal; a line every tenth of the way elsewhere (log files, cron mail)."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _every_tenth(console)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}  {task.fields[rate]:.1f}/s"), TimeRemainingColumn(compact=True),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("compiling", total=None, loss=float("nan"), rate=0.0)

        def show(report: Report) -> None:
            bar.update(
                task, description=f"training {report.stage_steps:2d}-step", completed=report.update,
                total=report.total, loss=report.loss, rate=report.updates_per_second,
            )  # fmt: skip

        yield show


def _every_tenth(console: Console) -> Callable[[Report], None]:
    last = -1

    def show(report: Report) -> None:
        nonlocal last
        tenth = 10 * report.update // report.total
        if tenth > last:
            last = tenth
            console.print(
                f"update {report.update} of {report.total} ({report.stage_steps}-step), loss {report.loss:.3f}, "
                f"{report.updates_per_second:.1f}/s, {report.seconds_left:.0f} s left",
                highlight=False,
            )

    return show


def score_table(scores: Scores, variables: Mapping[str, Variable] = VARIABLES) -> None:
    """The scores, one row per variable and lead, and what was skipped."""
    from pinnwx.verification.results import COLUMNS

    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in scores.table(variables):
        table.add_row(*row)
    console = Console()
    console.print(table)
    skipped = {name: count for name, count in scores.skipped.items() if count}
    if skipped:
        console.print("skipped: " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in skipped.items()))
