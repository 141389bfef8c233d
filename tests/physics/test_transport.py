"""Transport over an interval: safe in any wind, conservative, and untouched where there is nothing to make safe."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact.flows import SolidBody, gaussian_hill
from exact.programs import compiled
from exact.sphere import cell_mean, integral, norms, slope
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import smooth_noise

from pinnwx.grid import Grid
from pinnwx.operators.advection import FaceVelocity, face_velocity
from pinnwx.operators.polar import between_groups
from pinnwx.operators.stability import courant_number, diffusion_number
from pinnwx.physics.equation import Equation
from pinnwx.physics.transport import EulerianTransport
from pinnwx.physics.transported_field import TransportedField

courant_number, diffusion_number = compiled(courant_number), compiled(diffusion_number)
GLOBE, POLES = Grid.parse("11.25deg"), Grid.parse("11.25deg+poles")
BOX = Grid.from_coordinates(np.arange(30.0, 50.0, 2.5), np.arange(-10.0, 20.0, 2.5))
SIX_HOURS = 6 * 3600.0
TRACER = TransportedField("q500", form="flux", scheme="limited", conserved=True)
EQUATIONS = (
    TRACER,
    TransportedField("t500", form="advective"),
    TransportedField("z500", form="flux", scheme="upwind1"),
)
SEEDS = st.integers(0, 2**32 - 1)
SPEEDS = st.floats(-1, 5).map(lambda power: 10.0**power)  # m s-1, up to far beyond any wind


def solver(grid, equations=EQUATIONS, interval=SIX_HOURS, **options) -> EulerianTransport:
    diffusive = options.pop("diffusive", False)
    right_hand_side = Equation.of(equations, diffusive=diffusive)
    return EulerianTransport(equations, grid, interval, right_hand_side=right_hand_side, **({"substeps": 2} | options))


def random_wind(grid: Grid, count: int, seed: int, speed: float, dtype=np.float32) -> FaceVelocity:
    """Rough winds: every face its own."""
    generator = np.random.default_rng(seed)
    rows, columns = grid.shape
    east = speed * generator.standard_normal((count, rows, columns + (not grid.is_periodic)))
    north = speed * generator.standard_normal((count, rows + 1, columns)) * (grid.north_face_length[:, None] > 0)
    return FaceVelocity(east.astype(dtype), north.astype(dtype))


def random_tracer(grid: Grid, count: int, seed: int, dtype=np.float32) -> np.ndarray:
    """Patches between empty cells, of any size."""
    generator = np.random.default_rng(seed)
    patches = generator.uniform(0, 1, (count, *grid.shape)) * (generator.uniform(0, 1, (count, *grid.shape)) > 0.6)
    return (patches * 10.0 ** generator.uniform(-3, 3)).astype(dtype)


def jitted(transport: EulerianTransport):
    return compiled(lambda fields, wind, kappa: transport(fields, wind, kappa))


@pytest.mark.parametrize("grid", [GLOBE, POLES, BOX], ids=["globe", "pole rows", "box"])
def test_outflow_is_limited_in_any_wind(grid):
    transport = solver(grid, courant_limit=0.8)
    safe = jax.jit(transport.term_context)

    @settings(max_examples=20, deadline=None)
    @given(seed=SEEDS, speed=SPEEDS)
    def holds(seed, speed):
        made = safe(random_wind(grid, 3, seed, speed), np.full(3, 1e12, np.float32))
        largest = courant_number(made.velocity, grid, transport.substep, transport.groups).max(axis=(1, 2))
        assert (largest <= np.array([0.5, 0.8, 0.8]) * (1 + 1e-6)).all()
        assert diffusion_number(np.asarray(made.diffusivity)[0], grid, transport.substep, transport.groups).max() <= 1

    holds()


@pytest.mark.parametrize("grid", [GLOBE, POLES], ids=["globe", "pole rows"])
def test_a_moderate_wind_is_not_touched(grid):
    transport = solver(grid)
    wind = random_wind(grid, 3, 0, 5.0)
    assert courant_number(wind, grid, transport.substep, transport.groups).max() < transport.courant_limits.min()
    made = jax.device_get(jax.jit(transport.term_context)(wind, np.float32([0.0, 1e3, 1e4])))
    np.testing.assert_array_equal(made.velocity.north, wind.north)
    open_faces = np.broadcast_to(between_groups(grid, transport.groups), wind.east.shape)
    np.testing.assert_array_equal(made.velocity.east[open_faces], wind.east[open_faces])
    assert not made.velocity.east[~open_faces].any()
    np.testing.assert_array_equal(made.diffusivity, np.float32([0.0, 1e3, 1e4]))
    middle = np.abs(np.asarray(grid.latitude)) < 60
    assert set(np.array(transport.groups)[middle]) == {1}, "away from the poles nothing is merged"


@pytest.mark.parametrize(("grid", "solver_name"), [(GLOBE, "euler"), (POLES, "heun"), (GLOBE, "ssprk3")])
def test_conserved_in_any_wind(grid, solver_name):
    """The integral to 1e-6 in float32, and no value below zero, whatever the wind."""
    transport = solver(grid, (TRACER,), solver=solver_name)
    run = jitted(transport)

    @settings(max_examples=25, deadline=None)
    @given(seed=SEEDS, speed=SPEEDS)
    def holds(seed, speed):
        start = random_tracer(grid, 1, seed)
        after, before = run(start, random_wind(grid, 1, seed, speed), np.zeros(1, np.float32))
        assert integral(before, grid) == pytest.approx(integral(start, grid), rel=1e-6)
        assert integral(after, grid) == pytest.approx(integral(before, grid), rel=1e-6)
        assert after.min() >= 0

    holds()


def test_conserved_in_any_wind_while_it_diffuses():
    """Diffusion takes its share of a cell beside the wind's: together they still leave nothing below zero."""
    transport = solver(GLOBE, (TRACER,), diffusive=True)
    run = jitted(transport)

    @settings(max_examples=25, deadline=None)
    @given(seed=SEEDS, speed=SPEEDS, share=st.floats(0, 2))
    def holds(seed, speed, share):
        start = random_tracer(GLOBE, 1, seed)
        kappa = np.full(1, share * transport.largest_diffusivity, np.float32)
        after, before = run(start, random_wind(GLOBE, 1, seed, speed), kappa)
        assert integral(after, GLOBE) == pytest.approx(integral(before, GLOBE), rel=1e-6)
        assert after.min() >= 0

    holds()


def test_conserved_to_round_off_in_float64():
    with jax.enable_x64(True):
        transport = solver(POLES, (TRACER, EQUATIONS[2]))
        run = jitted(transport)
        for seed, speed in enumerate((1.0, 30.0, 1e3)):
            start = random_tracer(POLES, 2, seed, np.float64)
            after, before = run(start, random_wind(POLES, 2, seed, speed, np.float64), np.zeros(2))
            assert after.dtype == np.float64
            np.testing.assert_allclose(integral(before, POLES), integral(start, POLES), rtol=1e-12)
            np.testing.assert_allclose(integral(after, POLES), integral(before, POLES), rtol=1e-12)
            assert not np.allclose(after, before, rtol=0.01)


def test_a_constant_is_carried_as_a_constant():
    """In the advective form, in any wind."""
    transport = solver(GLOBE, (EQUATIONS[1],))
    after, _ = jitted(transport)(
        np.full((1, *GLOBE.shape), 280.0, np.float32), random_wind(GLOBE, 1, 3, 100.0), np.zeros(1, np.float32)
    )
    np.testing.assert_allclose(after, 280.0, rtol=1e-6)


def test_a_hill_is_carried_where_it_belongs():
    """A sixth of a turn of solid-body rotation, along the equator and over the poles.

    The error falls at least in proportion to the spacing: polar groups hold one value, so first order is assured.
    """
    hill, resolutions = gaussian_hill(0.3, 0.9), (16, 32)
    errors = []
    for rows in resolutions:
        grid = Grid.parse(f"{180 / rows}deg")
        flows = [SolidBody(0.0), SolidBody(np.pi / 2)]
        duration = flows[0].period / 6
        equations = (TransportedField("t500"), TransportedField(field="t850"))
        transport = solver(grid, equations, interval=duration, substeps=2 * rows)
        winds = [flow.velocity(grid) for flow in flows]
        wind = jax.tree.map(lambda *leaves: np.stack(leaves).astype(np.float32), *winds)
        start = np.broadcast_to(cell_mean(hill, grid).astype(np.float32), (2, *grid.shape))
        after, _ = jitted(transport)(start, wind, np.zeros(2, np.float32))
        exact = [cell_mean(flow.solution(hill, duration), grid) for flow in flows]
        errors.append([norms(*pair, grid)[0] for pair in zip(after, exact, strict=True)])
    assert np.max(errors[-1]) < 0.05
    for along in np.transpose(errors):
        assert slope(along, resolutions) > 1, errors


def test_diffusion_smooths_and_its_limit_holds():
    transport = solver(GLOBE, (TransportedField("t500", diffusivity=1e7),))
    rough = smooth_noise(GLOBE, 1, waves=12).astype(np.float32)
    still = FaceVelocity(np.zeros((1, 16, 32), np.float32), np.zeros((1, 17, 32), np.float32))
    after, before = jitted(transport)(rough, still, np.full(1, 1e7, np.float32))
    assert before.min() <= after.min() <= after.max() <= before.max()
    assert after.std() < 0.99 * before.std()
    assert integral(after[0], GLOBE) == pytest.approx(integral(before[0], GLOBE), abs=1e-6)


@pytest.mark.slow
def test_gradients_of_fields_and_wind_are_finite():
    """At rest too, where limiters and upwinding have their kinks."""
    transport = solver(GLOBE, (TRACER,), substeps=1)
    fields = smooth_noise(GLOBE, 1).astype(np.float32)

    @jax.jit
    def slopes(fields, eastward, northward):
        def end(fields, eastward, northward):
            wind = face_velocity(eastward, northward, GLOBE)
            return jnp.sum(transport(fields, wind, jnp.zeros(1))[0] ** 2)

        return jax.grad(end, argnums=(0, 1, 2))(fields, eastward, northward)

    for speed in (0.0, 10.0, 1e4):
        wind = np.float32(speed * smooth_noise(GLOBE, 2, seed=1)).reshape(2, 1, *GLOBE.shape)
        assert all(np.isfinite(leaf).all() for leaf in slopes(fields, *wind))


@pytest.mark.parametrize(("grid", "solver_name"), [(GLOBE, "heun"), (POLES, "ssprk3"), (BOX, "euler")])
def test_the_increments_of_the_terms_add_up_whatever_the_winds(grid, solver_name):
    transport = solver(grid, solver=solver_name, diffusive=True)
    run = jitted(transport)
    kappa = np.full(3, 1e5, np.float32)
    split = compiled(
        lambda q, physical, learned, kappa: transport.term_increments(
            q, {"physical_wind": physical, "learned_wind": learned}, kappa
        )
    )

    @settings(max_examples=25, deadline=None)
    @given(seed=SEEDS, speed=SPEEDS, other=SPEEDS)
    def holds(seed, speed, other):
        start = random_tracer(grid, 3, seed)
        physical, learned = random_wind(grid, 3, seed, speed), random_wind(grid, 3, seed + 1, other)
        whole = FaceVelocity(physical.east + learned.east, physical.north + learned.north)
        after, before = run(start, whole, kappa)
        parts = split(start, physical, learned, kappa)
        size = sum(np.abs(part).max() for part in (*parts.values(), before, after))
        np.testing.assert_allclose(sum(parts.values()), after - before, atol=2e-6 * size)

    holds()


def test_the_wind_that_does_not_blow_carries_nothing():
    transport = solver(GLOBE)
    start, wind = random_tracer(GLOBE, 3, 0), random_wind(GLOBE, 3, 0, 20.0)
    calm = FaceVelocity(*map(np.zeros_like, wind))
    kappa = jnp.zeros(3)
    parts = compiled(
        lambda q, physical, learned: transport.term_increments(
            q, {"physical_wind": physical, "learned_wind": learned}, kappa
        )
    )(start, wind, calm)
    assert not parts["advection_by_learned_wind"].any()
    assert parts["advection_by_physical_wind"].any()
