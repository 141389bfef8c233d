import jax.numpy as jnp
import numpy as np
import pytest
from exact.grids import box
from exact.programs import compiled
from exact.sphere import group_mean, integral

from pinnwx.errors import GridError
from pinnwx.grid import Grid
from pinnwx.operators import polar
from pinnwx.operators.polar import (
    between_groups,
    cap_groups,
    close_group_faces,
    polar_filter,
    zonal_group_mean,
    zonal_groups,
)
from pinnwx.operators.stencils import FaceVector

pytestmark = pytest.mark.usefixtures("double")
close_group_faces, polar_filter, zonal_group_mean = map(compiled, (close_group_faces, polar_filter, zonal_group_mean))


@pytest.mark.parametrize("name", ["5.625deg", "2.5deg+poles", "7.5deg", "1deg"])
def test_groups_are_wide_enough_and_no_wider(name):
    grid = Grid.parse(name)
    columns = grid.shape[1]
    smallest = 0.6 * grid.meridional_spacing
    groups = zonal_groups(grid, smallest)
    for size, cap, width in zip(groups, cap_groups(grid), grid.zonal_spacing, strict=True):
        assert columns % size == 0
        assert size * width >= smallest or size == columns
        if size > cap and columns % (size // 2) == 0 and size & (size - 1) == 0:
            assert size / 2 * width < smallest  # half the group would not do
    assert groups == groups[::-1]
    assert zonal_groups(grid, 0.0) == cap_groups(grid)


def test_a_pole_row_is_one_group_and_a_box_has_none():
    assert cap_groups(Grid.parse("45deg+poles")) == (8, 1, 1, 1, 8)
    assert cap_groups(Grid.parse("45deg")) == (1, 1, 1, 1)
    assert zonal_groups(box(5, 6), 1e9) == (1,) * 5


def test_group_mean_keeps_integral_bounds_and_constants_and_is_a_projection(globe, random):
    groups = zonal_groups(globe, 1e6)
    field = random.uniform(size=(2, *globe.shape))
    mean = zonal_group_mean(field, globe, groups)
    np.testing.assert_allclose(integral(mean, globe), integral(field, globe), rtol=1e-14)
    assert mean.min() >= field.min()
    assert mean.max() <= field.max()
    np.testing.assert_allclose(zonal_group_mean(mean, globe, groups), mean, rtol=1e-14)
    np.testing.assert_array_equal(zonal_group_mean(np.ones_like(field), globe, groups), 1.0)
    np.testing.assert_allclose(mean, group_mean(field, groups), rtol=1e-14)


def test_faces_within_a_group_are_closed():
    grid = Grid.parse("45deg")
    groups = (8, 2, 4, 1)
    np.testing.assert_array_equal(
        between_groups(grid, groups).astype(int),
        [[0] * 8, [0, 1] * 4, [0, 0, 0, 1] * 2, [1] * 8],
    )
    closed = close_group_faces(FaceVector(np.ones((4, 8)), np.ones((5, 8))), grid, groups)
    np.testing.assert_array_equal(closed.east.sum(-1), [0, 4, 2, 8])
    np.testing.assert_array_equal(closed.north, 1)


def test_groups_that_do_not_divide_are_refused():
    with pytest.raises(GridError, match="zonal_groups"):
        zonal_group_mean(np.zeros((4, 8)), Grid.parse("45deg"), (3, 1, 1, 1))


def test_the_polar_filter_damps_only_what_is_shorter_than_the_resolved_spacing(globe):
    columns, resolved = globe.shape[1], 0.5 * globe.meridional_spacing
    angle = 2 * np.pi * np.arange(columns) / columns
    for number in range(columns // 2 + 1):
        wave = np.broadcast_to(np.cos(number * angle), globe.shape)
        kept = polar_filter(wave, globe, resolved)[:, 0]
        # The distance over which the wave changes most, in cells of the row: resolved ones pass.
        reach = np.asarray(globe.zonal_spacing) / max(np.sin(number * np.pi / columns), 1e-12)
        passes = (reach >= resolved) | (number == 0)
        np.testing.assert_allclose(kept[passes], 1.0, rtol=1e-12)
        np.testing.assert_allclose(kept[~passes], (reach / resolved)[~passes], rtol=1e-9, atol=1e-12)


def test_the_polar_filter_is_self_adjoint_keeps_row_sums_and_commutes_with_a_shift(globe, random):
    def smooth(field):
        return polar_filter(field, globe, 0.5 * globe.meridional_spacing)

    a, b = (random.normal(size=globe.shape) for _ in range(2))
    np.testing.assert_allclose((smooth(a) * b).sum(), (a * smooth(b)).sum(), rtol=1e-11)
    np.testing.assert_allclose(smooth(a).sum(-1), a.sum(-1), atol=1e-12)
    np.testing.assert_allclose(smooth(np.roll(a, 3, -1)), np.roll(smooth(a), 3, -1), atol=1e-13)
    assert np.abs(smooth(a) - a).max() > 0.1
    regional = box(5, 6)
    field = jnp.asarray(a[:5, :6])
    assert polar.polar_filter(field, regional, 1e9) is field
