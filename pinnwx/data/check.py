"""Checks files by the rules of `open_data` and of `forecast`, and reports every problem at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pinnwx.data.calendar import ahead_of_the_clock
from pinnwx.data.changes import once_more_if_changed
from pinnwx.data.check_report import CheckReport, Findings
from pinnwx.data.find import Paths
from pinnwx.data.inventory import scan_files
from pinnwx.data.merge import read_field, read_static
from pinnwx.data.plan import Plan, make_plan, names_to_read, present_times, report_of
from pinnwx.data.suspicion import Suspicion, around, summary, suspicions
from pinnwx.grid import Grid
from pinnwx.variables import VARIABLES, Variable, describe


def check_data(paths: Paths, fields: Sequence[str] | None = None, **options) -> CheckReport:
    """Describes the contents of files after normalisation, with every problem; bad data never raise an error.

    A problem is an error if `open_data` with the same arguments refuses it, or (unless `newest` is false) if a forecast
    from the newest analysis does. `open_data` stops at the first error; this function reports all. The arguments are
    those of `check_times`.

    Raises:
        MissingInputError: no such file.
    """
    return check_times(paths, fields, **options)[0]


@once_more_if_changed
def check_times(
    paths: Paths,
    fields: Sequence[str] | None = None,
    *,
    grid: str | Grid = "native",
    variables: Mapping[str, Variable] = VARIABLES,
    levels: Mapping[str, int] | None = None,
    static: Sequence[str] = (),
    start: str | None = None,
    end: str | None = None,
    newest: bool = True,
    remark: str = "",
) -> tuple[CheckReport, np.ndarray]:
    """Like `check_data`, and also returns the times with all fields. `remark` is appended to each suspicion."""
    findings = Findings(strict=False)
    with scan_files(paths, variables, levels, findings) as inventory:
        names = names_to_read(inventory, fields, static, variables, findings)
        if not names:
            return CheckReport(files=tuple(inventory.reports), problems=tuple(findings)), np.empty(0, "datetime64[ns]")
        plan = make_plan(inventory.source_fields, names, grid, findings, start, end)
        times, suspicious = _check_fields(plan, variables, findings)
        if newest:
            _check_newest(plan, times, variables, findings)
        for name, suspicions in suspicious.items():
            known = [one for one in suspicions if not (newest and one.time in times[-1:])]
            for line in summary(known):
                findings.add("warning", line + remark, variable=name)
        return report_of(inventory, tuple(plan.moving), tuple(plan.fixed), plan.grid, times, findings), times


def _check_fields(
    plan: Plan, variables: Mapping[str, Variable], findings: Findings
) -> tuple[np.ndarray, dict[str, list[Suspicion]]]:
    """Reads one field after the other; returns the times with all fields, and the suspicions of faultless fields."""
    present, suspicious = [], {}
    for name, sources in plan.moving.items():
        values, filled, _ = read_field(sources, plan.times, plan.grid, findings)
        present.append(filled)
        if not findings.condemns(name):
            suspicious[name] = suspicions(values[filled], plan.times[filled], plan.grid, describe(name, variables))
    for sources in plan.fixed.values():
        read_static(sources, plan.grid, findings)
    return plan.times[present_times(plan, present, findings)], suspicious


def _check_newest(plan: Plan, times: np.ndarray, variables: Mapping[str, Variable], findings: Findings) -> None:
    """Checks whether a forecast can start from the last of `times`, at which every field is present."""
    if not plan.moving:
        findings.add("error", "no field changes in time: there is nothing to forecast from")
    if not times.size:
        return
    if problem := ahead_of_the_clock(times[-1]):
        findings.add("error", problem)
    near = times[around(times, times[-1], times[-1])]
    for name, sources in plan.moving.items():
        if findings.condemns(name):
            continue
        values, *_ = read_field(sources, near, plan.grid, Findings(strict=False))
        for line in summary(suspicions(values, near, plan.grid, describe(name, variables), since=near[-1])):
            findings.add("error", f"{line} (the newest analysis: a forecast from it is refused)", variable=name)
