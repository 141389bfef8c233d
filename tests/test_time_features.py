"""Season, hour and sun of a date: leap years, and the sun of the almanac."""

import numpy as np
import pytest

from pinnwx.time_features import TimeFeatures, solar_declination, year_angle


def times(*texts) -> np.ndarray:
    return np.array(texts, dtype="datetime64[ns]")


def test_the_year_is_as_long_as_it_is():
    angle = year_angle(times("2020-01-01", "2020-07-02", "2021-07-02T12", "2021-01-01", "2020-12-31T12", "2020-02-29"))
    wanted = [0, np.pi, np.pi, 0, 2 * np.pi * 365.5 / 366, 2 * np.pi * 59 / 366]
    np.testing.assert_allclose(angle, wanted, atol=1e-12)


def test_features_are_of_the_date_and_of_the_hour():
    features = TimeFeatures.of(times("2021-01-01T06", "2021-07-02T18"))
    assert {(feature.dtype, feature.shape) for feature in features} == {(np.dtype("float32"), (2,))}
    angle = 2 * np.pi / 1460
    expected = [np.sin(angle), np.cos(angle), 1, 0]
    np.testing.assert_allclose([feature[0] for feature in features[:4]], expected, atol=1e-6)
    np.testing.assert_allclose([features.sin_day[1], features.cos_day[1]], [-1, 0], atol=1e-6)
    np.testing.assert_array_equal(TimeFeatures.of(times("2021-07-02T18").astype("datetime64[h]")), features.select([1]))


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


def test_earlier_features_are_those_of_the_time_before():
    """But for the season, which stays: 0.4 degrees of declination in a day at most."""
    later = times("2021-03-20T03", "2020-12-31T21", "2024-02-29T12")
    for hours in (1, 6, 24, 30):
        before = TimeFeatures.of(later - np.timedelta64(hours, "h"))
        features = TimeFeatures.of(later).earlier(hours)
        np.testing.assert_allclose(features.sin_day, before.sin_day, atol=1e-6)
        np.testing.assert_allclose(features.cos_day, before.cos_day, atol=1e-6)
        np.testing.assert_allclose(features.solar_declination, before.solar_declination, atol=np.deg2rad(0.02 * hours))
