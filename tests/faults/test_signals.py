"""A job that is asked to stop saves first, whichever signal asks; a reader that leaves stops nothing."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from verbs import INIT, command, pinnwx, recipe

from pinnwx.training.checkpoint import Checkpoints


@pytest.fixture
def training(good, tmp_path):
    """A training without end that has begun, and whose reader leaves then; and its run folder."""
    config = recipe(tmp_path, "batch_size = 8\nupdates = 1000000")
    words = command("train", config, "--data", good, "--out", tmp_path / "run")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        while not (tmp_path / "run" / "training").is_dir() or newest_checkpoint(tmp_path / "run") == 0:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        process.stdout.close()
        process.stderr.close()
        yield process, tmp_path / "run"
    finally:
        process.kill()
        process.wait()


def newest_checkpoint(run: Path) -> int:
    return max((int(path.parent.name) for path in run.glob("training/*/manifest.json")), default=0)


def updates_logged(run: Path) -> list[dict]:
    text = (run / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


SLOW = [pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGHUP, signal.SIGINT)]


@pytest.mark.parametrize("number", [signal.SIGQUIT, *SLOW])
def test_a_signal_and_a_second_one_save_and_so_nobody_reads(training, number):
    """Progress that nobody reads does not end it (it goes on), nor does a second signal while it saves."""
    process, run = training
    time.sleep(1.0)
    assert process.poll() is None, "a training goes on when the reader of its progress has left"
    process.send_signal(number)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) in (128 + number, 130), "of two that wait, the system delivers the lower number first"
    saved = Checkpoints(run / "training")
    assert saved.latest() == len(updates_logged(run)) > 4
    saved.close()
    assert json.loads((run / "events.jsonl").read_text().splitlines()[-1])["outcome"] == "stopped"


@pytest.mark.slow
def test_a_kill_in_the_first_minute_loses_seconds_and_resume_says_where_it_starts(training, good):
    process, run = training
    time.sleep(2.0)
    process.kill()
    process.wait()
    logged, saved = updates_logged(run), newest_checkpoint(run)
    assert saved >= 4
    assert logged[-1]["wall_seconds"] - logged[saved - 1]["wall_seconds"] <= 10.0
    words = command("train", run.parent / "tiny.toml", "--data", good, "--out", run, "--resume")
    again = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = again.stderr.readline()
    again.kill()
    again.communicate()
    assert first == f"pinnwx: going on from update {saved:,} of 1,000,000\n"


SHELL = ["bash", "-c"]


@pytest.mark.parametrize("verb", ["status", "check", "models list", "forecast"])
@pytest.mark.parametrize("reader", ["true", "head -c 1"])
def test_a_reader_that_leaves_changes_nothing(run, good, tmp_path, verb, reader):
    """The exit code is the verb's own, and nothing is said."""
    options = {
        "status": f"--run {run}",
        "models list": f"--run {run}",
        "check": f"--data {good}",
        "forecast": f"--run {run} --data {good} --init {INIT} --hours 12 --out {tmp_path}/f.nc",
    }
    line = f"{sys.executable} -m pinnwx {verb} {options[verb]} | {reader}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run([*SHELL, line], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "f.nc").exists() == (verb == "forecast")


def test_a_refusal_whose_reader_left_keeps_its_code(tmp_path):
    line = f"{sys.executable} -m pinnwx status --run {tmp_path}/none 2>&1 | true; exit ${{PIPESTATUS[0]}}"
    assert subprocess.run([*SHELL, line], timeout=60).returncode == 66


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_output_that_a_full_disk_swallowed_is_said(run):
    line = f"{sys.executable} -m pinnwx status --run {run} > /dev/full"
    done = subprocess.run([*SHELL, line], capture_output=True, text=True, timeout=60)
    assert done.returncode == 73
    assert done.stderr.splitlines() == [
        "pinnwx: the output cannot be written: No space left on device; free space and start again"
    ]


def test_help_names_the_codes_of_signals():
    shown = pinnwx("--help").out
    assert [code for code in ("129", "130", "131", "143") if code not in shown] == []
