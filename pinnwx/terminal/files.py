"""The content of files, and every problem in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from pinnwx.terminal.table import Console, print_table
from pinnwx.text import alike_merged, printable

if TYPE_CHECKING:
    from pinnwx.data.check_report import CheckReport

_GAPS_SHOWN = 5


def check_tables(report: CheckReport) -> None:
    """The content of each file, of all files together, and every problem."""
    console = Console(soft_wrap=True, highlight=False)
    for entry in report.files:
        layout = f", {entry.layout}" if entry.layout else ""
        console.print(Text.assemble((printable(entry.file), "bold"), printable(f"  {entry.format}{layout}")))
        if entry.fields:
            rows = [
                (one.name, one.raw, one.units or "-", one.stored_as, str(one.steps), one.start or "-", one.end or "-")
                for one in entry.fields
            ]
            headings = ("  field", "in the file", "units", "as", "steps", "first", "last")
            print_table(console, headings, [("  " + row[0], *row[1:]) for row in rows])
        details = {
            "axes": "; ".join(entry.axes),
            "normalised": "; ".join(entry.normalised),
            "ignored": ", ".join(entry.ignored),
        }
        for label, text in details.items():
            if text:
                console.print(f"  {label}: {text}")
    console.print()
    if report.fields or report.static:
        console.print(f"fields  {', '.join(report.fields) or 'none'}")
        console.print(f"static  {', '.join(report.static) or 'none'}")
        console.print(f"grid    {report.grid}")
    if report.steps:
        spacing = "" if report.step_hours is None else f", every {report.step_hours:g} h"
        console.print(f"times   {report.steps} from {report.start} to {report.end}{spacing}, {len(report.gaps)} gaps")
        console.print(f"age     {report.age_hours:,.0f} h")
    for gap in report.gaps[:_GAPS_SHOWN]:
        console.print(f"gap     {gap[0]} to {gap[1]}")
    for severity, style in (("error", "red"), ("warning", "yellow"), ("note", None)):
        for text in alike_merged(str(problem) for problem in report.problems if problem.severity == severity):
            console.print(f"{severity}: {text}", style=style)
    console.print(report.verdict)
