"""The studies of the ablations: every run is a valid config, and changes what it says and nothing else."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pinnwx.config import Config
from pinnwx.data.open import open_data
from pinnwx.verification.results import Scores

sys.path.append(str(Path(__file__).parent.parent / "scripts"))
import ablations
import rolling
import trial

TRIALS = [run for name, study in ablations.studies().items() for run in ablations.trials(name, study)]


@pytest.mark.parametrize("run", TRIALS, ids=lambda run: f"{run.study}-{run.name}-{run.seed}")
def test_every_run_is_a_valid_config(run):
    config = Config.model_validate(run.config())
    assert config.seed == run.seed
    assert (config.training.updates is None) == (run.minutes is not None), "a budget of updates, or one of minutes"


def test_what_a_run_is_compared_with_is_a_run_of_its_study():
    runs = {(run.study, run.name): run for run in TRIALS}
    for run in TRIALS:
        against = runs[run.study, run.against]
        assert against.against == against.name, "a reference stands for itself"


def test_a_change_reaches_the_entry_it_names():
    settings = {"a": {"list": [{"x": 1}, {"x": 2}]}, "b": 3}
    ablations.change(settings, "a.list.*.x", 9)
    ablations.change(settings, "a.list.1.y", 5)
    ablations.change(settings, "c.new", [1])
    assert settings == {"a": {"list": [{"x": 9}, {"x": 9, "y": 5}]}, "b": 3, "c": {"new": [1]}}


WORKER = """
import sys, time
from pathlib import Path
worked, lines = 0.0, []
while time.monotonic() - {start} < {seconds}:
    began = time.monotonic(), time.clock_gettime(time.CLOCK_REALTIME)
    time.sleep(0.01)
    lines.append(f"{{began[1]}} {{time.clock_gettime(time.CLOCK_REALTIME) - began[1]}}")
Path(sys.argv[1]).write_text("\\n".join(lines))
sys.exit({code})
"""


@pytest.fixture
def workers(tmp_path, monkeypatch):
    """`workers(code, ...)`: a process each that works two seconds by its own clock and ends with that code."""

    def run(*codes: int) -> list[float]:
        monkeypatch.setattr(trial, "TURN_SECONDS", 0.3)
        at_work = Path(trial.AT_WORK).read_text()
        for number, code in enumerate(codes):
            body = WORKER.format(start="began_here", seconds=2.0, code=code)
            head = at_work[: at_work.index("from pinnwx.cli")].replace("sys.argv.pop(1)", "sys.argv.pop(1)", 1)
            (tmp_path / f"{number}.py").write_text(head + "began_here = time.monotonic()\n" + body)
        launcher = tmp_path / "launcher.py"
        launcher.write_text("import runpy, sys; script = sys.argv.pop(2); sys.argv[0] = script; runpy.run_path(script)")
        monkeypatch.setattr(trial, "AT_WORK", launcher)
        verbs = [[str(tmp_path / f"{number}.py"), str(tmp_path / f"{number}.txt")] for number in range(len(codes))]
        return trial.train_in_turn(verbs, [{} for _ in codes])

    return run


def test_trainings_in_turn_are_at_work_one_at_a_time_by_a_clock_of_their_own(workers, tmp_path):
    seconds = workers(0, 0)
    assert all(1.9 < one < 6.0 for one in seconds), "two seconds at work, and starting up"
    first, second = (
        np.array([float(line.split()[0]) for line in (tmp_path / f"{n}.txt").read_text().splitlines()]) for n in (0, 1)
    )
    begin, end = max(first.min(), second.min()) + 0.3, min(first.max(), second.max())
    first, second = (each[(each > begin) & (each < end)] for each in (first, second))
    assert np.median(np.abs(first[:, None] - second).min(axis=1)) > 0.03, "while one works, the other stands still"


def test_a_training_that_fails_lets_the_others_through(workers, tmp_path):
    with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
        workers(3, 0)
    assert (tmp_path / "1.txt").exists()


def a_week(first_day: str, count: int, rmse: float) -> Scores:
    day = np.datetime64(first_day)
    daily = [[str(day + i), 4, rmse] for i in range(count)]
    entry = {"variable": "msl", "lead_hours": 24, "n": 4 * count, "rmse": rmse, "persistence_rmse": 2.0, "daily": daily}
    return Scores((entry,))


def test_the_scores_of_weeks_are_one_by_their_number_of_forecasts():
    entry = rolling.whole([a_week("2026-01-08", 7, 1.0), a_week("2026-01-15", 1, 5.0)]).entry("msl", 24)
    assert entry["n"] == 32
    assert entry["rmse"] == pytest.approx((7 * 1.0 + 1 * 5.0) / 8)
    assert [day for day, *_ in entry["daily"]] == sorted(day for day, *_ in entry["daily"])


def test_the_rolling_table_compares_what_was_retrained_with_both_others():
    def week(day: str, promoted: bool) -> dict:
        scores = {"frozen": 1.0, "retrained": 0.5, "from scratch": 0.4}
        cost = {"wall_seconds": 10.0, "core_seconds": 20.0}
        return {
            "arrived_until": day,
            "costs": {arm: cost | {"promoted": promoted} for arm in scores},
            "scores": {arm: a_week(day, 7, rmse).to_dict() for arm, rmse in scores.items()},
        }

    text = rolling.table({"minutes": 5, "weeks": [week("2026-01-08", True), week("2026-01-15", False)]})
    (row,) = (line for line in text.splitlines() if line.startswith("| msl 24 h"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:4] == ["0.500", "0.250", "0.200"]
    assert cells[4].startswith("0.500 (")
    assert cells[5].startswith("1.250 (")
    assert "1 of 2" in text


@pytest.mark.real_data
def test_only_what_has_arrived_is_seen(real_data, tmp_path, monkeypatch):
    monkeypatch.setattr(rolling, "FOLDER", tmp_path)
    monkeypatch.setattr(rolling, "ARCHIVE", real_data / "era5_global")
    until = np.datetime64("2025-12-03")
    seen = open_data(rolling.arrive(until), ("msl", "vo850"))
    assert seen.sizes["time"] == 8
    assert seen["time"].values.max() < until
