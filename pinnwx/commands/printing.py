"""How verbs print: whole lines that a terminal shows and never obeys, and an output that fails no verb."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
from collections.abc import Iterator
from typing import Any

import typer

from pinnwx.text import LONGEST_MESSAGE, printable


def say(text: object, *, err: bool = False) -> None:
    """Prints the text as one line; control characters in it are escaped."""
    typer.echo(printable(str(text), LONGEST_MESSAGE), err=err)


class _OneLine(logging.Formatter):
    """As `say` prints; a traceback, which `--debug` may ask for, is left as it is."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record), LONGEST_MESSAGE)


@contextlib.contextmanager
def notices_shown() -> Iterator[None]:
    """The notes and warnings of pinnwx (a grid averaged, a repeated step dropped) go to stderr, a line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("pinnwx: %(message)s"))
    log = logging.getLogger("pinnwx")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    log.propagate = False  # a library that sets the root logger up would say everything twice
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = True


class Output(io.FileIO):
    """stdout or stderr, which never fails a verb: what can no longer be written is dropped.

    Its reader may have left (`| head`, a terminal that hung up), or the disk under a log file is full. The verb does
    its work all the same; `full` says at the end why something is missing.
    """

    full: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                self.full = error
            return memoryview(content).nbytes

    @classmethod
    def instead_of(cls, stream: Any) -> Any:
        """A stream like `stream`, a standard one; itself where it is none of the system's, or closed."""
        try:
            raw = cls(stream.fileno(), "w", closefd=False)
        except (AttributeError, OSError, ValueError):
            return stream
        lines = stream.isatty() or raw.fileno() == 2
        return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=lines)


def write_failure(stream: Any) -> OSError | None:
    """Why an `Output` dropped text for lack of space; None where all was written."""
    return getattr(getattr(getattr(stream, "buffer", None), "raw", None), "full", None)
