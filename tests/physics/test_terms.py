"""The named terms are the operators they say, and the right-hand side is their sum."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact.programs import compiled
from exact.sphere import cell_mean, group_mean, integral
from synthetic import config, smooth_noise, transport

from pinnwx.constants import EARTH_RADIUS, EARTH_ROTATION
from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.model.build import transport_solvers
from pinnwx.operators.advection import FaceVelocity, advective_tendency, flux_divergence
from pinnwx.operators.diffusion import diffusive_tendency
from pinnwx.operators.polar import cap_groups, zonal_groups
from pinnwx.physics.diagnostics import rotational_face_velocity
from pinnwx.physics.equation import Equation
from pinnwx.physics.terms import AbstractTerm, PlanetaryVorticity, TermContext
from pinnwx.physics.transport import EulerianTransport
from pinnwx.physics.transport.base import Surroundings
from pinnwx.physics.transported_field import TransportedField

GRID = Grid.parse("22.5deg+poles")
context_of = jax.jit(TermContext.of, static_argnames=("transported", "grid", "groups"))
MIX = tuple(
    TransportedField(f"vo{100 + i}", form=form, scheme=scheme, absolute_vorticity=absolute)
    for i, (form, scheme, absolute) in enumerate(
        [
            ("advective", "upwind3", False),
            ("flux", "limited", False),
            ("advective", "upwind3", True),
            ("flux", "upwind1", True),
        ]
    )
)


def random_context(grid: Grid, count: int, seed: int = 0) -> TermContext:
    generator = np.random.default_rng(seed)
    rows, columns = grid.shape
    east = 20 * generator.standard_normal((count, rows, columns))
    north = 20 * generator.standard_normal((count, rows + 1, columns)) * (grid.north_face_length[:, None] > 0)
    diffusivity = np.linspace(0, 1e5, count)
    wind = FaceVelocity(np.float32(east), np.float32(north))
    return context_of(MIX, grid, wind, np.float32(diffusivity))


@pytest.fixture(scope="module")
def case():
    """The value of every term on a grid, and of the operators called for one field at a time."""
    grid, groups = GRID, cap_groups(GRID)
    fields = group_mean(np.float32(smooth_noise(grid, len(MIX)) + 2), groups)
    given = random_context(grid, len(MIX))
    equation = Equation.of(MIX, diffusive=True)

    def run(fields, given):
        return equation.tendencies(fields, given), alone(fields, given)

    def alone(fields, given):
        f = jnp.broadcast_to(jnp.asarray(grid.coriolis, jnp.float32), grid.shape)
        found = {name: [] for name in equation.names}
        for index, one in enumerate(MIX):
            operator = {"flux": flux_divergence, "advective": advective_tendency}[one.form]
            wind = FaceVelocity(given.velocity.east[index], given.velocity.north[index])
            found["advection"].append(operator(fields[index], wind, grid, one.scheme, groups=groups))
            planetary = operator(f, wind, grid, one.scheme, groups=groups) if one.absolute_vorticity else 0 * f
            found["planetary_vorticity"].append(planetary)
            diffusion = diffusive_tendency(fields[index], given.diffusivity[index], grid, groups=groups)
            found["diffusion"].append(diffusion)
        return {name: jnp.stack(values) for name, values in found.items()}

    run = compiled(run)
    values, separate = run(fields, given)
    both = np.stack([fields, 2 * fields[::-1]])
    winds = jax.tree.map(lambda leaf: np.stack([leaf, np.negative(leaf)]), given.velocity)
    batch = jax.jit(equation)(both, context_of(MIX, grid, winds, given.diffusivity))
    backward = context_of(MIX, grid, jax.tree.map(np.negative, given.velocity), given.diffusivity)
    expected = [sum(values.values()), sum(run(both[1], backward)[0].values())]
    return {
        "names": equation.names,
        "values": values,
        "separate": separate,
        "batch": batch,
        "expected": np.stack(expected),
    }


def test_names(case):
    assert case["names"] == ("advection", "planetary_vorticity", "diffusion")
    assert Equation.of(MIX[:2]).names == ("advection",)


@pytest.mark.parametrize("name", ["advection", "planetary_vorticity", "diffusion"])
def test_each_field_gets_its_own_form_and_scheme(case, name):
    """However the fields are grouped into calls: as if each stood alone."""
    found, separate = case["values"][name], case["separate"][name]
    assert (np.abs(separate).max(axis=(1, 2)) > 0).any()
    np.testing.assert_allclose(found, separate, rtol=1e-5, atol=1e-6 * np.abs(separate).max())


def test_right_hand_side_is_the_sum_of_the_terms(case):
    """For each member of a batch, each with its own wind."""
    np.testing.assert_allclose(case["batch"], case["expected"], rtol=1e-5, atol=1e-6 * np.abs(case["expected"]).max())


@pytest.mark.parametrize("mean_flow", [0.0, 1 / (40 * 86400.0)], ids=["at rest", "eastward mean flow"])
def test_rossby_haurwitz_wave_drifts_westward(mean_flow):
    """Its angular speed is that of Haurwitz (1940): w - 2 (w + Omega) / (n (n + 1)), the flow w being solid rotation.

    The wave is one spherical harmonic of degree n = 5, order 4, whose own advection of itself vanishes.
    """
    n, order, omega = 5, 4, 2 * np.pi * mean_flow
    exact = omega - 2 * (omega + EARTH_ROTATION) / (n * (n + 1))
    errors = []
    for name in ("11.25deg", "5.625deg"):
        grid = Grid.parse(name)

        def vorticity(lon, lat):
            return 2 * omega * np.sin(lat) + 1e-5 * np.cos(lat) ** order * np.sin(lat) * np.cos(order * lon)

        def eastward_change(lon, lat):
            return -1e-5 * order * np.cos(lat) ** order * np.sin(lat) * np.sin(order * lon)

        equation = TransportedField("vo850", absolute_vorticity=True, scheme="upwind3")
        groups = zonal_groups(grid, 0.0)
        right_hand_side = Equation.of((equation,))

        @jax.jit
        def change(field, grid=grid, groups=groups, equation=equation, right_hand_side=right_hand_side):
            wind = jax.tree.map(lambda v: v[None], rotational_face_velocity(field, grid))
            return right_hand_side(field[None], TermContext.of((equation,), grid, wind, groups=groups))[0]

        tendency = np.asarray(change(np.float32(cell_mean(vorticity, grid))))
        shape = cell_mean(eastward_change, grid)
        drift = -integral(tendency * shape, grid) / integral(shape**2, grid)
        assert drift - omega < 0, "westward relative to the flow"
        errors.append(abs(drift / exact - 1))
    assert errors[1] < 0.05
    assert np.log2(errors[0] / errors[1]) > 1.9, errors


def test_planetary_vorticity_is_the_beta_effect():
    """-v df/dy = -2 Omega cos(lat) v / a, second order in the grid for wind from the south."""
    errors = []
    for name in ("11.25deg", "5.625deg"):
        grid = Grid.parse(name)
        rows, columns = grid.shape
        north = 10 * np.cos(grid.latitude_edges)[:, None] * (grid.north_face_length > 0)[:, None] * np.ones(columns)
        wind = FaceVelocity(np.zeros((1, rows, columns), np.float32), np.float32(north)[None])
        equation = TransportedField("vo850", absolute_vorticity=True, scheme="centred2")

        @compiled
        def tendency(still, wind, grid=grid, equation=equation):
            return PlanetaryVorticity().tendency(still, TermContext.of((equation,), grid, wind))[0]

        found = tendency(np.zeros((1, *grid.shape), np.float32), wind)
        exact = -2 * EARTH_ROTATION * 10 / EARTH_RADIUS * np.cos(grid.latitude_radians)[:, None] ** 2
        errors.append(np.sqrt(integral((found - exact) ** 2, grid) / integral(exact**2, grid)))
    assert errors[1] < 0.01
    assert np.log2(errors[0] / errors[1]) > 1.9, errors


@dataclass(frozen=True)
class Cooling(AbstractTerm):
    """-(q - equilibrium) / 10 days: the term of a user."""

    name: ClassVar[str] = "cooling"
    inputs: ClassVar[tuple[str, ...]] = ("equilibrium",)

    def tendency(self, fields, context):
        return (context.inputs["equilibrium"] - fields) / 864000

    def stability_rate(self, context):  # noqa: ARG002
        return jnp.full((), 1 / 864000)


def test_a_term_that_promises_nothing_leaves_conserved_fields_and_polar_groups_alone():
    grid, groups = GRID, cap_groups(GRID)
    tracer = TransportedField("tracer", form="flux", scheme="limited", conserved=True)
    both = tracer, TransportedField("t500")
    rows, columns = grid.shape
    still = FaceVelocity(np.zeros((2, rows, columns), np.float32), np.zeros((2, rows + 1, columns), np.float32))
    equilibrium = np.float32(np.random.default_rng(0).standard_normal(grid.shape))
    equation = Equation.of(both, (Cooling(),))
    assert equation.inputs == ("equilibrium",)
    context = context_of(both, grid, still, inputs={"equilibrium": equilibrium})
    found = compiled(equation.tendencies)(np.zeros((2, *grid.shape), np.float32), context)["cooling"]
    assert not found[0].any()
    np.testing.assert_allclose(found[1], group_mean(equilibrium, groups) / 864000, rtol=1e-5)
    assert np.ptp(found[1][-1]) == 0 < np.ptp(equilibrium[-1])
    with pytest.raises(ConfigError, match='two terms are called "cooling"'):
        Equation((Cooling(), Cooling()))


def test_a_term_alone_acts_on_every_cell():
    """Where no wind moves a field, no cells are merged: the structure inside what would be a polar group cools too."""
    equations = (TransportedField("t500"),)
    equilibrium = np.float32(np.random.default_rng(0).standard_normal(GRID.shape))
    start, wind = np.zeros((1, *GRID.shape), np.float32), np.zeros((1, *GRID.shape, 2), np.float32)
    surroundings = Surroundings(None, {"equilibrium": equilibrium})
    increments = {}
    for merges in (False, True):
        solver = EulerianTransport(
            equations, GRID, 3600.0, right_hand_side=Equation.of(equations, (Cooling(),)), merges_cells=merges
        )
        increments[merges] = compiled(solver.advance)(start, wind, np.zeros(1, np.float32), surroundings)[1][0]
        groups = cap_groups(GRID) if not merges else solver.groups
        expected = group_mean(equilibrium, groups) * 3600 / 864000
        np.testing.assert_allclose(increments[merges], expected, rtol=3e-3, atol=1e-6)
    assert np.abs(increments[False] - increments[True]).max() > 1e-3


@pytest.mark.parametrize(
    ("physics", "merges"),
    [
        (transport("t850", wind="none"), False),
        (transport("t850", wind="none") + transport("msl", wind="geostrophic:msl"), True),
        (transport("t850", wind="none", learned_wind=True), True),
        (transport("t850", wind="none", diffusivity=1e4), True),
        ("learned_diffusivity = true\n" + transport("t850", wind="none"), True),
    ],
)
def test_cells_are_merged_where_a_field_flows(physics, merges):
    settings = config(physics=physics)
    solver, _ = transport_solvers(Grid.parse(settings.data.grid), settings.model)
    assert solver.merges_cells == merges


def test_the_largest_step_is_where_the_rates_of_the_terms_reach_one():
    """Wind of one grid length an hour along the equator: a scheme up to Courant number 1 may take an hour."""
    grid = GRID
    east = np.broadcast_to(grid.zonal_spacing[:, None] / 3600, (1, *grid.shape))
    wind = FaceVelocity(np.float32(east), np.zeros((1, grid.shape[0] + 1, grid.shape[1]), np.float32))
    one = (TransportedField("t500", scheme="upwind1"),)
    assert Equation.of(one).largest_step(context_of(one, grid, wind)).seconds == pytest.approx(3600, rel=1e-3)
    limited = (TransportedField("t500", scheme="limited"),)
    context = context_of(limited, grid, wind)
    assert Equation.of(limited).largest_step(context).seconds == pytest.approx(1800, rel=1e-3)
