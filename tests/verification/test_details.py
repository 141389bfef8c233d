"""Regions, percentiles and spectra of errors against what can be said by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinnwx.grid import Grid
from pinnwx.verification.details import REGIONS, detail_statistics, details, zonal_power

GRID = Grid.parse("11.25deg")
BOX = Grid.from_coordinates(np.arange(30.0, 50.0, 2.5), np.arange(-10.0, 20.0, 2.5))


def of(forecast, truth, grid=GRID):
    """The details of one field of pairs (pair, lat, lon)."""
    found = detail_statistics(forecast[:, None], truth[:, None], grid)
    return details({name: values[:, 0] for name, values in found.items()})


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.sampled_from(["11.25deg", "11.25deg+poles", "12deg"]))
def test_power_sums_to_the_variance(seed, name):
    """Parseval's theorem, with even and odd numbers of columns, and rows on the poles."""
    grid = Grid.parse(name)
    field = np.random.default_rng(seed).standard_normal(grid.shape) + 7
    weights = grid.area_weights
    mean = (weights * field).mean()
    variance = (weights * (field - mean) ** 2).mean()
    assert zonal_power(field, grid).sum() == pytest.approx(variance, rel=1e-10)


def test_a_wave_has_its_power_in_its_wavenumber():
    field = 3 * np.cos(5 * GRID.longitude_radians) * np.ones(GRID.shape)
    power = zonal_power(field, GRID)
    assert power[5] == pytest.approx(4.5)
    assert np.delete(power, 5) == pytest.approx(0.0, abs=1e-20)


def test_smoothing_shows_in_the_spectrum_and_not_in_the_large_scales():
    generator = np.random.default_rng(0)
    truth = generator.standard_normal((4, *GRID.shape))
    spectrum = np.fft.rfft(truth)
    spectrum[..., 9:] *= 0.5
    found = of(np.fft.irfft(spectrum, n=GRID.shape[1]), truth)
    assert found["power_ratio"][1:9] == pytest.approx([1.0] * 8)
    assert found["power_ratio"][9:] == pytest.approx([0.25] * (len(found["power_ratio"]) - 9))
    assert 0.25 < found["variance_ratio"] < 1


def test_an_error_in_one_region_is_found_there():
    latitude = np.asarray(GRID.latitude)
    truth = np.zeros((2, *GRID.shape))
    for name, (south, north) in REGIONS.items():
        forecast = truth.copy()
        forecast[:, (latitude >= south) & (latitude <= north)] = 2.0
        regions = of(forecast, truth)["regions"]
        assert regions.pop(name) == pytest.approx(2.0)
        assert list(regions.values()) == pytest.approx([0.0, 0.0])


def test_percentiles_weigh_by_area():
    """Rows poleward of 60 degrees err by 1: 13.4 % of the area, so the 90th percentile sees it and the median not."""
    grid = Grid.parse("1.5deg")
    truth = np.zeros((1, *grid.shape))
    forecast = truth.copy()
    forecast[:, np.abs(np.asarray(grid.latitude)) > 60] = -1.0
    assert of(forecast, truth, grid)["percentiles"] == {"50": 0.0, "90": 1.0, "99": 1.0}
    forecast[:, np.abs(np.asarray(grid.latitude)) < 80] = 0.0  # 1.5 % of the area is left
    assert of(forecast, truth, grid)["percentiles"] == {"50": 0.0, "90": 0.0, "99": 1.0}


def test_a_box_has_the_regions_it_touches_and_no_spectrum():
    truth = np.zeros((2, *BOX.shape))
    found = of(truth + 1, truth, BOX)
    assert found["regions"] == {"north": pytest.approx(1.0)}
    assert set(found) == {"regions", "percentiles"}
