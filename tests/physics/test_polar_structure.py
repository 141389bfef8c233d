"""What the cells of a polar group hold beside its mean moves with the wind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact.flows import DAY, SolidBody, gaussian_hill
from exact.grids import box
from exact.programs import compiled
from exact.sphere import centre_values, group_mean, integral

from pinnwx.grid import Grid
from pinnwx.physics.polar_structure import has_polar_structure, polar_structure_change
from pinnwx.physics.transport import EulerianTransport
from pinnwx.physics.transported_field import TransportedField
from pinnwx.physics.velocity import face_winds

GRID, INTERVAL = Grid.parse("5.625deg"), 6 * 3600.0
EQUATIONS = (TransportedField("t500", form="flux"),)
SOLVER = EulerianTransport(EQUATIONS, GRID, INTERVAL)


@compiled
def structure(fields, wind):
    return polar_structure_change(fields, wind, GRID, SOLVER.groups, INTERVAL)


@jax.jit
def steps(fields, wind):
    """Two days with and without the structure, (2, 1, lat, lon): eight steps as the forecaster makes them."""

    def step(fields, _):
        after, before = SOLVER(fields, face_winds(wind, GRID, EQUATIONS), jnp.zeros(1))
        moved = jnp.array([1.0, 0.0])[:, None, None, None] * structure(fields, wind)
        return fields + (after - before) + moved, None

    return jax.lax.scan(step, jnp.stack([fields, fields]), None, length=8)[0]


@pytest.mark.parametrize("tilt", [0.0, np.pi / 2], ids=["around the pole", "over the pole"])
def test_a_narrow_hill_moves_near_the_pole(tilt):
    """Solid-body rotation by 60 degrees. Without the structure, what a group does not resolve stays behind."""
    flow, hill = SolidBody(tilt), gaussian_hill(0.6, np.deg2rad(77), 60.0)
    wind = np.broadcast_to(np.stack(flow.wind(GRID), axis=-1).astype(np.float32), (2, 1, *GRID.shape, 2))
    start = centre_values(hill, GRID)
    moved, left_behind = np.asarray(steps(start.astype(np.float32)[None], wind))[:, 0]
    exact = centre_values(flow.solution(hill, 2 * DAY), GRID)
    polar = np.abs(np.asarray(GRID.latitude)) > 60

    def error(field):
        return np.sqrt((GRID.area_weights * (field - exact) ** 2)[polar].sum())

    assert error(moved) < 0.8 * error(left_behind), (error(moved), error(left_behind))
    assert moved.min() > 0.5 * left_behind.min()
    assert integral(moved - start, GRID) == pytest.approx(0.0, abs=1e-6 * integral(start, GRID))


def test_its_mean_over_a_group_is_zero_and_a_constant_stays():
    generator = np.random.default_rng(0)
    wind = np.float32(generator.normal(scale=100.0, size=(2, 1, *GRID.shape, 2)))
    fields = np.float32(generator.normal(size=(2, 1, *GRID.shape)))
    change = structure(fields, wind)
    np.testing.assert_allclose(group_mean(change, SOLVER.groups), 0.0, atol=1e-5)
    merged = np.array(SOLVER.groups) > 1
    assert not change[..., ~merged, :].any()
    assert (np.abs(change[..., merged, :]).max(axis=(0, 1, 3)) > 0.1).all()
    np.testing.assert_array_equal(structure(np.full_like(fields, 280.0), wind), 0.0)


def test_a_box_has_none_nor_a_grid_whose_poles_lie_between_centre_and_edge():
    assert has_polar_structure(GRID, SOLVER.groups)
    assert not has_polar_structure(box(), (1,) * box().shape[0])
    uneven = Grid(tuple(np.linspace(-89, 89, 32).tolist()), GRID.longitude)
    assert uneven.is_global
    assert not has_polar_structure(uneven, SOLVER.groups)
