"""Noise for simulations: as much change as in analyses at every wavenumber, and none where there is enough."""

from dataclasses import replace

import numpy as np
import pytest

from pinnwx.data.analysis_noise import noise_power, with_analysis_noise
from pinnwx.data.archive import Archive
from pinnwx.errors import DataError
from pinnwx.grid import Grid

GRID = Grid.parse("15deg")
COLUMNS = GRID.shape[-1]
LONGITUDE = np.deg2rad(np.asarray(GRID.longitude))
RISE = 1.0 + np.cos(GRID.latitude_radians)[:, None]


def archive(fields: np.ndarray, names=("msl", "vo850")) -> Archive:
    times = np.datetime64("2020-01-01", "ns") + np.timedelta64(6, "h") * np.arange(len(fields))
    return Archive(times, fields.astype(np.float32), names, GRID)


def moving_wave(count: int, speed: float, amplitude: float = 3.0) -> Archive:
    """A wave of zonal wavenumber 2 that moves by `speed` radians in a step; the second field is half as large."""
    phase = 2 * LONGITUDE - speed * np.arange(count)[:, None]
    wave = amplitude * RISE * np.cos(phase)[:, None, :]
    return archive(np.stack([wave, 0.5 * wave], axis=1))


def irregular(count: int) -> Archive:
    """The same wave with noise that is independent from time to time, white along a row and larger near the equator."""
    noise = np.random.default_rng(7).standard_normal((count, 2, *GRID.shape))
    smooth = moving_wave(count, 0.3)
    return replace(smooth, fields=(smooth.fields + RISE * noise).astype(np.float32))


def change_power(one: Archive) -> np.ndarray:
    return (np.abs(np.fft.rfft(np.diff(one.fields.astype(np.float64), axis=0), axis=-1)) ** 2).mean(axis=0)


def test_the_power_is_that_of_known_noise():
    """White noise of standard deviation s has the mean |rfft|^2 of s^2 times the number of columns, at every
    wavenumber. Two thousand steps leave a sampling error of about 3 %."""
    expected = np.broadcast_to((RISE**2 * COLUMNS)[None], (2, GRID.shape[0], COLUMNS // 2 + 1))
    found = noise_power(moving_wave(2000, 0.3), irregular(2000), 6)
    np.testing.assert_allclose(found, expected, rtol=0.25)
    np.testing.assert_allclose(found.mean(axis=-1), expected.mean(axis=-1), rtol=0.04)


def test_the_simulation_then_changes_as_much_as_the_analyses():
    simulation, analyses = moving_wave(2000, 0.3), irregular(2000)
    before, wanted = change_power(simulation), change_power(analyses)
    after = change_power(with_analysis_noise(simulation, analyses, 6))
    assert (before[:, :, 5] < 1e-3 * wanted[:, :, 5]).all()
    np.testing.assert_allclose(after.mean(axis=-1), wanted.mean(axis=-1), rtol=0.05)
    np.testing.assert_allclose(after, wanted, rtol=0.25)


def test_the_noise_is_independent_from_time_to_time():
    simulation = moving_wave(2000, 0.3)
    noise = with_analysis_noise(simulation, irregular(2000), 6).fields - simulation.fields
    correlation = (noise[1:] * noise[:-1]).mean() / (noise**2).mean()
    assert abs(correlation) < 0.01


def test_a_simulation_that_changes_enough_stays_as_it_is():
    fast, slow = moving_wave(60, 0.6), moving_wave(60, 0.1)
    np.testing.assert_allclose(with_analysis_noise(fast, slow, 6).fields, fast.fields, rtol=0, atol=1e-6)


def test_noise_depends_on_the_seed_alone_and_on_no_state_of_the_analyses():
    """The order of two analyses' pairs, or a constant added to them, changes nothing."""
    simulation, analyses = moving_wave(300, 0.3), irregular(40)
    noisy = with_analysis_noise(simulation, analyses, 6)
    np.testing.assert_array_equal(noisy.fields, with_analysis_noise(simulation, analyses, 6).fields)
    assert (noisy.fields != with_analysis_noise(simulation, analyses, 6, seed=1).fields).any()
    shifted = replace(analyses, fields=analyses.fields + np.float32(64))
    np.testing.assert_allclose(with_analysis_noise(simulation, shifted, 6).fields, noisy.fields, atol=1e-3)
    np.testing.assert_array_equal(noisy.times, simulation.times)
    assert noisy.names == simulation.names


def test_a_gap_in_the_analyses_is_no_change():
    """Only times that are a step apart are compared."""
    analyses = irregular(60)
    rows = np.r_[0:20, 40:60]
    parts = replace(analyses, times=analyses.times[rows], fields=analyses.fields[rows])
    jump = np.where(np.arange(40) < 20, 0.0, 500.0)[:, None, None, None]
    jumped = replace(parts, fields=(parts.fields + jump).astype(np.float32))
    simulation = moving_wave(30, 0.3)
    np.testing.assert_allclose(
        noise_power(simulation, jumped, 6), noise_power(simulation, parts, 6), rtol=1e-2, atol=1e-2
    )


@pytest.mark.parametrize(
    ("analyses", "reason"),
    [
        (archive(np.zeros((4, 2, *GRID.shape)), ("vo850", "msl")), "the same fields and grid"),
        (archive(np.zeros((1, 2, *GRID.shape))), "no two times are 6 h apart"),
    ],
)
def test_analyses_that_do_not_fit_are_refused(analyses, reason):
    with pytest.raises(DataError, match=reason):
        with_analysis_noise(moving_wave(10, 0.3), analyses, 6)
