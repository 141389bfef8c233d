import jax
import numpy as np
import pytest
from exact.flows import cartesian
from exact.gradients import check_tangent_and_adjoint
from exact.grids import box
from exact.programs import compiled
from exact.sphere import cell_mean, centre_values, group_mean, integral, norms, slope

from pinnwx.constants import EARTH_RADIUS
from pinnwx.grid import Grid
from pinnwx.operators.calculus import laplacian
from pinnwx.operators.diffusion import diffusive_tendency, exact_diffusion, hyperdiffusion, implicit_diffusion
from pinnwx.operators.polar import cap_groups, zonal_group_mean, zonal_groups
from pinnwx.operators.stability import diffusion_number

pytestmark = pytest.mark.usefixtures("double")
laplacian, diffusive_tendency, diffusion_number = map(compiled, (laplacian, diffusive_tendency, diffusion_number))
exact_diffusion, implicit_diffusion, hyperdiffusion = map(
    compiled, (exact_diffusion, implicit_diffusion, hyperdiffusion)
)
KAPPA, DAY = 1e6, 86400.0


def harmonic(degree):
    """A spherical harmonic of that degree and of several orders (0, 1, 2 or 3), real and smooth at the poles."""

    def value(lon, lat):
        x, y, z = cartesian(lon, lat)
        return {1: 0.3 * z + x, 2: x * z + 0.5 * (x**2 - y**2), 3: 3 * x**2 * y - y**3 + z * (x**2 - y**2)}[degree]

    return value


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_harmonics_decay_at_their_rate(degree, kind):
    """exp(-kappa l (l + 1) t / a^2), to second order of the grid."""
    rate = KAPPA * degree * (degree + 1) / EARTH_RADIUS**2
    time = 1 / rate
    errors, resolutions = [], (12, 24, 48)
    for rows in resolutions:
        grid = Grid.parse(f"{180 / rows}{kind}")
        start = centre_values(harmonic(degree), grid)
        errors.append(norms(exact_diffusion(start, KAPPA, grid, time), start * np.exp(-1), grid))
    for norm in np.transpose(errors):
        assert slope(norm, resolutions) >= 1.9


def test_exact_diffusion_composes_and_solves_its_equation(globe, random):
    field = group_mean(random.normal(size=globe.shape), cap_groups(globe))
    whole = exact_diffusion(field, KAPPA, globe, DAY)
    halves = exact_diffusion(exact_diffusion(field, KAPPA, globe, DAY / 2), KAPPA, globe, DAY / 2)
    np.testing.assert_allclose(whole, halves, atol=1e-13)
    rate = np.asarray(jax.jit(jax.jacfwd(lambda time: exact_diffusion(field, KAPPA, globe, time)))(DAY))
    expected = KAPPA * laplacian(whole, globe)
    np.testing.assert_allclose(rate, expected, atol=1e-12 * np.abs(rate).max() + 1e-17)


@pytest.mark.parametrize("rows", [12, 24])
def test_implicit_explicit_and_exact_agree_for_short_steps(kind, rows, random):
    grid = Grid.parse(f"{180 / rows}{kind}")
    field = group_mean(random.normal(size=grid.shape), cap_groups(grid))
    differences = []
    for fraction in (1e-2, 1e-3):
        dt = fraction / diffusion_number(KAPPA, grid, 1.0).max()
        exact = exact_diffusion(field, KAPPA, grid, dt)
        implicit = implicit_diffusion(field, KAPPA, grid, dt)
        explicit = field + dt * diffusive_tendency(field, KAPPA, grid)
        differences.append([np.abs(other - exact).max() for other in (implicit, explicit)])
    for first, second in zip(*differences, strict=True):
        assert np.log10(first / second) == pytest.approx(2, abs=0.05)  # local error of a first-order step


@pytest.mark.parametrize("method", [implicit_diffusion, exact_diffusion])
def test_long_steps_keep_integral_signs_and_bounds(globe, method, random):
    field = group_mean(random.uniform(size=globe.shape) ** 4, cap_groups(globe))
    for dt in (1e2, 1e5, 1e15):
        result = method(field, KAPPA, globe, dt)
        assert integral(result, globe) == pytest.approx(integral(field, globe), rel=1e-13)
        assert result.min() >= field.min() - 1e-13
        assert result.max() <= field.max() + 1e-13
    np.testing.assert_allclose(result, integral(field, globe), rtol=1e-6)  # well mixed in the end


@pytest.mark.parametrize("grouped", [False, True])
def test_explicit_step_up_to_the_limit_keeps_integral_and_bounds(globe, grouped, random):
    """With a diffusivity that varies from cell to cell by four orders of magnitude."""
    groups = zonal_groups(globe, 1e6) if grouped else cap_groups(globe)
    field = group_mean(random.normal(size=globe.shape), groups)
    kappa = 10 ** random.uniform(2, 6, size=globe.shape)
    dt = 1 / diffusion_number(kappa, globe, 1.0, groups).max()
    result = field + dt * diffusive_tendency(field, kappa, globe, groups=groups)
    assert result.min() >= field.min()
    assert result.max() <= field.max()
    assert integral(result - field, globe) == pytest.approx(0, abs=1e-14)
    if grouped:  # wider cells allow longer steps
        assert dt > 1 / diffusion_number(kappa, globe, 1.0).max()


def test_variable_coefficient_is_second_order(kind):
    """The solution q = x of div(kappa grad q) = ((2 + z)(-2 x) - x z) / a^2 with kappa = 2 + z, values at centres."""

    def source(lon, lat):
        x, _, z = cartesian(lon, lat)
        return ((2 + z) * (-2 * x) - x * z) / EARTH_RADIUS**2

    errors, resolutions = [], (8, 12, 18)
    for rows in resolutions:
        grid = Grid.parse(f"{180 / rows}{kind}")
        exact, _, z = cartesian(grid.longitude_radians[None, :], grid.latitude_radians[:, None])
        size = exact.size

        @jax.jit
        @jax.jacfwd
        def matrix_of(q, grid=grid, z=z):
            q = zonal_group_mean(q.reshape(grid.shape), grid, cap_groups(grid))
            return diffusive_tendency(q, 2 + z, grid).ravel()

        matrix = np.asarray(matrix_of(np.zeros(size))) * EARTH_RADIUS**2
        right = cell_mean(source, grid).ravel() * EARTH_RADIUS**2
        solution = np.linalg.lstsq(matrix, right, rcond=1e-10)[0].reshape(grid.shape)
        solution = group_mean(solution, cap_groups(grid))
        errors.append(norms(solution - integral(solution, grid), exact, grid))
    for norm in np.transpose(errors):
        assert slope(norm, resolutions) >= 1.9


def test_one_number_and_a_uniform_field_of_it_agree(any_grid, random):
    field = random.normal(size=any_grid.shape)
    np.testing.assert_allclose(
        diffusive_tendency(field, np.full(any_grid.shape, KAPPA), any_grid),
        diffusive_tendency(field, KAPPA, any_grid),
        rtol=1e-12,
        atol=1e-20,
    )


def test_a_box_relaxes_to_its_boundary(random):
    grid = box(8, 9)
    around = np.full((10, 11), 5.0)
    for method in (exact_diffusion, implicit_diffusion):
        result = method(random.normal(size=grid.shape), KAPPA, grid, 1e12, around)
        np.testing.assert_allclose(result, 5.0, rtol=1e-4)


def test_hyperdiffusion_is_scale_selective(kind):
    grid = Grid.parse(f"7.5{kind}")
    large = cell_mean(harmonic(2), grid)
    rows = (-1.0) ** np.arange(grid.shape[0])[:, None] * np.cos(grid.latitude_radians)[:, None] ** 2
    small = np.broadcast_to(rows, grid.shape)
    left = [np.abs(hyperdiffusion(q, grid, 3600.0, 3600.0)).max() / np.abs(q).max() for q in (large, small)]
    assert left[0] > 0.999
    assert left[1] < 0.5
    constant = hyperdiffusion(np.ones(grid.shape), grid, 1e9, 3600.0)
    np.testing.assert_allclose(constant, 1.0, rtol=1e-13)


def test_a_bound_of_the_ratio_limits_the_decay_of_the_shortest_waves(kind):
    """Waves of two columns are at least as short as those of two rows, and the shorter the nearer to a pole."""
    grid = Grid.parse(f"7.5{kind}")
    rows = slice(1, -1)  # a row on a pole has one value
    columns = np.tile((-1.0) ** np.arange(grid.shape[1]), (grid.shape[0], 1))
    columns[[0, -1]] = 0
    bounded, free = (
        hyperdiffusion(columns, grid, 3600.0, 3600.0, 4, ratio)[rows] / columns[rows] for ratio in (0.5, np.inf)
    )
    np.testing.assert_allclose(bounded, np.exp(-(0.5**4)), rtol=1e-9)
    assert np.abs(free[0]).max() < 1e-3


def test_gradients(random):
    grid = Grid.parse("45deg+poles")
    field, kappa = random.normal(size=grid.shape), random.uniform(0.5, 1, size=grid.shape)
    scale = grid.meridional_spacing**2
    for function, arguments in (
        (lambda q, k: scale * diffusive_tendency(q, k, grid), (field, kappa)),
        (lambda q, k: exact_diffusion(q, k, grid, scale), (field, 0.3)),
        (lambda q, k: implicit_diffusion(q, k, grid, scale), (field, 0.3)),
    ):
        check_tangent_and_adjoint(function, arguments, random)
