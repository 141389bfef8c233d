"""Exact cell means, error norms and a time stepper."""

import jax
import jax.numpy as jnp
import numpy as np

from pinnwx.grid import Grid
from pinnwx.operators.stability import courant_number

from .programs import compiled

courant_number = compiled(courant_number)


def cell_mean(function, grid: Grid, nodes: int = 6) -> np.ndarray:
    """Area mean of `function(longitude, latitude)` [radians] over every cell by Gauss-Legendre quadrature.

    A row on a pole is one cap and gets one value.
    """
    node, weight = np.polynomial.legendre.leggauss(nodes)
    half = 0.5 * np.deg2rad(grid.longitude_spacing)
    lower, upper = np.sin(grid.latitude_edges[:-1]), np.sin(grid.latitude_edges[1:])
    angle = (
        0.5 * (grid.latitude_edges[1:] + grid.latitude_edges[:-1])[:, None]
        + 0.5 * np.diff(grid.latitude_edges)[:, None] * node
    )
    area = np.cos(angle) * weight * 0.25 * np.diff(grid.latitude_edges)[:, None] / (upper - lower)[:, None]
    mean = np.zeros(grid.shape)
    for k in range(nodes):
        for east, share in zip(node, weight, strict=True):
            value = function(grid.longitude_radians[None, :] + half * east, angle[:, k, None])
            mean = mean + area[:, k, None] * share * value
    if grid.has_pole_rows:
        mean[[0, -1]] = mean[[0, -1]].mean(axis=1, keepdims=True)
    return mean


def centre_values(function, grid: Grid) -> np.ndarray:
    """`function(longitude, latitude)` [radians] at the cell centres."""
    return np.asarray(function(grid.longitude_radians[None, :], grid.latitude_radians[:, None]) + np.zeros(grid.shape))


def corner_values(function, grid: Grid) -> np.ndarray:
    """`function(longitude, latitude)` at the corners, as `face_velocity_from_streamfunction` takes them."""
    half = 0.5 * np.deg2rad(grid.longitude_spacing)
    longitude = grid.longitude_radians + half
    if not grid.is_periodic:
        longitude = np.append(grid.longitude_radians[0] - half, longitude)
    values = function(longitude[None, :], grid.latitude_edges[:, None])
    return np.broadcast_to(values, (grid.shape[0] + 1, longitude.size))


def group_mean(field, groups) -> np.ndarray:
    """The field with one value, their mean, in all cells of a group (see `operators.polar`)."""
    field = np.asarray(field)
    rows = [
        field[..., row, :].reshape(*field.shape[:-2], -1, size).mean(-1).repeat(size, -1)
        for row, size in enumerate(groups)
    ]
    return np.stack(rows, axis=-2)


def integral(field, grid: Grid) -> np.ndarray:
    """Area mean over the grid, summed in float64."""
    return (np.asarray(field, dtype=np.float64) * grid.area_weights).mean(axis=(-2, -1))


def norms(field, exact, grid: Grid) -> tuple[float, float, float]:
    """Normalised l1, l2 and l-infinity errors (Williamson et al. 1992, J. Comput. Phys. 102, eq. 82-84)."""
    error, exact = np.asarray(field, dtype=np.float64) - exact, np.asarray(exact, dtype=np.float64)
    return (
        float(integral(np.abs(error), grid) / integral(np.abs(exact), grid)),
        float(np.sqrt(integral(error**2, grid) / integral(exact**2, grid))),
        float(np.abs(error).max() / np.abs(exact).max()),
    )


def slope(errors, resolutions) -> float:
    """Fitted order: minus the slope of log(error) over log(resolution)."""
    return float(-np.polyfit(np.log(resolutions), np.log(errors), 1)[0])


def safe_steps(duration: float, velocity, grid: Grid, limit: float) -> int:
    """The least number of steps of this duration with an outflow Courant number of at most `limit` in every cell."""
    return int(np.ceil(duration * courant_number(velocity, grid, 1.0).max() / limit))


def ssprk3(tendency, field, duration: float, steps: int):
    """Integrate dq/dt = tendency(q, t) by the third-order SSP Runge-Kutta method of Shu and Osher (1988)."""
    dt = duration / steps
    stages = np.array([[0, 1, 0], [3 / 4, 1 / 4, 1], [1 / 3, 2 / 3, 1 / 2]], field.dtype)

    def step(start, index):
        def stage(q, coefficients):
            keep, move, when = coefficients
            return keep * start + move * (q + dt * tendency(q, (index + when) * dt)), None

        return jax.lax.scan(stage, start, stages)[0], None

    return jax.jit(lambda q: jax.lax.scan(step, q, jnp.arange(steps, dtype=field.dtype))[0])(field)
