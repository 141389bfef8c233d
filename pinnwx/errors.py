"""The errors pinnwx raises on purpose, each with the exit code of its verb.

A message names the value, the limit and the remedy, in one line, whatever the value is (`pinnwx.text`).
"""

from typing import Any

from pinnwx.text import LONGEST_MESSAGE, printable


class PinnwxError(Exception):
    """Anything that pinnwx refuses; the command line prints it as one line and exits with `exit_code`."""

    exit_code = 1

    def __str__(self) -> str:
        return printable(super().__str__(), LONGEST_MESSAGE)


class UsageError(PinnwxError):
    """The call itself is wrong: an impossible time range, an unsafe name."""

    exit_code = 2


class DataError(PinnwxError):
    """An input file does not hold what it must."""

    exit_code = 65


class UnreadableError(DataError):
    """Something that a library cannot decode, or that breaks off while it is read."""


class ConflictError(DataError):
    """Two different values for one `time`."""

    time: Any = None


class ContradictionError(DataError):
    """A variable that says two things at once."""


class GridError(DataError):
    """A grid that the operators are not defined on, or that differs from the model's."""


class CheckpointError(DataError):
    """A run folder, version or weights file that is damaged or of another shape."""


class MissingInputError(PinnwxError):
    """No such file, folder or run."""

    exit_code = 66


class UnavailableError(PinnwxError):
    """The data exist but not for the time asked, or are too old."""

    exit_code = 69


class StabilityError(PinnwxError):
    """A forecast or a time step that is, or would be, unstable."""

    exit_code = 70


class OutputError(PinnwxError):
    """The output cannot be written, or is there already."""

    exit_code = 73


class LockedError(PinnwxError):
    """Another job holds the lock; try again later."""

    exit_code = 75


class ChangedError(LockedError):
    """An input file changed while it was read; try again when it is complete."""


class NotPromotedError(PinnwxError):
    """A candidate did not pass the promotion check; the live model stays."""

    exit_code = 77


class NothingLearnedError(NotPromotedError):
    """Learning on changed nothing that can be told; there is no candidate, and the live model stays."""


class ConfigError(PinnwxError):
    """A configuration that cannot be used; lists every problem by its path."""

    exit_code = 78
