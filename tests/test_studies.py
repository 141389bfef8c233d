"""The studies: every run is a valid config, changes what it says and nothing else, and measures what is missing."""

import json
import os
import subprocess
import sys
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from synthetic import config, smooth_noise, wave_archive

from experiments.studies import ablations, benchmark, harness, placebo_winds, rolling, turns
from experiments.studies.merging import merge_scores
from pinnwx.config import Config
from pinnwx.data.open import open_data
from pinnwx.grid import Grid
from pinnwx.physics.winds import parse_wind
from pinnwx.verification.results import Scores

STUDIES = (
    "ablations", "benchmark", "courant", "damage", "deformation", "divergence", "ensembles", "error_by_scale",
    "extremes",
    "finer_grid", "increments", "job_times", "little_data", "paradis", "primitive_equations", "prior_minutes",
    "results", "ridge", "rolling", "rollouts", "simulate_climate", "simulation_prior", "sizes", "semi_lagrangian_cost",
    "spoilt", "tracer", "warmed_climate", "year",
)  # fmt: skip
assert placebo_winds  # registers the wind that a study names
RUNS = [run for name, study in ablations.read_studies().items() for run in ablations.runs_of(name, study)]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.study}-{run.name}-{run.seed}")
def test_every_run_is_a_valid_config(run):
    config = Config.model_validate(run.config())
    assert config.seed == run.seed
    assert (config.training.updates is None) == (run.minutes is not None), "a budget of updates, or one of minutes"


def test_what_a_run_is_compared_with_is_a_run_of_its_study():
    runs = {(run.study, run.name): run for run in RUNS}
    for run in RUNS:
        reference = runs[run.study, run.reference]
        assert reference.reference == reference.name, "a reference stands for itself"


def test_a_change_reaches_the_entry_it_names():
    settings = {"a": {"list": [{"x": 1}, {"x": 2}]}, "b": 3}
    ablations.change(settings, "a.list.*.x", 9)
    ablations.change(settings, "a.list.1.y", 5)
    ablations.change(settings, "c.new", [1])
    assert settings == {"a": {"list": [{"x": 9}, {"x": 9, "y": 5}]}, "b": 3, "c": {"new": [1]}}


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_says_how_it_is_run(name, monkeypatch, capsys):
    study = import_module(f"experiments.studies.{name}")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        study.main()
    assert ended.value.code == 0
    assert f"python -m experiments.studies.{name}" in capsys.readouterr().out


def test_a_study_measures_what_is_missing_and_stores_it_at_once(tmp_path):
    path = tmp_path / "figures.json"
    path.write_text('{"first": 1}')
    stored = harness.StoredFigures(path)

    def interrupted():
        raise KeyboardInterrupt

    measurements = {"first": lambda: 10, "second": lambda: 20, "third": interrupted}
    with pytest.raises(KeyboardInterrupt):
        stored.measure_missing(measurements)
    assert json.loads(path.read_text()) == {"first": 1, "second": 20}
    resumed = harness.StoredFigures(path)
    resumed.measure_missing({**measurements, "third": lambda: 30}, section=resumed.figures.setdefault("more", {}))
    assert json.loads(path.read_text())["more"] == {"first": 10, "second": 20, "third": 30}
    resumed.measure_missing({"first": lambda: 11}, again=True)
    assert json.loads(path.read_text())["first"] == 11


def test_a_table_replaces_what_stands_between_its_markers(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("before\n\n<!-- speed -->\n\nold\n\n<!-- end of speed -->\n\nafter\n")
    harness.splice(page, "speed", "\n".join(harness.markdown_table(["a", "b"], [["x", 1]])) + "\n")
    table = "| a | b |\n| --- | --- |\n| x | 1 |\n"
    assert page.read_text() == f"before\n\n<!-- speed -->\n\n{table}\n<!-- end of speed -->\n\nafter\n"


WORKER = """
import sys, time
from pathlib import Path
lines, start = [], time.monotonic()
while time.monotonic() - start < 2.0:
    lines.append(str(time.clock_gettime(time.CLOCK_REALTIME)))
    time.sleep(0.01)
Path(sys.argv[1]).write_text("\\n".join(lines))
sys.exit(int(sys.argv[2]))
"""


@pytest.fixture
def workers(tmp_path, monkeypatch):
    """`workers(code, ...)`: processes that run two seconds by their own clocks and end with these codes."""

    def run(*codes: int) -> list[float]:
        monkeypatch.setattr(turns, "TURN_SECONDS", 0.3)
        (tmp_path / "two_seconds.py").write_text(WORKER)
        path = os.pathsep.join([str(tmp_path), str(harness.ROOT), os.environ.get("PYTHONPATH", "")])
        commands = [["two_seconds", str(tmp_path / f"{n}.txt"), str(code)] for n, code in enumerate(codes)]
        return turns.run_in_turns(commands, [{"PYTHONPATH": path} for _ in codes])

    return run


def test_commands_in_turns_run_one_at_a_time_by_a_clock_of_their_own(workers, tmp_path):
    seconds = workers(0, 0)
    assert all(1.9 < each < 6.0 for each in seconds), "two seconds of running, and starting up"
    first, second = (np.array((tmp_path / f"{n}.txt").read_text().split(), float) for n in (0, 1))
    begin, end = max(first.min(), second.min()) + 0.3, min(first.max(), second.max())
    first, second = (times[(times > begin) & (times < end)] for times in (first, second))
    assert np.median(np.abs(first[:, None] - second).min(axis=1)) > 0.03, "while one runs, the other is stopped"


def test_a_command_that_fails_lets_the_others_end(workers, tmp_path):
    with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
        workers(3, 0)
    assert (tmp_path / "1.txt").exists()


def a_week(first_day: str, count: int, rmse: float) -> Scores:
    day = np.datetime64(first_day)
    daily = [[str(day + i), 4, rmse] for i in range(count)]
    entry = {"variable": "msl", "lead_hours": 24, "n": 4 * count, "rmse": rmse, "persistence_rmse": 2.0, "daily": daily}
    return Scores((entry,))


def test_the_scores_of_weeks_are_one_by_their_number_of_forecasts():
    entry = merge_scores([a_week("2026-01-08", 7, 1.0), a_week("2026-01-15", 1, 5.0)]).entry("msl", 24)
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
    arrived = open_data(rolling.write_arrived(until), ("msl", "vo850"))
    assert arrived.sizes["time"] == 8
    assert arrived["time"].values.max() < until


def test_the_displaced_wind_is_that_of_half_a_turn_further_east():
    """The vorticity that it transports is that of the place."""
    grid = Grid.parse("22.5deg")
    fields = dict(zip(("u850", "v850"), np.float32(smooth_noise(grid, 2, 1)), strict=True))
    own, displaced = (parse_wind(f"{kind}:850") for kind in ("prognostic", "displaced"))
    for there, here in zip(displaced(fields, grid), own(fields, grid), strict=True):
        np.testing.assert_array_equal(there, np.roll(here, 8, axis=-1))
    fields = {name: jnp.asarray(values) for name, values in fields.items()}
    np.testing.assert_array_equal(displaced.cell_vorticity(fields, grid), own.cell_vorticity(fields, grid))


def test_the_operations_of_an_update_are_counted():
    """Products of a dense layer by hand; and a rollout of two steps has those of one step twice."""
    product = jax.make_jaxpr(lambda a, b: a @ b)(jnp.ones((3, 5)), jnp.ones((5, 7)))
    assert benchmark.count_operations(product) == 2 * 3 * 5 * 7
    settings = config(training="batch_size = 4")
    one, two = (benchmark.first_update(settings, wave_archive(20), steps).operations() for steps in (1, 2))
    assert one > 0
    assert two == pytest.approx(2 * one, rel=0.01)
