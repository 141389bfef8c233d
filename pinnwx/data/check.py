"""What files hold, and whether it can be used: every problem at once, by the rules of `open_data` and of `forecast`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pinnwx.data.calendar import ahead_of_the_clock
from pinnwx.data.changes import once_more_if_changed
from pinnwx.data.check_report import CheckReport, Findings
from pinnwx.data.find import Paths
from pinnwx.data.inventory import scan_files
from pinnwx.data.merge import read_field, read_static
from pinnwx.data.plan import Plan, planned, present_times, report_of, wanted
from pinnwx.data.suspicion import Suspicion, around, summary, suspicions
from pinnwx.grid import Grid
from pinnwx.variables import VARIABLES, Variable, describe


def check_data(paths: Paths, fields: Sequence[str] | None = None, **options) -> CheckReport:
    """What the files hold after normalising, and every problem found; bad data are reported, never raised.

    An error is what `open_data` of the same arguments refuses and, unless `newest` is false, what a forecast from the
    newest analysis refuses; all of them are found, where `open_data` stops at the first. Arguments as `check_times`.

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
    """As `check_data`, with the times that have every field. `remark` ends each warning of what is suspicious."""
    findings = Findings(strict=False)
    with scan_files(paths, variables, levels, findings) as inventory:
        names = wanted(inventory, fields, static, variables, findings)
        if not names:
            return CheckReport(files=tuple(inventory.reports), problems=tuple(findings)), np.empty(0, "datetime64[ns]")
        plan = planned(inventory.source_fields, names, grid, findings, start, end)
        times, seldom = _check_fields(plan, variables, findings)
        if newest:
            _check_newest(plan, times, variables, findings)
        for name, suspicions in seldom.items():
            known = [one for one in suspicions if not (newest and one.time in times[-1:])]
            for line in summary(known):
                findings.add("warning", line + remark, variable=name)
        return report_of(inventory, tuple(plan.moving), tuple(plan.fixed), plan.grid, times, findings), times


def _check_fields(
    plan: Plan, variables: Mapping[str, Variable], findings: Findings
) -> tuple[np.ndarray, dict[str, list[Suspicion]]]:
    """Reads every field, one after the other: (times with all of them, what is suspicious in those without fault)."""
    present, seldom = [], {}
    for name, sources in plan.moving.items():
        values, filled, _ = read_field(sources, plan.times, plan.grid, findings)
        present.append(filled)
        if not findings.condemns(name):
            seldom[name] = suspicions(values[filled], plan.times[filled], plan.grid, describe(name, variables))
    for sources in plan.fixed.values():
        read_static(sources, plan.grid, findings)
    return plan.times[present_times(plan, present, findings)], seldom


def _check_newest(plan: Plan, times: np.ndarray, variables: Mapping[str, Variable], findings: Findings) -> None:
    """Whether a forecast can start from the last of these times, which are those with every field."""
    if not plan.moving:
        findings.add("error", "no field that changes in time: there is nothing to forecast from")
    if not times.size:
        return
    if early := ahead_of_the_clock(times[-1]):
        findings.add("error", early)
    near = times[around(times, times[-1], times[-1])]
    for name, sources in plan.moving.items():
        if findings.condemns(name):
            continue
        values, *_ = read_field(sources, near, plan.grid, Findings(strict=False))
        for line in summary(suspicions(values, near, plan.grid, describe(name, variables), since=near[-1])):
            findings.add("error", f"{line} (the newest analysis: a forecast from it is refused)", variable=name)
