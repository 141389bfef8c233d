"""Cross-fitted models from training to scores: their errors are stored, used, and kept by a successor."""

import json
import os
import shutil
import subprocess
import sys
import tomllib

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from synthetic import config_text, wave_dataset

import pinnwx
from pinnwx.data.inputs import as_archive
from pinnwx.errors import ConfigError, OutputError, StabilityError, UnavailableError, UsageError
from pinnwx.forecasting.ensemble import Ensemble
from pinnwx.forecasting.out_of_fold import OutOfFoldEnsembles
from pinnwx.forecasting.runs import Run
from pinnwx.jobs import calibrate as calibrate_module
from pinnwx.jobs.distill import distill
from pinnwx.jobs.train import train
from pinnwx.terminal.scores import score_table
from pinnwx.verification.results import Scores

UPDATES = "batch_size = 8\nupdates = 200\nlearning_rate = 3e-3\ncross_fitting_days = 3\n"
TEXT = config_text(
    model="networks = 2\nclimate = { bound_margin = 0.1 }", training=UPDATES + "[retraining]\nupdates = 60\nsteps = 2"
)
BOX = {"latitude": slice(1, 7), "longitude": slice(3, 12)}


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "c.toml").write_text(TEXT)
    return train(folder / "c.toml", data, folder / "run")


@pytest.fixture(scope="module")
def scores(run, data, tmp_path_factory) -> Scores:
    path = tmp_path_factory.mktemp("scores") / "e.json"
    options = {"start": "2026-01-16", "end": "2026-01-18", "leads": [6, 24, 72]}
    pinnwx.evaluate(run.folder, data, members=5, json=path, thresholds=["msl>101200"], **options)
    return Scores.load(path)


def test_the_version_has_them(run):
    folder = run.version(run.live)
    assert "model_errors.nc" in json.loads((folder / "manifest.json").read_text())["files"]
    errors = run.load().model_errors
    assert errors.times[0] >= np.datetime64("2026-01-01")
    assert errors.times[-1] <= np.datetime64("2026-01-15T18:00")
    assert len(errors.times) > 40


def test_a_model_in_memory_has_the_same(run, data):
    made = pinnwx.train(tomllib.loads(TEXT), data)
    unit = made.normalisation.increment_std[:, None, None]
    apart = (made.model_errors.fields - run.load().model_errors.fields) / unit
    assert np.abs(apart).max() < 1e-3
    assert np.abs(made.model_errors.fields / unit).max() > 0.1


def test_an_ordinary_model_has_none(data):
    text = TEXT.replace("cross_fitting_days = 3\n", "")
    made = pinnwx.train(tomllib.loads(text), data)
    assert made.model_errors is None
    scores = pinnwx.evaluate(made, data, start="2026-01-16", end="2026-01-17", leads=[24], members=4)
    assert scores.settings["model_error_scale"] == 0
    assert "dressed_crps" not in scores.entry("msl", 24)
    assert scores.entry("msl", 24)["climatology_crps"] > 0


def test_ensembles_are_scored_beside_their_baselines(scores, capsys):
    entry = scores.entry("msl", 24)
    assert scores.settings["members"] == 5
    assert scores.settings["model_error_scale"] == 1
    assert entry["spread"] > 0
    assert entry["dressed_crps_ratio"] == pytest.approx(entry["crps"] / entry["dressed_crps"])
    assert entry["crps"] < entry["climatology_crps"], "waves that are known for all time"
    assert scores.entry("msl", 72)["dressed_crps"] is None, "the lead is longer than half a block"
    score_table(scores)
    shown = capsys.readouterr().out
    assert "/ dressed forecast" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_their_probabilities_are_scored(scores, capsys, tmp_path):
    own = scores.entry("msl", 24)["probabilities"]
    assert len(own["ranks"]) == 6
    assert sum(own["ranks"]) == pytest.approx(1)
    names = ["msl>101200", "msl < 10th percentile", "msl > 90th percentile"]
    assert [event["event"] for event in own["events"]] == names
    assert 0 < own["events"][0]["brier"] < own["events"][0]["brier_climatology"]
    assert [event["event"] for event in scores.entry("t850", 24)["probabilities"]["events"]] == [
        "t850 < 10th percentile", "t850 > 90th percentile",
    ]  # fmt: skip
    score_table(scores, details=True)
    shown = capsys.readouterr().out
    assert "outer ranks" in shown
    assert "Brier skill" in shown
    assert max(map(len, shown.splitlines())) <= 80
    scores.save(tmp_path / "s.json")
    pinnwx.plot(tmp_path / "s.json", tmp_path / "s.png", probabilities=True, variables=["t850"], leads=[6, 24])
    assert (tmp_path / "s.png").stat().st_size > 20_000
    pinnwx.plot(tmp_path / "s.json", tmp_path / "all.png", probabilities=True)
    with pytest.raises(UsageError, match="the scores have no variable z500; they have msl, t850"):
        pinnwx.plot(tmp_path / "s.json", tmp_path / "no.png", probabilities=True, variables=["z500"])
    with pytest.raises(UsageError, match="--probabilities draws the scores of ensembles"):
        pinnwx.plot(tmp_path, tmp_path / "no.png", probabilities=True)
    assert not (tmp_path / "no.png").exists()


def test_members_can_be_calibrated(run, data, scores):
    """On the training time, at the leads that reach less than half a block; later ones take the last of them."""
    options = {"start": "2026-01-16", "end": "2026-01-18", "members": 5}
    own = pinnwx.evaluate(run.folder, data, leads=[6, 24, 72], calibrated=True, **options)
    assert own.settings["calibration"]["lead_hours"] == [6, 24]
    assert own.settings["calibration"]["forecasts"] >= 16
    assert own.entry("msl", 24)["crps"] != scores.entry("msl", 24)["crps"]
    assert own.entry("msl", 72)["crps"] != scores.entry("msl", 72)["crps"]
    with pytest.raises(UsageError, match="a calibration needs an ensemble; give --members"):
        pinnwx.evaluate(run.folder, data, start="2026-01-16", end="2026-01-18", calibrated=True)
    with pytest.raises(UsageError, match="the ensemble cannot be calibrated: that needs a model trained with"):
        pinnwx.evaluate(run.folder, data, leads=[72], calibrated=True, **options)


def test_a_calibration_is_stored_with_the_model_and_used(run, data, tmp_path):
    shutil.copytree(run.folder, tmp_path / "run")
    own, options = tmp_path / "run", {"init": "2026-01-17T00", "hours": 24}
    with pytest.raises(UsageError, match="the model is not calibrated; pinnwx calibrate does it"):
        pinnwx.forecast(own, data, members=4, calibrated=True, **options)
    with pytest.raises(UsageError, match="a calibration needs an ensemble; give --members"):
        pinnwx.forecast(own, data, calibrated=True, **options)
    before = pinnwx.forecast(own, data, out=tmp_path / "single.nc", **options)
    counts = []
    done = pinnwx.calibrate(own, data, progress=counts.append)
    assert counts == sorted(counts)
    assert counts[-1] > 100
    assert (done.version, Run.open(own).live) == ("0002", "0002")
    trained, fit = Run.open(own).load(), done.calibration
    assert fit.lead_hours == (6.0, 12.0, 24.0)
    assert trained.manifest["calibrated_from"] == "0001"
    assert trained.manifest["cross_fitted"]
    np.testing.assert_array_equal(trained.calibration.factor, fit.factor)
    again = pinnwx.forecast(own, data, out=tmp_path / "single.nc", **options)
    assert "source" in again.encoding, "it is the same forecast, and is not made again"
    np.testing.assert_array_equal(again["msl"], before["msl"])
    made = pinnwx.forecast(own, data, members=6, calibrated=True, out=tmp_path / "c.nc", **options)
    assert made.attrs["perturbation_scale"] == fit.perturbation_scale
    assert made.attrs["model_error_scale"] == fit.model_error_scale
    with xr.open_dataset(tmp_path / "c.nc") as dataset:
        assert json.loads(dataset.attrs["calibration"])["lead_hours"] == [6.0, 12.0, 24.0]
    archive = as_archive(data, trained.names, grid=trained.grid)
    raw = Ensemble(trained, [6, 12, 18, 24], 6, fit.perturbation_scale, fit.model_error_scale)
    raw = raw.forecast(archive, np.datetime64("2026-01-17", "ns"))
    expected = fit(raw, [6, 12, 18, 24], np.array(trained.model.inputs.forecast_bounds))
    np.testing.assert_allclose(made["msl"].values, expected[:, :, 0], rtol=1e-6)
    in_memory = trained.forecast(data, members=6, calibrated=True, init="2026-01-17", hours=24)
    np.testing.assert_allclose(in_memory["t850"], made["t850"], rtol=1e-6)
    scores = pinnwx.evaluate(own, data, start="2026-01-16", end="2026-01-17", leads=[24], members=4, calibrated=True)
    assert scores.settings["calibration"]["forecasts"] == fit.forecasts
    series, folder = {**options, "members": 4, "calibrated": True}, tmp_path / "series"
    assert pinnwx.forecast_series(own, data, folder, **series).attempts[0].written
    raw_series = pinnwx.forecast_series(own, data, folder, **(series | {"calibrated": False}))
    assert "of other leads, members, products or calibration" in str(raw_series.attempts[0].refused)
    wave_dataset(160).to_netcdf(tmp_path / "fresh.nc")
    pinnwx.retrain(own, tmp_path / "fresh.nc")
    np.testing.assert_array_equal(Run.open(own).load().calibration.bias, fit.bias)
    with pytest.raises(UsageError, match=r"the model cannot be calibrated: .* before it is retrained"):
        pinnwx.calibrate(own, data)


def test_ensembles_that_are_not_finite_are_not_stored(run, data, tmp_path, monkeypatch):
    shutil.copytree(run.folder, tmp_path / "run")

    def spoilt(ensemble, *_):
        shape = (ensemble.size, 20, len(ensemble.lead_hours), 2, 8, 16)
        times = np.datetime64("2026-01-02T06", "ns") + np.arange(20)
        members = np.where(np.arange(20)[:, None, None, None, None] == 3, np.nan, np.zeros(shape, np.float32))
        yield OutOfFoldEnsembles(times, members, np.zeros(shape[1:], np.float32))

    monkeypatch.setattr(calibrate_module, "out_of_fold_ensembles", spoilt)
    with pytest.raises(StabilityError, match="from 2026-01-02T06:00Z, is not finite; nothing is fitted"):
        pinnwx.calibrate(tmp_path / "run", data)
    assert Run.open(tmp_path / "run").versions == ("0001",)


def test_a_grid_that_is_too_large_is_refused(run, data, monkeypatch):
    monkeypatch.setattr(calibrate_module, "_MOST_BYTES", 40_000)
    with pytest.raises(UsageError, match="a calibration at 3 leads on this grid needs more than"):
        pinnwx.calibrate(run.folder, data)


def test_calibrate_and_pictures_on_the_command_line(run, data, tmp_path):
    shutil.copytree(run.folder, tmp_path / "run")
    own = ["--run", str(tmp_path / "run"), "--data", str(data)]

    def pinnwx_says(*arguments: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "pinnwx", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "80"})
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    said = pinnwx_says("calibrate", *own)
    assert "Model 0002 is live" in said
    assert "ensembles of the training time" in said
    forecast = str(tmp_path / "f.nc")
    pinnwx_says("forecast", *own, "--members", "4", "--calibrated", "--hours", "12", "--out", forecast)
    for name, options in (("p", ["--threshold", "t850<280"]), ("s", ["--stamps", "--variables", "msl"])):
        pinnwx_says("plot", forecast, "--out", str(tmp_path / f"{name}.png"), *options)
        assert (tmp_path / f"{name}.png").stat().st_size > 20_000
    days = ["--start", "2026-01-17", "--end", "2026-01-17", "--leads", "24"]
    assert "CRPS" in pinnwx_says("evaluate", *own, *days, "--members", "4", "--calibrated")
    refused = pinnwx_says("forecast", *own, "--calibrated", "--out", str(tmp_path / "g.nc"), code=2)
    assert refused == "pinnwx: a calibration needs an ensemble; give --members\n"


def test_a_calibration_needs_the_training_time(run, data, tmp_path):
    wave_dataset(160).isel(time=slice(80, None)).to_netcdf(tmp_path / "later.nc")
    with pytest.raises(UnavailableError, match="the data hold too little of the training time"):
        pinnwx.calibrate(run.folder, tmp_path / "later.nc")
    assert Run.open(run.folder).versions == ("0001",)


def test_a_threshold_needs_members(run, data):
    with pytest.raises(UsageError, match="the probability of a threshold needs an ensemble; give --members"):
        pinnwx.evaluate(run.folder, data, start="2026-01-16", end="2026-01-18", thresholds=["msl<1e5"])


def test_a_forecast_has_the_products_that_are_asked_for(run, data, tmp_path):
    options = {
        "init": "2026-01-17T00", "members": 5, "hours": 12, "quantiles": [0.1, 0.9], "thresholds": ["msl>101200"]
    }  # fmt: skip
    made = pinnwx.forecast(run.folder, data, out=tmp_path / "f.nc", **options)
    assert {"msl_mean", "t850_spread", "t850_quantile", "msl_probability_above"} < set(made.data_vars)
    again = pinnwx.forecast(run.folder, data, out=tmp_path / "f.nc", **options)
    assert "source" in again.encoding, "it is read, not made again"
    with pytest.raises(OutputError, match="is another forecast"):
        pinnwx.forecast(run.folder, data, out=tmp_path / "f.nc", init="2026-01-17T00", members=5, hours=12)
    scores = pinnwx.verify(tmp_path / "f.nc", data, thresholds=["t850<280"])
    assert scores.entry("t850", 12)["probabilities"]["events"][0]["event"] == "t850<280"
    assert {entry["variable"] for entry in scores.scores} == {"msl", "t850"}
    pinnwx.plot(tmp_path / "f.nc", tmp_path / "f.png", data=data)
    pinnwx.forecast(run.folder, data, out=tmp_path / "g.nc", init="2026-01-18T00", members=4, hours=12)
    with pytest.raises(UsageError, match="needs ensembles of one size; these have 4 to 5 members"):
        pinnwx.verify([tmp_path / "f.nc", tmp_path / "g.nc"], data, thresholds=["t850<280"])


def test_a_series_notices_other_products(run, data, tmp_path):
    options = {"members": 5, "hours": 12, "init": "2026-01-17T00"}
    pinnwx.forecast_series(run.folder, data, tmp_path, **options, quantiles=[0.5])
    again = pinnwx.forecast_series(run.folder, data, tmp_path, **options, quantiles=[0.5])
    assert not again.attempts[0].written
    other = pinnwx.forecast_series(run.folder, data, tmp_path, **options)
    assert isinstance(other.attempts[0].refused, OutputError)
    assert "of other leads, members, products or calibration" in str(other.attempts[0].refused)


def test_a_series_scores_its_own_thresholds(run, data, tmp_path):
    options = {"members": 5, "hours": 12, "init": "2026-01-17T00", "thresholds": ["t850<280"]}
    series = pinnwx.forecast_series(run.folder, data, tmp_path, score=True, **options)
    (scored,) = series.scored
    events = Scores.load(scored).entry("t850", 12)["probabilities"]["events"]
    assert [event["event"] for event in events] == ["t850<280"]


def test_a_plume_and_a_table_at_a_place(run, data, tmp_path):
    pinnwx.forecast(run.folder, data, out=tmp_path / "f.nc", members=5, hours=12, quantiles=[0.5])
    here = pinnwx.point(tmp_path / "f.nc", 50.0, 10.0, out=tmp_path / "p.png")
    assert here.sizes["realization"] == 5
    assert (tmp_path / "p.png").stat().st_size > 20_000
    pinnwx.point(tmp_path / "f.nc", 50.0, 10.0, out=tmp_path / "p.csv", variables=["msl", "msl_mean"])
    table = pd.read_csv(tmp_path / "p.csv")
    assert len(table) == 2 * 5
    assert set(table.columns) == {"realization", "time", "msl", "msl_mean"}
    np.testing.assert_allclose(table.groupby("time")["msl"].mean(), table.groupby("time")["msl_mean"].mean(), rtol=1e-6)
    pinnwx.point(tmp_path / "f.nc", 50.0, 10.0, out=tmp_path / "all.csv")
    table = pd.read_csv(tmp_path / "all.csv")
    assert len(table) == 2 * 5
    assert {"msl_quantile_0.5", "t850_spread"} < set(table.columns)
    np.testing.assert_allclose(table["msl_quantile_0.5"][0], np.median(table["msl"][table["time"] == table["time"][0]]))
    for name, message in (("p.txt", "ends in .png for a picture, or in .csv"), ("p.nc", "ends in .png")):
        with pytest.raises(UsageError, match=message):
            pinnwx.point(tmp_path / "f.nc", 50.0, 10.0, out=tmp_path / name)
    with pytest.raises(UsageError, match="the forecast has no z500"):
        pinnwx.point(tmp_path / "f.nc", 50.0, 10.0, out=tmp_path / "q.png", variables=["z500"])
    with pytest.raises(OutputError, match="exists"):
        pinnwx.point(tmp_path / "f.nc", 50.0, 10.0, out=tmp_path / "p.csv")


def test_the_mean_of_an_ensemble_is_scored_as_a_forecast(run, data):
    trained = run.load()
    archive = as_archive(data, trained.names, grid=trained.grid)
    when = archive.times[archive.times == np.datetime64("2026-01-17")][0]
    mean = Ensemble(trained, [24], 5).forecast(archive, when).mean(axis=0)[0, 0]
    truth = archive.fields[np.searchsorted(archive.times, when + np.timedelta64(24, "h")), 0]
    expected = np.sqrt((archive.grid.area_weights * (mean - truth) ** 2).mean())
    alone = pinnwx.evaluate(run.folder, data, start=str(when), end=str(when), leads=[24], members=5)
    assert alone.entry("msl", 24)["rmse"] == pytest.approx(expected, rel=1e-4)


def test_a_successor_keeps_them(run, tmp_path):
    wave_dataset(160).to_netcdf(tmp_path / "fresh.nc")
    before = run.load().model_errors
    pinnwx.retrain(run.folder, tmp_path / "fresh.nc")
    after = Run.open(run.folder).load()
    np.testing.assert_array_equal(after.model_errors.fields, before.fields)
    scores = pinnwx.evaluate(
        run.folder, tmp_path / "fresh.nc", start="2026-02-01", end="2026-02-05", leads=[24], members=4
    )
    assert "dressed_crps" not in scores.entry("msl", 24), "its networks were trained further, on all days"


def test_a_smaller_model_is_not_cross_fitted(run, data, tmp_path):
    """A student of one network, whose teacher has seen all days."""
    student = distill(run.folder, data, tmp_path / "s", size=0.25, updates=16).load()
    assert student.config.training.cross_fitting_days == 0
    assert student.model_errors is None


def test_weights_that_know_the_training_time_are_refused(run, data, tmp_path):
    with pytest.raises(ConfigError, match=r"--init-from .*: its model was trained on 2026-01-01T00:00Z to .*unknown"):
        pinnwx.train(tomllib.loads(TEXT), data, init_from=run.folder)


def test_a_regional_model_has_none_at_its_edge(tmp_path):
    wave_dataset(80).isel(BOX).to_netcdf(tmp_path / "box.nc")
    closure, model = "width = 16\npatch_size = 1", "boundary_width = 1\ninput_times = 2\nnetworks = 2"
    text = config_text(grid="native", model=model, closure=closure, training=UPDATES)
    (tmp_path / "c.toml").write_text(text)
    trained = train(tmp_path / "c.toml", tmp_path / "box.nc", tmp_path / "run").load()
    errors = trained.model_errors.fields
    assert np.abs(errors[..., 1:-1, 1:-1]).max() > 0
    assert np.abs(errors[..., [0, -1], :]).max() == np.abs(errors[..., [0, -1]]).max() == 0
    scores = pinnwx.evaluate(trained, tmp_path / "box.nc", start="2026-01-16", end="2026-01-17", leads=[24], members=4)
    assert scores.settings["dressing"]["lead_hours"] == [24]
    assert scores.entry("t850", 24)["dressed_crps"] > 0
    fit = pinnwx.calibrate(tmp_path / "run", tmp_path / "box.nc").calibration
    edge = np.ones(trained.grid.shape, bool)
    edge[1:-1, 1:-1] = False
    assert (fit.bias[..., edge] == 0).all()
    assert (fit.factor[..., edge] == 1).all()
    assert (fit.factor[..., ~edge] != 1).all()
    assert scores.settings["lateral_boundary"] == "analyses of the valid times"


def test_one_member_is_no_ensemble(run, data):
    with pytest.raises(UsageError, match="at least 2"):
        pinnwx.evaluate(run.folder, data, start="2026-01-16", end="2026-01-17", members=1)


def test_a_forecast_says_how_its_members_differ(run, data, tmp_path):
    pinnwx.forecast(run.folder, data, init="2026-01-16", hours=12, members=4, out=tmp_path / "e.nc")
    with xr.open_dataset(tmp_path / "e.nc") as dataset:
        assert dataset.attrs["model_error_scale"] == 1
        assert dataset.attrs["perturbation_scale"] == 0
        spread = dataset["msl"].std("realization")
        assert float((spread > 0).mean()) > 0.9, "everywhere but where the model bounds all members"
