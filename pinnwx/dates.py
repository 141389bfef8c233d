"""Dates in another order than that of ISO 8601."""

from __future__ import annotations

import re
from datetime import date

OTHER_ORDERS = re.compile(r"(?:(\d{1,2})[./-](\d{1,2})[./-](\d{4})|(\d{4})[./](\d{1,2})[./](\d{1,2}))")


def dates_meant(text: str) -> str:
    """The possible ISO 8601 dates of a date in another order: one, or two if day and month are ambiguous; or empty."""
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
