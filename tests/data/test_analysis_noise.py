"""Noise for simulations: what is irregular in the analyses and not in the simulation, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from pinnwx.data.analysis_noise import AnalysisNoise
from pinnwx.data.archive import Archive
from pinnwx.errors import DataError, GridError
from pinnwx.grid import Grid

GRID = Grid.parse("15deg")
COLUMNS = GRID.shape[-1]
LONGITUDE = np.deg2rad(np.asarray(GRID.longitude))
RISE = 1.0 + np.cos(GRID.latitude_radians)[:, None]


def archive(fields: np.ndarray, names=("msl", "vo850"), grid: Grid = GRID) -> Archive:
    times = np.datetime64("2020-01-01", "ns") + np.timedelta64(6, "h") * np.arange(len(fields))
    return Archive(times, fields.astype(np.float32), names, grid)


def moving_wave(count: int, speed: float = 0.02, amplitude: float = 3.0) -> Archive:
    """A wave of zonal wavenumber 2 that moves by `speed` radians in a step; the second field is half as large."""
    phase = 2 * LONGITUDE - speed * np.arange(count)[:, None]
    wave = amplitude * RISE * np.cos(phase)[:, None, :]
    return archive(np.stack([wave, 0.5 * wave], axis=1))


def noise_of(count: int, seed: int = 7) -> np.ndarray:
    """Independent from time to time, of standard deviation `RISE`, the same in both fields and all latitudes."""
    row = np.random.default_rng(seed).standard_normal((count, 1, 1, COLUMNS))
    return np.broadcast_to(RISE * row, (count, 2, *GRID.shape))


def with_noise(one: Archive, seed: int = 7) -> Archive:
    return replace(one, fields=(one.fields + noise_of(len(one), seed)).astype(np.float32))


def power(fields: np.ndarray) -> np.ndarray:
    """Of the third differences in time, by field, latitude and wavenumber."""
    return (np.abs(np.fft.rfft(np.diff(fields.astype(np.float64), n=3, axis=0), axis=-1)) ** 2).mean(axis=0)


def added(simulation: Archive, analyses: Archive, seed: int = 0) -> np.ndarray:
    return AnalysisNoise.fit(simulation, analyses, 6).added_to(simulation, seed).fields - simulation.fields


def test_known_noise_comes_back():
    """The analyses are the simulation and noise: that noise is drawn, with its standard deviation at every latitude."""
    simulation = moving_wave(2000)
    noise = added(simulation, with_noise(moving_wave(2000)))
    np.testing.assert_allclose(noise.std(axis=(0, 3)), np.broadcast_to(RISE[:, 0], (2, len(RISE))), rtol=0.03)
    assert abs((noise[1:] * noise[:-1]).mean()) < 0.02 * (noise**2).mean(), "independent from time to time"


def test_noise_belongs_together_as_that_of_the_analyses_does():
    """There it is the same in both fields, and in all latitudes but for a factor."""
    noise = added(moving_wave(200), with_noise(moving_wave(400)))
    np.testing.assert_allclose(noise[:, 0], noise[:, 1], atol=0.05)
    np.testing.assert_allclose(noise / RISE, np.broadcast_to((noise / RISE)[:, :1, :1], noise.shape), atol=0.05)


def test_third_differences_then_have_the_power_of_those_of_the_analyses():
    """The simulation has a part of the noise already."""
    wave = moving_wave(3000)
    simulation = replace(wave, fields=(wave.fields + 0.5 * noise_of(3000, seed=1)).astype(np.float32))
    analyses = with_noise(wave)
    noisy = AnalysisNoise.fit(simulation, analyses, 6).added_to(simulation)
    before, after, wanted = (power(one.fields) for one in (simulation, noisy, analyses))
    np.testing.assert_allclose(before.sum(-1) / wanted.sum(-1), 0.25, rtol=0.05)
    np.testing.assert_allclose(after.sum(-1) / wanted.sum(-1), 1.0, rtol=0.05)
    np.testing.assert_allclose(after / wanted, 1.0, atol=0.25)


def test_what_is_regular_in_the_analyses_is_no_noise():
    """A large slow wave and tides, whatever their size and place, are not irregular."""
    count = 400
    hours = 6 * np.arange(count)[:, None, None, None]
    place = np.random.default_rng(2).uniform(0, 2 * np.pi, (2, *GRID.shape))
    tides = 20 * np.cos(2 * np.pi * hours / 24 + place) + 20 * np.cos(2 * np.pi * hours / 12 + place)
    wave = moving_wave(count, amplitude=30.0)
    tidal = replace(wave, fields=(wave.fields + tides).astype(np.float32))
    assert np.abs(added(moving_wave(100), tidal)).max() < 0.02


def test_a_simulation_that_is_irregular_enough_stays_as_it_is():
    simulation = with_noise(moving_wave(100))
    np.testing.assert_allclose(added(simulation, moving_wave(100)), 0, atol=1e-5)


def test_a_draw_is_an_irregularity_turned_in_longitude():
    """With a gain of 1, it is one of the third differences less their daily cycle, but for its sign and its turn."""
    analyses = with_noise(moving_wave(50))
    fitted = AnalysisNoise.fit(moving_wave(50), analyses, 6)
    noise = replace(fitted, gain=np.ones_like(fitted.gain)).added_to(moving_wave(12)).fields - moving_wave(12).fields
    irregular = np.diff(analyses.fields.astype(np.float64), n=3, axis=0)
    for hour in range(4):
        irregular[hour::4] -= irregular[hour::4].mean(axis=0)
    candidates = np.stack([sign * np.roll(irregular, turn, axis=-1) for sign in (-1, 1) for turn in range(COLUMNS)])
    distances = np.array([np.abs(one - candidates).max(axis=(2, 3, 4)) for one in noise])  # noise, sign and turn, time
    assert distances.min(axis=(1, 2)).max() < 1e-4
    nearest = distances.reshape(len(noise), -1).argmin(axis=1)
    signs_and_turns, times = np.unravel_index(nearest, distances.shape[1:])
    assert len(set(signs_and_turns)) > 6
    assert len(set(times)) > 6


def test_noise_is_reproducible_and_depends_on_the_seed():
    simulation, analyses = moving_wave(60), with_noise(moving_wave(60))
    noise = AnalysisNoise.fit(simulation, analyses, 6)
    noisy = noise.added_to(simulation, 3)
    np.testing.assert_array_equal(noisy.fields, noise.added_to(simulation, 3).fields)
    assert (noisy.fields != noise.added_to(simulation, 4).fields).any()
    np.testing.assert_array_equal(noisy.times, simulation.times)


def test_no_difference_spans_a_gap():
    """A jump of all fields in a gap of the analyses is no irregularity."""
    analyses = with_noise(moving_wave(120))
    rows = np.r_[0:40, 80:120]
    parts = replace(analyses, times=analyses.times[rows], fields=analyses.fields[rows])
    assert len(AnalysisNoise.fit(moving_wave(60), parts, 6).sequences) == 2 * (40 - 3)
    jump = np.where(np.arange(80) < 40, 0.0, 500.0)[:, None, None, None]
    jumped = replace(parts, fields=(parts.fields + jump).astype(np.float32))
    simulation = moving_wave(60)
    np.testing.assert_allclose(added(simulation, jumped), added(simulation, parts), atol=1e-2)


REGION = Grid.from_coordinates(np.linspace(30, 60, 7), np.linspace(0, 40, 9))


@pytest.mark.parametrize(
    ("simulation", "analyses", "error", "reason"),
    [
        (moving_wave(30), archive(np.zeros((30, 2, *GRID.shape)), ("vo850", "msl")), DataError, "not vo850, msl on"),
        (
            moving_wave(30),
            moving_wave(22),
            DataError,
            "the analyses have 19 sequences of four times 6 h apart.* needs 20",
        ),
        (moving_wave(5), moving_wave(30), DataError, "the simulation has 2 sequences"),
        (
            archive(np.zeros((30, 2, *REGION.shape)), grid=REGION),
            archive(np.zeros((30, 2, *REGION.shape)), grid=REGION),
            GridError,
            "a grid around the globe, not regional 7 x 9",
        ),
    ],
)
def test_what_does_not_fit_is_refused(simulation, analyses, error, reason):
    with pytest.raises(error, match=reason):
        AnalysisNoise.fit(simulation, analyses, 6)
