"""Explained variance by bands: what is explained in one band, by how much, and nothing in the others."""

import numpy as np
import pytest
from synthetic import times

from experiments.studies import increments
from experiments.studies.increments_bands import WAVENUMBERS, by_latitude, by_wavenumber, wavenumbers, zonal_waves
from pinnwx.data.archive import Archive
from pinnwx.grid import Grid

GLOBE = Grid.parse("5.625deg")
LATITUDE = np.array(GLOBE.latitude)
BOX = Grid.from_coordinates(np.arange(35.25, 65.25, 1.5), np.arange(-10.0, 26.0, 1.5))


def noise(grid: Grid, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((5, 2, *grid.shape))


def only(fields: np.ndarray, low: float, high: float) -> np.ndarray:
    """The waves of these numbers round a circle of latitude."""
    waves = np.fft.rfft(fields, axis=-1)
    numbers = np.arange(waves.shape[-1])
    return np.fft.irfft(np.where((numbers >= low) & (numbers <= high), waves, 0), n=fields.shape[-1], axis=-1)


@pytest.mark.parametrize("grid", [GLOBE, BOX], ids=["globe", "box"])
def test_the_waves_hold_the_variance_of_the_row(grid):
    fields = noise(grid, 0)
    np.testing.assert_allclose((np.abs(zonal_waves(fields, grid)) ** 2).sum(-1), (fields**2).sum(-1), rtol=1e-12)


def test_half_a_wave_over_a_box_is_counted_round_the_globe():
    """24 columns of 1.5 degrees are a tenth of the globe: half a wave there is wavenumber 5, three are 30."""
    middles = (np.arange(24) + 0.5) / 24
    fields = np.cos(6 * np.pi * middles) * np.ones((1, 1, *BOX.shape))
    energy = np.abs(zonal_waves(fields, BOX)[0, 0, 0]) ** 2
    assert energy.argmax() == 6
    assert energy[6] == pytest.approx(energy.sum())
    assert wavenumbers(BOX)[6] == pytest.approx(30)


def test_a_damped_band_is_explained_with_a_factor_and_less_as_it_is():
    changes = noise(GLOBE, 0)
    damped = 0.7 * only(changes, 7, 9)
    found = by_wavenumber(damped, changes, GLOBE)
    assert found.bands == WAVENUMBERS[:-1]
    own = found.bands.index((7, 9))
    np.testing.assert_allclose(found.fraction[:, own], 1)
    np.testing.assert_allclose(found.as_it_is[:, own], 1 - 0.3**2)
    others = np.arange(len(found.bands)) != own
    np.testing.assert_allclose(found.fraction[:, others], 0, atol=1e-12)
    np.testing.assert_allclose(found.as_it_is[:, others], 0, atol=1e-12)
    np.testing.assert_allclose(found.share.sum(1), 1)


def test_the_wrong_sign_explains_nothing():
    changes = noise(GLOBE, 1)
    found = by_wavenumber(-changes, changes, GLOBE)
    np.testing.assert_array_equal(found.fraction, 0)
    np.testing.assert_allclose(found.as_it_is, -3)


@pytest.mark.parametrize("split", [by_latitude, by_wavenumber])
@pytest.mark.parametrize("grid", [GLOBE, BOX, Grid.parse("22.5deg+poles")], ids=["globe", "box", "poles"])
def test_the_bands_add_up_to_the_grid(grid, split):
    """What the bands explain as it is, weighted by their share, is what the grid explains."""
    increments, changes = noise(grid, 0), noise(grid, 1) + noise(grid, 0)
    found = split(increments, changes, grid)
    rest = (grid.area_weights * (changes - increments) ** 2).sum((0, 2, 3))
    whole = 1 - rest / (grid.area_weights * changes**2).sum((0, 2, 3))
    np.testing.assert_allclose((found.share * found.as_it_is).sum(1), whole)


def test_only_the_north_is_explained():
    changes = noise(GLOBE, 2)
    found = by_latitude(np.where(LATITUDE[:, None] > 45, changes, 0), changes, GLOBE)
    north = np.array([south >= 45 for south, _ in found.bands])
    np.testing.assert_allclose(found.fraction, np.broadcast_to(north, found.fraction.shape))
    energy = (GLOBE.area_weights * changes**2).sum((0, 3))
    expected = energy[:, (LATITUDE > 45) & (LATITUDE < 60)].sum(1) / energy.sum(1)
    np.testing.assert_allclose(found.share[:, found.bands.index((45, 60))], expected)


def test_the_table_has_columns_for_each_state_of_the_equations():
    """What an earlier state was not measured for is left out, and the newest is last."""
    measured = {"start": {"z500": 0.5}, "midpoint": {"z500": 0.614}}
    text = increments.table({"at first": {}, "now": {"gcm_hybrid": measured}})
    assert "| at first; wind of the start |" in text
    assert "| gcm_hybrid, z500 | - | - | 50% | 61% |" in text


def test_bands_are_stored_by_field_and_only_for_those_that_move():
    changes = noise(GLOBE, 3)
    still = changes * np.array([1.0, 0.0])[:, None, None]
    archive = Archive(times(5), changes.astype(np.float32), ("z500", "t850"), GLOBE)
    stored = increments.in_bands(by_wavenumber, still, changes, archive)
    assert list(stored) == ["bands", "z500"]
    assert stored["bands"][1] == [1, 3]
    assert stored["z500"]["as_it_is"] == [1.0] * len(stored["bands"])
