import jax
import numpy as np
import pytest
from exact.flows import cartesian
from exact.grids import box
from exact.programs import compiled
from exact.sphere import centre_values

from pinnwx.errors import GridError
from pinnwx.grid import Grid
from pinnwx.operators import stencils

pytestmark = pytest.mark.usefixtures("double")
pad, pad_cross = compiled(stencils.pad), compiled(stencils.pad_cross)


def smooth(longitude, latitude):
    """A function of position: the same point under any name, also beyond a pole at latitude > 90 degrees."""
    x, y, z = cartesian(longitude, latitude)
    return np.exp(0.7 * x - 0.4 * y + 0.5 * z)


def extended(grid: Grid, width: int):
    """Coordinates of the padded grid; latitudes run on past the poles."""
    step = np.deg2rad(grid.latitude_spacing)
    latitude = grid.latitude_radians[0] + step * np.arange(-width, grid.shape[0] + width)
    step = np.deg2rad(grid.longitude_spacing)
    longitude = grid.longitude_radians[0] + step * np.arange(-width, grid.shape[1] + width)
    return longitude[None, :], latitude[:, None]


@pytest.mark.parametrize("width", [1, 2, 3])
def test_ghosts_are_the_places_they_stand_for(globe, width):
    field = centre_values(smooth, globe)
    np.testing.assert_allclose(pad(field, globe, width), smooth(*extended(globe, width)), rtol=1e-13)


def test_vectors_turn_round_beyond_a_pole(globe):
    """A constant vector in space, seen by its eastward component, goes on smoothly with the sign changed."""

    def eastward(longitude, latitude):
        return -np.sin(longitude) + 0 * latitude  # of the vector x; no function of place at the poles

    field = centre_values(eastward, globe)
    longitude, latitude = extended(globe, 2)
    sign = np.where(np.abs(latitude) > np.pi / 2 + 1e-9, -1.0, 1.0)
    expected = sign * eastward(np.where(sign < 0, longitude + np.pi, longitude), latitude)
    np.testing.assert_allclose(pad(field, globe, 2, sign=-1.0), expected, atol=1e-14)


def test_channel_last_with_a_sign_a_channel(globe, random):
    field = random.normal(size=(2, *globe.shape, 3)).astype(np.float32)
    sign = np.array([1.0, -1.0, 1.0])
    padded = np.asarray(jax.jit(lambda q, sign: stencils.pad(q, globe, 2, sign=sign, axes=(-3, -2)))(field, sign))
    assert padded.shape == (2, globe.shape[0] + 4, globe.shape[1] + 4, 3)
    for channel in range(3):
        expected = pad(field[..., channel], globe, 2, sign=float(sign[channel]))
        np.testing.assert_array_equal(padded[..., channel], expected)


def test_a_box_reads_the_frame_of_its_boundary_only(random):
    grid = box(5, 6)
    field = random.normal(size=(2, 5, 6)).astype(np.float32)
    around = random.normal(size=(9, 10)).astype(np.float32)
    around[2:-2, 2:-2] = np.nan
    padded = pad(field, grid, 1, boundary=around)
    expected = np.broadcast_to(around[1:-1, 1:-1], (2, 7, 8)).copy()
    expected[:, 1:-1, 1:-1] = field
    np.testing.assert_array_equal(padded, expected)


def test_a_box_without_boundary_goes_on_with_its_edge(random):
    grid = box(5, 6)
    field = random.normal(size=(5, 6)).astype(np.float32)
    np.testing.assert_array_equal(pad(field, grid, 2), np.pad(field, 2, mode="edge"))


def test_the_cross_is_the_padded_field_without_corners(any_grid, random):
    field = random.normal(size=any_grid.shape).astype(np.float32)
    around = random.normal(size=tuple(n + 4 for n in any_grid.shape)).astype(np.float32)
    whole = pad(field, any_grid, 2, boundary=around)
    wide, tall = pad_cross(field, any_grid, 2, boundary=around)
    np.testing.assert_array_equal(wide, whole[2:-2])
    np.testing.assert_array_equal(tall, whole[:, 2:-2])


def test_wrong_shapes_are_refused():
    grid = box(5, 6)
    with pytest.raises(GridError, match="6 x 5 on a grid of 5 x 6"):
        pad(np.zeros((6, 5)), grid, 1)
    with pytest.raises(GridError, match="halo of 5"):
        pad(np.zeros((5, 6)), grid, 5)
    with pytest.raises(GridError, match="pad the field by at least 2"):
        pad(np.zeros((5, 6)), grid, 2, boundary=np.zeros((7, 8)))
