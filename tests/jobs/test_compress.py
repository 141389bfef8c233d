"""Compression as a job: a run of its own, the old one untouched, resumed or refused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from synthetic import config_text, times, wave_dataset

import pinnwx
from pinnwx.errors import CheckpointError, OutputError, UnavailableError, UsageError
from pinnwx.forecasting.runs import Run
from pinnwx.jobs.train import train

RECIPE = config_text(
    closure="width = 32\nblocks = 1",
    model="networks = 2",
    training="""batch_size = 8
updates = 16
[compression]
teacher_trajectories = 16""",
)
PERIOD = {"start": "2026-01-16", "end": "2026-01-18", "leads": [6]}


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "tiny.toml").write_text(RECIPE)
    return train(folder / "tiny.toml", data, folder / "run").folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def notes_of(run: Run) -> dict:
    return json.loads((run.version(run.live) / "manifest.json").read_text())


def test_a_pruned_run_is_a_run_like_any_other(run, data, tmp_path):
    before = contents(run)
    made = pinnwx.prune(run, data, tmp_path / "small", keep=0.5, updates=16)
    assert contents(run) == before
    notes = notes_of(made)
    assert notes["pruned"] == {"keep": 0.5, "criterion": "taylor", "rounds": 2, "widths": "uniform"}
    assert notes["compressed_from"]["parameters"] == notes_of(Run(run))["parameters"] > notes["parameters"]
    assert notes["updates_between_rounds"] + notes["updates"] == 16
    assert notes["trained_on"] == ["2026-01-01T00:00Z", "2026-01-15T18:00Z"], "and no later time"
    closure = made.load().config.model.closure
    told = json.loads((made.folder / "reports" / "compression.json").read_text())
    assert told["pruned"] == notes["pruned"]
    widths = told["rounds"][-1]["widths"]
    assert widths == {
        "fine": closure.fine_width,
        "residual": closure.width,
        "blocks/0/input_convolution": closure.block_widths[0][0],
        "blocks/0/hidden": closure.block_widths[0][1],
    }
    assert sum(widths.values()) <= 0.5 * (16 + 32 + 32 + 64)
    assert len(told["rounds"][0]["importance"]) == 2, "of each member"
    assert pinnwx.evaluate(made.folder, data, **PERIOD).entry("msl", 6)["n"] > 0
    assert len(pinnwx.compare(run, made.folder, data, **PERIOD).ratios) == 2
    assert [event["verb"] for event in map(json.loads, (made.folder / "events.jsonl").read_text().splitlines())] == [
        "compress"
    ]


def test_a_pruned_run_is_retrained_and_pruned_again(run, data, tmp_path):
    made = pinnwx.prune(run, data, tmp_path / "small", keep=0.5, criterion="magnitude", updates=16)
    again = pinnwx.prune(made.folder, data, tmp_path / "smaller", keep=0.5, criterion="magnitude", updates=16)
    assert notes_of(again)["parameters"] < notes_of(made)["parameters"]
    assert [one.load().config.model.closure.width for one in (made, again)] == [16, 8]


def test_a_student_is_a_run_like_any_other(run, data, tmp_path):
    before = contents(run)
    made = pinnwx.distill(run, data, tmp_path / "student", size=0.5, updates=16)
    assert contents(run) == before
    notes = notes_of(made)
    assert notes["distilled"] == {"size": 0.5, "teacher_trajectories": 16}
    assert (made.load().config.model.networks, notes["updates"]) == (1, 16)
    assert notes["data_sha256"] == notes_of(Run(run))["data_sha256"], "the weather it learned from"
    assert pinnwx.evaluate(made.folder, data, **PERIOD).entry("msl", 6)["n"] > 0
    again = pinnwx.distill(run, data, tmp_path / "again", size=0.5, updates=16)
    weights = [one.version("0001") / "weights.safetensors" for one in (made, again)]
    assert weights[0].read_bytes() == weights[1].read_bytes(), "the same to the last bit"
    metrics = (made.folder / "metrics.jsonl").read_text()
    with pytest.raises(CheckpointError, match=r"not of this compression \(distilled differs\)"):
        pinnwx.distill(run, data, tmp_path / "student", size=0.4, updates=16, resume=True)
    with pytest.raises(CheckpointError, match=r"\(budget differs\)"):
        pinnwx.distill(run, data, tmp_path / "student", size=0.5, updates=17, resume=True)
    with pytest.raises(CheckpointError, match="not of this compression"):
        pinnwx.distill(made.folder, data, run, size=0.5, updates=16, resume=True)
    resumed = pinnwx.distill(run, data, tmp_path / "student", size=0.5, updates=16, resume=True)
    assert resumed.versions == ("0001",)
    assert (made.folder / "metrics.jsonl").read_text() == metrics


def verb(way, run, data, out, *options) -> list[str]:
    words = [sys.executable, "-m", "pinnwx", "compress", way, "--run", run, "--data", data, "--out", out, *options]
    return list(map(str, words))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["distill", "prune"])
def test_a_killed_compression_is_resumed_to_the_same_bits(way, run, data, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    getattr(pinnwx, way)(run, data, whole, updates=300)
    words = verb(way, run, data, cut, "--updates", 300)
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    began = time.monotonic()
    while not (cut / "metrics.jsonl").is_file() or not (cut / "metrics.jsonl").read_text():
        assert process.poll() is None
        assert time.monotonic() - began < 300
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 128 + signal.SIGTERM
    done = subprocess.run([*words, "--resume"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "is live" in done.stdout
    weights = [folder / "versions" / "0001" / "weights.safetensors" for folder in (whole, cut)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.slow
def test_pruning_that_is_stopped_before_it_learns_leaves_nothing(run, data, tmp_path):
    out = tmp_path / "small"
    process = subprocess.Popen(
        verb("prune", run, data, out), stderr=subprocess.PIPE, text=True, env=os.environ | {"PINNWX_CACHE": ""}
    )
    while not (out / ".lock").exists():
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(1.0)  # into its work
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM
    assert "start it again" in told
    assert not (out / "versions").exists()
    assert pinnwx.prune(run, data, out, keep=0.5, updates=16).live == "0001"


@pytest.mark.parametrize(
    ("way", "options", "message"),
    [
        ("prune", {"keep": 2.0}, "--keep 2"),
        ("prune", {"keep": 0.999}, "--keep 0.999 leaves all"),
        ("distill", {"size": -1.0}, "--size -1"),
        ("prune", {"criterion": "alphabet"}, '--criterion "alphabet" is none of taylor, integrated, magnitude, random'),
        ("prune", {"minutes": 0.0}, "--minutes 0"),
        ("prune", {"minutes": 1.0, "updates": 16}, "one of --minutes and --updates"),
        ("distill", {"updates": 0}, "--updates 0: at least 1"),
    ],
)
def test_what_is_no_compression_is_refused_and_leaves_nothing(way, options, message, run, data, tmp_path):
    with pytest.raises(UsageError, match=message):
        getattr(pinnwx, way)(run, data, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_run_is_not_compressed_into_itself_nor_over_another(run, data, tmp_path):
    with pytest.raises(UsageError, match="a folder of its own"):
        pinnwx.prune(run, data, run, keep=0.5)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("precious")
    with pytest.raises(OutputError, match="exists"):
        pinnwx.prune(run, data, tmp_path / "full", keep=0.5)


def test_data_of_another_time_are_refused(run, tmp_path):
    later = wave_dataset(40).assign_coords(time=times(40) + np.timedelta64(365, "D"))
    later.to_netcdf(tmp_path / "later.nc")
    with pytest.raises(UnavailableError, match="no data from 2026-01-01"):
        pinnwx.prune(run, tmp_path / "later.nc", tmp_path / "out", keep=0.5)
