import jax.numpy as jnp
import numpy as np
import pytest
from exact.flows import gaussian_hill
from exact.gradients import check_tangent_and_adjoint
from exact.grids import box
from exact.programs import compiled
from exact.sphere import cell_mean, centre_values, group_mean, integral, norms, slope

from pinnwx.constants import EARTH_RADIUS
from pinnwx.grid import Grid
from pinnwx.operators.calculus import laplacian
from pinnwx.operators.poisson import function_of_laplacian, inverse_laplacian, solve_helmholtz
from pinnwx.operators.polar import cap_groups

pytestmark = pytest.mark.usefixtures("double")
laplacian, inverse_laplacian, solve_helmholtz, function_of_laplacian = map(
    compiled, (laplacian, inverse_laplacian, solve_helmholtz, function_of_laplacian)
)
BAND = Grid(tuple(np.linspace(-20, 20, 9).tolist()), tuple(float(x) for x in range(0, 360, 15)))  # periodic, not global
ODD = box(6, 7)
GRIDS = {
    "deg": Grid.parse("5.625deg"),
    "deg+poles": Grid.parse("7.5deg+poles"),
    "box": box(),
    "odd box": ODD,
    "band": BAND,
}


@pytest.fixture(params=GRIDS.values(), ids=GRIDS)
def grid(request) -> Grid:
    return request.param


def fields(grid, random, boundary: bool):
    field = group_mean(random.normal(size=(3, *grid.shape)), cap_groups(grid))
    around = random.normal(size=tuple(n + 2 for n in grid.shape)) if boundary else None
    return field, around


@pytest.mark.parametrize("boundary", [False, True])
def test_round_trips_to_solver_precision(grid, boundary, random):
    field, around = fields(grid, random, boundary)
    there = laplacian(field, grid, around)
    back = inverse_laplacian(there, grid, around)
    if around is None or grid.is_global:
        field = field - integral(field, grid)[:, None, None]
        assert np.abs(integral(back, grid)).max() < 1e-13
    np.testing.assert_allclose(back, field, atol=1e-11)
    np.testing.assert_allclose(laplacian(back, grid, around), there, atol=1e-11 * np.abs(there).max())


@pytest.mark.parametrize("boundary", [False, True])
def test_helmholtz_round_trip(grid, boundary, random):
    field, around = fields(grid, random, boundary)
    coefficient = 0.7 * grid.meridional_spacing**2
    right = field - coefficient * laplacian(field, grid, around)
    np.testing.assert_allclose(solve_helmholtz(right, grid, coefficient, around), field, atol=1e-11)


def test_in_single_precision_the_residual_is_of_single_precision(grid, random):
    """The solution of a smooth problem; the condition number is that of the grid's narrowest cells."""
    source = group_mean(random.normal(size=grid.shape).astype(np.float32), cap_groups(grid))
    exact = inverse_laplacian(source.astype(np.float64), grid)
    single = inverse_laplacian(source, grid)
    assert single.dtype == np.float32
    assert np.abs(single - exact).max() / np.abs(exact).max() < 1e-5


@pytest.mark.parametrize("kind", ["deg", "deg+poles"])
def test_second_order_on_the_sphere(kind):
    """laplacian(exp(-s |x - c|^2)) is known: with m = x . c and q = exp(2 s (m - 1)), it is
    (4 s^2 (1 - m^2) - 4 s m) q / a^2."""
    sharpness, centre = 2.0, (0.7, 1.1)
    hill = gaussian_hill(*centre, sharpness=sharpness)

    def source(lon, lat):
        q = hill(lon, lat)
        m = 1 + np.log(q) / (2 * sharpness)
        return (4 * sharpness**2 * (1 - m**2) - 4 * sharpness * m) * q / EARTH_RADIUS**2

    errors, resolutions = [], (12, 24, 48)
    for rows in resolutions:
        grid = Grid.parse(f"{180 / rows}{kind}")
        exact = centre_values(hill, grid)  # cell means differ from these by h^2 / r at distance r from a pole
        exact -= integral(exact, grid)
        errors.append(norms(inverse_laplacian(cell_mean(source, grid), grid), exact, grid))
    for norm in np.transpose(errors):
        assert slope(norm, resolutions) >= 1.9


def test_a_mean_without_solution_is_left_out(globe):
    solution = inverse_laplacian(np.ones(globe.shape), globe)
    assert np.abs(solution).max() < 1e-13 * EARTH_RADIUS**2  # the size of a solution for a source of 1


def test_functions_of_the_laplacian(globe, random):
    field, _ = fields(globe, random, False)
    np.testing.assert_allclose(function_of_laplacian(field, globe, jnp.ones_like), field, atol=1e-12)
    minus = function_of_laplacian(field, globe, jnp.negative)
    expected = laplacian(field, globe)
    np.testing.assert_allclose(minus, expected, atol=1e-12 * np.abs(expected).max())


def test_the_inverse_is_symmetric(grid, random):
    """So its adjoint, which back-propagation needs, is itself."""
    a, b = (fields(grid, random, False)[0][0] for _ in range(2))
    left, right = (integral(p * inverse_laplacian(q, grid), grid) for p, q in ((a, b), (b, a)))
    assert left == pytest.approx(right, rel=1e-10)


def test_a_shift_in_longitude_commutes(globe, random):
    field, _ = fields(globe, random, False)
    shifted = inverse_laplacian(np.roll(field, 3, -1), globe)
    expected = np.roll(inverse_laplacian(field, globe), 3, -1)
    np.testing.assert_allclose(shifted, expected, atol=1e-12 * np.abs(expected).max())


def test_gradients(random):
    for grid in (Grid.parse("30deg+poles"), ODD):
        field, around = fields(grid, random, not grid.is_global)
        scale = 1 / grid.meridional_spacing**2

        def solve(q, b, c, grid=grid, scale=scale):
            return solve_helmholtz(q, grid, c / scale, b) + scale * inverse_laplacian(q, grid, b)

        around = np.zeros(tuple(n + 2 for n in grid.shape)) if around is None else around
        check_tangent_and_adjoint(solve, (field, around, 0.3), random)
