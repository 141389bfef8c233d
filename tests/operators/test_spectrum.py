"""The power by total wavenumber: it adds up to the mean square, and a spherical harmonic lies where it belongs."""

import numpy as np
import pytest
from exact.programs import compiled
from scipy.special import sph_harm_y

from pinnwx.grid import Grid
from pinnwx.operators.spectrum import band_power

band_power = compiled(band_power)

GLOBE, POLES = Grid.parse("5.625deg"), Grid.parse("5deg+poles")
BOX = Grid.from_coordinates(np.arange(30.0, 61.5, 1.5), np.arange(-20.0, 16.0, 1.5))


@pytest.mark.parametrize("grid", [GLOBE, POLES, BOX], ids=["without pole rows", "with pole rows", "box"])
def test_the_bands_add_up_to_the_mean_square(grid, double):
    field = np.random.default_rng(0).standard_normal((3, *grid.shape))
    if grid.has_pole_rows:
        field[:, [0, -1]] = field[:, [0, -1], :1]
    power = band_power(field, grid)
    np.testing.assert_allclose(power.sum(-1), (grid.area_weights * field**2).mean((-2, -1)), rtol=1e-12)
    assert (power >= 0).all()


@pytest.mark.parametrize("grid", [GLOBE, POLES], ids=["without pole rows", "with pole rows"])
@pytest.mark.parametrize(("degree", "order"), [(0, 0), (1, 0), (2, 1), (5, 4), (8, 0), (10, 3), (12, 12)])
def test_a_spherical_harmonic_is_in_the_band_of_its_degree(degree, order, grid, double):
    colatitude = np.pi / 2 - grid.latitude_radians[:, None]
    field = sph_harm_y(degree, order, colatitude, grid.longitude_radians).real
    power = band_power(field, grid)
    assert power[degree] / power.sum() > 0.99


def test_the_waves_of_a_box_are_ordered_by_length(double):
    """The band of a wave is the number of half waves from south to north."""
    y = np.arange(BOX.shape[0])[:, None] + 0.5
    for half_waves in (1, 3, 6):
        field = np.cos(np.pi * half_waves * y / BOX.shape[0]) + np.zeros(BOX.shape)
        power = band_power(field - field.mean(), BOX)
        assert abs(int(power.argmax()) - half_waves) <= 1
