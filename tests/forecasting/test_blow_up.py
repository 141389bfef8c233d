"""A forecast that blew up is told from one that lost its skill, and the message says what did it."""

import jax.numpy as jnp
import numpy as np
import pytest
from synthetic import advanced, begun, config_text, fields_of, tiny_trained, transport, wave_archive

from pinnwx.errors import StabilityError
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.stability import parts_of_step, require_bounded
from pinnwx.time_features import TimeFeatures

ARCHIVE = wave_archive(60)
WHEN = ARCHIVE.times[10]
LEADS = (6, 12, 18)
PHYSICS = transport("t850", wind="geostrophic:msl", learned_wind=True)


@pytest.fixture(scope="module")
def trained():
    return tiny_trained()


def made_by(trained, leads=LEADS):
    return Predictor(trained, leads).from_archive(ARCHIVE, np.array([WHEN]))[0].copy()


def test_weather_passes(trained):
    require_bounded(made_by(trained), LEADS, trained, WHEN, ARCHIVE)
    require_bounded(ARCHIVE.fields[11:14], LEADS, trained, WHEN)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named(trained, value):
    forecast = made_by(trained)
    forecast[1, 1, 2, 5] = value
    with pytest.raises(StabilityError, match=r"t850 is not finite after 12 h \(step 2\) at -33\.75 N 112\.5 E"):
        require_bounded(forecast, LEADS, trained, WHEN)


@pytest.mark.parametrize("sign", [-1, 1])
def test_four_times_the_largest_departure_is_the_limit(trained, sign):
    usual = trained.climatology.at(WHEN + np.array([6, 12, 18], "timedelta64[h]"))
    largest = np.maximum(-trained.climatology.minimum[0], trained.climatology.maximum[0]).max()
    forecast = usual.copy()
    forecast[2, 0, 3, 4] += sign * 3.9 * largest
    require_bounded(forecast, LEADS, trained, WHEN)
    forecast[2, 0, 3, 4] += sign * 0.2 * largest
    with pytest.raises(
        StabilityError, match=r"msl reaches \S+ Pa after 18 h \(step 3\) at -11\.25 N 90 E, where climatology"
    ):
        require_bounded(forecast, LEADS, trained, WHEN)


@pytest.mark.parametrize(
    "text",
    [
        config_text(),
        config_text(physics=PHYSICS),
        config_text(physics=PHYSICS + transport("msl", wind="none", learned_wind=True), model="networks = 2"),
        config_text(physics=PHYSICS, model="climate = { relaxation_days = 5.0, bound_margin = 0.1 }"),
    ],
    ids=["network alone", "physics", "deep ensemble", "climate"],
)
def test_the_parts_add_up_to_the_step(text):
    trained = tiny_trained(text)
    before, after = made_by(trained)[1:]
    parts = parts_of_step(trained, ARCHIVE, WHEN, 2)
    rounding = 8 * np.spacing(np.abs(after).max(axis=(1, 2), keepdims=True))
    assert (np.abs(sum(parts.values()) - (after - before)) <= rounding).all()
    assert np.abs(parts["network"]).max() > 0
    if trained.config.model.physics.transport:
        moved = sum(part for name, part in parts.items() if name.startswith("advection"))
        assert (np.abs(moved).max(axis=(1, 2)) > rounding[:, 0, 0]).any()


def test_the_parts_of_the_second_order_model():
    """Both read at the same time: what it observes depends on the time too."""
    trained = tiny_trained(config_text(model='kind = "second_order"'))
    time = TimeFeatures.of(WHEN + np.array([3], "timedelta64[h]"))
    carry = begun(trained.model, jnp.asarray(ARCHIVE.fields[10:11, None]), time)
    steps = carry, advanced(trained.model, carry, time)
    before, after = (fields_of(trained.model, each, time)[0] for each in steps)
    parts = parts_of_step(trained, ARCHIVE, WHEN, 0)
    np.testing.assert_allclose(sum(parts.values()), after - before, atol=8 * float(np.spacing(np.float32(1e5))))
    assert all(np.abs(part).max() > 0 for part in parts.values())


def test_the_part_that_grew_is_named_first(trained):
    broken = tiny_trained(config_text(physics=PHYSICS))
    decode = broken.model.closure.network.decode
    decode.bias[...] = jnp.where(jnp.arange(decode.bias.size) == 0, 3e3, decode.bias[...])
    with pytest.raises(StabilityError, match=r"msl reaches .* Pa after 6 h .* in this step network changed it by"):
        require_bounded(made_by(broken), LEADS, broken, WHEN, ARCHIVE)
