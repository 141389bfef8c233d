"""Options that are lists separated by commas."""

from __future__ import annotations

import math

from pinnwx.errors import UsageError

_MOST_NUMBERS = 1000  # in one option


def names(text: str) -> list[str]:
    """The names in `z500, t850`; an empty text holds none."""
    return [name.strip() for name in text.split(",") if name.strip()]


def numbers(option: str, text: str | None) -> list[float] | None:
    """The numbers in `6,12,24`, or None where the option is not given.

    Raises:
        UsageError: they are not finite numbers, or more than a thousand.
    """
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) > _MOST_NUMBERS:
        raise UsageError(f"{option}: {len(parts):,} numbers are more than {_MOST_NUMBERS:,}; give fewer")
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        raise UsageError(f'{option} "{text[:100]}" is not a list of numbers such as 6,12,24')
    return values
