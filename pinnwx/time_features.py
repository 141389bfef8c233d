"""The time that a model sees: season, hour of the day and sun, computed from UTC datetimes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

if TYPE_CHECKING:
    from jaxtyping import Array  # brings JAX, which reading data does without

_J2000 = np.datetime64("2000-01-01T12:00:00", "ns")
_DAY = np.timedelta64(1, "D").astype("timedelta64[ns]")

Times = Shaped[np.ndarray, "*time"]
Angles = Float[np.ndarray, "*time"]


class TimeFeatures(NamedTuple):
    """Features of datetimes, each an array with the shape of the datetimes; a pytree.

    Attributes:
        sin_year: sine of `year_angle`.
        cos_year: its cosine: 1 at the start of January, -1 at the start of July.
        sin_day: sine of `day_angle`.
        cos_day: its cosine: 1 at 00 UTC, -1 at 12 UTC.
        solar_declination: latitude at which the sun stands in the zenith [radians].
    """

    sin_year: Float[Array | np.ndarray, "*time"]
    cos_year: Float[Array | np.ndarray, "*time"]
    sin_day: Float[Array | np.ndarray, "*time"]
    cos_day: Float[Array | np.ndarray, "*time"]
    solar_declination: Float[Array | np.ndarray, "*time"]

    @classmethod
    def of(cls, times: Times) -> TimeFeatures:
        """The features of UTC datetimes, as float32 arrays of NumPy."""
        times = times.astype("datetime64[ns]")
        year, day = year_angle(times), day_angle(times)
        features = (np.sin(year), np.cos(year), np.sin(day), np.cos(day), solar_declination(times))
        return cls(*(np.asarray(feature, np.float32) for feature in features))

    def select(self, index: Any) -> TimeFeatures:
        """The features of the times at an index, as `array[index]` selects them."""
        return TimeFeatures(*(feature[index] for feature in self))

    def earlier(self, hours: float) -> TimeFeatures:
        """The features so many hours before. The day turns back exactly; the season, which changes by at most 0.4
        degrees of declination in a day, stays."""
        angle = 2 * np.pi * hours / 24
        sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
        sin_day = self.sin_day * cosine - self.cos_day * sine
        return self._replace(sin_day=sin_day, cos_day=self.cos_day * cosine + self.sin_day * sine)


def year_angle(times: Times) -> Angles:
    """2 pi times the elapsed fraction of the calendar year [radians]. Leap years have 366 days."""
    years = times.astype("datetime64[Y]")
    begin, following = years.astype("datetime64[ns]"), (years + 1).astype("datetime64[ns]")
    return 2 * np.pi * ((times - begin) / (following - begin))


def day_angle(times: Times) -> Angles:
    """2 pi times the elapsed fraction of the UTC day [radians]."""
    return 2 * np.pi * ((times - times.astype("datetime64[D]")) / _DAY)


def solar_declination(times: Times) -> Angles:
    """Latitude at which the sun stands in the zenith [radians], good to 0.01 degrees from 1950 to 2050.

    sin(delta) = sin(epsilon) sin(lambda), with the low-precision ecliptic longitude lambda and obliquity epsilon of the
    Astronomical Almanac (section C), n days after 2000-01-01 12:00.
    """
    n = (times - _J2000) / _DAY
    anomaly = np.deg2rad(357.528 + 0.9856003 * n)
    longitude = np.deg2rad(280.460 + 0.9856474 * n + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    obliquity = np.deg2rad(23.439 - 0.0000004 * n)
    return np.arcsin(np.sin(obliquity) * np.sin(longitude))
