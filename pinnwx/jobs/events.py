"""The log of the jobs of a run: `events.jsonl` in its folder, one line for each job, with the reasons of refusals."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pinnwx.data.calendar import format_time, now
from pinnwx.enclosed import appended_own, read_own_text
from pinnwx.errors import (
    CheckpointError,
    LockedError,
    NothingLearnedError,
    NotPromotedError,
    OutputError,
    PinnwxError,
    UnavailableError,
)
from pinnwx.files import write_text
from pinnwx.records import EventLine, NotARecord, record
from pinnwx.runlayout import EVENTS

_log = logging.getLogger(__name__)
DONE, NOTHING_TO_DO, REFUSED, STOPPED, FAILED = "done", "nothing to do", "refused", "stopped", "failed"
NOTHING_LEARNED = "nothing learned"
_OF_A_RUN = ("live", "versions", "training")
_BY_A_SIGNAL = 128


@dataclass
class Event:
    """One job; `details` are values such as the version, the initial time or the file."""

    verb: str
    time: str
    outcome: str = DONE
    exit_code: int = 0
    seconds: float = 0.0
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def went_well(self) -> bool:
        return self.exit_code == 0

    @property
    def went_wrong(self) -> bool:
        """Whether the job failed; a locked run, a refused promotion and missing fresh data are not failures."""
        expected = {0, LockedError.exit_code, NotPromotedError.exit_code}
        if self.verb == "retrain":
            expected.add(UnavailableError.exit_code)
        return self.exit_code not in expected

    def refuse(self, error: PinnwxError) -> None:
        """Records why the job was refused or stopped."""
        self.outcome, self.exit_code, self.reason = REFUSED, error.exit_code, str(error)
        if error.exit_code > _BY_A_SIGNAL:
            self.outcome = STOPPED
        elif isinstance(error, NothingLearnedError):
            self.outcome = NOTHING_LEARNED


@contextlib.contextmanager
def recorded(run: str | Path, verb: str) -> Iterator[Event]:
    """Adds a line to the log of the run when the block ends or fails; the block may add details to the event.

    A folder that is not a run has no log. A job does not fail if the log cannot be written. A killed job leaves no
    line.
    """
    began, event = time.monotonic(), Event(verb, format_time(now()))
    try:
        yield event
    except PinnwxError as error:
        event.refuse(error)
        raise
    except KeyboardInterrupt:
        event.outcome, event.exit_code = STOPPED, _BY_A_SIGNAL + 2
        raise
    except BaseException as error:
        event.outcome, event.exit_code, event.reason = FAILED, 1, f"{type(error).__name__}: {error}"
        raise
    finally:
        event.seconds = round(time.monotonic() - began, 2)
        _append(Path(run), event)


@dataclass(frozen=True)
class Log:
    """The events of a log, oldest first, and the number of lines that are not events (truncated, damaged, foreign)."""

    events: tuple[Event, ...] = ()
    unreadable: int = 0


def read_log(run: str | Path) -> Log:
    """Reads the log of a run; lines that are not events are skipped and counted.

    Raises:
        CheckpointError: the log is a link, or not a regular file.
    """
    text, events, unreadable = read_own_text(Path(run), EVENTS), [], 0
    for line in (text or "").splitlines():
        try:
            events.append(Event(**record(line, EventLine).model_dump()))
        except NotARecord:
            unreadable += bool(line.strip())
    return Log(tuple(events), unreadable)


def read_events(run: str | Path) -> list[Event]:
    """The events of `read_log`; empty if the log is a link, or not a regular file."""
    with contextlib.suppress(CheckpointError):
        return list(read_log(run).events)
    return []


def _append(run: Path, event: Event) -> None:
    if not any((run / name).exists() for name in _OF_A_RUN):
        return
    line = json.dumps({name: value for name, value in vars(event).items() if value != ""}, default=str) + "\n"
    try:
        with appended_own(run, EVENTS) as log:
            status = os.fstat(log)
            size = status.st_size
            is_truncated = size > 0 and os.pread(log, 1, size - 1) != b"\n"
            if status.st_nlink == 1:
                os.write(
                    log, (is_truncated * "\n" + line).encode()
                )  # a single write, so that lines of simultaneous jobs do not mix
                return
        # A backup with hard links shares the file; the backup keeps its file, and the run gets a new one.
        _log.warning("note: %s has other names (a backup with hard links?), and was replaced by a copy", run / EVENTS)
        write_text(run / EVENTS, (read_own_text(run, EVENTS) or "") + is_truncated * "\n" + line)
    except CheckpointError as error:
        _log.warning("warning: this job is not recorded: %s", error)
    except (OSError, OutputError):
        pass
