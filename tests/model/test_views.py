"""Views: the equations know no hemisphere; nor does a forecast that is the mean of both views, at any weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact.grids import box
from flax import nnx
from synthetic import (
    advanced,
    applied,
    begun,
    config,
    fields_of,
    forecaster,
    forecasts,
    half_a_year_later,
    randomise,
    states,
    step_features,
    times,
    transport,
)

from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.model.closures import Closure
from pinnwx.model.features import FeatureSpec
from pinnwx.model.inputs import Fixed
from pinnwx.model.views import MultiViewNetwork, View, Views
from pinnwx.time_features import TimeFeatures
from pinnwx.training.update import Source, error_measure, initial_state, make_update, rollout_loss

NAMES = ("msl", "vo850", "u850", "v850")
PARITY = np.array([1, -1, 1, -1])[:, None, None]
GRID = Grid.parse("22.5deg")
NETWORK = "width = 16\nblocks = 1\nhemispheric_symmetry = true"
PHYSICS = (
    transport("vo850", wind="rotational:vo850", absolute_vorticity=True, learned_wind=True)
    + transport("msl", wind="prognostic:850")
    + transport("u850", wind="geostrophic:msl")
)


def model_of(physics="", closure="enabled = false", **options):
    model = forecaster(config(NAMES, physics=physics, closure=closure, **options))
    randomise(model, 0, 0.1)
    # maps of time means that have a hemisphere, and are reflected with the weather
    maps = np.array(model.inputs.maps[...])
    maps[..., : len(NAMES)] = np.random.default_rng(0).normal(size=maps[..., : len(NAMES)].shape)
    model.inputs.maps[...] = jnp.asarray(maps)
    return model


def reflected(fields):
    return np.float32(PARITY * fields[..., ::-1, :])


def on_the_reflected_earth(model):
    """The same model where the maps are reflected too, but for latitude."""
    other = nnx.merge(*nnx.split(model))
    maps = np.array(model.inputs.maps[...])
    maps[..., : len(NAMES)] = PARITY[:, 0, 0] * maps[::-1, :, : len(NAMES)]
    other.inputs.maps = Fixed(jnp.asarray(maps))
    return other


def batch():
    fields = states(NAMES, GRID, count=6).reshape(2, 3, len(NAMES), *GRID.shape)
    return fields, step_features(2, 2)


def in_deviations(difference, fields):
    return difference / fields.std((0, 1, 3, 4))[:, None, None]


# Not the second-order model: it makes all fields positive by an offset, which an odd field does not survive.
CASES = {
    "physics alone": model_of(PHYSICS.replace("learned_wind = true", "learned_wind = false")),
    "network alone": model_of("", NETWORK),
    "hybrid": model_of(PHYSICS, NETWORK),
    "hybrid that is shown no gradients": model_of(PHYSICS, f"{NETWORK}\ngradients = false"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CASES)
def test_weather_reflected_in_the_equator_half_a_year_away_has_the_reflected_forecast(kind):
    model = CASES[kind]
    fields, time = batch()
    forecast = forecasts(model, fields[:, :1], time)
    other = forecasts(on_the_reflected_earth(model), reflected(fields[:, :1]), half_a_year_later(time))
    np.testing.assert_allclose(in_deviations(other - reflected(forecast), fields), 0, atol=1e-4)
    assert np.abs(in_deviations(forecast - fields[:, 0], fields)).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["network alone", "hybrid"])
def test_one_view_alone_knows_its_hemisphere_and_reflection_turns_it_into_the_other(kind):
    model = CASES[kind]
    fields, time = batch()
    plain, turned_view = (View(np.array(flag), np.array(0, np.int32)) for flag in (False, True))
    forecast = forecasts(model, fields[:, :1], time, plain)
    turned = reflected(fields[:, :1])
    earth = on_the_reflected_earth(model)
    same, other = (forecasts(earth, turned, half_a_year_later(time), view) for view in (turned_view, plain))
    np.testing.assert_allclose(in_deviations(same - reflected(forecast), fields), 0, atol=1e-4)
    assert np.abs(in_deviations(other - reflected(forecast), fields)).max() > 0.01


def test_half_a_year_away_is_the_season_with_its_signs_turned():
    january = times(2)
    july = january + np.timedelta64(4383, "h")  # half a year of 365.25 days
    one, other = half_a_year_later(TimeFeatures.of(january)), TimeFeatures.of(july)
    for name in ("sin_year", "cos_year", "solar_declination"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=0.02)


class Table(Closure):
    """A network that is nothing but a table of weights."""

    def __init__(self, table):
        self.table = Fixed(table)

    def __call__(self, features):
        return features * self.table[...]


@pytest.mark.parametrize("offsets", [1, 2, 4])
@pytest.mark.parametrize("hemispheric_symmetry", [False, True])
def test_a_view_is_another_view_with_its_answer_turned_back(hemispheric_symmetry, offsets):
    """A network that is nothing but a table of weights, one for every cell and channel of four columns, repeated."""
    table = np.tile(np.random.default_rng(0).standard_normal((8, 4, 3), np.float32), (1, 4, 1))
    signs = (1, -1, 1)
    channels = [FeatureSpec(str(number), equator_parity=sign) for number, sign in enumerate(signs)]
    network = MultiViewNetwork(Table(jnp.asarray(table)), Views(hemispheric_symmetry, offsets), channels, channels)
    features = np.random.default_rng(1).standard_normal((2, 8, 16, 3), np.float32)
    views = [network.views[number] for number in range(len(network.views))]
    assert (
        len({(bool(f.reflected), int(f.offset)) for f in views}) == len(views) == (1 + hemispheric_symmetry) * offsets
    )
    for view in views:
        turned = table[::-1] if view.reflected else table
        expected = features * np.roll(turned, -int(view.offset), axis=1)
        np.testing.assert_allclose(applied(network, features, view), expected, atol=1e-6)
    mean = applied(network, features)
    np.testing.assert_allclose(
        mean, features * (0.5 * (table + table[::-1]) if hemispheric_symmetry else table), atol=1e-6
    )
    if hemispheric_symmetry:
        odd = np.float32(signs)
        np.testing.assert_allclose(applied(network, odd * features[:, ::-1]), odd * mean[:, ::-1], atol=1e-6)


def test_only_a_symmetric_globe_can_be_reflected():
    with pytest.raises(ConfigError, match=r"model\.closure\.hemispheric_symmetry = true needs a global grid"):
        Views.of(box(5, 6), hemispheric_symmetry=True, patch_size=1)
    assert Views.of(box(5, 6), hemispheric_symmetry=False, patch_size=2) == Views(), (
        "a box has no columns to shift round"
    )
    for name in ("22.5deg", "22.5deg+poles"):
        assert Views.of(Grid.parse(name), hemispheric_symmetry=True, patch_size=2) == Views(True, 2)


@pytest.mark.slow
def test_updates_look_through_one_view_after_another():
    settings = config(NAMES, closure=NETWORK, training="batch_size = 2")
    model = forecaster(settings)
    randomise(model, 0, 0.1)
    fields = jnp.asarray(states(NAMES, GRID, count=4))
    source = Source(fields, jax.tree.map(jnp.asarray, TimeFeatures.of(times(4))))
    scale = model.inputs.increment_std[...]
    error = error_measure(model, GRID, np.asarray(scale))
    windows = jnp.asarray([[0, 1], [2, 3]], jnp.int32)
    graph, parameters, fixed = nnx.split(model, nnx.Param, ...)

    @jax.jit
    def loss(view):
        return rollout_loss(nnx.merge(graph, parameters, fixed), windows, source, error, view)

    expected = [float(loss(model.views[number])) for number in range(4)]
    assert len({round(loss, 4) for loss in expected}) == 4, "another view is another view"
    update = make_update(model, GRID, np.asarray(scale), settings.training)
    for number in range(6):
        state = initial_state(model, settings.training)._replace(update=jnp.asarray(number, jnp.int32))
        _, progress = update(jax.tree.map(jnp.copy, state), windows, source, 10)
        assert float(progress.loss) == pytest.approx(expected[number % 4], rel=1e-4)


def test_a_variable_of_the_users_own_is_reflected_as_it_says():
    """Ertel's potential vorticity turns its sign across the equator, whatever its standard name."""
    own = (
        '[variables.pv]\nunits = "K m2 kg-1 s-1"\nminimum = -inf\nmaximum = inf\non_pressure_levels = true\n'
        'standard_name = "ertel_potential_vorticity"\nequator_parity = -1\n'
    )
    names, parity = ("msl", "pv500"), np.array([1, -1])[:, None, None]
    model = forecaster(config(names, closure=NETWORK, extra=own))
    randomise(model, 0, 0.1)
    fields = states(names, GRID)[:, None]
    time = step_features(1, 2).select(0)

    def forecast(fields, time):
        return np.asarray(fields_of(model, advanced(model, begun(model, fields, time), time), time))

    plain, other = forecast(fields, time), forecast(parity * fields[..., ::-1, :], half_a_year_later(time))
    np.testing.assert_allclose((other - parity * plain[..., ::-1, :])[:, 1], 0, atol=1e-4 * fields[:, :, 1].std())
    assert np.abs(plain - fields[:, 0])[:, 1].max() > 0.01 * fields[:, :, 1].std()
