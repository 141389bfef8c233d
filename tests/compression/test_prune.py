"""Pruning: arrays shrink, what does nothing goes without a trace, and a pruned model is a model like any other."""

import numpy as np
import pytest
from synthetic import config_text, silence, tiny_trained, transport, wave_archive

from pinnwx.compression.channels import groups_of
from pinnwx.compression.prune import narrowed, prune, rounds_of
from pinnwx.config import config_text as text_of
from pinnwx.config import parse_config
from pinnwx.errors import UnavailableError, UsageError
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.trained import load_trained, save_trained
from pinnwx.model.committee import members_of
from pinnwx.model.weights import count_weights, named_weights, set_weights

ARCHIVE = wave_archive(60)
LAST = len(ARCHIVE) - 1
SETTINGS = "batch_size = 8\n[compression]\nupdates = 16\nsteps = 2\nrounds = 2"


def trained_of(closure="width = 32\nblocks = 1", model="", physics="", training=SETTINGS):
    return tiny_trained(config_text(closure=closure, model=model, physics=physics, training=training))


def scale_of(trained):
    return trained.normalisation.increment_std[:, None, None]


def forecast(trained):
    return Predictor(trained, [6, 24]).from_archive(ARCHIVE, ARCHIVE.times[[10, 20]])


@pytest.mark.parametrize("model", ["", "members = 2"])
def test_arrays_shrink_and_it_is_saved_and_read_like_any_other(model, tmp_path):
    trained = trained_of(model=model)
    before = {name: values.copy() for name, values in named_weights(trained.model).items()}
    found = prune(trained, ARCHIVE, scale_of(trained), rounds_of(trained.config, 0.5), "taylor")
    assert [one.width for one in found.rounds] == [23, 16]
    assert sum(one.updates for one in found.rounds) == 16
    pruned = found.trained
    assert pruned.config.model.closure.width == 16
    assert 0.25 < count_weights(pruned.model) / count_weights(trained.model) < 0.6
    for name, values in named_weights(trained.model).items():
        np.testing.assert_array_equal(values, before[name], err_msg="the model that was given is left as it is")
    save_trained(pruned, tmp_path / "pruned", {})
    np.testing.assert_array_equal(forecast(load_trained(tmp_path / "pruned")), forecast(pruned))
    assert np.isfinite(forecast(pruned)).all()


def test_half_that_does_nothing_goes_without_a_trace():
    trained = trained_of(model="members = 2", physics=transport("t850", learned_wind=True))
    settings = parse_config(trained.config_text)
    half = settings.with_model(
        closure=settings.model.closure.model_copy(update={"width": 16, "learned_wind_width": 16})
    )
    for place, member in enumerate(members_of(trained.model)):
        _kill_half(member, np.random.default_rng(place))
    expected = forecast(trained)
    found, _ = narrowed(trained, ARCHIVE, scale_of(trained), half, "taylor", LAST)
    made = forecast(found)
    spread = ARCHIVE.fields.std((0, 2, 3))[:, None, None]
    assert np.abs((made - expected) / spread).max() < 1e-3
    other, _ = narrowed(trained, ARCHIVE, scale_of(trained), half, "random", LAST)
    assert np.abs((forecast(other) - expected) / spread).max() > 0.01, "chance does not find them"


def _kill_half(member, generator) -> None:
    """Makes half of the channels of each group unread; of those that are normalised together, copies of the others."""
    weights = named_weights(member)
    for group in groups_of(member):
        shuffled = generator.permutation(group.size)
        kept, dead = shuffled[: group.size // 2], shuffled[group.size // 2 :]
        if group.size == 16:  # as few as the smaller network has too
            continue
        silence(weights, group, kept, dead)
    set_weights(member, weights)


def test_learning_on_mends_what_pruning_broke():
    text = config_text(closure="width = 32\nblocks = 1", training=SETTINGS.replace("16", "200", 1))
    trained = tiny_trained(text)
    found = prune(trained, ARCHIVE, scale_of(trained), rounds_of(trained.config, 0.5), "magnitude")
    truth = ARCHIVE.fields[[14, 24]][:, None]

    def error(model) -> float:
        return float(np.sqrt((((forecast(model)[:, 1:] - truth) / scale_of(trained)) ** 2).mean()))

    settings = found.trained.config
    broken, _ = narrowed(trained, ARCHIVE, scale_of(trained), settings, "magnitude", LAST)
    assert error(found.trained) < 0.7 * error(broken)


@pytest.mark.parametrize(
    ("keep", "told"), [(0.0, "--keep 0"), (1.0, "--keep 1"), (1.5, "--keep 1.5"), (0.99, "--keep 0.99 leaves all 32")]
)
def test_a_share_that_is_none_is_refused(keep, told):
    with pytest.raises(UsageError, match=told):
        rounds_of(trained_of().config, keep)


def test_widths_fall_by_the_same_share_each_round():
    config = trained_of("width = 64\nblocks = 1", training=SETTINGS.replace("rounds = 2", "rounds = 3")).config
    assert [one.model.closure.width for one in rounds_of(config, 0.125)] == [32, 16, 8]
    assert {one.model.closure.learned_wind_width for one in rounds_of(config, 0.5)} == {32}, "there is no such network"


def test_too_short_a_training_time_is_refused():
    trained = trained_of(training="batch_size = 8\n[compression]\nupdates = 8\nsteps = 59")
    with pytest.raises(UnavailableError, match=r"lower steps of \[compression\]"):
        prune(trained, ARCHIVE, scale_of(trained), rounds_of(trained.config, 0.5), "taylor")


def test_a_mixture_is_pruned_too():
    trained = trained_of("width = 32\nblocks = 1\nexperts = 2")
    found = prune(trained, ARCHIVE, scale_of(trained), rounds_of(trained.config, 0.5), "taylor")
    assert len({group.name for group in groups_of(found.trained.model)}) == 5, "fine, stream, look, and two hidden"
    assert np.isfinite(forecast(found.trained)).all()


def test_settings_as_a_text_are_the_settings():
    trained = trained_of(model="members = 2", physics=transport("t850", learned_wind=True))
    assert parse_config(text_of(trained.config)) == trained.config
