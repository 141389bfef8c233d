"""Retraining as a job: which analyses are used, what is promoted, and that the live version is never touched."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from synthetic import config_text, times, tiny_trained, wave_archive, wave_dataset

import pinnwx
from pinnwx.data.archive import Archive
from pinnwx.data.calendar import parse_time
from pinnwx.errors import DataError, LockedError, NotPromotedError, UnavailableError, UsageError
from pinnwx.forecasting.runs import Run, new_run
from pinnwx.jobs import retrain as module
from pinnwx.jobs.retrain import Periods, fine_tuning_windows, split
from pinnwx.jobs.train import train

RECIPE = config_text(
    model="climate = { bound_margin = 0.1 }",
    training="""batch_size = 8
updates = 300
learning_rate = 3e-3
[retraining]
updates = 120
steps = 2""",
)
LEARNED_TO, LAST = "2026-01-15T18:00Z", "2026-02-09T18:00Z"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("fresh") / "waves.nc"
    wave_dataset(160).to_netcdf(path)
    return path


@pytest.fixture(scope="module")
def trained(fresh, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "tiny.toml").write_text(RECIPE)
    return train(folder / "tiny.toml", fresh, folder / "run").folder


@pytest.fixture
def run(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_live_model_learns_on_and_its_successor_goes_live(run, fresh):
    before = contents(run / "versions" / "0001")
    done = pinnwx.retrain(run, fresh)
    assert done.version == Run(run).live == "0002"
    assert done.promotion.passed
    assert all(entry["ratio_high"] < 1.02 for entry in done.promotion.comparison.ratios)
    assert {entry["lead_hours"] for entry in done.promotion.comparison.ratios} == {6, 24}
    assert contents(run / "versions" / "0001") == before
    notes = json.loads((run / "versions" / "0002" / "manifest.json").read_text())
    assert notes["trained_on"] == ["2026-01-01T00:00Z", "2026-02-05T18:00Z"], "four days are held out"
    assert (notes["successor_of"], notes["fresh_since"], notes["updates"]) == (
        "0001",
        LEARNED_TO,
        done.training.updates,
    )
    report = json.loads((run / "reports" / "2026-02-05T18.json").read_text())
    assert report["passed"]
    assert report["successor_of"] == "0001"
    assert contents(run / "versions" / "0002")["config.toml"] == before["config.toml"]
    for name in ("normalisation.nc", "climatology.nc", "static.nc"):
        first, second = (xr.load_dataset(run / "versions" / version / name) for version in ("0001", "0002"))
        xr.testing.assert_equal(first, second)
    pinnwx.forecast(run, fresh, hours=12)


def test_again_from_its_successor_with_what_has_arrived_since(run, fresh, tmp_path):
    early = tmp_path / "early.nc"
    wave_dataset(120).to_netcdf(early)
    assert pinnwx.retrain(run, early).version == "0002"
    try:
        done = pinnwx.retrain(run, fresh)
    except NotPromotedError:  # a perfect wave leaves little to learn
        done = None
    notes = json.loads((run / "versions" / "0002" / "manifest.json").read_text())
    assert notes["trained_on"][1] == "2026-01-26T18:00Z"
    assert notes["learned_fresh_to"] < notes["trained_on"][1], "what was watched is fresh still"
    if done is not None:
        again = json.loads((run / "versions" / done.version / "manifest.json").read_text())
        assert (again["fresh_since"], again["successor_of"]) == (notes["learned_fresh_to"], "0002")


def scrambled() -> xr.Dataset:
    """Fresh analyses that run backwards in time, as a broken feed may deliver them; those held out are right."""
    dataset = wave_dataset(160)
    when = dataset["time"].values
    bad = np.flatnonzero((when > parse_time(LEARNED_TO)) & (when <= parse_time("2026-02-05T18:00")))
    order = np.arange(len(when))
    order[bad] = bad[::-1]
    return dataset.isel(time=order).assign_coords(time=when)


def test_a_successor_that_is_worse_does_not_go_live(run, tmp_path):
    scrambled().to_netcdf(tmp_path / "bad.nc")
    with pytest.raises(NotPromotedError, match=r"of 0001 is not promoted: .* live model's.*; 0001 stays live"):
        pinnwx.retrain(run, tmp_path / "bad.nc", accept_suspicious=["msl", "t850"], json=tmp_path / "report.json")
    assert Run(run).live == "0001"
    (path,) = (run / "reports").iterdir()
    report = json.loads(path.read_text())
    assert not report["passed"]
    assert report["objections"]
    assert (tmp_path / "report.json").read_bytes() == path.read_bytes()
    assert Run(run).versions == ("0001",), "so that nobody rolls back to it"


def test_learning_that_does_not_help_makes_no_version(run, fresh, monkeypatch):
    monkeypatch.setattr("pinnwx.training.trainer.make_loss", lambda *_: lambda *_: 1.0)
    with pytest.raises(NotPromotedError, match=r"fine-tuning did not help.*0001 stays live"):
        pinnwx.retrain(run, fresh)
    assert Run(run).versions == ("0001",)
    (path,) = (run / "reports").iterdir()
    assert not json.loads(path.read_text())["passed"]


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        (slice(0, 70), r"their newest 4 days are held out, and the live version was trained on analyses up to"),
        (slice(0, 76), r"no analysis after 2026-01-15T18:00Z is older than these"),
        (slice(150, 160), r"no analysis after 2026-01-15T18:00Z is older than these"),
        (slice(0, 78), r"only 2 windows of 3 analyses end after"),
    ],
)
def test_nothing_is_fresh(run, tmp_path, kept, why):
    wave_dataset(160).isel(time=kept).to_netcdf(tmp_path / "short.nc")
    with pytest.raises(UnavailableError, match=why):
        pinnwx.retrain(run, tmp_path / "short.nc")
    assert not (run / "reports").exists()


def test_since_after_all_that_may_be_learned_from(run, fresh):
    with pytest.raises(UnavailableError, match=r"no analysis after 2026-02-07T00:00Z \(--since\)"):
        pinnwx.retrain(run, fresh, since="2026-02-07")


def test_a_spike_in_what_is_fresh_is_refused(run, tmp_path):
    dataset = wave_dataset(160)
    dataset["msl"][120, 4, 5] += 6000.0
    dataset.to_netcdf(tmp_path / "spike.nc")
    with pytest.raises(DataError, match="msl"):
        pinnwx.retrain(run, tmp_path / "spike.nc")
    assert Run(run).versions == ("0001",)


def test_a_budget_that_is_none(run, fresh):
    with pytest.raises(UsageError, match="--minutes -1"):
        pinnwx.retrain(run, fresh, minutes=-1)


def test_one_job_at_a_time(run, fresh):
    with Run(run).lock(), pytest.raises(LockedError):
        pinnwx.retrain(run, fresh)


def test_a_version_that_does_not_say_what_it_learned_from(tmp_path, fresh):
    made = new_run(tmp_path / "run")
    made.publish(tiny_trained(RECIPE), {"seed": 0, "parameters": 1})
    with pytest.raises(UsageError, match="give --since"):
        pinnwx.retrain(made.folder, fresh)


def incumbent(**options):
    trained = tiny_trained(config_text(training=f"[retraining]\nsteps = {options.pop('steps', 2)}", **options))
    trained.manifest.update(trained_on=["2026-01-01T00:00Z", LEARNED_TO])
    return trained


INCUMBENTS = {
    (steps, inputs): incumbent(steps=steps, model=f"input_times = {inputs}") for steps in (1, 4) for inputs in (1, 3)
}


@given(
    kind=st.sampled_from(sorted(INCUMBENTS)),
    missing=st.sets(st.integers(0, 158), max_size=30),
    since=st.integers(61, 140),
)
def test_nobody_learns_from_what_is_watched_or_held_out(kind, missing, since):
    steps, inputs = kind
    when = np.delete(times(160), sorted(missing))
    whole = wave_archive(4)
    archive = Archive(when, np.zeros((len(when), 2, 8, 16), np.float32), whole.names, whole.grid)
    fresh_from = times(160)[since]
    periods = split(INCUMBENTS[kind], archive, str(fresh_from.astype("datetime64[s]")))
    cut = when[-1] - np.timedelta64(4, "D")
    assert periods.learn_to <= cut < periods.compare_from <= periods.compare_to == when[-1]
    try:
        found = fine_tuning_windows(INCUMBENTS[kind], archive, periods)
    except UnavailableError:
        return
    fresh, replay, early_stopping = (when[windows] for windows in (found.fresh, found.replay, found.early_stopping))
    assert max(fresh.max(), early_stopping.max()) <= cut
    assert (fresh[:, -1] > fresh_from).all()
    if len(replay):
        assert (replay[:, -1] <= fresh_from).all()
    assert fresh[:, -1].max() < early_stopping[:, inputs:].min(), "no target is both"
    assert fresh.shape[1] == inputs + steps


COMMAND = [sys.executable, "-m", "pinnwx", "retrain"]


@pytest.mark.slow
def test_killed_at_any_moment_it_leaves_the_live_version_and_can_be_started_again(trained, fresh, tmp_path):
    words = [*COMMAND, "--data", fresh, "--run"]
    began = time.monotonic()
    subprocess.run([*words, shutil.copytree(trained, tmp_path / "whole")], check=True, capture_output=True)
    took = time.monotonic() - began
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    before = contents(run / "versions" / "0001")
    for share in (0.6, 0.95):
        process = subprocess.Popen([*words, run], stderr=subprocess.PIPE, start_new_session=True)
        time.sleep(took * share)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert contents(run / "versions" / "0001") == before
        assert not any(version.problem for version in pinnwx.list_models(run))
        if Run(run).live == "0002":
            break  # it was quicker this time
    else:
        pinnwx.retrain(run, fresh)
    assert Run(run).live == "0002"
    assert Run(run).load().names == ("msl", "t850")


def test_the_command_line(run, fresh):
    done = subprocess.run([*COMMAND, "--run", run, "--data", fresh], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"Model 0002 is live in {run}" in done.stdout
    assert "ratio" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= max(80, len(str(run)) + 60)


def test_periods_are_told_apart(trained, fresh):
    loaded = Run(trained).load()
    periods = split(loaded, module.matching_archive(loaded, fresh), None)
    expected = (LEARNED_TO, "2026-02-05T18:00", "2026-02-06T00:00", LAST)
    assert periods == Periods(*map(parse_time, expected))
