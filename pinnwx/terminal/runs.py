"""The versions of a run, the forecasts of a series, and the size of a compressed model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pinnwx.terminal.table import Console, print_table

if TYPE_CHECKING:
    from pinnwx.forecasting.runs import Run
    from pinnwx.jobs.models import Version
    from pinnwx.jobs.series import Series


def version_table(versions: Sequence[Version]) -> None:
    """The versions of a run, one a row, and the reason why a version cannot be used."""
    console = Console()
    rows = [
        (
            one.name,
            "live" if one.is_live else "refused" if one.objection else "",
            one.trained_to or "-",
            f"{one.updates:,}",
            "no" if one.problem else "yes",
        )
        for one in versions
    ]
    print_table(console, ("version", "", "trained to", "updates", "whole"), rows)
    for one in versions:
        if one.problem:
            console.print(f"{one.name}: {one.problem}", style="red", highlight=False, soft_wrap=True)
        if one.objection:
            console.print(f"{one.name}: not promoted: {one.objection}", highlight=False, soft_wrap=True)


def series_lines(series: Series) -> None:
    """The outcome of each forecast of a series, and the scores and removals."""
    console = Console(soft_wrap=True, highlight=False)
    for one in series.attempts:
        if one.refused is not None:
            console.print(f"Refused  {one.file.name}: {one.refused!s}", style="red")
        else:
            what = "Wrote   " if one.written else "Outdated" if one.outdated else "Is there"
            console.print(f"{what} {one.file!s}", style="yellow" if one.outdated else None)
    if series.scored:
        console.print(f"Scored {len(series.scored)} forecast(s) on the analyses since.")
    if series.damaged:
        console.print(f"Left out as damaged: {', '.join(series.damaged)}", style="red")
    if series.removed:
        console.print(f"Removed {len(series.removed)} old file(s).")


def compression_lines(run: Run) -> None:
    """The size of the live model of a run beside that of the model it was made from."""
    manifest = run.load().manifest
    before, now = manifest["compressed_from"]["parameters"], manifest["parameters"]
    Console().print(
        f"Model {run.live} is live in {run.folder}: {now:,} weights of {before:,} ({now / before:.0%}), "
        f"after {manifest['updates'] + manifest['updates_between_rounds']} updates.",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
