"""What `pinnwx status` and `pinnwx doctor` say, from logs and scores that were planted."""

import json

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from synthetic import tiny_trained
from typer.testing import CliRunner

import pinnwx
from pinnwx.commands.app import app
from pinnwx.errors import (
    CheckpointError,
    LockedError,
    MissingInputError,
    NotPromotedError,
    OutputError,
    UnavailableError,
    UsageError,
)
from pinnwx.forecasting.runs import Run, new_run
from pinnwx.jobs import doctor as doctoring
from pinnwx.jobs.events import EVENTS, NOTHING_TO_DO, recorded
from pinnwx.jobs.status import skill_of


@pytest.fixture
def run(tmp_path):
    made = new_run(tmp_path / "run")
    made.publish(tiny_trained(), {"name": "tiny", "seed": 0, "trained_on": ["2026-01-01T00:00Z", "2026-01-20T18:00Z"]})
    return made.folder


def did(run, verb, when, monkeypatch, error=None):
    monkeypatch.setenv("PINNWX_NOW", when)
    if error is None:
        with recorded(run, verb):
            pass
        return
    with pytest.raises(type(error)), recorded(run, verb):
        raise error


def test_each_job_has_its_last_success_and_what_failed_since(run, monkeypatch):
    did(run, "forecast", "2026-02-01T01:40", monkeypatch)
    did(run, "forecast", "2026-02-01T07:40", monkeypatch, OutputError("disk is full"))
    did(run, "forecast", "2026-02-01T13:40", monkeypatch, ValueError("odd"))
    did(run, "retrain", "2026-02-01T02:00", monkeypatch)
    monkeypatch.setenv("PINNWX_NOW", "2026-02-01T14:40")
    found = pinnwx.status(run)
    forecast, retrain = found.jobs
    assert (forecast.verb, forecast.last_success, forecast.age_hours) == ("forecast", "2026-02-01T01:40Z", 13.0)
    assert (forecast.last_outcome, forecast.failures) == ("failed", 2)
    assert (retrain.failures, retrain.last_outcome) == (0, "done")
    assert found.warnings == ("forecast: failed 2 time(s), last: ValueError: odd",)
    assert (found.version, found.trained_to) == ("0001", "2026-01-20T18:00Z")


def test_lines_that_were_cut_off_are_passed_over(run, monkeypatch):
    did(run, "forecast", "2026-02-01T01:40", monkeypatch)
    with (run / EVENTS).open("a") as log:
        log.write('\n[1]\n{"verb": 1, "colour": 2}\n{"verb": "forecast", "ti')
    did(run, "retrain", "2026-02-01T02:40", monkeypatch)
    assert [job.verb for job in pinnwx.status(run).jobs] == ["forecast", "retrain"]


def test_what_is_expected_is_no_failure(run, monkeypatch):
    """A busy run, a refused promotion or no fresh data is none. But a forecast without an analysis is one."""
    for verb in ("forecast", "retrain"):
        did(run, verb, "2026-02-01T01:40", monkeypatch)
        did(run, verb, "2026-02-01T02:40", monkeypatch, LockedError("busy"))
        did(run, verb, "2026-02-01T03:40", monkeypatch, UnavailableError("none"))
    did(run, "retrain", "2026-02-01T04:40", monkeypatch, NotPromotedError("worse"))
    assert {job.verb: job.failures for job in pinnwx.status(run).jobs} == {"forecast": 1, "retrain": 0}


def test_what_is_no_run_gets_no_log(tmp_path):
    with recorded(tmp_path, "train"):
        pass
    with recorded(tmp_path / "nowhere", "train"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_live_model_is_an_alarm_that_names_the_way_out(run, tmp_path):
    (run / "versions" / "0001" / "weights.safetensors").write_bytes(b"no weights")
    found = pinnwx.status(run, json=tmp_path / "s.json")
    assert "weights.safetensors does not match" in found.alarm
    assert found.alarm.count("from a copy") == 1, "the way out stands there once"
    assert found.alarm.endswith("no other version is usable: restore it from a copy, or train again")
    assert json.loads((tmp_path / "s.json").read_text())["alarm"] == found.alarm
    with pytest.raises(CheckpointError):
        found.require_usable()
    Run(run).publish(tiny_trained(), {"seed": 1})
    assert pinnwx.status(run).alarm == "", "the new one is live, and whole"
    Run(run).point_to("0001")
    assert "pinnwx models promote 0002" in pinnwx.status(run).alarm, "a rollback would find no older one"


def test_after_a_damaged_version_the_way_out_is_a_rollback(run):
    Run(run).publish(tiny_trained(), {"seed": 1})
    (run / "versions" / "0002" / "weights.safetensors").write_bytes(b"no weights")
    found = pinnwx.status(run)
    with pytest.raises(CheckpointError, match=rf"or go back to an older version: pinnwx models rollback --run {run}$"):
        Run(run).load()
    assert f"pinnwx models rollback --run {run} makes 0001 live" in found.alarm
    ended = CliRunner().invoke(app, ["status", "--run", str(run)])
    assert ended.exit_code == 65
    assert "ALARM" in ended.output
    assert pinnwx.rollback(run) == "0001"
    assert CliRunner().invoke(app, ["status", "--run", str(run)]).exit_code == 0


def test_the_way_out_of_a_damaged_version_is_none_that_was_refused(run):
    objections = {"training_check": {"passed": False, "objections": ["it diverged"]}}
    Run(run).publish(tiny_trained(), {"seed": 1, **objections}, live=False)
    Run(run).publish(tiny_trained(), {"seed": 1})
    (run / "versions" / "0003" / "weights.safetensors").write_bytes(b"no weights")
    assert f"pinnwx models rollback --run {run} makes 0001 live" in pinnwx.status(run).alarm
    assert pinnwx.rollback(run) == "0001"


def test_it_fits_a_screen_of_80_columns(run, tmp_path, monkeypatch):
    """With jobs, failures with long reasons, and scores of many fields and leads."""
    for verb in ("train", "forecast", "retrain", "promote"):
        did(run, verb, "2026-02-01T01:40", monkeypatch)
    did(run, "forecast", "2026-02-01T07:40", monkeypatch, OutputError("disk is full " * 40))
    with recorded(run, "retrain") as event:
        event.outcome = NOTHING_TO_DO
    for day in range(20):
        begun = str(np.datetime64("2026-01-10") + day).replace("-", "")
        entries = [
            {"variable": name, "lead_hours": lead, "rmse": 12345.678 + day, "n": 1, "persistence_rmse": 20000.0}
            for name in ("z500", "msl", "t850", "u850", "v850", "t2m")
            for lead in (6, 12, 24, 48, 72, 96, 120, 240)
        ]
        (tmp_path / f"tiny_{begun}T0000Z.scores.json").write_text(
            json.dumps({"run": "tiny", "scores": entries, "skipped": {}, "settings": {}})
        )
    words = ["status", "--run", str(run), "--forecasts", str(tmp_path)]
    lines = CliRunner().invoke(app, words, env={"COLUMNS": "80"}).output.splitlines()[1:]
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 23
    text = "\n".join(lines)
    assert "nothing to do" in text
    assert "msl [hPa]" in text
    assert "0.62" in text, "the ratio to persistence"
    assert text.count("disk is full") >= 3
    assert "…" not in text.split("warning")[0], "no number is cut"


def test_each_failure_has_its_own_reason(run, monkeypatch):
    """What comes after and is no failure does not take its place; what a series refused of several is told too."""
    did(run, "forecast", "2026-02-01T01:40", monkeypatch, OutputError("no space"))
    did(run, "forecast", "2026-02-01T02:40", monkeypatch, LockedError("busy"))
    with recorded(run, "retrain") as event:
        event.details["refused"] = {"2026-01-01T00:00Z": "late", "2026-01-02T00:00Z": "damaged"}
    assert pinnwx.status(run).warnings == (
        "forecast: failed 1 time(s), last: no space",
        "retrain: 2 refused in the last run, the first of 2026-01-01T00:00Z: late",
    )


def scores(errors, lead=24):
    start = np.datetime64("2026-01-01", "ns")
    return [
        {"variable": "msl", "lead_hours": lead, "rmse": error, "n": 1, "begun": start + np.timedelta64(day, "D")}
        for day, error in enumerate(errors)
    ]


def test_a_drift_is_seen_against_the_forecasts_before():
    usual = [100 + 10 * np.sin(day) for day in range(30)]
    (steady,) = skill_of(scores([*usual, 100, 105, 95, 100, 102, 98, 101]))
    (worse,) = skill_of(scores([*usual, 120, 125, 130, 118, 122, 127, 121]))
    assert not steady.drifts
    assert worse.drifts
    assert worse.recent == pytest.approx(np.mean([120, 125, 130, 118, 122, 127, 121]))
    assert worse.usual == pytest.approx(np.median(usual))
    assert (worse.recent_forecasts, worse.earlier_forecasts) == (7, 30)


def test_too_short_a_history_says_nothing():
    (found,) = skill_of(scores([100] * 7 + [200] * 7))
    assert (found.earlier_forecasts, found.drifts) == (7, False)
    (alone,) = skill_of(scores([100]))
    assert (alone.usual, alone.drifts) == (None, False)


def test_skill_comes_from_the_scores_of_a_folder_and_all_goes_into_files(run, tmp_path, monkeypatch):
    did(run, "forecast", "2026-02-10T00:00", monkeypatch)
    folder = tmp_path / "products"
    folder.mkdir()
    for day in range(30):
        entry = {"variable": "msl", "lead_hours": 24, "rmse": 100.0 if day < 23 else 300.0, "n": 1}
        unscored = {"variable": "msl", "lead_hours": 48, "rmse": None, "n": 0}
        begun = str(np.datetime64("2026-01-01") + day).replace("-", "")
        text = json.dumps({"run": "tiny", "scores": [entry, unscored], "skipped": {}, "settings": {}})
        (folder / f"tiny_{begun}T0000Z.scores.json").write_text(text)
        (folder / f"other_{begun}T0000Z.scores.json").write_text(text.replace("300", "900"))
    (folder / "tiny_evaluation.scores.json").write_text("mine")
    monkeypatch.setenv("PINNWX_NOW", "2026-02-10T06:00")
    found = pinnwx.status(run, forecasts=folder, json=tmp_path / "s.json", metrics=tmp_path / "pinnwx.prom")
    (skill,) = found.skill
    assert (skill.recent, skill.usual, skill.drifts) == (300.0, 100.0, True)
    assert found.warnings == ("msl at 24 h: recent RMSE 3 hPa, earlier median 1 hPa",)
    assert json.loads((tmp_path / "s.json").read_text())["skill"][0]["recent"] == 300.0
    families = text_string_to_metric_families((tmp_path / "pinnwx.prom").read_text())
    values = {(one.name, one.labels.get("verb")): one.value for family in families for one in family.samples}
    assert values == {
        ("pinnwx_job_last_success_timestamp_seconds", "forecast"): 1770681600.0,
        ("pinnwx_job_failures", "forecast"): 0.0,
        ("pinnwx_live_version_damaged", None): 0.0,
        ("pinnwx_live_version", None): 1.0,
        ("pinnwx_rmse", None): 300.0,
        ("pinnwx_drift", None): 1.0,
    }


def test_damaged_scores_and_silence_are_warnings(run, tmp_path, monkeypatch):
    entry = {"variable": "msl", "lead_hours": 24, "rmse": 100.0, "n": 1}
    whole = {"run": "tiny", "scores": [entry], "skipped": {}, "settings": {}}
    (tmp_path / "tiny_20260101T0000Z.scores.json").write_text(json.dumps(whole))
    (tmp_path / "tiny_20260102T0000Z.scores.json").write_text("{")
    monkeypatch.setenv("PINNWX_NOW", "2026-02-10T06:00")
    damaged, silent = pinnwx.status(run, forecasts=tmp_path).warnings
    assert damaged.startswith("tiny_20260102T0000Z.scores.json")
    assert silent == "no forecast with an initial time after 2026-01-01T00:00Z was scored"


def test_folders_that_are_not_there(run, tmp_path):
    with pytest.raises(MissingInputError, match="no run folder"):
        pinnwx.status(tmp_path / "nowhere")
    with pytest.raises(MissingInputError, match="no folder of forecasts"):
        pinnwx.status(run, forecasts=tmp_path / "nowhere")


def test_a_version_is_shown_after_it_was_verified(run):
    assert pinnwx.show_model(run)["version"] == "0001"
    assert pinnwx.show_model(run, "0001")["seed"] == 0
    with pytest.raises(MissingInputError, match="no version 0002"):
        pinnwx.show_model(run, "0002")
    with pytest.raises(UsageError, match="not the name"):
        pinnwx.show_model(run, "../0001")


def test_the_doctor_finds_what_is_wrong(monkeypatch, tmp_path):
    monkeypatch.setenv("PINNWX_NOW", "2026-01-01")
    monkeypatch.setattr(doctoring, "_LEAST_MEMORY", 2**60)
    monkeypatch.setattr(doctoring, "_SLOW", 1e9)
    found = {one.name: one for one in pinnwx.doctor()}
    assert "end other programs" in found["memory"].problem
    assert "unset it" in found["clock"].problem
    assert found["speed"].problem
    assert not found["packages"].problem
    assert "jax " in found["packages"].value
