"""The one door to the ecCodes library: it prints nothing, and its failures are our errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import IO, Any

from pinnwx.errors import DataError


def library() -> ModuleType:
    """ecCodes, made silent for this process: what it would print on stderr, its errors say too.

    Raises:
        DataError: it is not installed.
    """
    try:
        import eccodes
    except (ImportError, RuntimeError) as error:
        raise DataError(f'GRIB needs the extra "grib": pip install "pinnwx[grib]" ({error})') from error
    _silence()
    return eccodes


@cache
def _silence() -> IO[str]:
    """Lets ecCodes write its log to nowhere; the file stays open as long as the process runs."""
    import eccodes

    nowhere = open(os.devnull, "w")  # noqa: SIM115, PTH123
    eccodes.codes_context_set_logging(nowhere)
    return nowhere


class Handle:
    """A decoded message: `handle["shortName"]`, or None for a key that it has not."""

    def __init__(self, identifier: int) -> None:
        self.identifier = identifier

    def __getitem__(self, key: str) -> Any:
        eccodes = library()
        try:
            if eccodes.codes_is_missing(self.identifier, key):
                return None
            return eccodes.codes_get(self.identifier, key)
        except eccodes.CodesInternalError:
            return None

    def number(self, key: str) -> float | None:
        """The value of a numeric key as it is, where `[]` may round it."""
        eccodes = library()
        try:
            if eccodes.codes_is_missing(self.identifier, key):
                return None
            return float(eccodes.codes_get_double(self.identifier, key))
        except eccodes.CodesInternalError:
            return None


@contextmanager
def opened(message: bytes) -> Iterator[Handle]:
    """The handle of a message in memory.

    Raises:
        DataError: ecCodes is not installed.
        eccodes.CodesInternalError: it is not a message.
    """
    eccodes = library()
    identifier = eccodes.codes_new_from_message(message)
    try:
        yield Handle(identifier)
    finally:
        eccodes.codes_release(identifier)
