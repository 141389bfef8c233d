"""What the advection schemes guarantee: conservation, signs, bounds, constants, symmetry, gradients."""

import jax
import numpy as np
import pytest
from exact.gradients import check_tangent_and_adjoint
from exact.grids import box
from exact.programs import compiled
from exact.sphere import group_mean, integral
from hypothesis import given, settings
from hypothesis import strategies as st

from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.operators.advection import SCHEMES, FaceVelocity, advective_tendency, face_velocity, flux_divergence
from pinnwx.operators.calculus import face_divergence
from pinnwx.operators.polar import cap_groups, zonal_group_mean, zonal_groups
from pinnwx.operators.stability import courant_number, limit_outflow
from pinnwx.physics.diagnostics import face_velocity_from_streamfunction

pytestmark = pytest.mark.usefixtures("double")
flux_divergence, advective_tendency, face_velocity, courant_number, limit_outflow = map(
    compiled, (flux_divergence, advective_tendency, face_velocity, courant_number, limit_outflow)
)
face_velocity_from_streamfunction = compiled(face_velocity_from_streamfunction)
GRIDS = {"deg": Grid.parse("22.5deg"), "deg+poles": Grid.parse("22.5deg+poles"), "box": box(8, 9)}
BOUNDED = [name for name, scheme in SCHEMES.items() if scheme.outflow_limit]


def any_wind(grid, rng, speed=30.0) -> FaceVelocity:
    """Random on every face, also through poles and the edge of a box."""
    rows, columns = grid.shape
    east = rng.normal(size=(rows, columns + (not grid.is_periodic)))
    return FaceVelocity(speed * east, speed * rng.normal(size=(rows + 1, columns)))


def non_divergent_wind(grid, rng, speed=30.0) -> FaceVelocity:
    rows, columns = grid.shape
    corners = rng.normal(size=(rows + 1, columns + (not grid.is_periodic))) * speed * grid.meridional_spacing
    if grid.is_global:
        corners[[0, -1]] = corners[[0, -1], :1]  # one value on a pole
    return face_velocity_from_streamfunction(corners, grid)


def rough_field(grid, rng, groups=None):
    """Not negative, mostly zero, with spikes of very different height."""
    field = rng.uniform(size=grid.shape) ** 8 * 10.0 ** rng.integers(-6, 4, size=grid.shape)
    field = field * (rng.uniform(size=grid.shape) < 0.4)
    return group_mean(field, groups or cap_groups(grid))


def safe_step(wind, grid) -> float:
    return 1 / float(courant_number(wind, grid, 1.0).max())


def euler(q, velocity, grid, dt, scheme, groups=None, form=flux_divergence):
    return q + dt * form(q, velocity, grid, scheme, groups=groups)


def heun(q, *given, **named):
    return 0.5 * (q + euler(euler(q, *given, **named), *given, **named))


def ssprk3_step(q, *given, **named):
    second = 0.75 * q + 0.25 * euler(euler(q, *given, **named), *given, **named)
    return q / 3 + 2 / 3 * euler(second, *given, **named)


# conservation


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_area_integral_is_kept_over_a_thousand_steps(scheme, dtype, kind, random):
    grid = GRIDS[kind]
    wind = jax.tree.map(lambda face: face.astype(dtype), non_divergent_wind(grid, random))
    dt = 0.4 * safe_step(wind, grid)
    start = group_mean((1 + random.uniform(size=grid.shape)).astype(dtype), cap_groups(grid))

    def step(q, _):
        return heun(q, wind, grid, dt, scheme), None

    end = np.asarray(jax.jit(lambda q: jax.lax.scan(step, q, length=1000)[0])(start))
    assert end.dtype == dtype
    assert np.abs(end - start).max() > 0.01  # something happened
    error = abs(integral(end, grid) / integral(start, grid) - 1)
    assert error < (1e-12 if dtype == np.float64 else 1e-6)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_tendency_integrates_to_zero_in_any_wind(scheme, kind, random):
    grid = GRIDS[kind]
    groups = zonal_groups(grid, 1.5e6)
    q = random.normal(size=(3, *grid.shape))
    tendency = flux_divergence(q, any_wind(grid, random), grid, scheme, groups=groups)
    np.testing.assert_array_less(abs(integral(tendency, grid)), 1e-13 * integral(np.abs(tendency), grid))


def test_what_a_box_loses_goes_through_its_edge(random):
    grid = GRIDS["box"]
    q, wind = random.uniform(size=grid.shape), any_wind(grid, random)
    around = random.uniform(size=(12, 13))
    tendency = flux_divergence(q, wind, grid, "upwind1", boundary=around)
    ghost = around[1:-1, 1:-1]

    def through(velocity, before, after, length):
        return np.sum(velocity * np.where(velocity > 0, before, after) * length)

    lost = (
        through(wind.east[:, -1], q[:, -1], ghost[1:-1, -1], grid.east_face_length)
        - through(wind.east[:, 0], ghost[1:-1, 0], q[:, 0], grid.east_face_length)
        + through(wind.north[-1], q[-1], ghost[-1, 1:-1], grid.north_face_length[-1])
        - through(wind.north[0], ghost[0, 1:-1], q[0], grid.north_face_length[0])
    )
    assert (tendency * grid.cell_area[:, None]).sum() == pytest.approx(-lost, rel=1e-12)


# signs and bounds

_positive = {
    (name, scheme, coarse): jax.jit(
        lambda q, wind, dt, grid=grid, scheme=scheme, groups=groups: [
            step(
                q,
                limit_outflow(wind, grid, dt, SCHEMES[scheme].outflow_limit * (1 - 1e-5), groups),
                grid,
                dt,
                scheme,
                groups,
            )
            for step in (euler, heun, ssprk3_step)
        ]
    )
    for name, grid in GRIDS.items()
    for scheme in BOUNDED
    for coarse in (False, True)
    for groups in [zonal_groups(grid, 2e6) if coarse else cap_groups(grid)]
}


@settings(max_examples=25, deadline=None)
@given(
    case=st.sampled_from(sorted(_positive)),
    seed=st.integers(0, 2**32 - 1),
    dt=st.floats(10, 1e6),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_positive_in_any_wind(case, seed, dt, dtype):
    """Also for a wind that would empty a cell many times over: `limit_outflow` slows it."""
    name, _, coarse = case
    grid, rng = GRIDS[name], np.random.default_rng(seed)
    groups = zonal_groups(grid, 2e6) if coarse else cap_groups(grid)
    with jax.enable_x64(True):
        q = rough_field(grid, rng, groups).astype(dtype)
        wind = jax.tree.map(lambda face: face.astype(dtype), any_wind(grid, rng))
        for result in _positive[case](q, wind, np.asarray(dt, dtype)):
            assert np.asarray(result).min() >= 0.0


@pytest.mark.parametrize("scheme", BOUNDED)
def test_the_limit_for_positivity_is_sharp(scheme):
    """Just above the limit one cell between an empty and a full one is overdrawn."""
    grid = box(3, 9)
    q = np.zeros(grid.shape)
    q[1, 4], q[1, 5:] = 1.0, 1e6
    wind = FaceVelocity(np.zeros((3, 10)), np.zeros((4, 9)))
    wind.east[1, 4:] = 10.0
    per_second = courant_number(wind, grid, 1.0)[1, 4]
    limit = SCHEMES[scheme].outflow_limit
    assert euler(q, wind, grid, 0.999 * limit / per_second, scheme)[1, 4] > 0
    assert euler(q, wind, grid, 1.01 * limit / per_second, scheme)[1, 4] < 0


def test_centred2_does_not_keep_signs(random):
    """So that the tests above can fail."""
    grid = GRIDS["deg"]
    wind = limit_outflow(any_wind(grid, random), grid, 3600.0, 0.1)
    assert euler(rough_field(grid, random), wind, grid, 3600.0, "centred2").min() < 0


_bounded = {
    (name, scheme, form.__name__): jax.jit(
        lambda q, wind, dt, grid=grid, scheme=scheme, form=form: jax.lax.scan(
            lambda q, _: (heun(q, wind, grid, dt, scheme, form=form), None), q, length=10
        )[0]
    )
    for name, grid in GRIDS.items()
    for scheme in BOUNDED
    for form in (flux_divergence, advective_tendency)
}


@settings(max_examples=25, deadline=None)
@given(case=st.sampled_from(sorted(_bounded)), seed=st.integers(0, 2**32 - 1))
def test_no_new_extrema(case, seed):
    """In non-divergent wind in flux form, and in any wind in advective form."""
    name, scheme, form = case
    grid, rng = GRIDS[name], np.random.default_rng(seed)
    with jax.enable_x64(True):
        wind = (any_wind if form == "advective_tendency" else non_divergent_wind)(grid, rng)
        both_ways = courant_number(wind, grid, 1.0) + courant_number(FaceVelocity(-wind.east, -wind.north), grid, 1.0)
        dt = 2 * SCHEMES[scheme].outflow_limit / float(both_ways.max())
        start = group_mean(rng.normal(size=grid.shape), cap_groups(grid))
        end = np.asarray(_bounded[case](start, wind, dt))
        assert end.min() >= start.min() - 1e-12
        assert end.max() <= start.max() + 1e-12


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_constant_stays_constant(scheme, grid, random):
    """In non-divergent wind; in advective form in any wind."""
    constant = np.full(grid.shape, 3.0)
    wind, other = non_divergent_wind(grid, random), any_wind(grid, random)
    rate = 3.0 / safe_step(wind, grid)
    assert np.abs(flux_divergence(constant, wind, grid, scheme)).max() < 1e-13 * rate
    rate = 3.0 / safe_step(other, grid)
    assert np.abs(advective_tendency(constant, other, grid, scheme)).max() < 1e-13 * rate


def test_centred2_keeps_the_square_in_non_divergent_wind(kind, random):
    """Its operator is antisymmetric under the area-weighted inner product."""
    grid = GRIDS[kind]
    wind = non_divergent_wind(grid, random)
    q = group_mean(random.normal(size=grid.shape), cap_groups(grid))
    tendency = flux_divergence(q, wind, grid, "centred2")
    assert abs(integral(q * tendency, grid)) < 1e-13 * integral(np.abs(q * tendency), grid)


# symmetry


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_shift_in_longitude_commutes(scheme, kind, random):
    grid = GRIDS[kind]
    q, wind = random.normal(size=grid.shape), any_wind(grid, random)
    shifted = flux_divergence(np.roll(q, 5, -1), FaceVelocity(*(np.roll(f, 5, -1) for f in wind)), grid, scheme)
    expected = np.roll(flux_divergence(q, wind, grid, scheme), 5, -1)
    np.testing.assert_allclose(shifted, expected, rtol=1e-12, atol=1e-14 * np.abs(expected).max())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_reflections_commute(scheme, kind, random):
    """Mirrored at the equator, and from east to west."""
    grid = GRIDS[kind]
    q, wind = random.normal(size=grid.shape), any_wind(grid, random)
    plain = flux_divergence(q, wind, grid, scheme)
    tolerance = {"rtol": 1e-10, "atol": 1e-13 * np.abs(plain).max()}
    upside_down = FaceVelocity(np.flip(wind.east, -2), -np.flip(wind.north, -2))
    np.testing.assert_allclose(
        flux_divergence(np.flip(q, -2), upside_down, grid, scheme), np.flip(plain, -2), **tolerance
    )
    # face i lies east of column i, so a mirrored face moves by one column more than a mirrored cell
    mirrored = FaceVelocity(-np.roll(np.flip(wind.east, -1), -1, -1), np.flip(wind.north, -1))
    np.testing.assert_allclose(flux_divergence(np.flip(q, -1), mirrored, grid, scheme), np.flip(plain, -1), **tolerance)


# derivatives


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_gradients_are_right_forward_and_backward(scheme, grid, random):
    groups = zonal_groups(grid, 1.5e6)
    q = group_mean(random.normal(size=grid.shape), groups)
    wind = any_wind(grid, random, speed=1.0)

    def tendency(q, east, north):
        wind = FaceVelocity(east, north)
        return 1e6 * flux_divergence(zonal_group_mean(q, grid, groups), wind, grid, scheme, groups=groups)

    check_tangent_and_adjoint(tendency, (q, *wind), random)


def test_batches_and_vmap_agree_with_single_fields(any_grid, random):
    q = random.normal(size=(4, *any_grid.shape))
    wind = any_wind(any_grid, random)
    together = flux_divergence(q, wind, any_grid, "limited")
    np.testing.assert_allclose(jax.vmap(lambda q: flux_divergence(q, wind, any_grid, "limited"))(q), together)
    np.testing.assert_allclose(flux_divergence(q[2], wind, any_grid, "limited"), together[2], rtol=1e-12)


def test_face_velocity_of_centre_winds(any_grid, random):
    east, north = (random.normal(size=any_grid.shape) for _ in range(2))
    wind = face_velocity(east, north, any_grid)
    if any_grid.is_global:
        np.testing.assert_allclose(wind.east[:, 3], 0.5 * (east[:, 3] + east[:, 4]))
        np.testing.assert_array_equal(wind.north[[0, -1]], 0.0)
    else:
        np.testing.assert_allclose(wind.east[:, 3], 0.5 * (east[:, 2] + east[:, 3]))
    np.testing.assert_allclose(wind.north[3], 0.5 * (north[2] + north[3]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_follows_the_field(any_grid, dtype):
    rows, columns = any_grid.shape
    shapes = (rows, columns + (not any_grid.is_periodic)), (rows + 1, columns)
    wind = FaceVelocity(*(jax.ShapeDtypeStruct(shape, dtype) for shape in shapes))
    field = jax.ShapeDtypeStruct((rows, columns), dtype)
    groups = zonal_groups(any_grid, 1e6)
    for scheme in SCHEMES:
        for form in (flux_divergence, advective_tendency):
            assert jax.eval_shape(lambda q, v: form(q, v, any_grid, scheme, groups=groups), field, wind).dtype == dtype  # noqa: B023
    assert jax.eval_shape(lambda v: face_divergence(limit_outflow(v, any_grid, 60.0), any_grid), wind).dtype == dtype


def test_an_unknown_scheme_is_refused():
    grid = GRIDS["deg"]
    with pytest.raises(ConfigError, match='"ppm"; known are upwind1'):
        flux_divergence(np.zeros(grid.shape), any_wind(grid, np.random.default_rng(0)), grid, "ppm")
