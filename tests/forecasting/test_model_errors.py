"""Model errors: what they are, that their file is whole or refused, and what they do to the members of an ensemble."""

import time
from dataclasses import replace

import numpy as np
import pytest
from flax import nnx
from synthetic import TRACER, config_text, randomise, tiny_trained, transport, wave_archive

from pinnwx.errors import CheckpointError, UsageError
from pinnwx.forecasting import out_of_fold
from pinnwx.forecasting.ensemble import Ensemble
from pinnwx.forecasting.model_errors import ModelErrors, similar_times
from pinnwx.forecasting.out_of_fold import out_of_fold_ensembles, out_of_fold_errors
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.trained_model import MODEL_ERRORS, TrainedModel
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.training.cross_fitting import block_numbers, left_out_by

ARCHIVE = wave_archive(120)
DAYS = 3
TEXT = config_text(model="networks = 2", training=f"cross_fitting_days = {DAYS}")


def cross_fitted(text: str = TEXT, archive=ARCHIVE) -> TrainedModel:
    trained = tiny_trained(text, archive)
    for seed, network in enumerate(networks_of(trained.model)):
        randomise(network, seed, 0.1)
    return replace(trained, model_errors=out_of_fold_errors(trained, archive))


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return cross_fitted()


@pytest.fixture(scope="module")
def errors(trained) -> ModelErrors:
    return trained.model_errors


def test_each_is_the_error_of_the_network_that_left_the_time_out(trained, errors):
    """Truth minus the forecast of that network in one of its views, within the number of stored digits."""
    predictor, step = Predictor(trained, [6]), np.timedelta64(6, "h")
    networks, views = networks_of(trained.model), networks_of(trained.model)[0].views
    owner = left_out_by(errors.times, DAYS, 2)
    np.testing.assert_array_equal(owner, left_out_by(errors.times + step, DAYS, 2), "both ends are in one block")
    assert set(owner) == {0, 1}
    for row in (0, len(owner) // 2, len(owner) - 1):
        when = errors.times[row : row + 1]
        start = predictor.analyses(ARCHIVE, when)
        truth = ARCHIVE.fields[np.searchsorted(ARCHIVE.times, when[0] + step)]
        own, unit = nnx.split(networks[owner[row]]), trained.normalisation.increment_std[:, None, None]
        forecasts = [predictor.run(*own, start, when, views[number])[0, 0] for number in range(len(views))]
        apart = [np.abs((errors.fields[row] - (truth - forecast)) / unit).max() for forecast in forecasts]
        assert min(apart) < 1e-3
    assert (np.diff(errors.times) > np.timedelta64(0)).all()
    inside = (len(ARCHIVE) - 1) * (4 * DAYS - 1) / (4 * DAYS)
    assert len(errors.times) == pytest.approx(inside, abs=2), "every step that does not leave its block"


def test_there_are_none_when_the_time_is_up_too_early(trained, monkeypatch):
    assert out_of_fold_errors(trained, ARCHIVE, time.monotonic() - 1) is None
    monkeypatch.setattr(out_of_fold, "FEWEST_ERRORS", 8)
    few = out_of_fold_errors(trained, ARCHIVE, time.monotonic() - 1)
    assert 8 <= len(few.times) <= 16, "one batch was begun"


def test_of_many_whole_runs_of_days_are_stored(trained, errors, monkeypatch):
    """Successive errors stay together, and the whole training time is represented."""
    one = 2 * 2 * 8 * 16  # bytes of an error
    monkeypatch.setattr(out_of_fold, "MOST_BYTES", 60 * one)
    some = out_of_fold_errors(trained, ARCHIVE)
    assert 40 <= len(some.times) <= 60
    steps = np.diff(some.times) / np.timedelta64(6, "h")
    assert (steps == 1).mean() > 0.8
    assert some.times[0] - ARCHIVE.times[0] < np.timedelta64(3, "D")
    assert ARCHIVE.times[-1] - some.times[-1] < np.timedelta64(6, "D")
    places = np.searchsorted(errors.times, some.times)
    np.testing.assert_array_equal(errors.times[places], some.times)


def test_a_network_that_has_diverged_has_none(trained):
    broken = tiny_trained(TEXT, ARCHIVE)
    for network in networks_of(broken.model):
        randomise(network, 0, np.inf)
    assert out_of_fold_errors(broken, ARCHIVE) is None


def test_a_version_has_them(trained, errors, tmp_path):
    trained.save_version(tmp_path / "0001", {"seed": 0})
    loaded = TrainedModel.load(tmp_path / "0001").model_errors
    assert loaded.names == errors.names
    np.testing.assert_array_equal(loaded.times, errors.times)
    unit = np.abs(errors.fields).max((0, 2, 3), keepdims=True) / 32767
    assert (np.abs(loaded.fields - errors.fields) <= 0.51 * unit).all()
    made = [Ensemble(replace(trained, model_errors=each), [6], 4) for each in (errors, loaded)]
    members = [ensemble.forecast(ARCHIVE, ARCHIVE.times[-1]) for ensemble in made]
    np.testing.assert_allclose(*members, rtol=1e-6, atol=float(2 * unit.max()))


@pytest.mark.parametrize("change", ["names", "shape", "order"])
def test_errors_of_another_model_are_refused(errors, tmp_path, change):
    wrong = {
        "names": lambda: replace(errors, names=("msl", "q850")),
        "shape": lambda: replace(errors, fields=errors.fields[..., :-1]),
        "order": lambda: replace(errors, times=errors.times[::-1]),
    }[change]()
    path = tmp_path / MODEL_ERRORS
    wrong.write(path)
    with pytest.raises(CheckpointError, match=r"model_errors\.nc holds"):
        ModelErrors.read(path, errors.names, errors.fields.shape[2:], path.read_bytes())


def test_a_step_of_a_member_adds_one_of_them(trained, errors):
    """And a step of the same time of day: the members differ from their networks by one stored field each, without its
    area mean."""
    when = ARCHIVE.times[-1]
    plain = Ensemble(trained, [6], 6, model_error_scale=0).forecast(ARCHIVE, when)
    made = Ensemble(trained, [6], 6, model_error_scale=0.5).forecast(ARCHIVE, when)
    unit = trained.normalisation.increment_std[:, None, None]
    added = (made - plain)[:, 0] / unit
    mean = (ARCHIVE.grid.area_weights * errors.fields).mean(axis=(-2, -1), keepdims=True)
    assert np.abs(mean / unit).max() > 0.05
    apart = np.abs(added[:, None] - 0.5 * (errors.fields - mean) / unit).max((2, 3, 4))
    assert apart.min(axis=1).max() < 1e-2
    chosen = errors.times[apart.argmin(axis=1)]
    assert len(set(chosen)) > 3
    assert ((when - chosen) % np.timedelta64(1, "D") == np.timedelta64(0)).all()


def test_successive_steps_take_successive_errors():
    """As long as there are any; then those of a time of the same hour."""
    hours = np.concatenate([np.arange(0, 48, 6), np.arange(72, 120, 6), np.arange(240, 480, 6)])
    times = np.datetime64("2026-01-01", "s") + hours * np.timedelta64(1, "h")
    errors = ModelErrors(("msl",), times, np.zeros((len(times), 1, 2, 2), np.float32))
    starts = np.datetime64("2026-02-01T06", "s") + np.arange(12) * np.timedelta64(6, "h")
    rows = errors.drawn(starts, 200, np.random.default_rng(0))
    chosen = times[rows]
    assert ((chosen - starts[:, None]) % np.timedelta64(1, "D") == np.timedelta64(0)).all()
    follows = np.diff(chosen, axis=0) == np.timedelta64(6, "h")
    last = np.isin(rows[:-1], [7, 15, len(times) - 1])
    assert follows[~last].all()
    assert last.any()
    assert len(np.unique(rows[0])) > 10


def test_similar_times_are_of_the_season_if_there_are_enough():
    times = np.datetime64("2025-01-01", "s") + np.arange(4 * 365) * np.timedelta64(6, "h")
    winter = times[similar_times(times, np.datetime64("2030-01-10T12", "s"))]
    assert len(winter) in (89, 90, 91), "45 days on either side, those of two years ago too"
    assert ((winter - winter.astype("datetime64[D]")) == np.timedelta64(12, "h")).all()
    assert not np.isin(winter.astype("datetime64[M]").astype(int) % 12, [3, 4, 5, 6, 7, 8, 9]).any()
    some = times[:40]  # ten days
    np.testing.assert_array_equal(similar_times(some, np.datetime64("2025-07-01T06", "s")), np.arange(1, 40, 4))
    np.testing.assert_array_equal(similar_times(some, np.datetime64("2025-07-01T05", "s")), np.arange(40))


def test_members_are_the_same_every_time_and_need_no_earlier_analyses(trained):
    when = ARCHIVE.times[-1]
    first, again = (Ensemble(trained, [6, 24], 5).forecast(ARCHIVE, when) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    alone = ARCHIVE.select(str(when), None)
    np.testing.assert_array_equal(Ensemble(trained, [6, 24], 5).forecast(alone, when), first)
    assert np.ptp(first, axis=0).max(axis=(0, 2, 3)).min() > 0


def test_a_model_without_them_cannot_add_them():
    with pytest.raises(UsageError, match=r"no model errors; train it with training\.cross_fitting_days"):
        Ensemble(tiny_trained(), [6], 4, model_error_scale=1.0)


def test_what_is_conserved_or_positive_stays_so():
    """A conserved field gets no error, and humidity does not become negative."""
    names = ("vo850", "tracer", "q850", "t850")
    archive = wave_archive(120, names=names)
    archive.fields[:, 1] = np.abs(archive.fields[:, 1])
    archive.fields[:, 2] = np.maximum(1e-3 * (archive.fields[:, 2] - archive.fields[:, 2].mean()), 0)
    tables = transport("tracer", wind="rotational:vo850", form="flux", scheme="limited", conserved=True)
    text = config_text(
        names, physics=tables, model="networks = 2", training=f"cross_fitting_days = {DAYS}", extra=TRACER
    )
    trained = cross_fitted(text, archive)
    weights, when = archive.grid.area_weights, archive.times[-1]
    assert np.abs(trained.model_errors.fields[:, 1]).max() > 0, "an error that must not be added"
    made = Ensemble(trained, [6, 24], 6).forecast(archive, when).astype(np.float64)
    mass = (weights * archive.fields[-1, 1]).mean()
    np.testing.assert_allclose((weights * made[:, :, 1]).mean((-2, -1)), mass, rtol=1e-5)
    assert made[:, :, 1].min() >= 0
    assert made[:, :, 2].min() == 0
    assert np.ptp(made[:, :, 3], axis=0).max() > 0


def test_ensembles_out_of_fold_are_of_the_network_that_left_the_time_out(trained):
    """Without errors, a member is that network's forecast in one of its views; with them, members differ."""
    networks, views = networks_of(trained.model), networks_of(trained.model)[0].views
    plain = Ensemble(trained, [6, 12], 4, 0.0, 0.0)
    (first, *_) = parts = list(out_of_fold_ensembles(plain, ARCHIVE, 40))
    assert sum(len(part.initial_times) for part in parts) == 40
    assert first.members.shape[:3] == (4, len(first.initial_times), 2)
    when = first.initial_times[:1]
    owner = left_out_by(when, DAYS, 2)[0]
    predictor = plain.predictor
    start, own = predictor.analyses(ARCHIVE, when), nnx.split(networks[owner])
    unit = trained.normalisation.increment_std[:, None, None]
    forecasts = np.stack([predictor.run(*own, start, when, views[number])[0] for number in range(len(views))])
    for member in first.members[:, 0]:
        assert (np.abs(forecasts - member) / unit).max(axis=(1, 2, 3, 4)).min() < 1e-3
    row = np.searchsorted(ARCHIVE.times, when[0] + np.array([6, 12], "timedelta64[h]"))
    np.testing.assert_array_equal(first.truth[0], ARCHIVE.fields[row])
    (other, *_) = out_of_fold_ensembles(Ensemble(trained, [6, 12], 4, 0.0, 1.0), ARCHIVE, 40)
    apart = np.abs(other.members[:, None, 0] - other.members[None, :, 0]) / unit
    assert (apart.max(axis=(2, 3, 4, 5))[~np.eye(4, dtype=bool)] > 0.1).all()


def test_members_out_of_fold_start_from_perturbed_analyses(trained):
    """Each draws differences of its own, of the same size at every time, whatever the other times are."""
    ensemble, times = Ensemble(trained, [6], 4, 0.3, 0.0), ARCHIVE.times[40:44]
    analyses = ensemble.predictor.analyses(ARCHIVE, times)
    first, second = (ensemble.perturbed_in_training(number, ARCHIVE, times, analyses) for number in (0, 1))
    unit = trained.normalisation.std[:, None, None]
    for made in (first - analyses, second - analyses, first - second):
        assert (np.abs(made / unit).max(axis=(1, 2, 3, 4)) > 0.05).sum() >= 3, "a wave may meet itself again"
    alone = ensemble.perturbed_in_training(1, ARCHIVE, times[2:3], analyses[2:3])
    np.testing.assert_array_equal(alone, second[2:3])
    plain = Ensemble(trained, [6], 4, 0.0, 0.0)
    assert plain.perturbed_in_training(0, ARCHIVE, times, analyses) is analyses
    kinds = {
        scale: next(iter(out_of_fold_ensembles(Ensemble(trained, [6], 4, scale, 0.0), ARCHIVE, 16))).members
        for scale in (0.0, 0.3)
    }
    assert np.abs(kinds[0.3] - kinds[0.0]).max() > 0


def test_members_out_of_fold_draw_from_other_blocks(trained):
    """Or they would know the weather of the forecast; and errors and perturbations are drawn apart."""
    errors, blocks = trained.model_errors, block_numbers(trained.model_errors.times, DAYS)
    assert len(set(blocks)) > 2
    ensemble = Ensemble(trained, [6, 12, 18, 24], 4, 0.3, 1.0)
    times = ARCHIVE.times[20:60]
    for number in range(4):
        rows = np.asarray(ensemble.draws_in_training(number, times).errors.rows)
        assert (blocks[rows] != block_numbers(times, DAYS)).all()
    for when in times:
        others = ARCHIVE.times[ensemble._outside(ARCHIVE, when)[:, -1]]
        assert (block_numbers(others, DAYS) != block_numbers(np.array([when]), DAYS)).all()
    one = np.zeros(len(errors.times), bool)
    one[5:] = True
    drawn = errors.drawn(ARCHIVE.times[:3], 50, np.random.default_rng(0), one)
    assert drawn.max() < 5
    all_of_them = errors.drawn(ARCHIVE.times[:3], 50, np.random.default_rng(0), np.ones(len(one), bool))
    np.testing.assert_array_equal(all_of_them, errors.drawn(ARCHIVE.times[:3], 50, np.random.default_rng(0)))


def test_a_member_draws_the_same_whatever_the_other_times_are(trained):
    ensemble = Ensemble(trained, [6, 12], 4)
    times = ARCHIVE.times[20:23]
    rows = np.asarray(ensemble.draws_in_training(1, times).errors.rows)
    assert rows.shape == (2, 3)
    np.testing.assert_array_equal(rows[:, 1:2], ensemble.draws_in_training(1, times[1:2]).errors.rows)
    assert (rows != np.asarray(ensemble.draws_in_training(2, times).errors.rows)).any()
