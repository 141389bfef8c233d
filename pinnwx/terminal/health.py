"""The health of a run, and of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from pinnwx.terminal.table import Console, print_table
from pinnwx.text import printable, three_digits
from pinnwx.variables import difference_units

if TYPE_CHECKING:
    from pinnwx.jobs.doctor import Finding
    from pinnwx.jobs.status import Skill, Status

_SKILL_SHOWN = 8  # rows of the table of status, which is to fit a screen
_WARNINGS_SHOWN, _WARNING_SHOWN = 3, 148  # and of how many letters


def status_table(status: Status) -> None:
    """The live version, one row a verb, recent errors and warnings, on one screen of 80 columns."""
    console = Console(highlight=False)
    trained = f", trained on data to {status.trained_to}" if status.trained_to else ""
    console.print(f"{status.run}: version {status.version or 'none'} is live{trained}", soft_wrap=True)
    if status.alarm:
        console.print(f"ALARM: {status.alarm}", style="bold red", soft_wrap=True)
    if not status.jobs:
        console.print("No job has been recorded here yet.")
    else:
        rows = [
            (
                job.verb,
                job.last_success or "never",
                "-" if job.age_hours is None else f"{job.age_hours:,.1f} h",
                job.last_outcome,
                str(job.failures),
            )
            for job in status.jobs
        ]
        print_table(console, ("job", "last success", "age", "last outcome", "failed since"), rows)
    if status.skill:
        shown = _most_telling(status.skill)
        headings = ("error (RMSE)", "lead", "of late", "n", "usually", "n", "/persist.", "")
        print_table(console, headings, [_skill_row(one) for one in shown])
        if len(shown) < len(status.skill):
            console.print(f"{len(status.skill) - len(shown)} more in --json.", style="dim")
    for warning in status.warnings[:_WARNINGS_SHOWN]:
        console.print(f"warning: {_cut(warning, _WARNING_SHOWN)}", style="yellow")
    if len(status.warnings) > _WARNINGS_SHOWN:
        console.print(f"{len(status.warnings) - _WARNINGS_SHOWN} more warnings in --json.", style="yellow")


def _most_telling(skill: Sequence[Skill]) -> list[Skill]:
    """The rows that fit a screen: all, or of each variable the lead nearest to a day and, with room, the last one."""
    if len(skill) <= _SKILL_SHOWN:
        return list(skill)
    shown = []
    variables = list(dict.fromkeys(one.variable for one in skill))
    for variable in variables[:_SKILL_SHOWN]:
        own = [one for one in skill if one.variable == variable]
        day = min(own, key=lambda one: abs(one.lead_hours - 24))
        shown += [day, own[-1]] if own[-1] is not day and 2 * len(variables) <= _SKILL_SHOWN else [day]
    return shown


def _skill_row(one: Skill) -> tuple[str, ...]:
    factor, units = difference_units(one.variable)
    return (
        f"{one.variable} [{units}]",
        f"{one.lead_hours:g} h",
        three_digits(factor * one.recent),
        str(one.recent_forecasts),
        "-" if one.usual is None else three_digits(factor * one.usual),
        str(one.earlier_forecasts),
        "-" if one.of_persistence is None else f"{one.of_persistence:.2f}",
        "worse" if one.drifts else "",
    )


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def doctor_lines(findings: Sequence[Finding]) -> None:
    """One line a finding, and the remedy of each problem."""
    console = Console(soft_wrap=True, highlight=False)
    for one in findings:
        console.print(Text.assemble((f"{one.name:15s}", "bold"), printable(one.value)))
        if one.problem:
            console.print(f"{'':15s}{one.problem}", style="yellow")
