"""Access to the ecCodes library; all of pinnwx uses ecCodes through this module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import IO, Any

from pinnwx.errors import DataError


def library() -> ModuleType:
    """Imports ecCodes and turns off its log on stderr, because its errors contain the same text.

    Raises:
        DataError: ecCodes is not installed.
    """
    try:
        import eccodes
    except (ImportError, RuntimeError) as error:
        raise DataError(f'GRIB needs the extra "grib": pip install "pinnwx[grib]" ({error})') from error
    _silence()
    return eccodes


@cache
def _silence() -> IO[str]:
    """Sends the log of ecCodes to the null device; the file stays open while the process runs."""
    import eccodes

    null_device = open(os.devnull, "w")  # noqa: SIM115, PTH123
    eccodes.codes_context_set_logging(null_device)
    return null_device


class Handle:
    """A decoded message; `handle["shortName"]` is the value of a key, or None if the key is absent."""

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
        """The exact value of a numeric key; `[]` may round it."""
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
        eccodes.CodesInternalError: the bytes are not a message.
    """
    eccodes = library()
    identifier = eccodes.codes_new_from_message(message)
    try:
        yield Handle(identifier)
    finally:
        eccodes.codes_release(identifier)
