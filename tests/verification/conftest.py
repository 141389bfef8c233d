"""A small synthetic archive: a planetary wave that travels, and weather that is noise with memory."""

import numpy as np
import pytest
from synthetic import ConstantClimatology

from pinnwx.data.archive import Archive
from pinnwx.grid import Grid

NAMES = ("msl", "t850")


def make_archive(n_times: int = 80, seed: int = 0) -> Archive:
    grid = Grid.parse("22.5deg")
    generator = np.random.default_rng(seed)
    weather = np.zeros((n_times, len(NAMES), *grid.shape))
    weather[0] = generator.standard_normal(weather.shape[1:])
    for step in range(1, n_times):
        weather[step] = 0.9 * weather[step - 1] + 0.4 * generator.standard_normal(weather.shape[1:])
    wave = np.cos(grid.latitude_radians)[:, None] * np.sin(2 * grid.longitude_radians)
    base, size = np.array([101000.0, 280.0]), np.array([800.0, 4.0])
    fields = base[:, None, None] + size[:, None, None] * (wave + weather)
    times = np.datetime64("2026-01-01", "ns") + np.arange(n_times) * np.timedelta64(6, "h")
    return Archive(times, fields.astype(np.float32), NAMES, grid)


@pytest.fixture
def archive() -> Archive:
    return make_archive()


@pytest.fixture
def climatology(archive: Archive) -> ConstantClimatology:
    return ConstantClimatology(archive.fields.mean(axis=0, dtype=np.float64))
