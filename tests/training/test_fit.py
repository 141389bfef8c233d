"""The training loop: what it feeds the model, how it stops and goes on, and that the model learns."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from synthetic import config, wave_archive

from pinnwx.data.fitting import fit_normalisation
from pinnwx.errors import CheckpointError, DataError, StabilityError
from pinnwx.forecasting import predictor
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.model.deep_ensemble import give_weights
from pinnwx.training import trainer
from pinnwx.training.checkpoint import Checkpoints
from pinnwx.training.fit import fit
from pinnwx.training.recording import CHECKPOINT_SECONDS
from pinnwx.training.trainer import NO_HOOKS, UPDATES_PER_TURN, Hooks, TrainingResult
from pinnwx.training.update import UpdateMetrics, _program, _update, device_archive, initial_state, make_update

ARCHIVE = wave_archive(60)


def train(folder, body="updates = 8", *, model="", archive=ARCHIVE, hooks=NO_HOOKS, **options) -> TrainingResult:
    settings = config(training=f"batch_size = 8\n{body}", model=model)
    trained = TrainedModel.initialise(settings, archive)
    folder.mkdir(exist_ok=True)
    scale = trained.normalisation.increment_std[:, None, None]
    return fit(trained.model, archive, settings, scale, folder=folder, hooks=hooks, **options)


class FakeUpdate:
    """Stands in for the compiled update: records its windows and trains nothing; each call takes `seconds`."""

    def __init__(self):
        self.windows, self.seconds, self.now = [], 0.001, 100.0
        self.loss, self.gradient_norm = lambda _: 1.0, 2.0

    def train(self, folder, body="updates = 8", *, progress=lambda _: None, stop=lambda: False, **options):
        """`train` by the clock of this update."""
        return train(folder, body, hooks=Hooks(progress, stop, lambda: self.now), **options)

    def update(self, state, windows, _source, _total, _members, _averaged_from):
        self.now += self.seconds
        loss = self.loss(int(state.update))
        self.windows.append(np.asarray(windows))
        good = np.isfinite([loss, self.gradient_norm]).all()
        state = state._replace(update=state.update + 1, skipped=state.skipped + (not good))
        return state, UpdateMetrics(jnp.float32(loss), jnp.float32(1e-3), jnp.float32(self.gradient_norm))


@pytest.fixture
def fake(monkeypatch):
    update = FakeUpdate()
    monkeypatch.setattr(trainer, "make_update", lambda *_: lambda *arguments: update.update(*arguments))
    return update


def lines(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_trained_model_forecasts_with_the_program_of_a_model_that_is_read(tmp_path):
    """So what `train` compiles to check a model serves the forecasts of later processes too."""
    settings = config(training="batch_size = 8\nupdates = 8")
    untrained = TrainedModel.initialise(settings, ARCHIVE)
    scale = untrained.normalisation.increment_std[:, None, None]
    give_weights(untrained.model, fit(untrained.model, ARCHIVE, settings, scale).parameters)
    untrained.save(tmp_path / "version")
    counts = []
    for one in (untrained, TrainedModel.load(tmp_path / "version")):
        Predictor(one, [6.0]).from_archive(ARCHIVE, ARCHIVE.times[:3])
        counts.append(predictor._rollout._cache_size())
    assert counts[0] == counts[1]


def test_batches_are_shuffled_passes_without_repeats(tmp_path, fake):
    fake.train(tmp_path, "updates = 24")
    first = np.concatenate(fake.windows)[:, 0]
    count = len(ARCHIVE) - 1
    passes = [first[start : start + count] for start in range(0, 3 * count, count)]
    for each in passes:
        assert sorted(each) == list(range(count))
        assert (np.diff(each) != 1).mean() > 0.8, "shuffled"
    assert (passes[0] != passes[1]).any()
    np.testing.assert_array_equal(np.diff(np.concatenate(fake.windows)), 1)


def test_the_same_seed_gives_the_same_batches(tmp_path, fake):
    fake.train(tmp_path / "a")
    fake.train(tmp_path / "b")
    first, again = np.array(fake.windows[:8]), np.array(fake.windows[8:])
    np.testing.assert_array_equal(first, again)


def test_the_curriculum_goes_stage_by_stage(tmp_path, fake):
    body = "updates = 16\ncurriculum = [{ steps = 1, fraction = 0.5 }, { steps = 3, fraction = 0.5 }]"
    trained = fake.train(tmp_path, body)
    assert [windows.shape[1] - 1 for windows in fake.windows] == [1] * 8 + [3] * 8
    assert (trained.plan.steps, trained.plan.updates) == ((1, 3), (8, 8))
    assert [line["stage_steps"] for line in lines(tmp_path)] == [1] * 8 + [3] * 8


def test_the_members_of_a_deep_ensemble_take_turns_at_batches_of_their_own(tmp_path, fake):
    body = "updates = 32\ncurriculum = [{ steps = 1, fraction = 0.5 }, { steps = 3, fraction = 0.5 }]"
    shared = fake.train(tmp_path / "both", body, model="networks = 2")
    assert len(shared.parameters) == len(shared.optimiser) == 2
    assert (shared.updates, shared.plan.updates) == (32, (16, 16))
    turns = [fake.windows[start : start + 4] for start in range(0, 32, 4)]
    fake.windows = []
    fake.train(tmp_path / "alone", body.replace("32", "16"))
    np.testing.assert_array_equal(np.concatenate(turns[0:4:2]), fake.windows[:8])
    np.testing.assert_array_equal(np.concatenate(turns[4::2]), fake.windows[8:])
    for first, second in zip(turns[::2], turns[1::2], strict=True):
        assert (np.array(first) != second).any(), "another order"


def test_metrics_and_progress(tmp_path, fake):
    fake.loss = lambda update: np.nan if update == 2 else 2.0 - 0.1 * update
    stages = []
    fake.train(tmp_path, progress=stages.append)
    written = lines(tmp_path)
    assert [line["update"] for line in written] == list(range(1, 9))
    assert [line["loss"] for line in written[:4]] == pytest.approx([2.0, 1.9, None, 1.7])
    assert {"wall_seconds", "learning_rate", "gradient_norm", "stage_steps"} <= written[0].keys()
    assert [(progress.update, progress.total) for progress in stages] == [(4, 8), (8, 8)]
    assert stages[-1].seconds_left == 0
    assert stages[-1].updates_per_second > 0


def test_stopped_and_resumed_is_the_same_sequence(tmp_path, fake):
    fake.train(tmp_path / "whole", "updates = 24")
    whole, fake.windows = np.array(fake.windows), []
    stopping = fake.train(tmp_path / "parts", "updates = 24", stop=lambda: len(fake.windows) >= 12)
    assert stopping.updates == 12
    again = fake.train(tmp_path / "parts", "updates = 24", resume=True)
    assert again.updates == 24
    np.testing.assert_array_equal(np.array(fake.windows), whole)
    assert [line["update"] for line in lines(tmp_path / "parts")] == list(range(1, 25))


def test_what_a_killed_process_logged_past_its_checkpoint_is_not_logged_twice(tmp_path, fake):
    fake.train(tmp_path, "updates = 24", stop=lambda: len(fake.windows) >= 12)
    with (tmp_path / "metrics.jsonl").open("a") as log:
        log.write(json.dumps({"update": 13, "loss": 9.0}) + "\n")
    fake.train(tmp_path, "updates = 24", resume=True)
    assert [line["update"] for line in lines(tmp_path)] == list(range(1, 25))


def test_the_clock_of_the_log_goes_on_after_resuming(tmp_path, fake):
    fake.seconds = 0.01
    fake.train(tmp_path, "updates = 24", stop=lambda: len(fake.windows) >= 12)
    fake.train(tmp_path, "updates = 24", resume=True)
    assert (np.diff([line["wall_seconds"] for line in lines(tmp_path)]) >= 0).all()


def test_other_data_are_refused_when_resuming(tmp_path, fake):
    fake.train(tmp_path, "updates = 24", stop=lambda: len(fake.windows) >= 12)
    with pytest.raises(DataError, match="the data differ from those this training began with"):
        fake.train(tmp_path, "updates = 24", archive=wave_archive(59), resume=True)


def test_the_time_is_kept_and_used(tmp_path, fake):
    fake.seconds, began = 0.01, fake.now
    timed = fake.train(tmp_path, "minutes = 1", deadline=began + 4.0)
    assert 3.5 < fake.now - began <= 4.0
    assert timed.updates > 300
    assert timed.plan.total >= timed.updates


@pytest.mark.parametrize(("minutes", "stages"), [(1, (1,)), (2, (1, 4)), (10, (1, 4, 12))])
def test_rollouts_that_would_take_their_time_to_compile_are_left_out(tmp_path, fake, monkeypatch, minutes, stages):
    began, update = fake.now, fake.update

    def compiling_first(state, windows, *others):
        known = {batch.shape for batch in fake.windows}
        fake.now += 0.5 if windows.shape in known else 20.0 * (windows.shape[1] - 1) ** 0.5
        return update(state, windows, *others)

    monkeypatch.setattr(fake, "update", compiling_first)
    curriculum = "[{ steps = 1, fraction = 0.6 }, { steps = 4, fraction = 0.3 }, { steps = 12, fraction = 0.1 }]"
    timed = fake.train(tmp_path, f"minutes = 1\ncurriculum = {curriculum}", deadline=began + 60 * minutes)
    assert timed.plan.steps == stages
    assert timed.updates > 4 * len(stages), "and the time left was used"
    assert 60 * minutes - 2.5 <= fake.now - began <= 60 * minutes + 2.5


def test_a_machine_that_slows_down_still_ends_in_time(tmp_path, fake):
    began = fake.now

    def slower(_):
        fake.seconds = 0.1 if len(fake.windows) > 10 else 0.001
        return 1.0

    fake.loss = slower
    timed = fake.train(tmp_path, "minutes = 1", deadline=began + 2.0)
    assert fake.now - began < 3.0
    assert timed.updates < 100, "the first plan was made for a thousand and more"


def test_a_loss_that_stays_undefined_ends_training(tmp_path, fake):
    fake.loss = lambda update: np.nan if update >= 8 else 1.0
    with pytest.raises(StabilityError, match=r"20 updates up to update 28 .* lower training\.learning_rate"):
        fake.train(tmp_path, "updates = 100")


def test_gradients_that_stay_undefined_end_training_too(tmp_path, fake):
    fake.gradient_norm = np.nan
    with pytest.raises(StabilityError, match="20 updates up to update 20 had no finite loss and gradient"):
        fake.train(tmp_path, "updates = 100")


def test_a_training_that_learned_nothing_is_no_success(tmp_path, fake):
    fake.loss = lambda _: np.nan
    with pytest.raises(StabilityError, match="nothing was learned"):
        fake.train(tmp_path)


def test_undefined_now_and_then_does_not(tmp_path, fake):
    fake.loss = lambda update: np.nan if update % 8 == 3 else 1.0
    assert fake.train(tmp_path, "updates = 200").updates == 200


def test_windows_do_not_span_gaps(tmp_path, fake):
    times = np.delete(ARCHIVE.times, [20])
    gappy = type(ARCHIVE)(times, np.delete(ARCHIVE.fields, [20], axis=0), ARCHIVE.names, ARCHIVE.grid)
    fake.train(tmp_path, "updates = 24", archive=gappy)
    starts = times[np.concatenate(fake.windows)]
    assert (np.diff(starts) == np.timedelta64(6, "h")).all()


def test_windows_begin_with_the_analyses_the_model_looks_at(tmp_path, fake):
    fake.train(tmp_path, model="input_times = 2", body="updates = 4")
    assert {windows.shape for windows in fake.windows} == {(8, 3)}
    with pytest.raises(DataError, match="no 3 analyses in a row"):
        fake.train(tmp_path, model="input_times = 2", archive=wave_archive(2))


def test_too_short_a_training_time_is_refused(tmp_path, fake):
    with pytest.raises(DataError, match=r"no 13 analyses in a row 6 h apart; its 10 analyses are 6 h apart"):
        fake.train(tmp_path, "curriculum = [{ steps = 12, fraction = 1.0 }]", archive=wave_archive(10))


def test_resume_needs_a_state(tmp_path, fake):
    with pytest.raises(CheckpointError, match="no training state"):
        fake.train(tmp_path, resume=True)


def test_a_step_sees_the_time_of_its_middle():
    source = device_archive(ARCHIVE, 6.0)
    hour = np.rad2deg(np.arctan2(source.time.sin_day, source.time.cos_day)) / 15 % 24
    np.testing.assert_allclose(hour[:4], [3, 9, 15, 21], atol=1e-3)


def compiled_update(seed: int = 0):
    settings = config(extra=f"seed = {seed}")
    trained = TrainedModel.initialise(settings, ARCHIVE)
    scale = trained.normalisation.increment_std[:, None, None]
    update = make_update(trained.model, ARCHIVE.grid, scale, settings.training)
    return update, initial_state(trained.model, settings.training)


def host(state):
    return jax.tree.map(np.array, state)


def test_an_update_without_a_finite_loss_changes_nothing():
    update, state = compiled_update()
    fields = ARCHIVE.fields.copy()
    fields[10, 0, 3, 3] = np.nan
    source = device_archive(type(ARCHIVE)(ARCHIVE.times, fields, ARCHIVE.names, ARCHIVE.grid), 6.0)
    good = jnp.asarray(np.stack([np.arange(20, 28), np.arange(21, 29)], axis=1), jnp.int32)
    state, progress = update(state, good, source, 100)
    assert np.isfinite(progress.loss)
    before = host(state)
    state, progress = update(state, good.at[5].set(jnp.asarray([9, 10])), source, 100)
    assert not np.isfinite(progress.loss)
    after = host(state)
    assert (after.update, after.skipped) == (2, 1)
    for name in ("parameters", "average", "optimiser"):
        old, new = (jax.tree.leaves(getattr(one, name)) for one in (before, after))
        assert all(a.tobytes() == b.tobytes() for a, b in zip(old, new, strict=True)), name
    state, progress = update(state, good, source, 100)
    assert np.isfinite(progress.loss)
    assert any((a != np.asarray(b)).any() for a, b in zip(
        jax.tree.leaves(before.parameters), jax.tree.leaves(state.parameters), strict=True
    ))  # fmt: skip


def test_the_first_loss_is_that_of_persistence():
    """In units of the usual change: an untrained network alone is persistence, so its loss is about 1."""
    update, state = compiled_update()
    windows = np.stack([np.arange(len(ARCHIVE) - 1), np.arange(1, len(ARCHIVE))], axis=1)[:56].reshape(7, 8, 2)
    source = device_archive(ARCHIVE, 6.0)
    losses = []
    for batch in windows:
        state, progress = update(state._replace(update=jnp.zeros((), jnp.int32)), jnp.asarray(batch), source, 10**9)
        losses.append(float(progress.loss))  # at a learning rate of next to nothing
    assert np.mean(losses) == pytest.approx(1.0, abs=0.02)


@pytest.fixture(scope="module", params=[("adam", 3e-3), ("muon", 1e-2)], ids=["adam", "muon"])
def learned(request, tmp_path_factory):
    """Trained on the first days of waves that only travel; scored on later ones."""
    optimiser, rate = request.param
    folder = tmp_path_factory.mktemp("learned")
    result = train(folder, f'updates = 240\noptimiser = "{optimiser}"\nlearning_rate = {rate}\nema_decay = 0.9')
    return folder, result


@pytest.mark.slow
def test_the_loss_falls(learned):
    losses = [line["loss"] for line in lines(learned[0])]
    assert len(losses) == 240
    assert np.mean(losses[-20:]) < 0.1 * np.mean(losses[:5])


@pytest.mark.slow
def test_what_is_learned_beats_persistence_on_later_days(learned):
    settings = config()
    trained = TrainedModel.initialise(settings, ARCHIVE)
    nnx.update(trained.model, *learned[1].parameters)
    later = wave_archive(80)
    start = np.arange(62, 74)
    forecasts = Predictor(trained, [6.0, 24.0]).from_archive(later, later.times[start])
    for lead, steps in enumerate((1, 4)):
        truth = later.fields[start + steps]
        area = later.grid.area_weights
        error, still = (
            np.sqrt((area * (x - truth) ** 2).mean((0, 2, 3))) for x in (forecasts[:, lead], later.fields[start])
        )
        assert (error < 0.5 * still).all()


@pytest.mark.slow
@pytest.mark.parametrize(("optimiser", "members"), [("adam", 1), ("muon", 1), ("muon", 2)])
def test_resumed_is_bit_identical(tmp_path, optimiser, members):
    """Weights, their average, the optimiser and the log, with a fixed number of updates."""
    body = "updates = 16\ncurriculum = [{ steps = 1, fraction = 0.5 }, { steps = 2, fraction = 0.5 }]"
    body += f'\noptimiser = "{optimiser}"'
    model = f"networks = {members}"
    whole = train(tmp_path / "whole", body, model=model).parameters
    assert len(whole) == members
    for done in (4, 12):
        reached = []
        progress, stop = reached.append, lambda to=reached, done=done: to[-1].update >= done
        stopped = train(tmp_path / str(done), body, model=model, hooks=Hooks(progress, stop))
        assert stopped.updates == done
        again = train(tmp_path / str(done), body, model=model, resume=True).parameters
        for ours, theirs in zip(jax.tree.leaves(again), jax.tree.leaves(whole), strict=True):
            assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()
        keys = ("update", "loss", "learning_rate", "gradient_norm", "stage_steps")
        parts, one = ([[line[key] for key in keys] for line in lines(tmp_path / name)] for name in (str(done), "whole"))
        assert parts == one


def test_scales_come_from_the_training_time_alone():
    """The archive handed to a model is all that it is fitted on."""
    trained = TrainedModel.initialise(config(), ARCHIVE)
    np.testing.assert_array_equal(trained.normalisation.mean, fit_normalisation(ARCHIVE, 6).mean)
    np.testing.assert_allclose(trained.model.inputs.std[...][:, 0, 0], trained.normalisation.std, rtol=1e-6)


@pytest.mark.parametrize("seconds", [0.8, 2.4])
def test_a_kill_loses_ten_seconds_at_most_in_the_first_minute_and_a_minute_later_on(
    tmp_path, fake, monkeypatch, seconds
):
    """On a clock of its own; the first checkpoint comes with the first updates, and one before a stage is compiled."""
    fake.seconds, saves = seconds, [(100.0, 0)]
    monkeypatch.setattr(Checkpoints, "save", lambda _, done, *__: saves.append((fake.now, done)))
    stages = "[{ steps = 1, fraction = 0.5 }, { steps = 2, fraction = 0.5 }]"
    total = int(1200 / seconds) // 8 * 8
    fake.train(tmp_path, f"updates = {total}\ncurriculum = {stages}")
    times, updates = np.array(saves).T
    assert updates[1] == UPDATES_PER_TURN
    assert total / 2 in updates
    lost = np.diff(times)
    assert lost[times[1:] <= 160.0].max() <= 10.0
    assert lost.max() <= CHECKPOINT_SECONDS
    assert len(saves) < 45, "and it does not spend its time on saving"


def test_models_of_the_same_settings_share_a_compiled_update():
    """Normalisation and climatology are arguments of the program, so other data need no compilation."""
    program, norms, sizes = _program(_update, donated=1), [], []
    windows = jnp.asarray(np.stack([np.arange(20, 28), np.arange(21, 29)], axis=1), jnp.int32)
    sharper = ARCHIVE.fields + 0.1 * (ARCHIVE.fields - np.roll(ARCHIVE.fields, 1, axis=-1))
    for archive in (ARCHIVE, replace(ARCHIVE, fields=sharper)):
        settings = config(training="learning_rate = 3e-3\nbatch_size = 8")
        trained = TrainedModel.initialise(settings, archive)
        scale = trained.normalisation.increment_std[:, None, None]
        update = make_update(trained.model, archive.grid, scale, settings.training)
        _, progress = update(initial_state(trained.model, settings.training), windows, device_archive(archive, 6), 100)
        norms.append(float(progress.gradient_norm))
        sizes.append(program._cache_size())
    assert sizes[0] == sizes[1], "the second model used the program of the first"
    assert norms[0] != norms[1]
