"""Vorticity that is carried for the wind: what it is made from, and what becomes of its change."""

import jax.numpy as jnp
import numpy as np
import pytest
from synthetic import smooth_noise

from pinnwx.config import Transport
from pinnwx.grid import Grid
from pinnwx.model.carried import Carried
from pinnwx.operators.calculus import curl

GRID = Grid.parse("11.25deg")
NAMES = ("t500", "u500", "v500", "z500")
TEMPERATURE = Transport(field="t500", wind="analysed:500")
VORTICITY = Transport(field="vo500", wind="analysed:500", form="flux", absolute=True, balance="z500")


def noise(count: int, seed: int) -> jnp.ndarray:
    return jnp.asarray(smooth_noise(GRID, count, seed)[None], jnp.float32)


def test_what_is_carried():
    carried, fields = Carried(NAMES, (TEMPERATURE, VORTICITY), GRID), noise(4, 0)
    values = carried.values(fields)
    assert values[:, 0] == pytest.approx(fields[:, 0])
    assert values[:, 1] == pytest.approx(curl(fields[:, 1], fields[:, 2], GRID))


def test_the_wind_takes_up_the_change_of_its_vorticity():
    """The curl of the change of the wind is the change of vorticity, to the order of the operators on smooth fields."""
    carried = Carried(NAMES, (VORTICITY,), GRID)
    latitude, longitude = np.meshgrid(GRID.latitude_radians, GRID.longitude_radians, indexing="ij")
    change = jnp.asarray(1e-5 * np.cos(latitude) ** 2 * np.sin(2 * longitude), jnp.float32)[None, None]
    eastward, northward, _ = np.moveaxis(np.asarray(carried.changes(change)), 1, 0)
    found = curl(jnp.asarray(eastward), jnp.asarray(northward), GRID)
    assert np.abs(found - change[:, 0]).max() < 0.08 * float(jnp.abs(change).max())


def test_geopotential_follows_in_linear_balance():
    """Solid-body spin-up: psi = -a^2 w sin(lat), so Phi changes by f psi, falling towards the poles."""
    carried = Carried(NAMES, (VORTICITY,), GRID)
    change = jnp.broadcast_to(jnp.asarray(2e-6 * np.sin(GRID.latitude_radians), jnp.float32)[:, None], GRID.shape)
    parts = np.asarray(carried.changes(change[None, None]))[0]
    eastward, northward, geopotential = parts
    assert carried.affected == (1, 2, 3)
    radius = 6.371e6
    expected = 1e-6 * radius * np.cos(GRID.latitude_radians)  # vorticity of solid rotation w is 2 w sin(lat)
    assert eastward == pytest.approx(np.broadcast_to(expected[:, None], GRID.shape), rel=0.05, abs=0.1)
    assert northward == pytest.approx(0.0, abs=1e-3)
    psi = -1e-6 * radius**2 * np.sin(GRID.latitude_radians)
    balanced = 2 * 7.292e-5 * np.sin(GRID.latitude_radians) * psi
    assert geopotential == pytest.approx(np.broadcast_to(balanced[:, None], GRID.shape), rel=0.05, abs=10)


def test_changes_of_one_field_add_up_and_the_rest_stay():
    both = Carried(NAMES, (TEMPERATURE, VORTICITY), GRID)
    change = noise(2, 1)
    of_all = both.among_all(both.changes(change))
    assert of_all.shape == (1, 4, *GRID.shape)
    assert of_all[:, 0] == pytest.approx(change[:, 0])
    alone = Carried(NAMES, (VORTICITY,), GRID)
    assert of_all[:, 1:] == pytest.approx(alone.changes(change[:, 1:]))
    only = Carried(NAMES, (TEMPERATURE,), GRID)
    assert not only.among_all(only.changes(change[:, :1]))[:, 1:].any()
