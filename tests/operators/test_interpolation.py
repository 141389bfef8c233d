"""Interpolation at points of the sphere: order up to the poles, constants, bounds, vectors, boxes, gradients."""

import numpy as np
import pytest
from exact.flows import SolidBody, gaussian_hill
from exact.gradients import check_tangent_and_adjoint
from exact.grids import box
from exact.programs import compiled
from exact.sphere import centre_values, slope

from pinnwx.errors import ConfigError, GridError
from pinnwx.grid import Grid
from pinnwx.operators.interpolation import Points, interpolate

pytestmark = pytest.mark.usefixtures("double")
interpolate = compiled(interpolate)


def anywhere(rng, shape=(40, 50)) -> Points:
    """Points all over the sphere, each fifth within two degrees of a pole."""
    latitude = np.arcsin(rng.uniform(-1, 1, shape))
    latitude[::5] = np.sign(latitude[::5]) * (np.pi / 2 - rng.uniform(0, 0.035, latitude[::5].shape))
    return Points(latitude, rng.uniform(-4, 9, shape))


@pytest.mark.parametrize("degree", [1, 3])
def test_design_order_up_to_the_poles(degree, kind, random):
    points, resolutions, errors = anywhere(random), (18, 30, 54), []
    hill = gaussian_hill(0.4, 1.3, sharpness=1.0)
    exact = hill(points.longitude, points.latitude)
    for rows in resolutions:
        grid = Grid.parse(f"{180 / rows:.12g}{kind}")
        found = interpolate(centre_values(hill, grid), points, grid, degree=degree)
        errors.append(np.abs(found.value - exact).max())
    assert slope(errors, resolutions) > degree + 0.8


@pytest.mark.parametrize("degree", [1, 3])
def test_centres_constants_and_bounds(degree, any_grid, random):
    field = random.normal(size=any_grid.shape)
    if any_grid.has_pole_rows:
        field[[0, -1]] = field[[0, -1], :1]
    latitude, longitude = np.broadcast_arrays(any_grid.latitude_radians[:, None], any_grid.longitude_radians)
    centres = Points(latitude, longitude - 2 * np.pi)
    at_centres = interpolate(field, centres, any_grid, degree=degree)
    np.testing.assert_allclose(at_centres.value, field, atol=1e-12)
    points = anywhere(random)
    constant = interpolate(np.full(any_grid.shape, 3.0), points, any_grid, degree=degree)
    np.testing.assert_allclose(constant.value, 3.0, rtol=4e-15)
    found = interpolate(field, points, any_grid, degree=degree)
    assert field.min() <= found.lower.min() <= found.limited.min()
    assert found.limited.max() <= found.upper.max() <= field.max()
    if degree == 3:
        assert (found.value > found.upper).any()  # so that the limiter has something to do


def test_vectors_change_their_sign_across_a_pole(kind, random):
    """A wind straight over the poles, at points within two degrees of them."""
    grid, flow = Grid.parse(f"3.75{kind}"), SolidBody(tilt=np.pi / 2)
    points = Points(*(part[::5] for part in anywhere(random)))
    exact = flow.speed * np.cos(points.longitude) * np.sin(points.latitude)
    right, wrong = (interpolate(flow.wind(grid)[0], points, grid, sign=sign).value for sign in (-1.0, 1.0))
    np.testing.assert_allclose(right, exact, atol=1e-5 * flow.speed)
    assert np.abs(wrong - exact).max() > 0.1 * flow.speed


def test_points_beyond_the_edge_of_a_box(random):
    """30 to 60 N, 20 W to 16 E: the ghost cell nearest in latitude and longitude."""
    grid = box(10, 12)
    field, around = random.normal(size=(10, 12)), random.normal(size=(14, 16))
    degrees = np.array([[80.0, -60.0], [46.5, 150.0], [-88.0, -170.0]])  # north-west, east, south and far
    points = Points(*(np.deg2rad(part)[:, None] for part in degrees.T))
    row = round((46.5 - grid.latitude[0]) / 3)
    edge = interpolate(field, points, grid).value[:, 0]
    np.testing.assert_allclose(edge, [field[-1, 0], field[row, -1], field[0, 0]])
    beyond = interpolate(field, points, grid, boundary=around).value[:, 0]
    np.testing.assert_allclose(beyond, [around[12, 1], around[2 + row, 14], around[1, 1]])


@pytest.mark.parametrize("grid", [Grid.parse("30deg+poles"), box(5, 6)], ids=["globe", "box"])
def test_gradients_in_field_and_points(grid, random):
    points = anywhere(random, (5, 4))
    field = random.normal(size=(2, *grid.shape))
    check_tangent_and_adjoint(
        lambda q, *p: interpolate(q, Points(*p), grid).value, (field, *points), random, step=1e-7, rtol=1e-4
    )


def test_points_of_their_own_for_each_field(any_grid, random):
    fields = random.normal(size=(2, 3, *any_grid.shape))
    latitude, longitude = (np.stack([part, 0.5 * part])[:, None] for part in anywhere(random, (6, 7)))
    together = interpolate(fields, Points(latitude, longitude), any_grid).value
    assert together.shape == (2, 3, 6, 7)
    for batch, field in ((0, 2), (1, 0)):
        alone = interpolate(fields[batch, field], Points(latitude[batch, 0], longitude[batch, 0]), any_grid).value
        np.testing.assert_allclose(together[batch, field], alone, rtol=1e-12)


@pytest.mark.parametrize("batch", [(2, 1, 3), (1, 3, 1), (2, 3, 1), (1, 1, 3), (1, 1, 1)])
def test_fields_may_share_their_points_along_any_axes(batch, any_grid, random):
    """The same as for each field alone, whichever axes of the batch the points have."""
    fields = random.normal(size=(2, 3, 3, *any_grid.shape))
    points = anywhere(random, (*batch, 6, 7))
    together = interpolate(fields, points, any_grid)
    assert together.value.shape == (2, 3, 3, 6, 7)
    for place in np.ndindex(2, 3, 3):
        own = Points(*(np.broadcast_to(coordinate, (2, 3, 3, 6, 7))[place] for coordinate in points))
        alone = interpolate(fields[place], own, any_grid)
        for part, expected in zip(together, alone, strict=True):
            np.testing.assert_allclose(part[place], expected, rtol=1e-12, atol=1e-12)


def test_what_is_refused():
    points = Points(np.zeros((1, 1)), np.zeros((1, 1)))
    with pytest.raises(ConfigError, match="degree 2; use 1 or 3"):
        interpolate(np.zeros((8, 16)), points, Grid.parse("22.5deg"), degree=2)
    uneven = Grid(tuple(np.linspace(-86, 86, 16).tolist()), tuple(np.arange(0, 360, 22.5).tolist()))
    assert uneven.is_global
    with pytest.raises(GridError, match="row -86 is neither on the pole"):
        interpolate(np.zeros(uneven.shape), points, uneven)
