"""Forecast, evaluate, verify, check and plot from Python, on waves that are known for all time."""

import json

import numpy as np
import pytest
import xarray as xr
from synthetic import config_text, tiny_trained, wave_archive, wave_dataset

import pinnwx
from pinnwx.errors import (
    CheckpointError,
    DataError,
    MissingInputError,
    OutputError,
    StabilityError,
    UnavailableError,
    UsageError,
)
from pinnwx.explaining.reading import shares
from pinnwx.forecasting.runs import new_run
from pinnwx.terminal.explanations import attribution_lines, budget_table
from pinnwx.terminal.scores import score_table
from pinnwx.verification.results import Scores

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose model has random weights: nothing here depends on skill."""
    made = new_run(tmp_path_factory.mktemp("runs") / "run")
    made.publish(tiny_trained(), {"seed": 0})
    return made.folder


@pytest.fixture(scope="module")
def forecast_file(run, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("forecasts") / "f.nc"
    pinnwx.forecast(run, data, init="2026-01-16T06:00", hours=24, out=path)
    return path


def test_a_forecast_file(forecast_file, run):
    with xr.open_dataset(forecast_file) as dataset:
        assert set(dataset.data_vars) == {"msl", "t850"}
        assert dict(dataset.sizes) == {"time": 4, "latitude": 8, "longitude": 16}
        start = np.datetime64("2026-01-16T06:00", "ns")
        np.testing.assert_array_equal(dataset["time"], start + np.arange(6, 30, 6) * np.timedelta64(1, "h"))
        assert dataset["forecast_reference_time"] == start
        manifest = json.loads((run / "versions" / "0001" / "manifest.json").read_text())
        assert dataset.attrs["model_sha256"] == manifest["files"]["weights.safetensors"]
        assert dataset.attrs["config"] == config_text()
        assert json.loads(dataset.attrs["versions"]) == manifest["versions"]
        one = wave_archive(80).select("2026-01-16T06:00", "2026-01-16T06:00")
        assert dataset.attrs["data_sha256"] == one.digest()


def test_latest_is_the_last_analysis(run, data):
    made = pinnwx.forecast(run, data, hours=6)
    assert made["forecast_reference_time"].values == wave_archive(80).times[-1]
    assert made.sizes["time"] == 1


def test_the_same_forecast_twice_is_the_same_bits(run, data):
    first, again = (pinnwx.forecast(run, data, init="2026-01-16", hours=12) for _ in range(2))
    xr.testing.assert_identical(first.drop_attrs(deep=False), again.drop_attrs(deep=False))


def test_two_runs_are_compared_on_the_same_forecasts(run, data, tmp_path):
    """One model looks at two analyses, the other at one: both start only where there are two."""
    other = new_run(tmp_path / "other")
    other.publish(tiny_trained(config_text(model="input_times = 2")), {"seed": 0})
    period = {"data": data, "start": "2026-01-01", "end": "2026-01-18", "leads": [6, 12]}
    comparison = pinnwx.compare(run, other.folder, **period, json=tmp_path / "c.json")
    assert (comparison.first, comparison.second) == (str(run), str(other.folder))
    assert {(entry["variable"], entry["lead_hours"]): entry["n"] for entry in comparison.ratios} == {
        (name, lead): 71 for name in ("msl", "t850") for lead in (6, 12)
    }
    for name, folder in (("a", run), ("b", other.folder)):
        pinnwx.evaluate(folder, **period | {"start": "2026-01-01T06:00"}, json=tmp_path / f"{name}.json")
    assert pinnwx.compare(tmp_path / "a.json", tmp_path / "b.json").ratios == comparison.ratios
    assert json.loads((tmp_path / "c.json").read_text())["ratios"] == list(comparison.ratios)


def test_comparing_runs_needs_data_and_a_period(run, data):
    with pytest.raises(UsageError, match="needs --data, --start and --end"):
        pinnwx.compare(run, run, data)


@pytest.mark.parametrize("method", ["nearest", "linear"])
def test_a_forecast_at_a_place(run, data, method):
    made = pinnwx.forecast(run, data, init="2026-01-16", hours=12)
    here = pinnwx.point(made, made["latitude"].values[5], made["longitude"].values[3] - 360, method)
    np.testing.assert_allclose(here["msl"], made["msl"].values[:, 5, 3], rtol=1e-6)
    assert here["t850"].dims == ("time",)


def test_init_without_an_analysis(run, data):
    with pytest.raises(UnavailableError, match=r"no analysis at 2026-03-01T00:00Z; the data hold 2026-01-01T00:00Z to"):
        pinnwx.forecast(run, data, init="2026-03-01")


def test_a_time_that_is_none(run, data):
    with pytest.raises(UsageError, match="soon"):
        pinnwx.forecast(run, data, init="soon", hours=6)


@pytest.mark.parametrize("hours", [3, 0, -6, 20, float("nan"), float("inf")])
def test_hours_that_are_no_whole_steps_are_refused(run, data, hours):
    with pytest.raises(UsageError, match="not a positive multiple of the model's step of 6 h"):
        pinnwx.forecast(run, data, init="2026-01-16", hours=hours)
    with pytest.raises(UsageError, match="not a positive multiple of the model's step of 6 h"):
        pinnwx.explain(run, data, init="2026-01-16", hours=hours)
    with pytest.raises(UsageError, match="not a positive multiple of the model's step of 6 h"):
        pinnwx.evaluate(run, data, start="2026-01-16", end="2026-01-16", leads=[hours])


def test_an_existing_file_is_refused_before_any_work(run, tmp_path):
    (tmp_path / "f.nc").write_text("mine")
    with pytest.raises(OutputError, match="--force"):
        pinnwx.forecast(run, "no-such-data.nc", out=tmp_path / "f.nc")
    with pytest.raises(OutputError, match="--force"):
        pinnwx.evaluate(run, "no-such-data.nc", start="2026-01-16", end="2026-01-17", json=tmp_path / "f.nc")


def test_an_unstable_forecast_leaves_no_file(data, tmp_path):
    trained = tiny_trained()
    decode = trained.model.closure.network.decode
    decode.bias[...] = decode.bias[...] + 3e38
    broken = new_run(tmp_path / "broken")
    broken.publish(trained, {})
    with pytest.raises(StabilityError, match="not finite"):
        pinnwx.forecast(broken.folder, data, hours=24, out=tmp_path / "f.nc")
    assert not (tmp_path / "f.nc").exists()
    with pytest.raises(StabilityError):
        pinnwx.evaluate(broken.folder, data, start="2026-01-16", end="2026-01-17", leads=[12, 24])


def test_evaluate(run, data, tmp_path):
    scores = pinnwx.evaluate(
        run, data, start="2026-01-16", end="2026-01-17", leads=[6, 24], json=tmp_path / "scores.json"
    )
    entries = [(entry["variable"], entry["lead_hours"], entry["n"]) for entry in scores.scores]
    assert sorted(entries) == [("msl", 6, 8), ("msl", 24, 8), ("t850", 6, 8), ("t850", 24, 8)]
    archive = wave_archive(80)
    start = np.flatnonzero(archive.times == np.datetime64("2026-01-16"))[0] + np.arange(8)
    difference = archive.fields[start + 4, 0] - archive.fields[start, 0]
    persistence = np.sqrt((archive.grid.area_weights * difference**2).mean((1, 2))).mean()
    assert scores.entry("msl", 24)["persistence_rmse"] == pytest.approx(persistence, rel=1e-5)
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written == json.loads(json.dumps(scores.to_dict()))
    assert written["run"] == "tiny"
    assert {"rmse", "rmse_pooled", "bias", "acc", "acc_wb1", "climatology_rmse"} <= written["scores"][0].keys()
    assert scores.settings["baselines"]["fitted_on"][1] < "2026-01-16"  # nothing is fitted on the scored time
    assert all(entry["damped_persistence_rmse"] > 0 for entry in written["scores"])


def test_details_are_a_table_of_their_own_that_fits_80_columns(run, data, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    scores = pinnwx.evaluate(run, data, start="2026-01-16", end="2026-01-17", leads=[6])
    score_table(scores)
    without = capsys.readouterr().out
    score_table(scores, details=True)
    lines = capsys.readouterr().out.splitlines()
    (header,) = (line for line in lines if "tropics" in line and "variance" in line)
    assert "tropics" not in without
    rows = lines[lines.index(header) + 1 :][:2]
    assert [row.split()[0] for row in rows] == ["msl", "t850"]
    assert all(len(row.split()) == 11 for row in rows), "name, units, lead, h and seven numbers"
    assert max(map(len, lines)) <= 80


def test_evaluate_counts_what_is_missing(run, tmp_path):
    """Two analyses gone: two initial times without analysis, and their forecasts' truths."""
    holes = wave_dataset(80).drop_isel(time=[62, 70])
    holes.to_netcdf(tmp_path / "holes.nc")
    scores = pinnwx.evaluate(run, tmp_path / "holes.nc", start="2026-01-16", end="2026-01-19", leads=[12])
    assert scores.skipped["initial_times_without_analysis"] == 2
    assert scores.skipped["pairs_without_truth"] == 2  # of 58 + 2 h, and 70: the hole itself; 62 is outside
    assert scores.entry("msl", 12)["n"] == 12


def test_evaluate_outside_the_data(run, data):
    with pytest.raises(UnavailableError):
        pinnwx.evaluate(run, data, start="2027-01-16", end="2027-01-19", leads=[12])
    with pytest.raises(UsageError):
        pinnwx.evaluate(run, data, start="2026-01-19", end="2026-01-16", leads=[12])
    with pytest.raises(UsageError, match="not a positive multiple"):
        pinnwx.evaluate(run, data, start="2026-01-16", end="2026-01-19", leads=[7])


def test_verify_agrees_with_evaluate(run, data, forecast_file, tmp_path):
    verified = pinnwx.verify(forecast_file, data, run=run, json=tmp_path / "v.json")
    when = "2026-01-16T06:00"
    evaluated = pinnwx.evaluate(run, data, start=when, end=when, leads=[6, 12, 18, 24])
    for ours, theirs in zip(verified.scores, evaluated.scores, strict=True):
        for key in ("variable", "lead_hours", "n", "rmse", "persistence_rmse", "climatology_rmse", "acc"):
            assert ours[key] == (pytest.approx(theirs[key], rel=1e-5) if isinstance(ours[key], float) else theirs[key])
    assert json.loads((tmp_path / "v.json").read_text())["scores"]
    alone = pinnwx.verify(forecast_file, data)
    assert (verified.run, alone.run) == ("tiny", "tiny")
    assert alone.entry("msl", 24)["climatology_rmse"] is None
    assert alone.entry("msl", 24)["rmse"] == pytest.approx(verified.entry("msl", 24)["rmse"])


def test_an_ensemble_is_written_and_scored(run, data, tmp_path, capsys):
    made = pinnwx.forecast(run, data, init="2026-01-16T06:00", hours=12, members=4, out=tmp_path / "e.nc")
    assert dict(made.sizes) == {"realization": 4, "time": 2, "latitude": 8, "longitude": 16}
    assert made["msl"].std("realization").min() > 0
    pinnwx.verify(tmp_path / "e.nc", data, json=tmp_path / "e.json")
    when = np.datetime64("2026-01-16T18:00", "ns")
    truth = wave_archive(80)
    (row,) = np.flatnonzero(truth.times == when)
    error = made["msl"].mean("realization").sel(time=when).values - truth.fields[row, 0]
    expected = np.sqrt((truth.grid.area_weights * error**2).mean())
    scores = Scores.load(tmp_path / "e.json")
    assert scores.entry("msl", 12)["rmse"] == pytest.approx(expected, rel=1e-5)
    assert scores.entry("msl", 12)["mean_rmse_pooled"] == pytest.approx(expected, rel=1e-5)
    assert scores.entry("msl", 12)["spread"] > 0
    score_table(scores)
    assert "CRPS" in capsys.readouterr().out
    pinnwx.plot(tmp_path / "e.nc", tmp_path / "e.png", data=data)
    assert (tmp_path / "e.png").read_bytes()[:8] == PNG


def test_the_drift_of_one_forecast_is_drawn(run, data, forecast_file, tmp_path):
    picture, varied, means = tmp_path / "drift.png", wave_dataset(80), np.random.default_rng(0).standard_normal(80)
    varied = varied + xr.DataArray(means.astype(np.float32), dims="time")
    for name, values in varied.items():
        values.attrs["units"] = {"msl": "Pa", "t850": "K"}[name]
    varied.to_netcdf(tmp_path / "varied.nc")
    pinnwx.verify(forecast_file, tmp_path / "varied.nc", run=run, drift=picture)
    assert picture.read_bytes()[:8] == PNG
    with pytest.raises(OutputError, match="--force"):
        pinnwx.verify(forecast_file, data, run=run, drift=picture)
    with pytest.raises(UnavailableError, match="the area mean of msl, t850 is constant"):
        pinnwx.verify(forecast_file, data, run=run, drift=tmp_path / "new.png")
    with pytest.raises(UsageError, match="give --run"):
        pinnwx.verify(forecast_file, data, drift=tmp_path / "new.png")
    with pytest.raises(UsageError, match="draws one forecast, and 2 are given"):
        pinnwx.verify([forecast_file, forecast_file], data, run=run, drift=tmp_path / "new.png")
    with pytest.raises(UsageError, match="figures are written as PNG"):
        pinnwx.verify(forecast_file, data, run=run, drift=tmp_path / "new.pdf")


def test_an_ensemble_needs_members_and_a_past(run, data, tmp_path):
    with pytest.raises(UsageError, match="at least 2"):
        pinnwx.forecast(run, data, members=1)
    with pytest.raises(UnavailableError, match="forecast without members"):
        pinnwx.forecast(run, data, init="2026-01-02", members=4, out=tmp_path / "e.nc")
    assert not (tmp_path / "e.nc").exists()


def test_nothing_to_verify(data):
    with pytest.raises(UsageError, match="give at least one"):
        pinnwx.verify([], data)


def test_every_verb_knows_the_variables_of_the_config(tmp_path):
    """A variable of the user's own, and one whose level only the config tells."""
    dataset = wave_dataset(80).rename(msl="dust", t850="t")
    dataset["dust"].attrs["units"] = "kg m-3"
    dataset.to_netcdf(tmp_path / "own.nc")
    own = '[variables.dust]\nunits = "kg m-3"\nminimum = 0.0\nmaximum = 1e9\n'
    text = config_text(("dust", "t850"), extra=own).replace("grid =", "levels = { t = 850 }\ngrid =")
    (tmp_path / "config.toml").write_text(text)
    archive = wave_archive(60)
    archive = type(archive)(archive.times, archive.fields, ("dust", "t850"), archive.grid)
    run = new_run(tmp_path / "run")
    run.publish(tiny_trained(text, archive), {})
    assert not pinnwx.check(tmp_path / "own.nc").ok
    assert set(pinnwx.check(tmp_path / "own.nc", config=tmp_path / "config.toml").fields) == {"dust", "t850"}
    pinnwx.forecast(run.folder, tmp_path / "own.nc", init="2026-01-16", hours=12, out=tmp_path / "f.nc")
    assert pinnwx.verify(tmp_path / "f.nc", tmp_path / "own.nc").entry("dust", 12)["n"] == 1
    assert pinnwx.plot(tmp_path / "f.nc", tmp_path / "f.png", data=tmp_path / "own.nc").read_bytes().startswith(PNG)


def test_a_folder_is_no_output_file(run, data, tmp_path):
    with pytest.raises(OutputError, match="is a folder; give a file name"):
        pinnwx.forecast(run, data, out=tmp_path, force=True)


def test_a_run_on_other_data(run, data, tmp_path):
    with pytest.raises(MissingInputError):
        pinnwx.forecast(run, tmp_path / "nothing.nc")
    wave_dataset(80)[["msl"]].to_netcdf(tmp_path / "msl.nc")
    with pytest.raises(DataError, match="t850"):
        pinnwx.forecast(run, tmp_path / "msl.nc")
    with pytest.raises(MissingInputError, match="no run folder"):
        pinnwx.forecast(tmp_path / "norun", data)
    with pytest.raises(MissingInputError, match=r"is not a run folder, which holds config\.toml"):
        pinnwx.evaluate(tmp_path, data, start="2026-01-16", end="2026-01-17")
    (tmp_path / "versions").mkdir()
    with pytest.raises(CheckpointError, match="no live model"):
        pinnwx.evaluate(tmp_path, data, start="2026-01-16", end="2026-01-17")


def test_check(run, data, tmp_path):
    report = pinnwx.check(data, json=tmp_path / "check.json")
    assert report.ok
    assert (report.fields, report.steps, report.step_hours) == (("t850", "msl"), 80, 6.0)
    assert json.loads((tmp_path / "check.json").read_text())["ok"] is True
    broken = wave_dataset(80)
    broken["t850"].attrs["units"] = "furlong"
    broken.to_netcdf(tmp_path / "broken.nc")
    report = pinnwx.check(tmp_path / "broken.nc")
    assert (report.ok, report.fields) == (True, ("msl",)), "an unusable variable condemns no other"
    assert any("furlong" in str(problem) for problem in report.problems)
    assert not pinnwx.check(tmp_path / "broken.nc", run=run).ok, "but this run needs it"


def test_pictures(run, data, forecast_file, tmp_path):
    assert pinnwx.plot(forecast_file, tmp_path / "f.png", variables=["msl"], leads=[24]) == tmp_path / "f.png"
    pinnwx.evaluate(run, data, start="2026-01-16", end="2026-01-17", leads=[6, 24], json=tmp_path / "s.json")
    pinnwx.plot(tmp_path / "s.json", tmp_path / "s.png")
    for name in ("f.png", "s.png"):
        assert (tmp_path / name).read_bytes().startswith(PNG)
    with pytest.raises(OutputError):
        pinnwx.plot(forecast_file, tmp_path / "f.png")
    with pytest.raises(MissingInputError):
        pinnwx.plot(tmp_path / "nothing.nc", tmp_path / "n.png")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match="neither a forecast"):
        pinnwx.plot(tmp_path / "notes.txt", tmp_path / "n.png")
    with pytest.raises(MissingInputError):
        pinnwx.plot(run, tmp_path / "n.png")  # nothing was ever trained in it


def test_explain_writes_a_budget_that_plot_draws(run, data, tmp_path):
    made = pinnwx.explain(run, data, init="2026-01-16T06:00", hours=12, out=tmp_path / "b.nc")
    with xr.open_dataset(tmp_path / "b.nc") as stored:
        assert set(stored.data_vars) == set(made.data_vars)
        assert "request_sha256" not in stored.attrs, "it is no forecast that a job could take for its own"
        assert stored.attrs["model_sha256"]
    assert pinnwx.plot(tmp_path / "b.nc", tmp_path / "b.png").read_bytes().startswith(PNG)
    assert pinnwx.plot(tmp_path / "b.nc", tmp_path / "t.png", variables=["t850"], leads=[6]).exists()
    with pytest.raises(OutputError, match="exists"):
        pinnwx.explain(run, data, init="2026-01-16T06:00", hours=12, out=tmp_path / "b.nc")
    with pytest.raises(OutputError, match="exists and is no forecast of this job"):
        pinnwx.forecast(run, data, init="2026-01-16T06:00", hours=12, out=tmp_path / "b.nc")


def test_explain_a_number_writes_where_it_comes_from(run, data, tmp_path, capsys):
    options = {"init": "2026-01-16T06:00", "hours": 12, "target": "msl@34,11"}
    made = pinnwx.explain(run, data, out=tmp_path / "a.nc", **options)
    assert made.attrs["target"] == "msl at 34 N, 11 E after 12 h"
    assert pinnwx.plot(tmp_path / "a.nc", tmp_path / "a.png").read_bytes().startswith(PNG)
    attribution_lines(made)
    said = capsys.readouterr().out
    assert "msl at 34 N, 11 E after 12 h" in said
    assert "not attributed" in said
    budget_table(shares(pinnwx.explain(run, data, init="2026-01-16T06:00", hours=12)))
    assert "network" in capsys.readouterr().out
