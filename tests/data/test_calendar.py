"""Dates and periods."""

import numpy as np
import pytest

from pinnwx.data.calendar import (
    format_time,
    parse_time,
    period_bounds,
    period_mask,
)
from pinnwx.errors import UsageError


def times(*texts) -> np.ndarray:
    return np.array(texts, dtype="datetime64[ns]")


def test_texts_are_utc():
    assert parse_time("2026-02-04") == np.datetime64("2026-02-04T00", "ns")
    assert parse_time("2026-02-04T06:00Z") == parse_time("2026-02-04T06") == parse_time("2026-02-04T08:00+02:00")
    assert format_time(parse_time("2026-02-04T06:30")) == "2026-02-04T06:30Z"
    with pytest.raises(UsageError, match='"soon" is not an ISO 8601 time'):
        parse_time("soon")


def test_a_bare_end_date_includes_its_day():
    series = np.arange("2026-02-03", "2026-02-06", 6, dtype="datetime64[h]").astype("datetime64[ns]")
    assert series[period_mask(series, "2026-02-04", "2026-02-04")].tolist() == series[4:8].tolist()
    assert period_mask(series, "2026-02-04T06:00", "2026-02-05T00:00").sum() == 4
    assert period_mask(series, end="2026-02-03").sum() == 4
    assert period_mask(series).all()
    with pytest.raises(UsageError, match="after its end"):
        period_bounds("2026-02-05", "2026-02-04")
