"""Results of checking files, which `pinnwx check` prints and writes as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from pinnwx.data.calendar import format_time, now
from pinnwx.errors import ConflictError, DataError, GridError, PinnwxError, UnavailableError

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Problem:
    """One finding. An error makes the command in `CheckReport.verb` refuse the data; a warning does not."""

    severity: Severity
    message: str
    file: str | None = None
    variable: str | None = None

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.variable, self.message) if part)


@dataclass(frozen=True)
class Damaged:
    """A file that was left out as damaged, the reason, and the times between which it may hold analyses.

    The times are None if they are unknown; then the file may hold any time.
    """

    file: str
    reason: str
    first: np.datetime64 | None = None
    last: np.datetime64 | None = None

    def may_hold(self, when: np.datetime64) -> bool:
        return self.first is None or self.last is None or bool(self.first <= when <= self.last)


class Findings(list[Problem]):
    """Collects problems; if `strict`, it raises the first error instead.

    With `leave_damaged`, an error in one file is recorded in `damaged` and a time at which two files differ in
    `disputed`; the caller leaves them out.
    """

    def __init__(self, strict: bool, *, leave_damaged: bool = False) -> None:
        super().__init__()
        self.strict, self.leave_damaged = strict, leave_damaged
        self.damaged: dict[str, str] = {}
        self.disputed: dict[np.datetime64, str] = {}

    def add(self, severity: Severity, message: str, file: str | None = None, variable: str | None = None) -> None:
        problem = Problem(severity, message, file, variable)
        if severity == "error" and self.strict:
            raise _placed(DataError(), problem)
        if problem not in self:
            self.append(problem)

    def condemns(self, variable: str) -> bool:
        """Whether the findings contain an error in this variable."""
        return any(problem.severity == "error" and problem.variable == variable for problem in self)

    @contextmanager
    def guard(self, file: str | None = None, variable: str | None = None) -> Iterator[None]:
        """Converts an error inside the block into a problem of this file and variable."""
        try:
            yield
        except (DataError, UnavailableError) as error:
            inner = getattr(error, "problem", Problem("error", str(error)))
            problem = Problem("error", inner.message, inner.file or file, inner.variable or variable)
            if self.leave_damaged and isinstance(error, ConflictError) and error.time is not None:
                self.disputed[error.time] = str(problem)
            elif self.leave_damaged and problem.file is not None and not isinstance(error, GridError):
                self.damaged.setdefault(problem.file, str(replace(problem, file=None)))
            elif self.strict:
                raise _placed(error, problem) from error.__cause__
            else:
                self.add("error", problem.message, problem.file, problem.variable)


def _placed(error: PinnwxError, problem: Problem) -> PinnwxError:
    """The error with the text of a problem, which is attached to it."""
    error.args, error.problem = (str(problem),), problem  # type: ignore[attr-defined]
    return error


@dataclass(frozen=True)
class FieldReport:
    """One field of one file: its canonical name, its name and units in the file, and its times."""

    name: str
    raw: str
    units: str
    stored_as: str
    steps: int
    start: str | None = None
    end: str | None = None


@dataclass(frozen=True)
class FileReport:
    """One file: its format, its fields, the coordinates read as axes, and the normalisations."""

    file: str
    format: str
    layout: str = ""
    fields: tuple[FieldReport, ...] = ()
    ignored: tuple[str, ...] = ()
    normalised: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckReport:
    """The whole check. `steps` counts the times with all fields; `age_hours` is the age of the last of them."""

    files: tuple[FileReport, ...]
    fields: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    grid: str | None = None
    start: str | None = None
    end: str | None = None
    steps: int = 0
    step_hours: float | None = None
    gaps: tuple[tuple[str, str], ...] = ()
    age_hours: float | None = None
    problems: tuple[Problem, ...] = ()
    verb: str = "a forecast from these files"

    @property
    def verdict(self) -> str:
        """A sentence that says whether the command accepts the data."""
        return f"{self.verb[0].upper()}{self.verb[1:]} would be {'accepted' if self.ok else 'refused'}."

    @property
    def ok(self) -> bool:
        """Whether the command in `verb` accepts the data."""
        return not any(problem.severity == "error" for problem in self.problems)

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON, with `ok` and the verdict first."""
        return {"ok": self.ok, "verdict": self.verdict, **asdict(self)}


def describe_times(times: np.ndarray) -> dict[str, Any]:
    """The fields of `CheckReport` that describe sorted times; a gap is a spacing above the most frequent one."""
    if times.size == 0:
        return {}
    description: dict[str, Any] = {
        "start": format_time(times[0]),
        "end": format_time(times[-1]),
        "steps": int(times.size),
    }
    description["age_hours"] = round(float((now() - times[-1]) / np.timedelta64(1, "h")), 2)
    if times.size > 1:
        spacing = np.diff(times)
        values, counts = np.unique(spacing, return_counts=True)
        most_frequent = values[counts.argmax()]
        description["step_hours"] = float(most_frequent / np.timedelta64(1, "h"))
        description["gaps"] = tuple(
            (format_time(times[index]), format_time(times[index + 1]))
            for index in np.flatnonzero(spacing > most_frequent)
        )
    return description
