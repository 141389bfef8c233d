"""Whether analyses are fit to start a forecast from: neither too old nor from the future, not stuck, without spikes.

What can never be true (missing values, wrong units) is refused when data are read. This is about what may be true but
seldom is, and would give a forecast that looks right and is wrong.
"""

from __future__ import annotations

import logging

import numpy as np

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time, now
from pinnwx.data.quality import suspicions_of
from pinnwx.errors import DataError, UnavailableError, UsageError

_log = logging.getLogger(__name__)
_HOUR = np.timedelta64(1, "h")
CLOCKS_DIFFER_BY = np.timedelta64(1, "h")


def require_an_age(max_age: float | None) -> None:
    """Raises:
    UsageError: `max_age` is no positive number of hours.
    """
    if max_age is not None and not 0 < max_age < np.inf:
        raise UsageError(f"--max-age {max_age:g}: the hours must be positive and finite")


def require_timely(when: np.datetime64, max_age: float | None) -> None:
    """Refuses an analysis that is older than `max_age` hours, or of a time that has not come yet.

    Raises:
        UnavailableError: it is too old; its age is in the message.
        DataError: it is dated more than an hour ahead of the clock.
        UsageError: `max_age` is no positive number.
    """
    require_an_age(max_age)
    age = (now() - when.astype("datetime64[ns]")) / _HOUR
    if when > now() + CLOCKS_DIFFER_BY:
        raise DataError(
            f"the analysis of {format_time(when)} is dated {-age:.1f} h ahead of the clock ({format_time(now())}); "
            "correct the time in the file, or the clock (PINNWX_NOW)"
        )
    if max_age is not None and age > max_age:
        raise UnavailableError(
            f"the analysis of {format_time(when)} is {age:.1f} h old, more than --max-age {max_age:g} h; "
            "fetch newer data, or raise --max-age"
        )


def require_credible(archive: Archive, first: np.datetime64, last: np.datetime64, *, accept: bool = False) -> list[str]:
    """Refuses analyses from `first` to `last` that repeat the one before, jump, or have a cell that stands out grossly.

    With `accept` the findings are logged and returned.

    Raises:
        DataError: with the field, the time and the place.
    """
    found = [
        f"{name}: {message}"
        for index, name in enumerate(archive.names)
        for message in suspicions_of(archive.fields[:, index], archive.times, archive.grid, first, last)
    ]
    if found and not accept:
        raise DataError(f"{'; '.join(found)}; fetch the analysis again, or give --accept-suspicious")
    for message in found:
        _log.warning("accepted: %s", message)
    return found
