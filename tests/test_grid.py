"""The geometry of the grid: exact areas and lengths, and what is no grid."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinnwx.constants import EARTH_RADIUS, EARTH_ROTATION
from pinnwx.errors import DataError, GridError
from pinnwx.grid import Grid

SPHERE = 4 * np.pi * EARTH_RADIUS**2
GLOBAL = [
    "5.625deg",
    "2.5deg",
    "2.5deg+poles",
    "22.5deg",
    "22.5deg+poles",
    "1.5deg+poles",
    "45deg",
    "2.8125deg",
    "1.40625deg",
    "1.2deg+poles",
]


def europe() -> Grid:
    return Grid.from_coordinates(np.arange(30, 61, 1.5), np.arange(-20, 15, 1.5))


# --- areas and lengths --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GLOBAL)
def test_cells_of_a_global_grid_tile_the_sphere(name):
    grid = Grid.parse(name)
    assert grid.cell_area.sum() * grid.shape[1] == pytest.approx(SPHERE, rel=1e-14)
    assert (grid.cell_area > 0).all()
    np.testing.assert_allclose(grid.cell_area, grid.cell_area[::-1], rtol=1e-12)


@given(
    south=st.floats(-89, 60), rows=st.integers(3, 40), columns=st.integers(3, 40),
    west=st.floats(-180, 180), spacing=st.floats(0.05, 2.0),
)  # fmt: skip
def test_cells_of_a_box_tile_the_box(south, rows, columns, west, spacing):
    if south + rows * spacing > 89:
        return
    grid = Grid.from_coordinates(south + spacing * np.arange(rows), west + spacing * np.arange(columns))
    edges = np.deg2rad([grid.latitude[0] - spacing / 2, grid.latitude[-1] + spacing / 2])
    width = np.deg2rad(grid.longitude_spacing * columns)
    box = EARTH_RADIUS**2 * width * np.diff(np.sin(edges))[0]
    # coordinates are snapped to 1e-4 degrees, so the box is known to that
    assert grid.cell_area.sum() * columns == pytest.approx(box, rel=1e-3 / spacing / rows + 1e-9)
    assert not grid.is_global


def test_known_values_of_the_weatherbench_grid():
    grid = Grid.parse("5.625deg")
    assert grid.shape == (32, 64)
    assert grid.latitude[0] == -87.1875
    assert grid.latitude[-1] == 87.1875
    assert grid.longitude[0] == 0
    assert grid.longitude[-1] == 354.375
    step = np.deg2rad(5.625)
    assert grid.cell_area[0] == pytest.approx(EARTH_RADIUS**2 * step * (1 - np.cos(step)), rel=1e-12)
    assert grid.cell_area[16] == pytest.approx(EARTH_RADIUS**2 * step * np.sin(step), rel=1e-12)
    assert grid.meridional_spacing == pytest.approx(625_471, abs=1)  # 111.195 km per degree
    assert str(grid) == "global 32 x 64, -87.1875 to 87.1875 N, 0 to 354.375 E"


def test_rows_on_the_poles_are_half_as_high():
    grid = Grid.parse("2.5deg+poles")
    assert grid.shape == (73, 144)
    assert (grid.latitude[0], grid.latitude[-1]) == (-90, 90)
    assert grid.has_pole_rows
    half = np.deg2rad(1.25)
    assert grid.east_face_length[0] == pytest.approx(EARTH_RADIUS * half, rel=1e-12)
    assert grid.east_face_length[1] == pytest.approx(EARTH_RADIUS * 2 * half, rel=1e-12)
    cap = grid.cell_area[0] * 144
    assert cap == pytest.approx(2 * np.pi * EARTH_RADIUS**2 * (1 - np.cos(half)), rel=1e-9)


@pytest.mark.parametrize("name", GLOBAL)
def test_faces_close_at_the_poles_and_are_longest_at_the_equator(name):
    grid = Grid.parse(name)
    length = grid.north_face_length
    assert length[0] == length[-1] == 0.0
    assert (length[1:-1] > 0).all()
    equator = EARTH_RADIUS * np.deg2rad(grid.longitude_spacing)
    assert length.max() <= equator * (1 + 1e-15)
    if grid.shape[0] % 2 == 0:  # an edge lies on the equator
        assert length.max() == pytest.approx(equator, rel=1e-14)
    assert grid.east_face_length.sum() == pytest.approx(np.pi * EARTH_RADIUS, rel=1e-14)


@pytest.mark.parametrize("grid", [*map(Grid.parse, GLOBAL), europe()], ids=str)
def test_shapes_signs_and_weights(grid):
    rows, columns = grid.shape
    assert grid.latitude_edges.shape == grid.north_face_length.shape == (rows + 1,)
    assert grid.cell_area.shape == grid.east_face_length.shape == grid.zonal_spacing.shape == (rows,)
    assert grid.latitude_radians.shape == (rows,)
    assert grid.longitude_radians.shape == (columns,)
    assert (np.diff(grid.latitude_edges) > 0).all()
    assert (grid.zonal_spacing > 0).all()
    assert grid.area_weights.shape == grid.coriolis.shape == (rows, 1)
    assert grid.area_weights.mean() == pytest.approx(1.0, rel=1e-14)
    np.testing.assert_allclose(grid.zonal_spacing * grid.east_face_length, grid.cell_area, rtol=1e-14)
    np.testing.assert_allclose(grid.coriolis[:, 0], 2 * EARTH_ROTATION * np.sin(grid.latitude_radians))


def test_area_weights_give_the_mean_over_the_sphere():
    grid = Grid.parse("2.5deg")
    sine = np.sin(grid.latitude_radians)[:, None] * np.ones(grid.shape)
    assert (grid.area_weights * sine).mean() == pytest.approx(0, abs=1e-15)
    assert (grid.area_weights * sine**2).mean() == pytest.approx(1 / 3, rel=1e-3)  # the mean of sin^2, to second order


def test_a_box_keeps_its_edges():
    grid = europe()
    np.testing.assert_allclose(np.rad2deg(grid.latitude_edges[[0, -1]]), [29.25, 60.75])
    assert (grid.is_global, grid.is_periodic, grid.has_pole_rows) == (False, False, False)
    assert grid.north_face_length[0] > grid.north_face_length[-1] > 0
    assert str(grid) == "regional 21 x 24, 30 to 60 N, -20 to 14.5 E"


def test_a_box_that_touches_a_pole_ends_there():
    grid = Grid.from_coordinates(np.arange(60, 91, 2.0), np.arange(0, 90, 2.0))
    assert grid.latitude_edges[-1] == pytest.approx(np.pi / 2, rel=1e-15)
    assert grid.north_face_length[-1] == 0
    assert not grid.has_pole_rows


def test_a_band_around_the_globe_is_periodic_but_not_global():
    grid = Grid.from_coordinates(np.arange(-30, 31, 5.0), np.arange(0, 360, 5.0))
    assert grid.is_periodic
    assert not grid.is_global


# --- which coordinates are the same grid --------------------------------------------------------------------------


@pytest.mark.parametrize("name", GLOBAL)
def test_float32_and_float64_coordinates_are_one_grid(name):
    grid = Grid.parse(name)
    double = Grid.from_coordinates(np.array(grid.latitude), np.array(grid.longitude))
    single = Grid.from_coordinates(np.array(grid.latitude, np.float32), np.array(grid.longitude, np.float32))
    assert single == double == grid
    assert hash(single) == hash(double) == hash(grid)


@given(st.sampled_from([0.25, 0.3, 0.7, 1.0, 1.40625, 1.5, 2.5, 2.8125, 3.75]), st.integers(-60, 0), st.integers(3, 50))
def test_snapping_forgets_rounding_of_float32(spacing, start, count):
    latitude = start + spacing * np.arange(count)
    if latitude[-1] > 89:
        return
    longitude = spacing * np.arange(3, 60)
    double, single = (Grid.from_coordinates(latitude.astype(t), longitude.astype(t)) for t in (np.float64, np.float32))
    assert double == single
    assert hash(double) == hash(single)
    np.testing.assert_allclose(double.latitude, latitude, atol=1e-4)


@pytest.mark.parametrize("name", ["2.8125deg", "1.40625deg"])
def test_coordinates_written_with_four_decimals_are_the_same_grid(name):
    grid = Grid.parse(name)
    assert grid.latitude[0] == -90 + grid.latitude_spacing / 2
    assert Grid.from_coordinates(np.round(grid.latitude, 4), np.round(grid.longitude, 4)) == grid


def test_a_grid_is_a_value():
    grid = Grid.parse("45deg")
    with pytest.raises(AttributeError):
        grid.latitude = ()
    assert {grid: 1}[Grid.parse(" 45 deg ")] == 1
    assert grid != Grid.parse("45deg+poles")


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latitude", "longitude", "message"),
    [
        ([0, 1], [0, 1, 2], "a coordinate of shape \\(2,\\)"),
        (np.zeros((3, 3)), [0, 1, 2], "a coordinate of shape \\(3, 3\\)"),
        ([2, 1, 0], [0, 1, 2], "latitude is not ascending at index 1; sort it"),
        ([0, 0, 0], [0, 1, 2], "latitude is not ascending"),
        ([0, 1, 3], [0, 1, 2], "coordinate 1 is 0.5 degrees off an even spacing"),
        ([0, 45, 91], [0, 1, 2], "coordinate 45 is 0.5 degrees off"),
        ([0, 1, np.nan], [0, 1, 2], "coordinate nan is not in degrees"),
        ([0, 1, 2], [0, 1e5, 2e5], "coordinate 100000 is not in degrees"),
        ([80, 86, 92], [0, 1, 2], "latitude 80 to 92 leaves -90 to 90"),
        ([0, 1, 2], np.arange(0, 370, 10), "longitude spans 370 degrees, more than 360; drop the repeated columns"),
        (np.arange(-80, 81, 20), np.arange(5) * 72.0, "5 longitudes: a global grid needs an even number"),
    ],
)
def test_what_is_no_grid(latitude, longitude, message):
    with pytest.raises(GridError, match=message):
        Grid.from_coordinates(latitude, longitude)


def test_a_grid_made_by_hand_is_checked_too():
    with pytest.raises(GridError, match="latitude holds values that are not finite"):
        Grid((0.0, 1.0, float("nan")), (0.0, 1.0, 2.0))
    with pytest.raises(GridError, match="longitude spacing varies from 1 to 3 degrees"):
        Grid((0.0, 1.0, 2.0), (0.0, 1.0, 4.0))
    with pytest.raises(GridError, match="latitude has 2 points; at least 3 are needed"):
        Grid((0.0, 1.0), (0.0, 1.0, 2.0))


def test_gaussian_latitudes_are_not_evenly_spaced():
    latitude = np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(48)[0]))
    with pytest.raises(GridError, match="off an even spacing; regrid to an evenly spaced grid"):
        Grid.from_coordinates(latitude, np.arange(0, 360, 3.75))


@pytest.mark.parametrize("text", ["", "coarse", "5.625", "-5deg", "0deg", "7deg", "90deg", "5.625deg+pole", "1e3deg"])
def test_names_that_are_no_grid(text):
    with pytest.raises(GridError, match=f'grid "{text.replace("+", "[+]")}"') as caught:
        Grid.parse(text)
    assert isinstance(caught.value, DataError)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=12))
def test_any_name_gives_a_grid_or_a_grid_error(text):
    with contextlib.suppress(GridError):
        assert Grid.parse(text).is_global


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=6))
def test_any_coordinates_give_a_grid_or_a_grid_error(values):
    try:
        grid = Grid.from_coordinates(values, [0.0, 1.0, 2.0])
    except GridError:
        return
    assert np.isfinite(grid.cell_area).all()
    assert (grid.cell_area > 0).all()
