"""Data that were damaged in transfer are asked for again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from pinnwx.errors import UnavailableError, UnreadableError
from pinnwx.sources.base import START_AGAIN

_log = logging.getLogger(__name__)
ATTEMPTS = 3
FIRST_PAUSE = 1.0  # seconds; each pause is twice as long as the one before
_Result = TypeVar("_Result")


def with_retries(what: str, read: Callable[[], _Result]) -> _Result:
    """The result of `read`, which is called again after a pause while it raises `UnreadableError`.

    Raises:
        UnavailableError: no attempt gives data that can be decoded.
    """
    for attempt in range(1, ATTEMPTS):
        pause = FIRST_PAUSE * 2 ** (attempt - 1)
        try:
            return read()
        except UnreadableError as error:
            _log.warning("warning: %s: %s; again in %g s", what, error, pause)
        time.sleep(pause)
    try:
        return read()
    except UnreadableError as error:
        raise UnavailableError(f"{what}: {ATTEMPTS} times in vain ({error}); {START_AGAIN}") from error
