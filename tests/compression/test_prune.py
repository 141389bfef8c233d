"""Pruning: arrays shrink, what does nothing goes without a trace, and a pruned model is a model like any other."""

import itertools

import numpy as np
import pytest
from synthetic import config_text, silence, tiny_trained, transport, wave_archive

from pinnwx.compression.prune import narrowed, prune
from pinnwx.config import config_text as text_of
from pinnwx.config import parse_config
from pinnwx.errors import UnavailableError, UsageError
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.model.weights import count_weights, named_weights, set_weights
from pinnwx.training.trainer import Hooks

ARCHIVE = wave_archive(60)
SETTINGS = 'batch_size = 8\n[compression]\nrounds = 2\nwidths = "global"'
CRITERIA = ("taylor", "integrated", "magnitude", "random")


def trained_of(closure="width = 32\nblocks = 1", model="", physics="", training=SETTINGS):
    return tiny_trained(config_text(closure=closure, model=model, physics=physics, training=training))


def scale_of(trained):
    return trained.normalisation.increment_std[:, None, None]


def forecast(trained):
    return Predictor(trained, [6, 24]).from_archive(ARCHIVE, ARCHIVE.times[[10, 20]])


def layers(trained):
    return {group.layer: group.size for group in trained.model.channel_groups()}


def channels(trained):
    return sum(group.size for group in trained.model.channel_groups())


@pytest.mark.parametrize(
    ("model", "criterion"), [*(("", criterion) for criterion in CRITERIA), ("networks = 2", "taylor")]
)
def test_arrays_shrink_and_it_is_saved_and_read_like_any_other(model, criterion, tmp_path):
    trained = trained_of(model=model)
    before = {name: values.copy() for name, values in named_weights(trained.model).items()}
    pruned, rounds = prune(trained, ARCHIVE, scale_of(trained), 0.5, criterion, updates=100)
    assert [one.updates for one in rounds] == [16, 0]
    assert pruned.config.training.updates == 84, "what is left to do"
    assert 2 * channels(pruned) == channels(trained)
    assert count_weights(pruned.model) == count_weights(TrainedModel.initialise(pruned.config, ARCHIVE).model)
    for name, values in named_weights(trained.model).items():
        np.testing.assert_array_equal(values, before[name], err_msg="the model that was given is left as it is")
    pruned.save_version(tmp_path / "pruned", {})
    np.testing.assert_array_equal(forecast(TrainedModel.load(tmp_path / "pruned")), forecast(pruned))
    assert np.isfinite(forecast(pruned)).all()


def test_half_that_does_nothing_goes_without_a_trace():
    trained = trained_of(model="networks = 2", physics=transport("t850", learned_wind=True))
    for place, member in enumerate(networks_of(trained.model)):
        _kill_half(member, np.random.default_rng(place))
    expected = forecast(trained)
    found, scores, kept = narrowed(trained, ARCHIVE, scale_of(trained), "taylor", 0.5, layers(trained))
    made = forecast(found)
    spread = ARCHIVE.fields.std((0, 2, 3))[:, None, None]
    assert sum(kept.values()) == 0.5 * channels(trained)
    for own in scores:
        assert all((own[layer] > 0).sum() <= width for layer, width in kept.items()), "nothing that matters went"
    assert np.abs((made - expected) / spread).max() < 1e-3
    other, _, _ = narrowed(trained, ARCHIVE, scale_of(trained), "random", 0.5, layers(trained))
    assert np.abs((forecast(other) - expected) / spread).max() > 0.01, "chance does not find them"


def _kill_half(member, generator) -> None:
    """Makes half of the channels of each group unread; of those that are normalised together, copies of the others."""
    weights = named_weights(member)
    for group in member.channel_groups():
        shuffled = generator.permutation(group.size)
        silence(weights, group, shuffled[: group.size // 2], shuffled[group.size // 2 :])
    set_weights(member, weights)


def test_it_learns_between_the_rounds():
    trained = trained_of()
    truth = ARCHIVE.fields[[14, 24]][:, None]

    def error(updates) -> float:
        found, _ = prune(trained, ARCHIVE, scale_of(trained), 0.9, "random", updates=updates)
        return float(np.sqrt((((forecast(found)[:, 1:] - truth) / scale_of(trained)) ** 2).mean()))

    assert error(600) < 0.9 * error(1)


@pytest.mark.parametrize("rounds", [1, 4])
def test_many_rounds_keep_what_was_asked_and_leave_time_to_learn(rounds):
    trained = trained_of(training=f"batch_size = 8\n[compression]\nrounds = {rounds}")
    pruned, found = prune(trained, ARCHIVE, scale_of(trained), 0.5, "magnitude", updates=320)
    assert layers(pruned) == {layer: size // 2 for layer, size in layers(trained).items()}
    assert len(found) == rounds
    assert pruned.config.training.updates == 320 - sum(one.updates for one in found) > 100


def test_a_deadline_holds_for_all_rounds():
    """On a clock that advances by a second whenever it is read."""
    trained = trained_of()
    for deadline, fewest, most in ((1.0, 4, 4), (400.0, 8, 200)):
        ticks = itertools.count()
        hooks = Hooks(clock=lambda ticks=ticks: float(next(ticks)))
        pruned, rounds = prune(trained, ARCHIVE, scale_of(trained), 0.5, "magnitude", deadline=deadline, hooks=hooks)
        assert fewest <= rounds[0].updates <= most
        assert rounds[1].updates == 0
        assert pruned.config.training.updates is None
        assert next(ticks) < max(0.2 * deadline, 40.0)


@pytest.mark.parametrize(
    ("keep", "told"),
    [
        (0.0, "--keep 0"),
        (1.0, "--keep 1"),
        (1.5, "--keep 1.5"),
        (0.999, "--keep 0.999 leaves all channels of all 4 layers; keep less"),
    ],
)
def test_a_share_that_is_none_is_refused(keep, told):
    trained = trained_of()
    with pytest.raises(UsageError, match=told):
        prune(trained, ARCHIVE, scale_of(trained), keep, "random", updates=8)


def test_too_short_a_training_time_is_refused():
    trained = trained_of(training="batch_size = 8\ncurriculum = [{ steps = 60, fraction = 1.0 }]")
    with pytest.raises(UnavailableError, match="no 61 analyses in a row 6 h apart"):
        prune(trained, ARCHIVE, scale_of(trained), 0.5, "taylor", updates=8)


def test_a_model_without_a_network_is_refused():
    trained = trained_of(closure="enabled = false", physics=transport("t850"))
    with pytest.raises(UsageError, match="there is nothing to prune"):
        prune(trained, ARCHIVE, scale_of(trained), 0.5, "taylor", updates=8)


def test_a_mixture_is_pruned_too_and_its_experts_stay_alike():
    trained = trained_of("width = 32\nblocks = 1\nexperts = 2")
    found, _ = prune(trained, ARCHIVE, scale_of(trained), 0.5, "taylor", updates=16)
    sizes = {group.name: group.size for group in found.model.channel_groups()}
    assert len(sizes) == 5, "fine, residual, input_convolution, and two hidden"
    assert sizes["blocks/0/hidden/0"] == sizes["blocks/0/hidden/1"] < 64
    assert np.isfinite(forecast(found)).all()


def test_settings_as_a_text_are_the_settings():
    trained = trained_of(model="networks = 2", physics=transport("t850", learned_wind=True))
    pruned, _, _ = narrowed(trained, ARCHIVE, scale_of(trained), "magnitude", 0.5, layers(trained))
    for one in (trained, pruned):
        assert parse_config(text_of(one.config)) == one.config
