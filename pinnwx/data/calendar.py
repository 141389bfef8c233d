"""Times in ISO 8601 and UTC, and periods that include their ends."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from pinnwx.dates import OTHER_ORDERS, dates_meant
from pinnwx.errors import UsageError

_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)([-_]?)(\d\d)\2(\d\d)(?!\d{3})")
_DAY = np.timedelta64(1, "D").astype("timedelta64[ns]")
_SEASON = np.timedelta64(45, "D")  # on either side
_YEAR = np.timedelta64(31_556_952, "s")
CLOCKS_DIFFER_BY = np.timedelta64(1, "h")
FIRST_YEAR, LAST_YEAR = 1678, 2261  # the whole years that 64-bit nanoseconds since 1970 can represent
_LENGTH = re.compile(r"P(?=\d|T\d)(\d{1,9}D)?(T\d{1,9}H)?")
_SHOWN = 40  # characters of an invalid text that a message quotes


def parse_time(text: str) -> np.datetime64:
    """Parses an ISO 8601 text; a time without an offset is UTC.

    Raises:
        UsageError: the text is not an ISO 8601 time, or its year is outside 1678 to 2261 (the range of nanoseconds).
    """
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        meant = dates_meant(text)
        meant = meant or '"latest"' * bool(difflib.get_close_matches(text[:_SHOWN].lower(), ["latest"]))
        example = f"did you mean {meant}?" if meant else "write for example 2026-02-04 or 2026-02-04T06:00"
        raise UsageError(f'"{shown}" is not an ISO 8601 time (year-month-day); {example}') from None
    if not FIRST_YEAR <= instant.year <= LAST_YEAR:
        raise UsageError(f'"{shown}": choose a year from {FIRST_YEAR} to {LAST_YEAR}')
    if instant.tzinfo is not None:
        instant = instant.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(instant, "ns")


def _period_meant(text: str) -> str:
    """The period with its dates in ISO 8601; empty if no date is in another order, or if one has two meanings."""
    if len(text) > _SHOWN:
        return ""
    written = re.sub(rf"(?<![\d-]){OTHER_ORDERS.pattern}(?![\d-])", lambda match: dates_meant(match[0]) or "?", text)
    return "" if written == text or "?" in written or " or " in written else written


def initial_period(text: str) -> tuple[str, str] | None:
    """The two ends of a period FROM/TO, or None for a single time or "latest".

    Each end is a time or "latest"; FROM may also be a length before "latest", as in P3D/latest.

    Raises:
        UsageError: the text is neither a period nor a time nor "latest".
    """
    start, slash, end = text.partition("/")
    if not slash or OTHER_ORDERS.fullmatch(text):
        if text != "latest":
            parse_time(text)
        return None
    if not (_LENGTH.fullmatch(start) and end == "latest"):
        if not start or not end or start == "latest":
            raise UsageError(f'"{text[:_SHOWN]}" is not a period; write FROM/TO, as in 2026-01-16/latest or P3D/latest')
        if meant := _period_meant(text):
            raise UsageError(f'"{text}": dates are written year-month-day; did you mean {meant}?')
        if _LENGTH.fullmatch(start):
            raise UsageError(
                f'"{text[:_SHOWN]}": a length can only precede "latest", as in P3D/latest; otherwise give FROM/TO'
            )
        parse_time(start)
    if end != "latest":
        parse_time(end)
    return start, end


def require_one_time(text: str) -> None:
    """Raises:
    UsageError: the text is neither a time nor "latest".
    """
    if initial_period(text) is not None:
        raise UsageError(f'"{text}" is a period; give one time, or "latest"; forecast-series takes periods')


def now() -> np.datetime64:
    """The current time, or the ISO 8601 time in the environment variable `PINNWX_NOW` (for jobs and tests).

    Raises:
        UsageError: `PINNWX_NOW` is not a time.
    """
    text = os.environ.get("PINNWX_NOW")
    return parse_time(text) if text else np.datetime64(datetime.now(UTC).replace(tzinfo=None), "ns")


def ahead_of_the_clock(when: np.datetime64) -> str | None:
    """An error message for an analysis dated more than an hour after `now`; None for any other."""
    if when <= now() + CLOCKS_DIFFER_BY:
        return None
    hours = (when.astype("datetime64[ns]") - now()) / np.timedelta64(1, "h")
    return (
        f"the analysis of {format_time(when)} is dated {hours:.1f} h ahead of the clock ({format_time(now())}); "
        "correct the time in the file, or the clock (PINNWX_NOW)"
    )


def duration(hours: Float[np.ndarray, " lead"]) -> Shaped[np.ndarray, " lead"]:
    """Hours as `timedelta64[ns]`, rounded to seconds."""
    return np.round(hours * 3600).astype("timedelta64[s]").astype("timedelta64[ns]")


def format_time(time: Any) -> str:
    """A numpy datetime as `2026-02-04T06:00Z`."""
    return np.datetime_as_string(time, unit="m") + "Z"


def period_bounds(start: str | None, end: str | None) -> tuple[np.datetime64 | None, np.datetime64 | None]:
    """First and last instant of a period, both included; a bare end date includes its whole day.

    Raises:
        UsageError: a text is not a time, or the period ends before it starts.
    """
    first = parse_time(start) if start else None
    last = parse_time(end) if end else None
    if end and last is not None and _is_bare_date(end):
        last = last + _DAY - np.timedelta64(1, "ns")
    if first is not None and last is not None and last < first:
        raise UsageError(f"the period starts at {start}, after its end {end}")
    return first, last


def _is_bare_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def dates_in_name(name: str) -> tuple[np.datetime64, np.datetime64] | tuple[None, None]:
    """First and last instant of the days in the name of a file, written as 20260204 or 2026-02-04."""
    days = []
    for year, _, month, day in _DATE.findall(name.rpartition("/")[2]):
        with contextlib.suppress(ValueError):
            days.append(np.datetime64(date(int(year), int(month), int(day)), "ns"))
    return (min(days), max(days) + _DAY - np.timedelta64(1, "ns")) if days else (None, None)


def period_mask(
    times: Shaped[np.ndarray, " time"], start: str | None = None, end: str | None = None
) -> Bool[np.ndarray, " time"]:
    """True for the times within the period of `period_bounds`; None means no bound."""
    first, last = period_bounds(start, end)
    mask = np.ones(times.shape, dtype=bool)
    if first is not None:
        mask &= times >= first
    if last is not None:
        mask &= times <= last
    return mask


def same_hour_and_season(times: Shaped[np.ndarray, " time"], when: np.datetime64) -> Bool[np.ndarray, " time"]:
    """True for times of the same time of day as `when`, within 45 days of its date in any year."""
    apart = (when - times).astype("timedelta64[s]")
    season = apart % _YEAR
    return (apart % _DAY == np.timedelta64(0)) & (np.minimum(season, _YEAR - season) <= _SEASON)
