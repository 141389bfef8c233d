"""The errors of pinnwx, each with the exit code of the command.

A message names the value, the limit and the remedy. It is one line, whatever the value contains (`pinnwx.text`).
"""

from typing import Any

from pinnwx.text import LONGEST_MESSAGE, printable


class PinnwxError(Exception):
    """The base of all errors; the command line prints the message as one line and exits with `exit_code`."""

    exit_code = 1

    def __str__(self) -> str:
        return printable(super().__str__(), LONGEST_MESSAGE)


class UsageError(PinnwxError):
    """The call is invalid: for example, an impossible time range or an unsafe name."""

    exit_code = 2


class DataError(PinnwxError):
    """An input file lacks required content or has invalid content."""

    exit_code = 65


class UnreadableError(DataError):
    """A library cannot decode the content, or the content is truncated."""


class ConflictError(DataError):
    """Two files differ at one `time`."""

    time: Any = None


class ContradictionError(DataError):
    """The metadata of a variable contradict each other."""


class GridError(DataError):
    """The operators do not support the grid, or it differs from the grid of the model."""


class CheckpointError(DataError):
    """A run folder, version or weights file is damaged or does not fit."""


class MissingInputError(PinnwxError):
    """A file, folder or run does not exist."""

    exit_code = 66


class UnavailableError(PinnwxError):
    """The data lack the requested time, or are too old."""

    exit_code = 69


class StabilityError(PinnwxError):
    """A forecast or a time step is, or would be, unstable."""

    exit_code = 70


class OutputError(PinnwxError):
    """The output cannot be written, or exists already."""

    exit_code = 73


class LockedError(PinnwxError):
    """Another job holds the lock; try again later."""

    exit_code = 75


class ChangedError(LockedError):
    """An input file changed while it was read; try again when it is complete."""


class NotPromotedError(PinnwxError):
    """A candidate did not pass the promotion check; the live model is unchanged."""

    exit_code = 77


class NothingLearnedError(NotPromotedError):
    """Further training did not change the model noticeably; there is no candidate, and the live model is unchanged."""


class ConfigError(PinnwxError):
    """A configuration is invalid; the message lists every problem with its path."""

    exit_code = 78
