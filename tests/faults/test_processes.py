"""Faults 33 to 43: processes killed, stopped, doubled or starved. Kills are real SIGKILLs at random moments."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import kills_and_flips
import pytest
from safetensors.numpy import load_file
from verbs import INIT, Ended, command, in_a_process, pinnwx, recipe

from pinnwx.forecasting.cf import read_forecast
from pinnwx.forecasting.runs import Run
from pinnwx.training.checkpoint import Checkpoints

pytestmark = pytest.mark.optimised
SEED = int(os.environ.get("PINNWX_TEST_SEED", time.time_ns() % 2**32))


@contextmanager
def started(*words: object):
    """A process that is killed at the end of the block, if it still runs."""
    process = subprocess.Popen(
        list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def writer(kind: str, path: Path):
    return started(sys.executable, kills_and_flips.WRITERS, kind, path)


def weights(run: Path) -> dict[str, bytes]:
    found = load_file(run / "versions" / Run(run).live / "weights.safetensors")
    return {name: values.tobytes() for name, values in found.items()}


@pytest.fixture(scope="module")
def trained(good, tmp_path_factory) -> Path:
    """The run of a short training, and its config beside it."""
    folder = tmp_path_factory.mktemp("trained")
    config = recipe(folder, "batch_size = 8\nupdates = 16")
    pinnwx("train", config, "--data", good, "--out", folder / "run").did()
    return folder


@pytest.fixture
def whole(trained, tmp_path) -> Path:
    """A training that nobody disturbed, in a folder of the test's own."""
    return Path(shutil.copytree(trained, tmp_path / "whole"))


@pytest.mark.slow
def test_33_killed_in_training(good, tmp_path):
    """Killed again and again and resumed, it ends with the weights of the undisturbed one, bit for bit."""
    out, dice, kills, resumed = tmp_path / "run", random.Random(SEED), 0, set()
    config = recipe(tmp_path, "batch_size = 8\nupdates = 1200")
    in_a_process(command("train", config, "--data", good, "--out", tmp_path / "whole")).did()
    words = [sys.executable, "-c", kills_and_flips.HASTY, *command("train", config, "--data", good, "--out", out)[3:]]
    while True:
        resume = ["--resume"] if (out / "config.toml").exists() else []
        with started(*words, *resume) as process:
            try:
                process.wait(dice.uniform(4, 8) + 2 * kills if kills < 3 or not resumed else 900)
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
                resumed |= {path.parent.name for path in (out / "training").glob("*/manifest.json")}
                continue
            assert process.returncode == 0, process.stderr.read()
        break
    assert weights(out) == weights(tmp_path / "whole"), f"PINNWX_TEST_SEED={SEED}"
    assert kills >= 1
    assert resumed, "no checkpoint was ever resumed from"


def test_34_killed_while_it_saves_a_checkpoint(tmp_path):
    counts = Counter()
    kills_and_flips.kill_checkpoints(tmp_path, 5, random.Random(SEED), counts)
    assert (counts["lost"], counts["partial"]) == (0, 0), f"PINNWX_TEST_SEED={SEED}"


def test_35_43_killed_while_it_writes_a_forecast_and_read_all_the_time(tmp_path):
    """Whoever reads sees the old file or the complete new one, at every moment."""
    counts = Counter()
    kills_and_flips.kill_forecasts(tmp_path, 5, random.Random(SEED), counts)
    assert (counts["lost"], counts["partial"]) == (0, 0), f"PINNWX_TEST_SEED={SEED}"
    assert counts["reads"] > 5


def test_36_terminated(good, tmp_path):
    """It saves, exits with 143 within 30 s, and can be resumed."""
    config = recipe(tmp_path, "batch_size = 8\nupdates = 100000")
    with started(*command("train", config, "--data", good, "--out", tmp_path / "run")) as process:
        while not (tmp_path / "run" / "metrics.jsonl").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        time.sleep(1)
        process.terminate()
        asked = time.monotonic()
        _, message = process.communicate(timeout=30)
    assert process.returncode == 143
    assert time.monotonic() - asked < 30
    assert "stopped by SIGTERM; go on with --resume" in message
    done = len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    saved = Checkpoints(tmp_path / "run" / "training")
    assert saved.latest() == done > 0
    saved.close()


@pytest.fixture
def mounted(tmp_path):
    """`mounted(options, words)` runs a command that sees a small or read-only file system at tmp_path / "disk"."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a file system")

    def run(options: str, words: list[str], after: str = "true") -> Ended:
        prepare = f'mount -t tmpfs -o {options} tmpfs "{disk}"; echo old 2>/dev/null > "{disk}/old.nc"'
        shell = ["unshare", "-rm", "sh", "-c", f'{prepare}; "$@"; code=$?; {after}; exit $code', "sh", *words]
        return in_a_process(shell)

    run.disk = disk
    return run


def forecasting(run: Path, good: Path, out: Path, *options: object) -> list[str]:
    return command(
        "forecast", "--run", run, "--data", good, "--init", INIT, "--hours", 12, "--out", out, *options
    )  # fmt: skip


def test_37_the_disk_is_full(run, good, mounted):
    """A real file system of 16 kB: the old file stays, nothing half-written does."""
    words = forecasting(run, good, mounted.disk / "old.nc", "--force")
    ended = mounted("size=16k", words, after=f'ls -A "{mounted.disk}"; cat "{mounted.disk}/old.nc"')
    ended.refused(73, "cannot write", "old.nc")
    assert ended.out.split() == ["old.nc", "old"]


def test_37_the_disk_is_full_for_a_training(good, mounted, tmp_path):
    config = recipe(tmp_path, "batch_size = 8\nupdates = 16")
    left = f'ls -A "{mounted.disk}/run"'
    ended = mounted("size=64k", command("train", config, "--data", good, "--out", mounted.disk / "run"), after=left)
    assert ended.code == 73, ended.err
    assert "cannot write" in ended.err.splitlines()[-1]
    assert "Traceback" not in ended.err
    assert "live" not in ended.out.split()


def test_37_a_file_may_not_grow(run, good, tmp_path):
    """The same where nobody may mount: the system limits the size of a file, to some blocks of it."""
    (tmp_path / "f.nc").write_text("old")
    limited = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh", *forecasting(run, good, tmp_path / "f.nc", "--force")]
    in_a_process(limited).refused(73, "cannot write", "f.nc")
    assert [path.name for path in tmp_path.iterdir()] == ["f.nc"]
    assert (tmp_path / "f.nc").read_text() == "old"


def test_38_a_read_only_output_is_refused_before_computing(run, mounted, tmp_path):
    nothing = Path("no-such-data.nc")
    config = recipe(tmp_path, "updates = 16")
    for words in (
        forecasting(run, nothing, mounted.disk / "f.nc"),
        command("train", config, "--data", nothing, "--out", mounted.disk / "run"),
    ):
        ended = mounted("ro", ["sh", "-c", 'exec "$@" 2>&1 >/dev/null', "sh", *words])
        assert ended.code == 73
        assert str(mounted.disk) in ended.out


@pytest.mark.skipif(os.geteuid() == 0, reason="access rights do not bind the superuser")
def test_38_a_folder_without_the_right_to_write(run, tmp_path):
    tmp_path.chmod(0o555)
    pinnwx(*forecasting(run, Path("no-such-data.nc"), tmp_path / "f.nc")[3:]).refused(73, "is not writable")
    tmp_path.chmod(0o755)


def test_39_two_identical_jobs_at_once(run, good, tmp_path):
    with writer("locks", tmp_path / "f.nc") as holder:
        holder.stdout.readline()
        pinnwx(*forecasting(run, good, tmp_path / "f.nc")[3:]).refused(75, "another job is at work", "f.nc")
    pair = [subprocess.Popen(forecasting(run, good, tmp_path / "f.nc"), stderr=subprocess.PIPE) for _ in range(2)]
    codes = sorted(process.wait(120) for process in pair)
    for process in pair:
        process.stderr.close()
    assert codes in ([0, 75], [0, 0]), "the second was refused, or found it done"
    assert read_forecast(tmp_path / "f.nc").sizes["time"] == 2


def test_39_two_trainings_of_one_run(whole, good):
    with Run(whole / "run").lock():
        pinnwx("train", whole / "tiny.toml", "--data", good, "--out", whole / "run", "--resume").refused(
            75, "try again"
        )


def test_40_a_finished_job_again(run, good, whole, tmp_path):
    out = tmp_path / "f.nc"
    assert "Wrote" in pinnwx(*forecasting(run, good, out)[3:]).out
    before = (out.read_bytes(), out.stat().st_mtime_ns)
    again = pinnwx(*forecasting(run, good, out)[3:])
    assert again.code == 0
    assert "Already in" in again.out
    assert (out.read_bytes(), out.stat().st_mtime_ns) == before
    longer = [word if word != "12" else "18" for word in forecasting(run, good, out)[3:]]
    pinnwx(*longer).refused(73, "is another forecast", "--force")
    model = weights(whole / "run")
    pinnwx("train", whole / "tiny.toml", "--data", good, "--out", whole / "run", "--resume").did()
    assert weights(whole / "run") == model
    assert Run(whole / "run").versions == ("0001",)


def test_41_the_holder_of_a_lock_is_killed(run, good, tmp_path):
    with writer("locks", tmp_path / "f.nc") as holder:
        holder.stdout.readline()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        pinnwx(*forecasting(run, good, tmp_path / "f.nc")[3:]).did()


def test_42_what_a_dead_job_left_is_removed(run, good, tmp_path):
    with writer("holds", tmp_path / "f.nc") as living:
        alive = living.stdout.readline().strip()
        with writer("holds", tmp_path / "f.nc") as dying:
            dead = dying.stdout.readline().strip()
        (tmp_path / ".mine.tmp.nc").write_text("foreign")
        assert {path.name for path in tmp_path.iterdir()} == {alive, dead, ".mine.tmp.nc"}
        pinnwx(*forecasting(run, good, tmp_path / "f.nc")[3:]).did()
        assert {path.name for path in tmp_path.iterdir()} == {alive, ".mine.tmp.nc", "f.nc"}


def test_42_a_version_cut_off_is_removed(whole, good):
    """It never had the name of a version; folders that are not ours are left alone."""
    versions = whole / "run" / "versions"
    with writer("appears", versions / "0002") as dying:
        dead = dying.stdout.readline().strip()
    (versions / "2024").mkdir()
    assert {path.name for path in versions.iterdir()} == {"0001", "2024", dead}
    pinnwx("train", whole / "tiny.toml", "--data", good, "--out", whole / "run", "--resume").did()
    assert {path.name for path in versions.iterdir()} == {"0001", "2024"}
