"""What tells weather from noise: each number on a field whose number is known."""

import numpy as np
import pytest

from pinnwx.data.field_statistics import STATISTICS, area_mean, field_statistics
from pinnwx.grid import Grid

GLOBE = Grid.parse("5.625deg")
BOX = Grid.from_coordinates(np.arange(30.0, 61.0, 1.5), np.arange(-20.0, 16.0, 1.5))
AMPLITUDE = 3.0


def numbers_of(field: np.ndarray, grid: Grid) -> dict[str, float]:
    return {name: float(values[0]) for name, values in field_statistics(field[None], grid).items()}


def stripes(grid: Grid, along: str) -> np.ndarray:
    rows, columns = np.indices(grid.shape)
    sign = {"zonal": columns, "meridional": rows, "both": rows + columns}[along] % 2
    return AMPLITUDE * (1.0 - 2.0 * sign)


@pytest.mark.parametrize("grid", [GLOBE, BOX], ids=["globe", "box"])
@pytest.mark.parametrize("along", ["zonal", "meridional", "both"])
def test_a_wave_of_two_cells_has_the_noise_of_its_amplitude(grid, along):
    found = numbers_of(stripes(grid, along), grid)
    for direction in ("zonal", "meridional"):
        expected = AMPLITUDE if along in (direction, "both") else 0.0
        assert found[f"largest_{direction}_noise"] == pytest.approx(expected)
        known = np.ones(grid.shape)  # the second difference is not, at the ends of an axis
        if not (direction == "zonal" and grid.is_periodic):
            np.moveaxis(known, 1 if direction == "zonal" else 0, 0)[[0, -1]] = 0
        assert found[f"{direction}_noise"] == pytest.approx(expected * (known * grid.area_weights).mean() ** 0.5)
    assert found["departure"] == pytest.approx(AMPLITUDE)
    assert found["gradient"] == pytest.approx(2 * AMPLITUDE * (2**0.5 if along == "both" else 1))


@pytest.mark.parametrize("cells", [8, 16])
def test_waves_that_the_grid_resolves_have_little_noise(cells):
    wave = np.cos(2 * np.pi * np.arange(64) / cells) + np.zeros(GLOBE.shape)
    found = numbers_of(wave, GLOBE)
    share = np.sin(np.pi / cells) ** 2  # of the transfer function of the second difference
    assert found["zonal_noise"] == pytest.approx(share / 2**0.5, rel=1e-6)
    assert found["meridional_noise"] == 0


def test_noise_in_one_place_is_found_by_the_largest_block():
    field = np.zeros(GLOBE.shape)
    field[12:16, 20:24] = stripes(GLOBE, "zonal")[12:16, 20:24]
    found = numbers_of(field, GLOBE)
    assert found["largest_zonal_noise"] > 0.7 * AMPLITUDE
    assert found["zonal_noise"] < 0.15 * AMPLITUDE


def test_the_greenwich_meridian_is_no_edge():
    rolled = np.roll(stripes(GLOBE, "zonal"), 1, axis=1)
    for name, value in numbers_of(rolled, GLOBE).items():
        assert value == pytest.approx(numbers_of(stripes(GLOBE, "zonal"), GLOBE)[name]), name


def test_area_means_are_weighted():
    field = np.where(np.abs(np.asarray(GLOBE.latitude)) > 60, 1.0, 0.0)[:, None] + np.zeros(GLOBE.shape)
    assert area_mean(field[None], GLOBE)[0] == pytest.approx(1 - np.sin(np.pi / 3), abs=0.02)
    ones = numbers_of(np.ones(GLOBE.shape), GLOBE)
    assert ones["departure"] == pytest.approx(1)
    assert all(ones[name] == 0 for name in STATISTICS if name != "departure")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_visible(value):
    field = np.zeros((3, *GLOBE.shape))
    field[1, 4, 5] = value
    for name, found in field_statistics(field, GLOBE).items():
        assert not np.isfinite(found[1]), name
        assert np.isfinite(found[[0, 2]]).all(), name
