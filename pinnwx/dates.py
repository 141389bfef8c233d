"""Dates that people write in another order than ISO 8601 has."""

from __future__ import annotations

import re
from datetime import date

OTHER_ORDERS = re.compile(r"(?:(\d{1,2})[./-](\d{1,2})[./-](\d{4})|(\d{4})[./](\d{1,2})[./](\d{1,2}))")


def dates_meant(text: str) -> str:
    """The ISO 8601 dates that a date in another order may mean: one, or two where day and month may be either."""
    match = OTHER_ORDERS.fullmatch(text)
    if match is None:
        return ""
    one, two, year, *ordered = match.groups()
    days = []
    for order in [ordered] if year is None else [(year, two, one), (year, one, two)]:
        try:
            days.append(date(*map(int, order)).isoformat())
        except ValueError:  # no such month
            continue
    return " or ".join(dict.fromkeys(days))
