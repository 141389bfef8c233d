"""Reflection in the equator: an exact symmetry of the equations and of their discretisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact.grids import box
from flax import nnx
from synthetic import config, forecaster, randomise, states, step_features, times, transport

from pinnwx.data.calendar import time_features
from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.model.rollout import rollout
from pinnwx.training.mirror import mirror, require_symmetric_rows
from pinnwx.training.update import Source, initial_state, make_update, rollout_loss

NAMES = ("msl", "vo850", "u850", "v850")
PARITY = np.array([1, -1, 1, -1])[:, None, None]
GRID = Grid.parse("22.5deg")
ON, OFF = jnp.array(True), jnp.array(False)


def batch():
    fields = states(NAMES, GRID, count=6).reshape(2, 3, len(NAMES), *GRID.shape)
    return jnp.asarray(fields), step_features(2, 2)


def model_of(physics="", closure="enabled = false"):
    return forecaster(config(NAMES, physics=physics, closure=closure))


def test_scalars_keep_their_sign_northward_wind_and_vorticity_do_not():
    fields, time = batch()
    seen, _ = mirror(model_of(), fields, time, ON)
    np.testing.assert_array_equal(seen, PARITY * np.asarray(fields)[..., ::-1, :])
    same, when = mirror(model_of(), fields, time, OFF)
    np.testing.assert_array_equal(same, fields)
    np.testing.assert_array_equal(when, time)


def test_seasons_are_swapped_and_the_hour_is_kept():
    fields, _ = batch()
    january = times(2)
    july = january + np.timedelta64(4383, "h")  # half a year of 365.25 days
    one, other = (jnp.asarray(time_features(when))[:, None] for when in (january, july))
    _, swapped = mirror(model_of(), fields[:1], one, ON)
    np.testing.assert_allclose(swapped[..., [0, 1, 4]], other[..., [0, 1, 4]], atol=0.02)
    np.testing.assert_array_equal(swapped[..., 2:4], one[..., 2:4])


def test_physics_knows_no_hemisphere():
    """Carried by the wind of the vorticity, of the pressure, and by the analysed one."""
    physics = transport("vo850", wind="rotational:vo850", absolute=True) + transport("msl", wind="analysed:850")
    physics += transport("u850", wind="geostrophic:msl")
    model = model_of(physics)
    fields, time = batch()
    forecast = rollout(model, fields[:, :1], time)
    seen, when = mirror(model, fields, time, ON)
    reflected = rollout(model, seen[:, :1], when)
    spread = np.asarray(fields).std((0, 1, 3, 4))[:, None, None]
    np.testing.assert_allclose((reflected - PARITY * forecast[..., ::-1, :]) / spread, 0, atol=1e-4)
    assert np.abs((forecast - fields[:, 0]) / spread).max() > 0.01


def test_twice_reflected_is_as_before_maps_and_all():
    model = model_of(closure="width = 16\nblocks = 1")
    randomise(model, 0, 0.1)
    fields, time = batch()
    maps = np.asarray(model.inputs.maps[...])
    maps = maps + np.random.default_rng(0).normal(size=maps.shape).astype(np.float32)
    model.inputs.maps[...] = jnp.asarray(maps)
    seen, when = mirror(model, fields, time, ON)
    place = slice(len(NAMES), len(NAMES) + 4)
    np.testing.assert_array_equal(model.inputs.maps[...][..., place], maps[..., place])
    np.testing.assert_array_equal(model.inputs.maps[...][..., 1], -maps[::-1, :, 1])
    np.testing.assert_array_equal(model.inputs.maps[...][..., 0], maps[::-1, :, 0])
    again, then = mirror(model, seen, when, ON)
    np.testing.assert_array_equal(again, fields)
    np.testing.assert_array_equal(then, time)
    np.testing.assert_array_equal(model.inputs.maps[...], maps)
    assert nnx.state(model, nnx.Param)


@pytest.mark.parametrize("grid", [box(5, 6)], ids=["regional"])
def test_only_a_symmetric_globe_can_be_reflected(grid):
    with pytest.raises(ConfigError, match=r"training\.mirror = true needs a global grid"):
        require_symmetric_rows(grid)
    for name in ("22.5deg", "22.5deg+poles"):
        require_symmetric_rows(Grid.parse(name))


@pytest.mark.slow
def test_every_other_update_sees_reflected_weather():
    settings = config(NAMES, training="batch_size = 2\nmirror = true")
    model = forecaster(settings)
    randomise(model, 0, 0.1)
    fields = jnp.asarray(states(NAMES, GRID, count=4))
    source = Source(fields, jnp.asarray(time_features(times(4))))
    scale = model.inputs.increment_std[...]
    area = jnp.asarray(GRID.area_weights, jnp.float32)
    windows = jnp.asarray([[0, 1], [2, 3]], jnp.int32)
    graph, parameters, fixed = nnx.split(model, nnx.Param, ...)
    expected = [
        float(rollout_loss(nnx.merge(graph, parameters, fixed), windows, source, scale, area, flag))
        for flag in (OFF, ON)
    ]
    assert abs(expected[0] - expected[1]) > 1e-3 * expected[0], "reflected weather is other weather"
    update = make_update(model, GRID, np.asarray(scale), settings.training)
    for number in (0, 1, 2):
        state = initial_state(model, settings.training)._replace(update=jnp.asarray(number, jnp.int32))
        _, progress = update(jax.tree.map(jnp.copy, state), windows, source, 10)
        assert float(progress.loss) == pytest.approx(expected[number % 2], rel=1e-4)
