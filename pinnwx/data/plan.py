"""What is to be read of what the files hold: the same for reading and for checking, so that their verdicts agree."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pinnwx.data.assemble import by_name, common_times, only_grid
from pinnwx.data.calendar import period_mask
from pinnwx.data.piece import Piece
from pinnwx.data.regrid import conservative_weights
from pinnwx.data.report import CheckReport, Findings, describe_times
from pinnwx.data.survey import Survey
from pinnwx.data.units import cut
from pinnwx.errors import UnavailableError
from pinnwx.grid import Grid
from pinnwx.text import alike_merged
from pinnwx.variables import Variable, split_name

_SHOWN = 6  # names in a message


def wanted(
    survey: Survey,
    fields: Sequence[str] | None,
    static: Sequence[str],
    variables: Mapping[str, Variable],
    findings: Findings,
) -> list[str]:
    """The names to read, all of which are there; what cannot be used and was not asked for condemns nothing.

    Raises:
        DataError: a name is missing, or nothing is recognised; if `findings` are strict.
    """
    found = {piece.name for piece in survey.pieces}
    damaged = (f"{file}: {reason}" for file, reason in findings.damaged.items())
    reasons = "".join(f"; {text}" for text in alike_merged((*survey.unresolved, *survey.left_out, *damaged)))
    if fields is None and not static:
        for message in survey.unresolved:
            if found and message not in survey.contradictory:
                findings.add("note", f"left alone: {message}")
            else:
                findings.add("error", message)
        if not found and not survey.unresolved:
            findings.add("error", _nothing_to_read(survey))
        return _table_order(found, variables)
    names = list(dict.fromkeys((*(fields or ()), *static)))
    for name in names:
        split_name(name, variables)
    missing = [name for name in names if name not in found]
    if missing:
        listed = ", ".join(_table_order(found, variables)) or f"nothing{_strangers(survey)}"
        findings.add("error", f"{', '.join(missing)} not in the data; found: {listed}{reasons}")
    for message in survey.unresolved:
        findings.add("note", f"left alone: {message}")
    return [name for name in names if name in found]


def _nothing_to_read(survey: Survey) -> str:
    """Why there is no field at all: what was left out, or else that nothing was recognised."""
    if not survey.left_out:
        return (
            f"no variable of the table in {len(survey.reports)} file(s){_strangers(survey)}; `pinnwx check` lists them"
        )
    first, further = survey.left_out[0], len(survey.left_out) - 1
    return f"nothing to read: {first}" + (f" (and {further} more)" if further else "")


def _strangers(survey: Survey) -> str:
    """The variables that files hold and the table does not; the first of many."""
    names = [cut(name) for name in dict.fromkeys(name for report in survey.reports for name in report.ignored)]
    further = len(names) - _SHOWN
    listed = ", ".join(names[:_SHOWN]) + (f" and {further} more" if further > 0 else "")
    return f"; unknown: {listed}; declare what is meant under [variables] of a config" if names else ""


def _table_order(names: set[str], variables: Mapping[str, Variable]) -> list[str]:
    order = list(variables)

    def key(name: str) -> tuple[int, int]:
        base, level = split_name(name, variables)
        return order.index(base), level or 0

    return sorted(names, key=key)


@dataclass(frozen=True)
class Plan:
    """What is to be read: the pieces of fields and of static fields, for which grid and times."""

    moving: Mapping[str, list[Piece]]
    fixed: Mapping[str, list[Piece]]
    grid: Grid
    times: np.ndarray
    period: str


def planned(
    pieces: Sequence[Piece],
    names: Sequence[str],
    grid: str | Grid,
    findings: Findings,
    start: str | None,
    end: str | None,
    without: Collection[np.datetime64] = (),
) -> Plan:
    """Raises:
    GridError: the data do not cover the grid, or there are two grids; if `findings` are strict.
    """
    moving, fixed = by_name(pieces, names)
    parts = [part for parts in (*moving.values(), *fixed.values()) for part in parts]
    source = only_grid(parts, findings)
    moving, fixed = by_name([part for part in parts if part.grid == source], names)
    target = source
    with findings.guard():
        wanted_grid = source if grid == "native" else Grid.parse(grid) if isinstance(grid, str) else grid
        if wanted_grid != source:
            conservative_weights(source, wanted_grid)
            findings.add("note", f"averaged conservatively from {source} onto {wanted_grid}")
        target = wanted_grid
    times = common_times(moving, findings)
    period = f" from {start or 'the start'} to {end or 'the end'}" if start or end else ""
    kept = period_mask(times, start, end) & ~np.isin(times, np.array([*without], "datetime64[ns]"))
    return Plan(moving, fixed, target, times[kept], period)


def present_times(plan: Plan, filled: Iterable[np.ndarray], findings: Findings) -> np.ndarray:
    """Which times have every field.

    Raises:
        UnavailableError: none has, if `findings` are strict.
    """
    present = np.logical_and.reduce([np.ones(plan.times.size, dtype=bool), *filled])
    if plan.moving and not present.any():
        with findings.guard():
            names = ", ".join(plan.moving)
            raise UnavailableError(f"no time{plan.period} has all of {names}; `pinnwx check` lists what there is")
    return present


def report_of(
    survey: Survey, fields: tuple[str, ...], static: tuple[str, ...], grid: Grid, times: np.ndarray, findings: Findings
) -> CheckReport:
    summary = describe_times(times)
    return CheckReport(tuple(survey.reports), fields, static, str(grid), **summary, problems=tuple(findings))
