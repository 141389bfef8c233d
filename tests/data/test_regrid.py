"""Conservative remapping keeps the exact area integral, constants and bounds, on any pair of grids."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinnwx.data.regrid import conservative_weights, regrid
from pinnwx.errors import GridError
from pinnwx.grid import Grid


def integral(values: np.ndarray, grid: Grid) -> float:
    return float((values * grid.cell_area[:, None]).sum())


@st.composite
def globes(draw) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Latitudes with rows on the poles or not; any even number of longitudes, starting anywhere."""
    rows, columns = draw(st.integers(4, 40)), 2 * draw(st.integers(2, 30))
    poles = draw(st.booleans())
    spacing = 180 / (rows - 1) if poles else 180 / rows
    first = -90 if poles else -90 + spacing / 2
    start = draw(st.floats(-360, 360))
    return (
        tuple((first + spacing * np.arange(rows)).clip(-90, 90).tolist()),
        tuple((start + 360 / columns * np.arange(columns)).tolist()),
    )


@st.composite
def boxes(draw, count=2) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    """Coordinates of different resolution with the same outer edges."""
    south = draw(st.floats(-80, 40))
    north = south + draw(st.floats(10, 40))
    west = draw(st.floats(-180, 180))
    east = west + draw(st.floats(10, 200))

    def centres(low, high):
        cells = draw(st.integers(3, 25))
        return tuple((low + (high - low) / cells * (np.arange(cells) + 0.5)).tolist())

    return [(centres(south, north), centres(west, east)) for _ in range(count)]


fields = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@settings(max_examples=100, deadline=None)
@given(globes(), globes(), fields)
def test_the_integral_over_the_globe_is_kept(source, target, random):
    source, target = Grid(*source), Grid(*target)
    values = random.uniform(1, 2, source.shape)
    found = regrid(values, source, target)
    assert integral(found, target) == pytest.approx(integral(values, source), rel=1e-12)
    assert found.min() >= values.min() - 1e-12
    assert found.max() <= values.max() + 1e-12


@settings(max_examples=100, deadline=None)
@given(boxes(), fields)
def test_the_integral_over_a_box_is_kept(grids, random):
    source, target = (Grid(*axes) for axes in grids)
    values = random.uniform(1, 2, source.shape)
    assert integral(regrid(values, source, target), target) == pytest.approx(integral(values, source), rel=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.one_of(st.tuples(globes(), globes()), boxes()))
def test_a_constant_stays_constant(grids):
    source, target = (Grid(*axes) for axes in grids)
    np.testing.assert_allclose(regrid(np.full(source.shape, 7.0), source, target), 7.0, rtol=1e-14)
    assert (regrid(np.full(source.shape, 101325.0, np.float32), source, target) == 101325).all()


@settings(max_examples=10, deadline=None)
@given(globes(), globes(), fields)
def test_cell_means_agree_with_sampling_the_sphere(source, target, random):
    """An independent look: sample the piecewise constant field at points that are uniform over the sphere."""
    source, target = Grid(*source), Grid(*target)
    values = random.uniform(0, 1, source.shape)
    sines, turns = random.uniform(-1, 1, 200_000), random.uniform(0, 360, 200_000)

    def cells(grid):
        row = np.searchsorted(np.sin(grid.latitude_edges)[1:-1], sines)
        west = grid.longitude[0] - grid.longitude_spacing / 2
        return row, (((turns - west) % 360) / grid.longitude_spacing).astype(int) % len(grid.longitude)

    samples, (row, column) = values[cells(source)], cells(target)
    index = row * target.shape[1] + column
    count = np.bincount(index, minlength=target.shape[0] * target.shape[1])
    mean = np.bincount(index, samples, minlength=count.size) / np.maximum(count, 1)
    error = np.abs(mean - regrid(values, source, target).ravel())
    assert (error < 6 * 0.29 / np.sqrt(np.maximum(count, 1)))[count > 30].all()


def test_a_marked_cell_beyond_the_date_line_goes_where_it_belongs():
    source = Grid.from_coordinates(np.arange(-82.5, 83, 15), np.arange(-180.0, 180, 15))
    values = np.zeros(source.shape)
    values[6, 0] = 1.0  # 180 W, 7.5 N
    found = regrid(values, source, Grid.parse("15deg"))
    np.testing.assert_allclose(found[6, 12], 1.0, rtol=1e-14)
    assert np.count_nonzero(found > 1e-14) == 1


def test_a_box_is_cut_out_of_the_globe_without_change():
    source = Grid.parse("5deg")
    box = Grid.from_coordinates(source.latitude[20:30], np.arange(-20.0, 21.0, 5.0))
    values = np.random.default_rng(0).standard_normal((2, *source.shape)).astype(np.float32)
    np.testing.assert_array_equal(regrid(values, source, box), values[:, 20:30][..., np.r_[68:72, 0:5]])


def test_types_and_leading_axes_are_kept():
    source, target = Grid.parse("2.5deg+poles"), Grid.parse("5.625deg")
    values = np.random.default_rng(0).standard_normal((2, 3, *source.shape))
    whole = regrid(values, source, target)
    assert whole.shape == (2, 3, 32, 64)
    assert whole.dtype == np.float64
    single = regrid(values.astype(np.float32), source, target)
    assert single.dtype == np.float32
    np.testing.assert_array_equal(regrid(values.astype(np.float32)[1, 2], source, target), single[1, 2])
    assert regrid(values, source, source) is values


def test_each_target_cell_must_be_covered():
    box = Grid.from_coordinates(np.arange(30.0, 61, 5), np.arange(0.0, 41, 5))
    for target in (
        Grid.parse("5.625deg"),
        Grid.from_coordinates(np.arange(35.0, 66, 5), np.arange(5.0, 31, 5)),
        Grid.from_coordinates(np.arange(35.0, 51, 5), np.arange(-5.0, 31, 5)),
    ):
        with pytest.raises(GridError, match="do not cover"):
            conservative_weights(box, target)
