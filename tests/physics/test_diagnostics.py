import jax
import numpy as np
import pytest
from exact.flows import SolidBody, gaussian_hill
from exact.gradients import check_tangent_and_adjoint
from exact.grids import box
from exact.programs import compiled
from exact.sphere import cell_mean, centre_values, corner_values, integral, norms, slope

from pinnwx.constants import EARTH_RADIUS, EARTH_ROTATION, REFERENCE_AIR_DENSITY
from pinnwx.grid import Grid
from pinnwx.operators.calculus import face_divergence, laplacian
from pinnwx.physics.diagnostics import (
    corner_mean,
    divergent_wind,
    face_velocity_from_streamfunction,
    geostrophic_wind,
    geostrophic_wind_from_pressure,
    helmholtz_decomposition,
    rotational_face_velocity,
    rotational_wind,
    streamfunction_from_potential_vorticity,
    streamfunction_from_vorticity,
    velocity_potential_from_divergence,
    vorticity_and_divergence,
)

face_divergence, laplacian, corner_mean, geostrophic_wind, geostrophic_wind_from_pressure = map(
    compiled, (face_divergence, laplacian, corner_mean, geostrophic_wind, geostrophic_wind_from_pressure)
)
rotational_wind, divergent_wind, rotational_face_velocity = map(
    compiled, (rotational_wind, divergent_wind, rotational_face_velocity)
)
streamfunction_from_vorticity, velocity_potential_from_divergence = map(
    compiled, (streamfunction_from_vorticity, velocity_potential_from_divergence)
)
streamfunction_from_potential_vorticity = compiled(streamfunction_from_potential_vorticity)
HILL = gaussian_hill(0.7, 0.9, sharpness=2.0)
SCALE = 1e8  # m2 s-1, of psi and chi


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=["deg", "deg+poles"])
def kind(request) -> str:
    return request.param


def hill_source(lon, lat):
    """laplacian(SCALE * HILL)."""
    q = HILL(lon, lat)
    m = 1 + np.log(q) / 4
    return SCALE * (16 * (1 - m**2) - 8 * m) * q / EARTH_RADIUS**2


def hill_gradient(lon, lat):
    """(d/dx, d/dy) of SCALE * HILL = SCALE exp(4 (m - 1)), m the cosine of the distance from its centre."""
    x = -np.cos(0.9) * np.sin(lon - 0.7)
    y = np.cos(lat) * np.sin(0.9) - np.sin(lat) * np.cos(0.9) * np.cos(lon - 0.7)
    return tuple(4 * SCALE * HILL(lon, lat) * part / EARTH_RADIUS for part in (x, y))


def convergence(kind, measure, resolutions=(16, 32, 64)):
    errors = [measure(Grid.parse(f"{180 / rows}{kind}")) for rows in resolutions]
    return [slope(norm, resolutions) for norm in np.transpose(errors)]


def wind_errors(wind, exact, grid):
    """l1 and l2 of both components together."""
    return [max(pair) for pair in zip(*(norms(w, e, grid)[:2] for w, e in zip(wind, exact, strict=True)), strict=True)]


@pytest.mark.parametrize("part", ["rotational", "divergent"])
def test_winds_from_their_source_are_second_order(kind, part):
    def measure(grid):
        source = cell_mean(hill_source, grid)
        x, y = (centre_values(lambda lon, lat, k=k: hill_gradient(lon, lat)[k], grid) for k in range(2))
        wind, exact = (rotational_wind, (-y, x)) if part == "rotational" else (divergent_wind, (x, y))
        return wind_errors(wind(source, grid), exact, grid)

    assert min(convergence(kind, measure)) >= 1.9


def test_there_and_back_again(kind):
    """psi and chi of a wind made of both, and its vorticity and divergence."""

    def measure(grid):
        x, y = (centre_values(lambda a, b, k=k: hill_gradient(a, b)[k], grid) for k in range(2))

        @jax.jit
        def back(u, v):
            return *helmholtz_decomposition(u, v, grid), *vorticity_and_divergence(u, v, grid)

        psi, chi, vorticity, divergence = back(x - 2 * y, y + 2 * x)
        exact = SCALE * centre_values(HILL, grid)
        exact -= integral(exact, grid)
        source = cell_mean(hill_source, grid)
        pairs = ((psi, 2 * exact), (chi, exact), (vorticity, 2 * source), (divergence, source))
        return [norms(found, right, grid)[0] for found, right in pairs]

    assert min(convergence(kind, measure)) >= 1.9


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["11.25deg", "11.25deg+poles", "box"])
def test_face_velocity_from_streamfunction_is_non_divergent(name, dtype):
    grid = box() if name == "box" else Grid.parse(name)
    vorticity = (1e-5 * np.random.default_rng(0).normal(size=(2, *grid.shape))).astype(dtype)
    wind = rotational_face_velocity(vorticity, grid)
    assert wind.east.dtype == wind.north.dtype == dtype
    rate = np.abs(wind.east).max() / grid.zonal_spacing.min()
    tolerance = 1e-14 if dtype == np.float64 else 2e-6  # psi is large beside its differences
    assert np.abs(face_divergence(wind, grid)).max() < tolerance * rate
    if grid.is_global:
        np.testing.assert_array_equal(wind.north[..., [0, -1], :], 0)


def test_face_velocity_of_exact_streamfunction_is_the_mean_over_the_face():
    """Of solid-body rotation over the poles: u = U sin(lat) cos(lon), v = -U sin(lon)."""
    grid, flow = Grid.parse("10deg+poles"), SolidBody(tilt=np.pi / 2)
    wind = flow.velocity(grid)
    half = 0.5 * np.deg2rad(grid.longitude_spacing)
    lower, upper = grid.latitude_edges[:-1], grid.latitude_edges[1:]
    height = (np.cos(lower) - np.cos(upper)) / (upper - lower)
    np.testing.assert_allclose(
        wind.east, flow.speed * height[:, None] * np.cos(grid.longitude_radians + half), atol=1e-10
    )
    expected = -flow.speed * np.sin(half) / half * np.sin(grid.longitude_radians)
    np.testing.assert_allclose(wind.north[1:-1], np.broadcast_to(expected, (18, 36)), atol=1e-10)


def test_corner_mean_meets_the_shape_and_is_second_order(kind):
    def measure(grid):
        corners = corner_mean(centre_values(HILL, grid), grid)
        exact = corner_values(HILL, grid)
        assert corners.shape == exact.shape
        assert np.ptp(corners[[0, -1]], axis=-1).max() < 1e-15
        return [np.abs(corners - exact).max()]

    assert min(convergence(kind, measure)) >= 1.9


def test_streamfunction_on_a_box_is_zero_beyond_its_edge_or_as_given():
    grid = box(9, 11)
    rng = np.random.default_rng(1)
    source = 1e-5 * rng.normal(size=grid.shape)
    for given in (None, 1e7 * rng.normal(size=(11, 13))):
        around = np.zeros((11, 13)) if given is None else given
        for solve in (streamfunction_from_vorticity, velocity_potential_from_divergence):
            np.testing.assert_allclose(laplacian(solve(source, grid, given), grid, around), source, atol=1e-17)


@pytest.mark.parametrize("name", ["11.25deg", "11.25deg+poles", "box"])
def test_potential_vorticity_is_inverted_to_round_off(name):
    """laplacian(psi) - psi / L^2 is what was inverted, its area mean too."""
    grid, radius = box() if name == "box" else Grid.parse(name), 1.5e6
    source = 1e-5 * np.random.default_rng(2).normal(size=grid.shape)
    if grid.has_pole_rows:
        source[[0, -1]] = source[[0, -1]].mean(-1, keepdims=True)
    psi = streamfunction_from_potential_vorticity(source, grid, radius)
    around = None if grid.is_global else np.zeros(tuple(count + 2 for count in grid.shape))
    np.testing.assert_allclose(laplacian(psi, grid, around) - psi / radius**2, source, atol=1e-17)
    infinite = streamfunction_from_potential_vorticity(source, grid)
    np.testing.assert_array_equal(infinite, streamfunction_from_vorticity(source, grid))


def test_geostrophic_wind_of_solid_body_rotation(kind):
    """Phi = -a (Omega U + U^2 / 2) sin^2(lat) balances with the gradient wind; geostrophically u = U cos(lat) (1 + ...)

    so take Phi = -a Omega U sin^2(lat), for which u = U cos(lat) and v = 0 exactly.
    """

    def measure(grid):
        phi = -EARTH_RADIUS * EARTH_ROTATION * 10 * np.sin(grid.latitude_radians)[:, None] ** 2 + np.zeros(grid.shape)
        u, v = geostrophic_wind(phi, grid)
        outside = np.abs(np.asarray(grid.latitude)) > 12
        assert np.abs(v).max() < 1e-9
        return [np.abs(u[outside] - 10 * np.cos(grid.latitude_radians)[outside, None]).max()]

    assert min(convergence(kind, measure, (18, 36, 72))) >= 1.9


def test_geostrophic_wind_is_bounded_at_the_equator():
    """By the steepest slope over the Coriolis parameter at 10 degrees, however fine the grid; zero on the equator."""
    limit = 2 * EARTH_ROTATION * np.sin(np.deg2rad(10))
    for name in ("10deg+poles", "2.5deg+poles"):
        grid = Grid.parse(name)
        slope_north = 1e-3 * np.cos(grid.latitude_radians)[:, None] + np.zeros(grid.shape)
        phi = 1e-3 * EARTH_RADIUS * np.sin(grid.latitude_radians)[:, None] + np.zeros(grid.shape)
        u, _ = geostrophic_wind(phi, grid)
        assert np.abs(u).max() <= slope_north.max() / limit
        np.testing.assert_array_equal(u[grid.shape[0] // 2], 0)


def test_geostrophic_wind_from_pressure_divides_by_density():
    grid = box()
    field = 1e5 + 1e3 * np.random.default_rng(2).normal(size=grid.shape)
    around = np.full((23, 26), 1e5)
    from_pressure = geostrophic_wind_from_pressure(field, grid, around)
    expected = geostrophic_wind(field / REFERENCE_AIR_DENSITY, grid, around / REFERENCE_AIR_DENSITY)
    for found, right in zip(from_pressure, expected, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-12)


def test_gradients():
    grid = Grid.parse("45deg+poles")
    rng = np.random.default_rng(3)
    vorticity = rng.normal(size=grid.shape)
    scale = 1 / EARTH_RADIUS
    check_tangent_and_adjoint(
        lambda z: [scale * c for c in (*rotational_wind(z, grid), *rotational_face_velocity(z, grid))],
        (vorticity,),
        rng,
    )
    corners = rng.normal(size=(grid.shape[0] + 1, grid.shape[1]))
    check_tangent_and_adjoint(lambda psi: face_velocity_from_streamfunction(psi, grid), (corners,), rng)
