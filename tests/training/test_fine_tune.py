"""Learning on: what a batch is made of, when learning ends, and that it repeats."""

import itertools

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file
from synthetic import config_text, tiny_trained, wave_archive

from pinnwx.data.windows import window_indices
from pinnwx.errors import StabilityError
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.training import trainer as module
from pinnwx.training.fine_tune import FineTuningWindows, fine_tune
from pinnwx.training.optimiser import from_named_leaves, named_leaves
from pinnwx.training.sampling import BatchSampler, WindowSampler
from pinnwx.training.stopping import CHECKS, PATIENCE, UpdateCount
from pinnwx.training.trainer import UPDATES_PER_TURN, Hooks
from pinnwx.training.update import UpdateMetrics, initial_state

ARCHIVE = wave_archive(60)
WINDOWS = window_indices(ARCHIVE.times, 6, 2)
FINE_TUNING_WINDOWS = FineTuningWindows(WINDOWS[30:44], WINDOWS[:28], WINDOWS[46:])


def small(updates: str = "", model: str = ""):
    return tiny_trained(config_text(model=model, training=f"batch_size = 8\n[retraining]\nsteps = 2\n{updates}"))


def again(updates: int = 40, fine_tuning_windows: FineTuningWindows = FINE_TUNING_WINDOWS, model: str = "", **options):
    trained = small(f"updates = {updates}", model)
    scale = trained.normalisation.increment_std[:, None, None]
    return trained, fine_tune(trained.model, ARCHIVE, trained.config, scale, fine_tuning_windows, **options)


def leaves(tree) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def test_every_window_once_before_any_again():
    sampler = WindowSampler(WINDOWS, (3,))
    rows = sampler.rows(0, 3 * len(WINDOWS))[:, 0]
    for start in range(0, len(rows), len(WINDOWS)):
        assert sorted(rows[start : start + len(WINDOWS)]) == sorted(WINDOWS[:, 0])
    np.testing.assert_array_equal(np.concatenate([sampler.rows(n, 5) for n in range(0, 100, 5)])[:, 0], rows[:100])
    assert (sampler.rows(0, 20, 1) != sampler.rows(0, 20)).any(), "each member has an order of its own"


@pytest.mark.parametrize(("replay", "old"), [(0.0, 0), (0.5, 4), (0.3, 2), (0.99, 7)])
def test_a_batch_holds_its_share_of_older_windows(replay, old):
    mixture = BatchSampler.of(FINE_TUNING_WINDOWS.fresh, FINE_TUNING_WINDOWS.replay, replay, 8, (0,))
    for number in range(20):
        ends = mixture.batch(number)[:, -1]
        assert (ends <= FINE_TUNING_WINDOWS.replay[-1, -1]).sum() == old
        assert len(ends) == 8
    alone = BatchSampler.of(FINE_TUNING_WINDOWS.fresh, WINDOWS[:0], replay, 8, (0,))
    assert np.isin(alone.batch(0)[:, 0], FINE_TUNING_WINDOWS.fresh[:, 0]).all(), "nothing older, so all are fresh"


def test_it_learns_and_repeats_to_the_last_bit():
    before = leaves(nnx.state(small().model, nnx.Param))
    trained, first = again()
    _, second = again()
    assert first.helped
    assert first.updates == 40
    assert len(first.early_stopping_errors) == CHECKS + 1
    assert first.early_stopping_errors == second.early_stopping_errors
    for one, other in zip(leaves(first.parameters), leaves(second.parameters), strict=True):
        np.testing.assert_array_equal(one, other)
    untouched_weights = leaves(nnx.state(trained.model, nnx.Param))
    for one, untouched in zip(before, untouched_weights, strict=True):
        np.testing.assert_array_equal(one, untouched)


def test_the_weights_are_those_of_the_smallest_error(monkeypatch):
    """Errors that fall, then rise: learning ends when patience does, with the weights from before they rose."""
    errors = itertools.chain([9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0], itertools.count(4.0))
    kept = []

    def made(*_):
        def loss(average, *_):
            kept.append(leaves(average))
            return next(errors)

        return loss

    monkeypatch.setattr(module, "make_loss", made)
    _, done = again()
    assert done.early_stopping_errors == (9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 4.0, 5.0, 6.0)
    assert len(done.early_stopping_errors) == 7 + PATIENCE
    for one, other in zip(leaves(done.parameters), kept[6], strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_no_better_did_not_help(monkeypatch):
    monkeypatch.setattr(module, "make_loss", lambda *_: lambda *_: 1.0)
    _, done = again()
    assert not done.helped
    assert len(done.early_stopping_errors) == 1 + CHECKS // 2 + PATIENCE, "half of the way at least"


@pytest.mark.parametrize(("slower", "updates"), [(1.0, 78), (2.0, 48)])
def test_a_deadline_ends_it(monkeypatch, slower, updates):
    """An update takes 1 s and a check 2 s; ten checks are part of the budget, and so is the warm-up of four updates."""
    clock, speed = [0.0], [1.0]

    def update(state, *_):
        clock[0] += speed[0]
        return state._replace(update=state.update + 1), UpdateMetrics(*np.ones(3))

    def loss(*_):
        clock[0] += 2.0
        return 1.0 / clock[0]

    monkeypatch.setattr(module, "make_update", lambda *_: update)
    monkeypatch.setattr(module, "make_loss", lambda *_: loss)
    hooks = Hooks(clock=lambda: clock[0], progress=lambda _: speed.__setitem__(0, slower))
    trained = small()
    scale = trained.normalisation.increment_std[:, None, None]
    result = fine_tune(trained.model, ARCHIVE, trained.config, scale, FINE_TUNING_WINDOWS, deadline=106.0, hooks=hooks)
    assert result.plan.total == 78, "106 s, less two checks, the warm-up and ten checks"
    assert result.updates == updates
    assert result.helped
    assert clock[0] < 106.0 + 4 * slower + 2.0


def test_a_slow_update_of_the_warm_up_changes_no_plan(monkeypatch):
    """The first update compiles, and two of the next three are slow: three updates mislead, twenty seconds do not."""
    clock, costs = [0.0], itertools.chain([30.0, 6.0, 6.0], itertools.repeat(1.0))

    def update(state, *_):
        clock[0] += next(costs)
        return state, UpdateMetrics(*np.ones(3))

    monkeypatch.setattr(module, "make_update", lambda *_: update)
    trained, batches = small(), [BatchSampler.of(WINDOWS, WINDOWS[:0], 0.0, 8, (0,))]
    hooks = Hooks(clock=lambda: clock[0])
    trainer = module.Trainer(trained.model, [ARCHIVE], trained.config, np.ones(1), batches, UpdateCount((), 1), hooks)
    trainer.states = [initial_state(trained.model, trained.config.training)]
    assert trainer.seconds_per_update(0, timed=20.0) == 1.0
    assert clock[0] == 30 + 20, "no longer than that"
    costs = itertools.chain([30.0, 6.0, 6.0], itertools.repeat(1.0))
    assert trainer.seconds_per_update(0) == 6.0


def test_a_loss_that_stays_undefined_ends_it(monkeypatch):
    def update(state, *_):
        skipped = UpdateMetrics(np.nan, 1.0, 1.0)
        return state._replace(update=state.update + 1, skipped=state.skipped + 1), skipped

    monkeypatch.setattr(module, "make_update", lambda *_: update)
    with pytest.raises(StabilityError, match="20 updates up to update 20 had no finite loss"):
        again()


def test_asked_to_stop():
    _, done = again(updates=1000, hooks=Hooks(stop=lambda: True))
    assert done.updates == UPDATES_PER_TURN
    assert done.ended == f"it was stopped, {UPDATES_PER_TURN} of 1000 planned updates were done"


def test_a_deep_ensemble_learns_each_for_itself():
    trained, done = again(model="networks = 2")
    assert len(done.parameters) == len(done.optimiser) == len(networks_of(trained.model)) == 2
    assert done.updates == 40
    assert any((one != other).any() for one, other in zip(*map(leaves, done.parameters), strict=True))


def test_the_optimiser_goes_on_from_where_it_was_left(tmp_path):
    _, first = again()
    save_file(named_leaves(first.optimiser), tmp_path / "optimiser.safetensors")
    restored = from_named_leaves(load_file(tmp_path / "optimiser.safetensors"), first.optimiser)
    assert restored is not None
    _, warm = again(optimiser=restored)
    _, cold = again()
    assert any((one != other).any() for one, other in zip(*(leaves(x.parameters) for x in (warm, cold)), strict=True))
    for one, other in zip(leaves(restored), leaves(first.optimiser), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_optimiser_of_another_model_is_not_taken():
    _, first = again()
    stored = named_leaves(first.optimiser)
    name = next(name for name, leaf in stored.items() if leaf.ndim)
    assert from_named_leaves({**stored, name: stored[name][:1]}, first.optimiser) is None
    assert from_named_leaves({}, first.optimiser) is None
