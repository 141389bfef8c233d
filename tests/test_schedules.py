"""The examples under scripts/schedules: what they run, what they make of exit codes, and that the tools take them."""

import ast
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pinnwx.commands.app import app

FOLDER = Path(__file__).resolve().parent.parent / "scripts" / "schedules"


def job(script: str, tmp_path, code: int = 0, **settings) -> tuple[int, list[list[str]], str]:
    """Runs a script with a `pinnwx` that only notes what it was asked; (exit code, calls, what the hook was told)."""
    fake, calls, hooked = (tmp_path / name for name in ("pinnwx", "calls", "hooked"))
    fake.write_text(f'#!/bin/sh\nprintf "%s\\t" "$@" >> {calls}; echo >> {calls}\n[ "$1" = status ] || exit {code}\n')
    fake.chmod(0o755)
    variables = {"PINNWX": str(fake), "RUN": "/a run", "ANALYSES": "/data", "FORECASTS": "/out"} | settings
    hook = {"ON_FAILURE": f"echo failed with $EXIT_CODE > {hooked}"}
    done = subprocess.run(["sh", FOLDER / script], env=os.environ | hook | variables, capture_output=True, check=False)
    asked = [line.rstrip("\t").split("\t") for line in calls.read_text().splitlines()] if calls.exists() else []
    return done.returncode, asked, hooked.read_text().strip() if hooked.exists() else ""


def test_a_turn_forecasts_and_then_looks_at_the_health(tmp_path):
    code, (forecast, status), hooked = job("forecast.sh", tmp_path, METRICS="/m.prom")
    assert (code, hooked) == (0, "")
    assert forecast[:7] == ["forecast-series", "--run", "/a run", "--data", "/data", "--out", "/out"]
    assert status == ["status", "--run", "/a run", "--forecasts", "/out", "--metrics", "/m.prom"]


@pytest.mark.parametrize(("settings", "limit"), [({}, "12"), ({"MAX_AGE": "48"}, "48")])
def test_the_limit_of_age_is_that_of_six_hourly_analyses_or_is_set(tmp_path, settings, limit):
    """Daily ones need more: their newest is up to a day old before the next can come."""
    forecast = job("forecast.sh", tmp_path, **settings)[1][0]
    assert forecast[forecast.index("--max-age") + 1] == limit


@pytest.mark.parametrize("code", [65, 69])
def test_a_refusal_calls_the_hook_and_is_passed_on(tmp_path, code):
    assert job("forecast.sh", tmp_path, code)[::2] == (code, f"failed with {code}")


@pytest.mark.parametrize(("code", "passed_on"), [(0, 0), (69, 0), (77, 0), (65, 65), (1, 1)])
def test_a_retraining_may_be_refused_by_the_gate(tmp_path, code, passed_on):
    ended, calls, hooked = job("retrain.sh", tmp_path, code)
    assert (ended, calls) == (passed_on, [["retrain", "--run", "/a run", "--data", "/data"]])
    assert hooked == (f"failed with {code}" if passed_on else "")


@pytest.mark.parametrize("script", ["forecast.sh", "retrain.sh"])
def test_that_another_is_at_work_is_passed_on_without_the_hook(tmp_path, script):
    assert job(script, tmp_path, 75)[::2] == (75, "")


@pytest.mark.parametrize("script", ["forecast.sh", "retrain.sh"])
def test_a_setting_that_is_missing_is_named(tmp_path, script):
    without = {name: value for name, value in os.environ.items() if name != "RUN"}
    done = subprocess.run(["sh", FOLDER / script], env=without | {"ANALYSES": "/d"}, capture_output=True, check=False)
    assert done.returncode != 0
    assert b"RUN" in done.stderr


def test_every_option_the_scripts_use_exists(tmp_path):
    for script in ("forecast.sh", "retrain.sh"):
        for words in job(script, tmp_path, METRICS="/m.prom")[1]:
            helped = CliRunner().invoke(app, [words[0], "--help"], env={"COLUMNS": "200"}).output
            for option in (word for word in words if word.startswith("--")):
                assert re.search(rf"{option}\b", helped), (script, option)


def test_the_crontab_has_times_and_commands_of_files_that_exist():
    entries = [line for line in (FOLDER / "pinnwx.crontab").read_text().splitlines() if re.match(r"[\d*]", line)]
    assert len(entries) == 2
    limits = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
    for entry in entries:
        *times, command = entry.split(maxsplit=5)
        for text, (least, most) in zip(times, limits, strict=True):
            assert text == "*" or all(least <= int(part) <= most for part in text.split(",")), entry
        assert (FOLDER / command.split("/")[-1]).is_file()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
@pytest.mark.parametrize("name", ["pinnwx-forecast", "pinnwx-retrain"])
def test_systemd_takes_the_units(tmp_path, name):
    for path in FOLDER.glob("*.service"), FOLDER.glob("*.timer"):
        for unit in path:
            shutil.copy(unit, tmp_path)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", tmp_path / f"{name}.timer",
         tmp_path / f"{name}.service"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    about_us = [line for line in done.stderr.splitlines() if "pinnwx" in line]
    assert (done.returncode, about_us) == (0, []), done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_understands_the_times():
    for unit in FOLDER.glob("*.timer"):
        (when,) = re.findall(r"^OnCalendar=(.+)$", unit.read_text(), flags=re.MULTILINE)
        done = subprocess.run(["systemd-analyze", "calendar", when], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_flow_is_python_and_calls_what_exists():
    import pinnwx

    tree = ast.parse((FOLDER / "flow.py").read_text())
    called = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pinnwx"
    }
    assert {"forecast_series", "retrain", "status"} <= called
    assert called <= set(pinnwx.__all__)


def test_the_container_is_built_from_files_that_exist_and_from_all_that_the_wheel_has():
    root = FOLDER.parent.parent
    lines = [line.split() for line in (FOLDER / "Containerfile").read_text().splitlines()]
    copied = {source for words in lines if words[:1] == ["COPY"] for source in words[1:-1]}
    assert all((root / source).exists() for source in copied), copied
    wheel = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {"pyproject.toml", "README.md", "LICENSE"} <= copied
    assert {path.split("/")[0] for path in (*wheel["packages"], *wheel["force-include"])} <= copied
