from functools import lru_cache

import jax
import numpy as np
import pytest
from exact.grids import box
from exact.programs import compiled
from exact.sphere import cell_mean, centre_values, group_mean, integral, norms, slope

from pinnwx.constants import EARTH_RADIUS
from pinnwx.grid import Grid
from pinnwx.operators.calculus import curl, divergence, face_divergence, face_gradient, gradient, laplacian
from pinnwx.operators.polar import cap_groups

pytestmark = pytest.mark.usefixtures("double")
face_divergence, face_gradient, gradient, laplacian = map(
    compiled, (face_divergence, face_gradient, gradient, laplacian)
)

# q = x z + y^3 - 3 x^2 y on the unit sphere: spherical harmonics of degree 2 and 3, so lap q = -6 q2 - 12 q3


def q2(lon, lat):
    return np.cos(lat) * np.cos(lon) * np.sin(lat)


def q3(lon, lat):
    return -(np.cos(lat) ** 3) * np.sin(3 * lon)


def q(lon, lat):
    return q2(lon, lat) + q3(lon, lat)


def eastward(lon, lat):
    return (-np.sin(lon) * np.sin(lat) - 3 * np.cos(lat) ** 2 * np.cos(3 * lon)) / EARTH_RADIUS


def northward(lon, lat):
    return (np.cos(lon) * np.cos(2 * lat) + 3 * np.cos(lat) ** 2 * np.sin(lat) * np.sin(3 * lon)) / EARTH_RADIUS


def laplace(lon, lat):
    return (-6 * q2(lon, lat) - 12 * q3(lon, lat)) / EARTH_RADIUS**2


EXACT = {
    "gradient eastward": eastward,
    "gradient northward": northward,
    "laplacian": laplace,
    "divergence": laplace,  # of the gradient
    "curl": laplace,  # of the gradient turned by 90 degrees
}


def frame(grid, function):
    """The function at the centres of the cells around a box, and within."""
    rows, columns = grid.shape
    latitude = np.deg2rad(grid.latitude[0] + grid.latitude_spacing * np.arange(-1, rows + 1))
    longitude = np.deg2rad(grid.longitude[0] + grid.longitude_spacing * np.arange(-1, columns + 1))
    return function(longitude[None, :], latitude[:, None])


@lru_cache
def errors(where, rows) -> dict[str, tuple[float, float]]:
    """l1 and l2 error of every operator at one resolution."""
    grid = box(rows, rows) if where == "box" else Grid.parse(f"{180 / rows}{where}")

    @jax.jit
    def apply(q, east, north, q_frame, east_frame, north_frame):
        x, y = gradient(q, grid, q_frame)
        return {
            "gradient eastward": x,
            "gradient northward": y,
            "laplacian": laplacian(q, grid, q_frame),
            "divergence": divergence(east, north, grid, (east_frame, north_frame)),
            "curl": curl(-north, east, grid, (-north_frame, east_frame)),
        }

    fields = (q, eastward, northward)
    results = apply(*(centre_values(field, grid) for field in fields), *(frame(grid, field) for field in fields))
    return {
        # what a flux form gives is the mean over the cell
        name: norms(result, (centre_values if name.startswith("gradient") else cell_mean)(EXACT[name], grid), grid)[:2]
        for name, result in results.items()
    }


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("where", ["deg", "deg+poles", "box"])
def test_second_order(name, where):
    resolutions = (20, 40, 80)
    for norm in np.transpose([errors(where, rows)[name] for rows in resolutions]):
        assert slope(norm, resolutions) >= 1.9


def test_gradient_on_a_pole_row_is_exact_for_a_linear_field():
    """Of q = x (the direction of 0 E): one vector of length 1/a at the pole, seen along every meridian."""
    grid = Grid.parse("5deg+poles")
    x, y = gradient(centre_values(lambda lon, lat: np.cos(lat) * np.cos(lon), grid), grid)
    step = np.deg2rad(grid.latitude_spacing)
    length = np.sin(step) / step / EARTH_RADIUS
    for row, outward in ((0, 1), (-1, -1)):
        np.testing.assert_allclose(x[row], -length * np.sin(grid.longitude_radians), atol=1e-12 / EARTH_RADIUS)
        np.testing.assert_allclose(y[row], outward * length * np.cos(grid.longitude_radians), atol=1e-12 / EARTH_RADIUS)


def test_divergence_curl_and_laplacian_integrate_to_zero(globe, random):
    field, other = (random.normal(size=globe.shape) for _ in range(2))

    @jax.jit
    def all_of_them(a, b):
        return divergence(a, b, globe), curl(a, b, globe), laplacian(a, globe)

    for result in all_of_them(field, other):
        assert abs(integral(result, globe)) < 1e-13 * integral(np.abs(result), globe)


def test_laplacian_is_symmetric_and_never_positive(any_grid, random):
    a, b = (group_mean(random.normal(size=any_grid.shape), cap_groups(any_grid)) for _ in range(2))
    left = integral(a * laplacian(b, any_grid), any_grid)
    right = integral(b * laplacian(a, any_grid), any_grid)
    assert left == pytest.approx(right, rel=1e-12)
    assert integral(a * laplacian(a, any_grid), any_grid) < 0


def test_laplacian_is_the_divergence_of_the_face_gradient_with_the_flux_through_a_box(random):
    """Gauss: the integral of the Laplacian is what flows through the edge."""
    grid = box(7, 9)
    field, around = random.normal(size=grid.shape), random.normal(size=(9, 11))
    slope = face_gradient(field, grid, around)
    east, north = slope.east * grid.east_face_length[:, None], slope.north * grid.north_face_length[:, None]
    through = (east[:, -1] - east[:, 0]).sum() + (north[-1] - north[0]).sum()
    total = (face_divergence(slope, grid) * grid.cell_area[:, None]).sum()
    assert total == pytest.approx(through, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_follows_the_field(any_grid, dtype):
    def all_of_them(field):
        return *gradient(field, any_grid), divergence(field, field, any_grid), laplacian(field, any_grid)

    results = jax.eval_shape(all_of_them, jax.ShapeDtypeStruct(any_grid.shape, dtype))
    assert all(result.dtype == dtype for result in results)
