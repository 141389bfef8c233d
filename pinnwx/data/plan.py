"""Plans which fields and times are read; reading and checking share the plan, so that their verdicts agree."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pinnwx.data.calendar import period_mask
from pinnwx.data.check_report import CheckReport, Findings, describe_times
from pinnwx.data.inventory import Inventory
from pinnwx.data.merge import by_name, common_times, only_grid
from pinnwx.data.regrid import conservative_weights
from pinnwx.data.source_field import SourceField
from pinnwx.data.units import cut
from pinnwx.errors import UnavailableError
from pinnwx.grid import Grid
from pinnwx.text import alike_merged
from pinnwx.variables import Variable, split_name

_SHOWN = 6  # names in a message


def names_to_read(
    inventory: Inventory,
    fields: Sequence[str] | None,
    static: Sequence[str],
    variables: Mapping[str, Variable],
    findings: Findings,
) -> list[str]:
    """The names to read, all of which are available; an unusable field that was not requested is not an error.

    Raises:
        DataError: a name is missing, or no variable is recognised; if `findings` are strict.
    """
    available = {source.name for source in inventory.source_fields}
    damaged = (f"{file}: {reason}" for file, reason in findings.damaged.items())
    reasons = "".join(f"; {text}" for text in alike_merged((*inventory.unresolved, *inventory.left_out, *damaged)))
    if fields is None and not static:
        for message in inventory.unresolved:
            if available and message not in inventory.contradictory:
                findings.add("note", f"ignored: {message}")
            else:
                findings.add("error", message)
        if not available and not inventory.unresolved:
            findings.add("error", _nothing_to_read(inventory))
        return _table_order(available, variables)
    names = list(dict.fromkeys((*(fields or ()), *static)))
    for name in names:
        split_name(name, variables)
    missing = [name for name in names if name not in available]
    if missing:
        listed = ", ".join(_table_order(available, variables)) or f"nothing{_unknown_variables(inventory)}"
        findings.add("error", f"{', '.join(missing)} not in the data; found: {listed}{reasons}")
    for message in inventory.unresolved:
        findings.add("note", f"ignored: {message}")
    return [name for name in names if name in available]


def _nothing_to_read(inventory: Inventory) -> str:
    """The reason why there is no field: all were left out, or none was recognised."""
    if not inventory.left_out:
        files = f"{len(inventory.reports)} file(s){_unknown_variables(inventory)}"
        return f"no variable of the table in {files}; `pinnwx check` lists them"
    first, further = inventory.left_out[0], len(inventory.left_out) - 1
    return f"nothing to read: {first}" + (f" (and {further} more)" if further else "")


def _unknown_variables(inventory: Inventory) -> str:
    """The first few variables of the files that are not in the table."""
    names = [cut(name) for name in dict.fromkeys(name for report in inventory.reports for name in report.ignored)]
    further = len(names) - _SHOWN
    listed = ", ".join(names[:_SHOWN]) + (f" and {further} more" if further > 0 else "")
    return f"; unknown: {listed}; declare them under [variables] of a config" if names else ""


def _table_order(names: set[str], variables: Mapping[str, Variable]) -> list[str]:
    order = list(variables)

    def key(name: str) -> tuple[int, int]:
        base, level = split_name(name, variables)
        return order.index(base), level or 0

    return sorted(names, key=key)


@dataclass(frozen=True)
class Plan:
    """The source fields to read (`moving` with time, `fixed` without), the grid and the times."""

    moving: Mapping[str, list[SourceField]]
    fixed: Mapping[str, list[SourceField]]
    grid: Grid
    times: np.ndarray
    period: str


def make_plan(
    sources: Sequence[SourceField],
    names: Sequence[str],
    grid: str | Grid,
    findings: Findings,
    start: str | None,
    end: str | None,
    without: Collection[np.datetime64] = (),
) -> Plan:
    """Raises:
    GridError: the data do not cover the grid, or have two grids; if `findings` are strict.
    """
    moving, fixed = by_name(sources, names)
    usable = [source for group in (*moving.values(), *fixed.values()) for source in group]
    native = only_grid(usable, findings)
    moving, fixed = by_name([source for source in usable if source.grid == native], names)
    target = native
    with findings.guard():
        requested_grid = native if grid == "native" else Grid.parse(grid) if isinstance(grid, str) else grid
        if requested_grid != native:
            conservative_weights(native, requested_grid)
            findings.add("note", f"averaged conservatively from {native} onto {requested_grid}")
        target = requested_grid
    times = common_times(moving, findings)
    period = f" from {start or 'the start'} to {end or 'the end'}" if start or end else ""
    selected = period_mask(times, start, end) & ~np.isin(times, np.array([*without], "datetime64[ns]"))
    return Plan(moving, fixed, target, times[selected], period)


def present_times(plan: Plan, filled: Iterable[np.ndarray], findings: Findings) -> np.ndarray:
    """True for the times with every field.

    Raises:
        UnavailableError: there is none, if `findings` are strict.
    """
    present = np.logical_and.reduce([np.ones(plan.times.size, dtype=bool), *filled])
    if plan.moving and not present.any():
        with findings.guard():
            names = ", ".join(plan.moving)
            raise UnavailableError(f"no time{plan.period} has all of {names}; `pinnwx check` lists the times per file")
    return present


def report_of(
    inventory: Inventory,
    fields: tuple[str, ...],
    static: tuple[str, ...],
    grid: Grid,
    times: np.ndarray,
    findings: Findings,
) -> CheckReport:
    summary = describe_times(times)
    return CheckReport(tuple(inventory.reports), fields, static, str(grid), **summary, problems=tuple(findings))
