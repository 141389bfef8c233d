"""Dates: leap years, the sun, periods."""

import numpy as np
import pytest

from pinnwx.data.calendar import (
    format_time,
    parse_time,
    period_bounds,
    period_mask,
    solar_declination,
    time_features,
    year_angle,
)
from pinnwx.errors import UsageError


def times(*texts) -> np.ndarray:
    return np.array(texts, dtype="datetime64[ns]")


def test_the_year_is_as_long_as_it_is():
    found = year_angle(times("2020-01-01", "2020-07-02", "2021-07-02T12", "2021-01-01", "2020-12-31T12", "2020-02-29"))
    wanted = [0, np.pi, np.pi, 0, 2 * np.pi * 365.5 / 366, 2 * np.pi * 59 / 366]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_features_are_of_the_date_and_of_the_hour():
    found = time_features(times("2021-01-01T06", "2021-07-02T18"))
    assert found.dtype == np.float32
    assert found.shape == (2, 5)
    np.testing.assert_allclose(found[0, :4], [np.sin(2 * np.pi / 1460), np.cos(2 * np.pi / 1460), 1, 0], atol=1e-6)
    np.testing.assert_allclose(found[1, 2:4], [-1, 0], atol=1e-6)
    np.testing.assert_array_equal(time_features(times("2021-07-02T18").astype("datetime64[h]")), found[1:])


@pytest.mark.parametrize(
    ("instant", "degrees"),
    [
        ("2020-03-20T03:50", 0.0), ("2020-06-20T21:44", 23.437), ("2025-09-22T18:19", 0.0),
        ("2025-12-21T15:03", -23.438), ("1992-10-13T00:00", -7.785),
    ],
)  # fmt: skip
def test_the_sun_stands_where_the_almanac_says(instant, degrees):
    """Equinoxes and solstices as published; Meeus, Astronomical Algorithms, example 25.a, for 1992."""
    assert np.rad2deg(solar_declination(times(instant)))[0] == pytest.approx(degrees, abs=0.02)


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
