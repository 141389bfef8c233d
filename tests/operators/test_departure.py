"""Departure points: second order in time, over the poles and across the date line, finite for any wind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact.flows import DAY, Deformation, SolidBody, cartesian
from exact.gradients import check_tangent_and_adjoint
from exact.grids import box
from exact.programs import compiled
from exact.sphere import slope

from pinnwx.grid import Grid
from pinnwx.operators.departure import LARGEST_ANGLE, departure_points

pytestmark = pytest.mark.usefixtures("double")
departure_points = compiled(departure_points)


def places(grid):
    """Longitude and latitude of every centre."""
    return np.broadcast_arrays(grid.longitude_radians, grid.latitude_radians[:, None])


def distance(points, exact) -> np.ndarray:
    """From the points to unit vectors [radians]."""
    return np.linalg.norm(cartesian(points.longitude, points.latitude) - exact, axis=0)


@pytest.mark.parametrize("tilt", [0.0, np.pi / 2], ids=["zonal", "over the poles"])
def test_solid_body_rotation_is_third_order_in_one_step(tilt, kind):
    """So second order in time. One iteration, with the wind of the arrival point only, has one order less."""
    grid, flow, days = Grid.parse(f"5{kind}"), SolidBody(tilt), np.array([0.5, 1.0, 2.0])
    for iterations, order in ((1, 2), (2, 3), (3, 3)):
        errors = []
        for time in DAY * days:
            points = departure_points(*flow.wind(grid), grid, time, iterations)
            errors.append(distance(points, flow.departure(*places(grid), time)).max())
        assert slope(errors, 1 / days) == pytest.approx(order, abs=0.15)


def backward(flow, grid, start, end, steps=24) -> np.ndarray:
    """Trajectories from the centres at `end` back to `start` in the exact wind, by classical Runge-Kutta."""

    def rate(x, time):
        lon, lat = np.arctan2(x[1], x[0]), np.arcsin(np.clip(x[2], -1, 1))
        east, north = (np.asarray(part) / 6.371e6 for part in flow.wind(lon, lat, time))
        return np.stack(
            [
                -east * np.sin(lon) - north * np.sin(lat) * np.cos(lon),
                east * np.cos(lon) - north * np.sin(lat) * np.sin(lon),
                north * np.cos(lat),
            ]
        )

    x, h, time = cartesian(*places(grid)), (start - end) / steps, end
    for _ in range(steps):
        a = rate(x, time)
        b = rate(x + h / 2 * a, time + h / 2)
        c = rate(x + h / 2 * b, time + h / 2)
        x = x + h / 6 * (a + 2 * b + 2 * c + rate(x + h * c, time + h))
        x, time = x / np.linalg.norm(x, axis=0), time + h
    return x


def test_an_unsteady_flow_with_the_wind_of_the_middle():
    grid, flow, hours = Grid.parse("3deg"), Deformation(), np.array([6.0, 12.0, 24.0])
    errors, late = [], []
    for step in 3600 * hours:
        exact = backward(flow, grid, 2 * DAY, 2 * DAY + step)
        for when, found in ((0.5, errors), (1.0, late)):
            wind = flow.wind(*places(grid), 2 * DAY + when * step)
            found.append(distance(departure_points(*wind, grid, step, 4), exact).max())
    assert slope(errors, 1 / hours) > 2.8
    assert slope(late, 1 / hours) < 2.3  # the wind of another time is first order


def test_calm_air_stays_and_columns_of_a_pole_agree(any_grid, random):
    calm = np.zeros(any_grid.shape)
    assert distance(departure_points(calm, calm, any_grid, DAY), cartesian(*places(any_grid))).max() < 1e-15
    east, north = 20 * random.normal(size=(2, *any_grid.shape))
    found = departure_points(east, north, any_grid, 6 * 3600.0)
    if any_grid.has_pole_rows:
        poles = cartesian(found.longitude, found.latitude)[:, [0, -1]]
        np.testing.assert_allclose(poles, np.broadcast_to(poles[..., :1], poles.shape), atol=1e-15)


def test_a_shift_in_longitude_commutes(globe, random):
    """So the date line is no special place."""
    east, north = 20 * random.normal(size=(2, *globe.shape))
    plain = departure_points(east, north, globe, DAY)
    moved = departure_points(np.roll(east, 5, -1), np.roll(north, 5, -1), globe, DAY)
    exact = cartesian(np.roll(plain.longitude, 5, -1) + np.deg2rad(5 * 11.25), np.roll(plain.latitude, 5, -1))
    assert distance(moved, exact).max() < 1e-12


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_finite_in_any_wind(any_grid, dtype, random):
    wind = (1e5 * random.normal(size=(2, 3, *any_grid.shape))).astype(dtype)
    points = departure_points(*wind, any_grid, DAY)
    assert points.latitude.dtype == dtype
    assert points.latitude.shape == (3, *any_grid.shape)
    exact = cartesian(*places(any_grid))[:, None]
    assert np.isfinite(distance(points, exact)).all()
    assert distance(points, exact).max() <= 2 * np.sin(LARGEST_ANGLE) + 1e-6


def test_a_batch_agrees_with_single_winds(any_grid, random):
    wind = 20 * random.normal(size=(2, 2, 3, *any_grid.shape))
    together = departure_points(*wind, any_grid, DAY)
    alone = departure_points(*wind[:, 1, 2], any_grid, DAY)
    exact = cartesian(alone.longitude, alone.latitude)
    assert distance(type(together)(*(part[1, 2] for part in together)), exact).max() < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("grid", [Grid.parse("30deg+poles"), box(5, 6)], ids=["globe", "box"])
def test_gradients_in_the_wind(grid, random):
    east, north = 20 * random.normal(size=(2, *grid.shape))

    def positions(east, north):
        latitude, longitude = departure_points(east, north, grid, 0.5 * DAY, 2)
        return jnp.cos(latitude) * jnp.cos(longitude), jnp.cos(latitude) * jnp.sin(longitude), jnp.sin(latitude)

    check_tangent_and_adjoint(positions, (east, north), random, step=1e-4)
    calm = np.zeros(grid.shape)  # where a length and, on the poles, a direction have no derivative
    assert np.isfinite(jax.jit(jax.grad(lambda east: positions(east, calm)[0].sum()))(calm)).all()
