"""Models with noise through the jobs: trained with a break, forecast, retrained, explained, exported, made smaller."""

import logging
import shutil
import signal

import numpy as np
import pytest
from synthetic import config_text, wave_dataset

import pinnwx
from pinnwx.data.inputs import as_archive
from pinnwx.errors import CheckpointError, ConfigError, UsageError
from pinnwx.forecasting.ensemble import PERTURBATION_SCALE, Ensemble
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.runs import Run
from pinnwx.jobs.interrupts import Interrupted
from pinnwx.jobs.train import train
from pinnwx.model.noise import is_learned
from pinnwx.model.weights import named_weights
from pinnwx.training import stopping

MEMBERS = "{ steps = 1, fraction = 0.3, members = 2 }, { steps = 2, fraction = 0.2, members = 2 }"
CURRICULUM = f"[{{ steps = 1, fraction = 0.5 }}, {MEMBERS}]"
TEXT = config_text(
    model="climate = { bound_margin = 0.1 }",
    training=f"batch_size = 8\nupdates = 80\nlearning_rate = 3e-3\ncurriculum = {CURRICULUM}\n"
    "[retraining]\nupdates = 40\nsteps = 1\n[model.noise]\nnumbers = 3\nfields = 2",
)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("noisy")
    (folder / "c.toml").write_text(TEXT)
    return train(folder / "c.toml", data, folder / "run")


def spread(trained, data) -> np.ndarray:
    """Of each field after a day, in standard deviations."""
    archive = as_archive(data, trained.names, grid=trained.grid)
    made = Ensemble(trained, [24], 4).forecast(archive, archive.times[-1])[:, 0]
    return made.std(axis=0).mean(axis=(-2, -1)) / trained.normalisation.std


def test_members_differ_by_noise_alone(run, data):
    trained = run.load()
    ensemble = Ensemble(trained, [24], 4)
    scales = {"perturbation_scale": 0.0, "model_error_scale": 0.0}
    assert ensemble.settings == {"members": 4, **scales, "noise": True}
    assert (spread(trained, data) > 1e-3).all()


def test_what_each_update_trained_is_recorded(run):
    assert run.load().manifest["planned_updates"] == {"1": 64, "2": 16}
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    assert sum('"stage_members": 2' in line for line in lines) == 40
    pinnwx.plot(run.folder, run.folder / "t.png")


def test_an_interrupted_training_goes_on_to_the_same_weights(run, data, tmp_path):
    """It is interrupted in the stages with members."""
    (tmp_path / "c.toml").write_text(TEXT)

    def interrupt(progress):
        if progress.update >= 56:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted):
        train(tmp_path / "c.toml", data, tmp_path / "run", progress=interrupt)
    resumed = train(tmp_path / "c.toml", data, tmp_path / "run", resume=True).load()
    expected = named_weights(run.load().model)
    for name, values in named_weights(resumed.model).items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_a_successor_has_noise_too(run, data, tmp_path):
    shutil.copytree(run.folder, tmp_path / "run")
    wave_dataset(160).to_netcdf(tmp_path / "fresh.nc")
    before = named_weights(run.load().model)
    pinnwx.retrain(tmp_path / "run", tmp_path / "fresh.nc")
    after = Run.open(tmp_path / "run").load()
    assert (spread(after, data) > 1e-3).all()
    name = "closure/network/blocks/0/modulation/kernel"
    assert np.abs(np.asarray(named_weights(after.model)[name]) - np.asarray(before[name])).max() > 1e-5


def test_a_single_forecast_has_none(run, data, tmp_path):
    """Nor its explanation, nor the exported model."""
    trained = run.load()
    archive = as_archive(data, trained.names, grid=trained.grid)
    single = Predictor(trained, [6]).forecast(archive, archive.times[-1])[0]
    unit = trained.normalisation.std[:, None, None]
    budget = pinnwx.explain(run.folder, data, out=tmp_path / "b.nc", hours=6)
    explained = np.stack([budget[name].values[0] for name in trained.names])
    np.testing.assert_allclose(explained / unit, single / unit, atol=1e-3)
    members = Ensemble(trained, [6], 4).forecast(archive, archive.times[-1])[:, 0]
    assert np.abs((members - single) / unit).max() > 1e-3
    pinnwx.export(run.folder, tmp_path / "m.zip")


def test_a_smaller_model_has_channels_of_noise_or_none(run, data, tmp_path):
    pruned = pinnwx.prune(run.folder, data, tmp_path / "p", keep=0.7, updates=16).load()
    assert pruned.model.noise is not None
    assert (spread(pruned, data) > 1e-4).all()
    student = pinnwx.distill(run.folder, data, tmp_path / "s", size=0.5, updates=16).load()
    assert student.model.noise is None
    assert {stage.members for stage in student.config.training.curriculum} == {1}


def test_noise_that_was_trained_alone(data, tmp_path):
    """The student of such a model has none; a successor keeps it as it is."""
    text = TEXT.replace("updates = 80", "updates = 80\nnoise_alone = true")
    assert text != TEXT
    (tmp_path / "c.toml").write_text(text)
    own = train(tmp_path / "c.toml", data, tmp_path / "run", promote_anyway=True)
    trained = own.load()
    assert is_learned(trained.model)
    student = pinnwx.distill(own.folder, data, tmp_path / "s", size=0.5, updates=16).load()
    assert not student.config.training.noise_alone
    wave_dataset(160).to_netcdf(tmp_path / "fresh.nc")
    pinnwx.retrain(own.folder, tmp_path / "fresh.nc")
    kernels = [each.model.closure.network.blocks[0].modulation.kernel[...] for each in (trained, own.load())]
    np.testing.assert_array_equal(*kernels)
    assert np.abs(kernels[0]).max() > 0


def test_noise_that_was_not_trained_is_none(run):
    """As after a budget that was too short for the stages with members: then analyses are perturbed."""
    trained = run.load()
    assert is_learned(trained.model)
    kernel = trained.model.closure.network.blocks[0].modulation.kernel
    kernel[...] = 0 * kernel[...]
    assert not is_learned(trained.model)
    settings = Ensemble(trained, [6], 4).settings
    assert settings == {"members": 4, "perturbation_scale": PERTURBATION_SCALE, "model_error_scale": 0.0}


def test_a_budget_too_short_for_members_is_told(data, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(stopping, "COMPILING_FRACTION", 0.0)
    (tmp_path / "c.toml").write_text(TEXT.replace("updates = 80", "minutes = 0.2"))
    with caplog.at_level(logging.INFO):
        made = train(tmp_path / "c.toml", data, tmp_path / "run", promote_anyway=True)
    assert "too short for rollouts of 1 step(s) with 2 members, 2 step(s) with 2 members" in caplog.text
    assert "model.noise is not trained and does nothing in ensembles; give more --minutes" in caplog.text
    assert not is_learned(made.load().model)


def test_weights_without_noise_do_not_begin_one_with_it(run, data, tmp_path):
    plain = config_text(training="batch_size = 8\nupdates = 16")
    (tmp_path / "c.toml").write_text(plain)
    with pytest.raises((ConfigError, CheckpointError, UsageError)):
        train(tmp_path / "c.toml", data, tmp_path / "run", init_from=run.folder)
    assert not (tmp_path / "run" / "live").exists()


def test_a_regional_model_has_members_too(tmp_path):
    box = {"latitude": slice(1, 7), "longitude": slice(3, 12)}
    wave_dataset(80).isel(box).to_netcdf(tmp_path / "box.nc")
    text = TEXT.replace('grid = "22.5deg"', 'grid = "native"')
    for key, more in (("step_hours = 6", "boundary_width = 1"), ("width = 16", "patch_size = 1")):
        text = text.replace(key, f"{key}\n{more}")
    (tmp_path / "c.toml").write_text(text)
    made = train(tmp_path / "c.toml", tmp_path / "box.nc", tmp_path / "run", promote_anyway=True)
    scores = pinnwx.evaluate(
        made.folder, tmp_path / "box.nc", start="2026-01-16", end="2026-01-18", leads=[24], members=4
    )
    assert scores.entry("msl", 24)["spread"] > 0
    assert scores.settings["noise"] is True
