"""What a training makes goes live only if it is no worse than persistence; what learned nothing is no successor."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from synthetic import config_text, randomise, tiny_trained, wave_archive, wave_dataset
from verbs import pinnwx as verb

import pinnwx
from pinnwx.errors import CheckpointError, NotPromotedError
from pinnwx.forecasting.runs import Run
from pinnwx.jobs import training_check
from pinnwx.jobs.events import read_events
from pinnwx.jobs.train import train
from pinnwx.jobs.training_check import check_training, validation_archive
from pinnwx.terminal.runs import version_table

WHOLE = wave_archive(160)
TRAINING = WHOLE.select("2026-01-01", "2026-01-15")
VALIDATION = WHOLE.select("2026-01-20", "2026-02-05")
NONE = "the config has no data.validate"


def spoilt(scale: float, members: int = 1):
    """Random weights: at a large scale, those of a training that diverged."""
    trained = tiny_trained(config_text(model=f"networks = {members}"))
    randomise(trained.model, 1, scale)
    return trained


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize(("validation", "where"), [(VALIDATION, "in data.validate"), (NONE, "in the training time")])
def test_a_model_that_diverged_does_not_pass(members, validation, where):
    report = check_training(spoilt(3.0, members), TRAINING, validation)
    assert not report.passed
    assert where in report.objections[0]
    assert "times that of persistence" in report.objections[0]
    assert "lower training.learning_rate (0.001)" in report.remedy
    json.dumps(report.to_dict())


def test_weights_that_are_not_finite_do_not_pass():
    trained = spoilt(0.1)
    parameters = nnx.state(trained.model, nnx.Param)
    leaves, tree = jax.tree.flatten(parameters)
    leaves[2] = leaves[2] * jnp.nan
    nnx.update(trained.model, jax.tree.unflatten(tree, leaves))
    report = check_training(trained, TRAINING, VALIDATION)
    assert report.objections == ("its weights are not finite",)


def test_forecasts_that_are_not_finite_do_not_pass():
    report = check_training(spoilt(1e30), TRAINING, NONE)
    assert "not finite" in report.objections[0] or "inf times" in report.objections[0]


@pytest.mark.parametrize("skill", [0.5, 0.99, 1.02, 2.0])
@pytest.mark.parametrize("field", [0, 1])
def test_one_field_that_is_worse_than_persistence_is_enough(monkeypatch, skill, field):
    """A forecast whose error is a known share of persistence's, in one field; the other is perfect."""

    def forecasts(predictor, archive, times, lateral_boundary=None):
        starts = np.searchsorted(archive.times, times)
        steps = np.array([round(lead / 6) for lead in predictor.lead_hours])
        truth = archive.fields[starts[:, None] + steps]
        made = truth.copy()
        made[:, :, field] += skill * (archive.fields[starts][:, None, field] - truth[:, :, field])
        return made

    monkeypatch.setattr(training_check.Predictor, "from_archive", forecasts)
    monkeypatch.setattr(training_check, "usable_range", lambda *_: None)  # they know the truth of three steps only
    report = check_training(spoilt(0.1), TRAINING, VALIDATION)
    assert report.passed == (skill < 1)
    if skill > 1:
        name = WHOLE.names[field]
        assert [text.split()[3] for text in report.objections] == [name] * 3, "at 6, 12 and 24 h"
        assert f"is {skill:.4f} times that of persistence" in report.objections[0]


@pytest.mark.parametrize(
    ("period", "why"),
    [
        (None, "has no data.validate"),
        (("2026-01-20", "2026-01-22"), "data.validate holds 7 forecasts of 24 h to score, fewer than 8"),
        (("2027-01-20", "2027-01-22"), "data.validate cannot be read"),
    ],
)
def test_what_cannot_be_checked_is_said(tmp_path, period, why):
    wave_dataset(160).isel(time=slice(None, 87)).to_netcdf(tmp_path / "waves.nc")
    text = config_text()
    if period is not None:
        start, end = period
        text = text.replace("[model]", f'validate = {{ start = "{start}", end = "{end}" }}\n[model]', 1)
    trained = tiny_trained(text)
    randomise(trained.model, 0, 0.0)  # persistence itself
    report = check_training(trained, TRAINING, validation_archive(trained, tmp_path / "waves.nc"))
    assert why in report.not_checked
    assert report.passed


@pytest.fixture(scope="module")
def refused(tmp_path_factory) -> tuple[Path, Path, Path]:
    """A config, its data, and what became of a training without time to learn; as a command, for its exit code."""
    folder = tmp_path_factory.mktemp("refused")
    text = config_text(training="batch_size = 8\nupdates = 4\nlearning_rate = 30.0\nclip_norm = 1e6")
    text = text.replace("[model]", 'validate = { start = "2026-01-20", end = "2026-02-05" }\n[model]', 1)
    (folder / "c.toml").write_text(text)
    wave_dataset(160).to_netcdf(folder / "waves.nc")
    ended = verb("train", folder / "c.toml", "--data", folder / "waves.nc", "--out", folder / "run")
    assert ended.code == 77, ended.err
    line = ended.err.splitlines()[-1]  # after the progress
    for word in ("pinnwx: model 0001", "is stored, but not made live: ", "lower training.learning_rate (30)"):
        assert word in line
    assert f"pinnwx models promote 0001 --run {folder / 'run'}" in line
    return folder / "c.toml", folder / "waves.nc", folder / "run"


def test_a_refused_model_is_kept_but_not_live(refused, capsys):
    config, data, folder = refused
    run = Run(folder)
    assert run.versions == ("0001",)
    with pytest.raises(CheckpointError, match=r"no live model: none was promoted; pinnwx models show 0001"):
        run.load()
    report = json.loads((folder / "reports" / "training_check_0001.json").read_text())
    assert report["objections"]
    assert "learning_rate" in report["remedy"]
    kept = pinnwx.show_model(folder, "0001")["training_check"]
    assert kept["objections"] == report["objections"]
    (event,) = read_events(folder)
    assert (event.outcome, event.exit_code) == ("refused", 77)
    (listed,) = pinnwx.list_models(folder)
    assert (listed.objection, listed.problem, listed.is_live) == (report["objections"][0], "", False)
    version_table([listed])
    shown = capsys.readouterr().out
    assert "refused" in shown.splitlines()[1]
    assert f"0001: not promoted: {report['objections'][0]}" in shown
    with pytest.raises(NotPromotedError, match="0001"):
        train(config, data, folder, resume=True)
    assert run.versions == ("0001",), "and nothing is trained again"


def test_a_refused_model_leaves_the_live_one(refused, tmp_path):
    """Under --force in a run with a live model; a rollback does not end at what was refused."""
    config, data, _ = refused
    run = Run(tmp_path / "run")
    train(config, data, run.folder, promote_anyway=True)
    assert run.live == "0001"
    with pytest.raises(NotPromotedError, match="0002"):
        train(config, data, run.folder, force=True)
    assert (run.versions, run.live) == (("0001", "0002"), "0001")
    train(config, data, run.folder, force=True, promote_anyway=True)
    assert run.live == "0003"
    assert pinnwx.rollback(run.folder) == "0001"
    train(config, data, run.folder, resume=True, promote_anyway=True)
    assert run.live == "0003", "finished, and made live as asked"
    pinnwx.promote(run.folder, "0002")
    assert run.live == "0002"
