"""Semi-Lagrangian transport of a stack of fields: what it keeps, how accurate it is, and what each term did."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact.flows import DAY, SolidBody, gaussian_hill
from exact.grids import box
from exact.programs import compiled
from exact.sphere import centre_values, integral, norms, slope
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import config, forecaster, smooth_noise, states, step_features, transport

from pinnwx.constants import EARTH_RADIUS, EARTH_ROTATION
from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.model.rollout import rollout
from pinnwx.physics.equation import Equation
from pinnwx.physics.transport import EulerianTransport, SemiLagrangianTransport
from pinnwx.physics.transported_field import TransportedField
from pinnwx.physics.winds import PrognosticWind

GLOBE, POLES, BOX = Grid.parse("11.25deg"), Grid.parse("11.25deg+poles"), box()
SIX_HOURS = 6 * 3600.0
WIND, OTHER = PrognosticWind("500"), PrognosticWind("850")
TRACER = TransportedField("q500", WIND, form="flux", scheme="limited", conserved=True)
EQUATIONS = (
    TransportedField("t500", WIND, scheme="limited"),
    TransportedField("vo850", OTHER, form="flux", absolute_vorticity=True),
    TransportedField("z500", WIND, diffusivity=1e5),
)


def method(grid, equations=EQUATIONS, interval=SIX_HOURS, substeps=1, kind=SemiLagrangianTransport):
    return kind(equations, grid, interval, substeps, right_hand_side=Equation.of(equations))


def random_winds(grid, count, seed, speed):
    values = np.random.default_rng(seed).standard_normal((count, *grid.shape, 2))
    return np.float32(speed * values)


def run_of(solver):
    kappa = np.float32([one.diffusivity for one in solver.equations])
    run = compiled(solver.advance)
    return lambda fields, winds: run(fields, winds, kappa)


@pytest.mark.parametrize("grid", [GLOBE, POLES], ids=["globe", "pole rows"])
def test_a_conserved_field_keeps_its_integral_and_its_sign_in_any_wind(grid):
    run = run_of(method(grid, (TRACER,), substeps=2))

    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), speed=st.floats(-1, 5).map(lambda power: 10.0**power))
    def holds(seed, speed):
        generator = np.random.default_rng(seed)
        start = generator.uniform(0, 1, (1, *grid.shape)) * (generator.uniform(0, 1, (1, *grid.shape)) > 0.6)
        if grid.has_pole_rows:
            start[:, [0, -1]] = start[:, [0, -1], :1]
        after, _ = run(start.astype(np.float32), random_winds(grid, 1, seed, speed))
        assert integral(after, grid) == pytest.approx(integral(start, grid), rel=1e-5)
        assert after.min() >= 0
        assert after.max() <= start.max() * (1 + 1e-6)

    holds()


@pytest.mark.parametrize("grid", [GLOBE, POLES, BOX], ids=["globe", "pole rows", "box"])
def test_the_parts_add_up_to_the_change_in_any_wind(grid):
    solver = method(grid, substeps=2)
    kappa = jnp.asarray([0.0, 0.0, 1e5])
    run = run_of(solver)
    split = compiled(lambda q, one, two: solver.increments(q, {"physical_wind": one, "learned_wind": two}, kappa))
    for seed, (speed, other) in enumerate([(10.0, 3.0), (300.0, 0.0), (1e4, 1e3)]):
        scale = np.array([10.0, 1e-5, 100.0])[:, None, None]
        start = np.float32(scale * smooth_noise(grid, 3, seed))
        physical, learned = random_winds(grid, 3, seed, speed), random_winds(grid, 3, seed + 9, other)
        _, change = run(start, physical + learned)
        assert np.isfinite(change).all()
        parts = split(start, physical, learned)
        assert parts.keys() == {
            "advection_by_physical_wind", "advection_by_learned_wind", "planetary_vorticity", "diffusion"
        }  # fmt: skip
        size = sum(np.abs(part).max((1, 2), keepdims=True) for part in (*parts.values(), start, change))
        np.testing.assert_allclose(sum(parts.values()) / size, change / size, atol=4e-6)
        if not other:
            assert not parts["advection_by_learned_wind"].any()


def test_planetary_vorticity_is_minus_beta_v_for_a_short_step():
    """In wind without divergence, over the poles; f is 1.5e-4 s-1, so float64."""
    flow, minute = SolidBody(np.pi / 2), 60.0
    with jax.enable_x64(True):
        grid = Grid.parse("5.625deg")
        solver = method(grid, (TransportedField("vo850", OTHER, absolute_vorticity=True),), minute)
        wind = np.stack(flow.wind(grid), axis=-1)[None]
        parts = compiled(solver.increments)(np.zeros((1, *grid.shape)), {"physical_wind": wind}, np.zeros(1))
    beta = 2 * EARTH_ROTATION * np.cos(grid.latitude_radians)[:, None] / EARTH_RADIUS
    expected = -beta * np.asarray(flow.wind(grid)[1]) * minute
    np.testing.assert_allclose(parts["planetary_vorticity"][0], expected, atol=0.01 * np.abs(expected).max())


def test_a_uniform_density_thins_where_the_wind_diverges():
    """Flux form: dq/dt = -q D for a short step, and second order in the sub-step for a long one."""
    grid = Grid.parse("5.625deg")
    north = 20.0 * np.cos(grid.latitude_radians)[:, None] * np.ones(grid.shape)  # D = -40 sin(lat) / a
    density = (TransportedField("q500", OTHER, form="flux"),)
    with jax.enable_x64(True):
        ones = np.ones((1, *grid.shape))
        wind = np.stack([np.zeros(grid.shape), north], axis=-1)[None]

        def after(interval, substeps):
            solver = method(grid, density, interval, substeps)
            return compiled(solver.advance)(ones, wind, np.zeros(1))[0][0]

        rate = (after(600.0, 1) - 1) / 600.0
        expected = 40.0 * np.sin(grid.latitude_radians)[:, None] / EARTH_RADIUS * np.ones(grid.shape)
        np.testing.assert_allclose(rate, expected, atol=0.02 * expected.max())
        assert integral(after(600.0, 1), grid) == pytest.approx(1, abs=2e-4)
        exact = after(4 * DAY, 64)
        errors = [np.abs(after(4 * DAY, substeps) - exact).max() for substeps in (2, 4, 8)]
    assert slope(errors, (2, 4, 8)) >= 1.7, errors


@pytest.mark.parametrize("tilt", [0.0, np.pi / 2], ids=["along the equator", "over the poles"])
def test_a_hill_arrives_in_one_step_of_many_cells(tilt):
    """A twelfth of a turn in one step: 4 cells at the equator of this grid, many more near the poles."""
    grid = Grid.parse("7.5deg")
    flow, hill = SolidBody(tilt), gaussian_hill(0.3, 0.4)
    duration = flow.period / 12
    wind = np.stack(flow.wind(grid), axis=-1).astype(np.float32)[None]
    start = centre_values(hill, grid).astype(np.float32)[None]
    exact = centre_values(flow.solution(hill, duration), grid)
    field = (TransportedField("t500", WIND),)
    after, _ = run_of(method(grid, field, duration))(start, wind)
    eulerian, _ = run_of(method(grid, field, duration, 16, EulerianTransport))(start, wind)
    errors = [norms(one[0], exact, grid)[1] for one in (after, eulerian)]
    assert errors[0] < 0.01, errors
    assert errors[0] < errors[1], errors


def test_a_fast_wind_is_slowed_only_beyond_half_a_turn():
    solver = method(GLOBE, (TransportedField("t500", WIND),), DAY)
    fast = np.zeros((1, *GLOBE.shape, 2))
    fast[..., 0] = 140.0
    assert compiled(solver.slowing)(fast).max() == pytest.approx(140 * DAY / 2 / EARTH_RADIUS)


NAMES = ("t850", "u850", "v850")
PHYSICS = 'method = "semi_lagrangian"\nwind_updates = 2\n'


@pytest.mark.slow
def test_a_model_with_it_has_finite_gradients():
    table = transport("t850", wind="prognostic:850", learned_wind=True)
    model = forecaster(config(NAMES, physics=PHYSICS + table))
    fields = states(NAMES, Grid.parse("22.5deg"))

    @jax.jit
    def end(initial):
        def loss(initial):
            return jnp.mean((rollout(model, initial[:, None], step_features(2, 2))[-1] / 100) ** 2)

        return jax.value_and_grad(loss)(initial)

    value, gradient = end(fields)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient)[:, 0].max() > 0


def test_what_it_cannot_do_is_refused():
    with pytest.raises(ConfigError, match='scheme = "upwind1" of t850 needs method = "eulerian"'):
        config(NAMES, physics=PHYSICS + transport("t850", wind="prognostic:850", scheme="upwind1"))
    uneven = Grid.from_coordinates(np.linspace(-86, 86, 16), np.arange(0.0, 360.0, 22.5))
    assert uneven.is_global
    with pytest.raises(ConfigError, match="a pole lies neither"):
        forecaster(config(NAMES, physics=PHYSICS + transport("t850", wind="prognostic:850")), uneven)
