"""What the networks see: the sun where it stands, gradients that know the poles, every channel with its sign."""

import jax
import numpy as np
import pytest
from exact.sphere import integral
from synthetic import applied, config, forecaster, states, step_features

from pinnwx.grid import Grid
from pinnwx.model.features import place_features, sun_and_season
from pinnwx.model.inputs import Inputs
from pinnwx.statistics import Normalisation
from pinnwx.time_features import TimeFeatures

FINE = Grid.parse("2.5deg+poles")
_sun = jax.jit(sun_and_season, static_argnames="grid")
TIMES = ["2025-12-21T15:03", "2026-03-20T14:46", "2026-06-21T08:25", "2026-01-31T00:00", "2026-08-12T17:30"]


def sun(times, grid: Grid = FINE) -> np.ndarray:
    return np.asarray(_sun(TimeFeatures.of(np.array(times, dtype="datetime64[ns]")), grid))


def at(latitude: float, longitude: float) -> tuple[int, int]:
    return FINE.latitude.index(latitude), FINE.longitude.index(longitude)


@pytest.mark.parametrize("time", TIMES)
def test_zenith_angle_is_that_of_two_directions(time):
    """The angle between the vertical and the direction of the point over which the sun stands."""
    when = np.datetime64(time, "ns")
    hour = (when - when.astype("datetime64[D]")) / np.timedelta64(1, "h")
    day = (when - np.datetime64("2026-03-20T14:46")) / np.timedelta64(1, "D")  # since the equinox
    declination = np.arcsin(np.sin(np.deg2rad(23.44)) * np.sin(2 * np.pi * day / 365.2422))  # circular orbit
    below = np.deg2rad(180 - 15 * hour)
    subsolar = [np.cos(declination) * np.cos(below), np.cos(declination) * np.sin(below), np.sin(declination)]
    lat, lon = FINE.latitude_radians[:, None], FINE.longitude_radians
    vertical = [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat) + 0 * lon]
    expected = sum(s * v for s, v in zip(subsolar, vertical, strict=True))
    # The orbit is an ellipse, which moves the sun by up to 2 degrees along the ecliptic, 0.8 in declination.
    assert np.abs(sun([time])[0, ..., 0] - expected).max() < np.deg2rad(1)


def test_noon_at_greenwich_and_midnight_on_the_other_side():
    zenith = sun(["2026-03-20T12:00"])[0, ..., 0]
    assert zenith[at(0.0, 0.0)] == pytest.approx(1, abs=1e-4)
    assert zenith[at(0.0, 180.0)] == pytest.approx(-1, abs=1e-4)
    assert zenith[at(0.0, 90.0)] == pytest.approx(0, abs=1e-4)
    assert np.unravel_index(zenith.argmax(), zenith.shape) == at(0.0, 0.0)
    assert sun(["2026-03-20T06:00"])[0, ..., 0].argmax() == np.ravel_multi_index(at(0.0, 90.0), FINE.shape)


def test_polar_night_and_midnight_sun():
    day = [f"2025-12-21T{hour:02d}:00" for hour in range(0, 24, 3)]
    zenith = sun(day)[..., 0]
    north, south = FINE.latitude.index(70.0), FINE.latitude.index(-70.0)
    assert (zenith[:, north:] < 0).all()
    assert (zenith[:, : south + 1] > 0).all()
    assert not sun(day)[:, north:, :, 1].any(), "no daylight"


@pytest.mark.parametrize("time", TIMES)
def test_a_quarter_of_the_sunshine_reaches_a_square_metre(time):
    """The area mean of cos(zenith) is zero, that of its daylight part the ratio of disk and sphere."""
    values = sun([time])[0]
    assert integral(values[..., 0], FINE) == pytest.approx(0, abs=1e-3)
    assert integral(values[..., 1], FINE) == pytest.approx(0.25, abs=1e-3)


def test_season_and_hour():
    values = sun(["2026-01-01T00:00", "2026-07-02T12:00"])
    np.testing.assert_allclose(values[..., 2], 0, atol=1e-6)  # sine of the day of year
    np.testing.assert_allclose(values[0, ..., 3], 1, atol=1e-6)
    np.testing.assert_allclose(values[1, ..., 3], -1, atol=1e-6)
    # Local time goes once round the globe: at midnight in Greenwich it is morning in the east, evening in the west.
    assert values[0, at(0.0, 90.0)[0], at(0.0, 90.0)[1], 4] == pytest.approx(-1, abs=1e-6)
    assert values[0, at(0.0, 270.0)[0], at(0.0, 270.0)[1], 4] == pytest.approx(1, abs=1e-6)


def test_place():
    values = place_features(FINE)
    np.testing.assert_allclose(values[at(90.0, 0.0)], [1, 0, 0, 1], atol=1e-7)
    np.testing.assert_allclose(values[at(0.0, 90.0)], [0, 1, 1, 0], atol=1e-7)


def inputs(names, grid: Grid, mean=None, static=None, **options) -> Inputs:
    count = len(names)
    mean = np.zeros(count) if mean is None else np.asarray(mean)
    maps = np.broadcast_to(mean[:, None, None], (count, *grid.shape))
    normalisation = Normalisation(tuple(names), mean, np.ones(count), np.ones(count), maps)
    return Inputs(grid, normalisation, static or {}, **options)


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("names", [("msl",), ("z500", "u500", "v500")])
def test_every_feature_is_described(names, gradients):
    grid = Grid.parse("22.5deg")
    static = {"orography": np.arange(128.0).reshape(8, 16), "lsm": np.zeros((8, 16))}
    made = inputs(names, grid, static=static, gradients=gradients)
    assert len({feature.name for feature in made.features}) == len(made.features)
    features = applied(made, states(names, grid), step_features(1, 2).select(0))
    assert features.shape == (2, 8, 16, len(made.features))
    assert np.isfinite(features).all(), "a static field without variance too"
    assert features.dtype == np.float32


def test_fields_are_standardised():
    settings = config(("msl", "t850"))
    model = forecaster(settings)
    fields = states(("msl", "t850"), model.inputs.grid, count=8)
    standard = np.asarray(jax.jit(model.inputs.standardised)(fields))
    assert np.abs(standard.mean(axis=(0, 2, 3))).max() < 0.5
    np.testing.assert_allclose(standard.std(axis=(0, 2, 3)), 1, rtol=0.3)


def wind_over_the_poles(mean: float):
    """Features and signs of a wind that blows straight over both poles: u = -sin(lon), v = -sin(lat) cos(lon)."""
    grid = Grid.parse("11.25deg")
    lat, lon = grid.latitude_radians[:, None], grid.longitude_radians
    made = inputs(("u500", "v500"), grid, mean=[mean, mean])
    fields = np.float32(np.stack([-np.sin(lon) + 0 * lat, -np.sin(lat) * np.cos(lon)])[None])
    return applied(made, fields, step_features(1, 1).select(0))[0], [one.pole_parity for one in made.features]


@pytest.mark.parametrize("mean", [0.0, 7.0])
def test_a_wind_goes_on_beyond_the_pole(mean):
    """Its components change sign there, whatever their area mean was: along a meridian u is the same all the way."""
    features, signs = wind_over_the_poles(mean)
    for row in (0, -1):
        beyond = signs[0] * np.roll(features[row, :, 0], features.shape[1] // 2)
        np.testing.assert_allclose(beyond, features[row, :, 0], atol=1e-5)


def test_gradients_of_a_wind_have_no_seam_at_the_poles():
    features, _ = wind_over_the_poles(0.0)
    northward = features[..., 4]  # after u, v and the eastward gradients of both
    np.testing.assert_allclose(northward, 0, atol=1e-5)
