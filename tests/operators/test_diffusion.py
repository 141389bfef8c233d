import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact.flows import cartesian
from exact.grids import box
from exact.sphere import cell_mean, centre_values, integral, norms, slope
from jax.test_util import check_grads

from pinnwx.constants import EARTH_RADIUS
from pinnwx.grid import Grid
from pinnwx.operators.calculus import laplacian
from pinnwx.operators.diffusion import diffusive_tendency, exact_diffusion, hyperdiffusion, implicit_diffusion
from pinnwx.operators.polar import cap_groups, zonal_group_mean, zonal_groups
from pinnwx.operators.stability import diffusion_number

pytestmark = pytest.mark.usefixtures("double")
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
        errors.append(norms(exact_diffusion(jnp.asarray(start), KAPPA, grid, time), start * np.exp(-1), grid))
    for norm in np.transpose(errors):
        assert slope(norm, resolutions) >= 1.9


def test_exact_diffusion_composes_and_solves_its_equation(globe, random):
    field = _capped(jnp.asarray(random.normal(size=globe.shape)), globe)
    whole = exact_diffusion(field, KAPPA, globe, DAY)
    halves = exact_diffusion(exact_diffusion(field, KAPPA, globe, DAY / 2), KAPPA, globe, DAY / 2)
    np.testing.assert_allclose(whole, halves, atol=1e-13)
    _, rate = jax.jvp(lambda time: exact_diffusion(field, KAPPA, globe, time), (DAY,), (1.0,))
    np.testing.assert_allclose(rate, KAPPA * laplacian(whole, globe), atol=1e-12 * float(jnp.abs(rate).max()) + 1e-17)


@pytest.mark.parametrize("rows", [12, 24])
def test_implicit_explicit_and_exact_agree_for_short_steps(kind, rows, random):
    grid = Grid.parse(f"{180 / rows}{kind}")
    field = _capped(jnp.asarray(random.normal(size=grid.shape)), grid)
    differences = []
    for fraction in (1e-2, 1e-3):
        dt = fraction / float(diffusion_number(KAPPA, grid, 1.0).max())
        exact = exact_diffusion(field, KAPPA, grid, dt)
        implicit = implicit_diffusion(field, KAPPA, grid, dt)
        explicit = field + dt * diffusive_tendency(field, KAPPA, grid)
        differences.append([float(jnp.abs(other - exact).max()) for other in (implicit, explicit)])
    for first, second in zip(*differences, strict=True):
        assert np.log10(first / second) == pytest.approx(2, abs=0.05)  # local error of a first-order step


@pytest.mark.parametrize("method", [implicit_diffusion, exact_diffusion])
def test_long_steps_keep_integral_signs_and_bounds(globe, method, random):
    field = _capped(jnp.asarray(random.uniform(size=globe.shape) ** 4), globe)
    for dt in (1e2, 1e5, 1e15):
        result = method(field, KAPPA, globe, dt)
        assert integral(result, globe) == pytest.approx(integral(field, globe), rel=1e-13)
        assert float(result.min()) >= float(field.min()) - 1e-13
        assert float(result.max()) <= float(field.max()) + 1e-13
    np.testing.assert_allclose(result, integral(field, globe), rtol=1e-6)  # well mixed in the end


@pytest.mark.parametrize("grouped", [False, True])
def test_explicit_step_up_to_the_limit_keeps_integral_and_bounds(globe, grouped, random):
    """With a diffusivity that varies from cell to cell by four orders of magnitude."""
    groups = zonal_groups(globe, 1e6) if grouped else cap_groups(globe)
    field = zonal_group_mean(jnp.asarray(random.normal(size=globe.shape)), globe, groups)
    kappa = jnp.asarray(10 ** random.uniform(2, 6, size=globe.shape))
    dt = 1 / float(diffusion_number(kappa, globe, 1.0, groups).max())
    result = field + dt * diffusive_tendency(field, kappa, globe, groups=groups)
    assert float(result.min()) >= float(field.min())
    assert float(result.max()) <= float(field.max())
    assert integral(result - field, globe) == pytest.approx(0, abs=1e-14)
    if grouped:  # wider cells allow longer steps
        assert dt > 1 / float(diffusion_number(kappa, globe, 1.0).max())


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
        def operator(q, grid=grid, z=z):
            q = _capped(q.reshape(grid.shape), grid)
            return diffusive_tendency(q, jnp.asarray(2 + z), grid).ravel()

        matrix = np.asarray(jax.jacfwd(operator)(jnp.zeros(size))) * EARTH_RADIUS**2
        right = cell_mean(source, grid).ravel() * EARTH_RADIUS**2
        solution = np.linalg.lstsq(matrix, right, rcond=1e-10)[0].reshape(grid.shape)
        solution = np.asarray(_capped(jnp.asarray(solution), grid))
        errors.append(norms(solution - integral(solution, grid), exact, grid))
    for norm in np.transpose(errors):
        assert slope(norm, resolutions) >= 1.9


def test_one_number_and_a_uniform_field_of_it_agree(any_grid, random):
    field = jnp.asarray(random.normal(size=any_grid.shape))
    np.testing.assert_allclose(
        diffusive_tendency(field, jnp.full(any_grid.shape, KAPPA), any_grid),
        diffusive_tendency(field, KAPPA, any_grid),
        rtol=1e-12,
        atol=1e-20,
    )


def test_a_box_relaxes_to_its_boundary(random):
    grid = box(8, 9)
    around = jnp.full((10, 11), 5.0)
    for method in (exact_diffusion, implicit_diffusion):
        result = method(jnp.asarray(random.normal(size=grid.shape)), KAPPA, grid, 1e12, around)
        np.testing.assert_allclose(result, 5.0, rtol=1e-4)


def test_hyperdiffusion_is_scale_selective(kind):
    grid = Grid.parse(f"7.5{kind}")
    large = jnp.asarray(cell_mean(harmonic(2), grid))
    rows = (-1.0) ** np.arange(grid.shape[0])[:, None] * np.cos(grid.latitude_radians)[:, None] ** 2
    small = jnp.asarray(np.broadcast_to(rows, grid.shape))
    left = [float(jnp.abs(hyperdiffusion(q, grid, 3600.0, 3600.0)).max() / jnp.abs(q).max()) for q in (large, small)]
    assert left[0] > 0.999
    assert left[1] < 0.5
    constant = hyperdiffusion(jnp.ones(grid.shape), grid, 1e9, 3600.0)
    np.testing.assert_allclose(constant, 1.0, rtol=1e-13)


def test_a_bound_of_the_ratio_limits_the_decay_of_the_shortest_waves(kind):
    """Waves of two columns are at least as short as those of two rows, and the shorter the nearer to a pole."""
    grid = Grid.parse(f"7.5{kind}")
    rows = slice(1, -1)  # a row on a pole has one value
    columns = (
        jnp.broadcast_to(jnp.asarray((-1.0) ** np.arange(grid.shape[1])), grid.shape).at[jnp.array([0, -1])].set(0)
    )
    bounded, free = (hyperdiffusion(columns, grid, 3600.0, 3600.0, 4, ratio) / columns for ratio in (0.5, np.inf))
    np.testing.assert_allclose(bounded[rows], np.exp(-(0.5**4)), rtol=1e-9)
    assert np.abs(free[1]).max() < 1e-3


def test_gradients(random):
    grid = Grid.parse("45deg+poles")
    field, kappa = jnp.asarray(random.normal(size=grid.shape)), jnp.asarray(random.uniform(0.5, 1, size=grid.shape))
    scale = grid.meridional_spacing**2
    for function, arguments in (
        (lambda q, k: scale * diffusive_tendency(q, k, grid), (field, kappa)),
        (lambda q, k: exact_diffusion(q, k, grid, scale), (field, 0.3)),
        (lambda q, k: implicit_diffusion(q, k, grid, scale), (field, 0.3)),
    ):
        check_grads(jax.jit(function), arguments, order=1, modes=("fwd", "rev"))


def _capped(field, grid):
    return zonal_group_mean(field, grid, cap_groups(grid))
