"""Forecasts into a folder: made once, caught up with, linked, scored, drawn and removed."""

import json
import shutil

import numpy as np
import pytest
import xarray as xr
from synthetic import tiny_trained, wave_dataset

import pinnwx
from pinnwx.errors import LockedError, OutputError, StabilityError, UnavailableError, UsageError
from pinnwx.files import locked
from pinnwx.forecasting.cf import read_forecast
from pinnwx.forecasting.runs import new_run
from pinnwx.jobs import forecast_job
from pinnwx.jobs.events import read_events
from pinnwx.verification.results import Scores


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    made = new_run(tmp_path_factory.mktemp("runs") / "run")
    made.publish(tiny_trained(), {"seed": 0})
    return made.folder


@pytest.fixture
def run(published, tmp_path):
    return shutil.copytree(published, tmp_path / "run")


def until(tmp_path, count: int, without: tuple[str, ...] = ()):
    """A file of the first analyses, 6 h apart from 2026-01-01, some of them missing."""
    path = tmp_path / "analyses.nc"
    missing = np.array(without, "datetime64[ns]")
    dataset = wave_dataset(count)
    (axis,) = (name for name, one in dataset.coords.items() if np.issubdtype(one.dtype, np.datetime64))
    dataset.isel({axis: ~np.isin(dataset[axis], missing)}).to_netcdf(path)
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_period_is_forecast_from_every_analysis_and_only_once(run, tmp_path):
    data, out = until(tmp_path, 40), tmp_path / "products"
    series = pinnwx.forecast_series(run, data, out, init="2026-01-08/2026-01-09", hours=12)
    assert [attempt.written for attempt in series.attempts] == [True] * 8
    files = [f"tiny_202601{day:02d}T{hour:02d}00Z.nc" for day in (8, 9) for hour in (0, 6, 12, 18)]
    assert names(out) == ["latest.nc", *files]
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    again = pinnwx.forecast_series(run, data, out, init="2026-01-08/2026-01-09", hours=12)
    assert not any(attempt.written for attempt in again.attempts)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    alone = pinnwx.forecast(run, data, init="2026-01-09T06:00", hours=12)
    with xr.open_dataset(out / "tiny_20260109T0600Z.nc") as made:
        np.testing.assert_array_equal(made["msl"], alone["msl"])
        assert made.attrs["request_sha256"] == alone.attrs["request_sha256"]


def test_latest_links_to_the_newest_and_backfilling_does_not_move_it_back(run, tmp_path):
    data, out = until(tmp_path, 40), tmp_path / "products"
    pinnwx.forecast_series(run, data, out, hours=6)
    assert (out / "latest.nc").readlink().name == "tiny_20260110T1800Z.nc"
    pinnwx.forecast_series(run, data, out, init="2026-01-05", hours=6)
    assert (out / "latest.nc").readlink().name == "tiny_20260110T1800Z.nc"
    with xr.open_dataset(out / "latest.nc") as newest:
        assert newest["forecast_reference_time"] == np.datetime64("2026-01-10T18:00")


def test_where_links_cannot_be_made_latest_is_a_copy(run, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr("pathlib.Path.symlink_to", refuse)
    data, out = until(tmp_path, 40), tmp_path / "products"
    pinnwx.forecast_series(run, data, out, hours=6)
    assert (out / "latest.nc").read_bytes() == (out / "tiny_20260110T1800Z.nc").read_bytes()


def test_a_late_analysis_is_caught_up_with_when_it_has_come(run, tmp_path):
    data, out = until(tmp_path, 40, without=("2026-01-09T06:00",)), tmp_path / "products"
    series = pinnwx.forecast_series(run, data, out, init="2026-01-09/latest", hours=6)
    assert [attempt.written for attempt in series.attempts] == [True, False, *[True] * 6]
    with pytest.raises(UnavailableError, match="no analysis at 2026-01-09T06:00Z"):
        series.require_all()
    until(tmp_path, 40)
    later = pinnwx.forecast_series(run, data, out, init="2026-01-09/latest", hours=6)
    assert [attempt.written for attempt in later.attempts] == [False, True, *[False] * 6]
    later.require_all()
    first, second = (event.details for event in read_events(run))
    assert list(first["refused"]) == ["2026-01-09T06:00Z"]
    assert second["made"] == ["2026-01-09T06:00Z"]


def test_one_that_blows_up_does_not_hold_up_the_others(run, tmp_path, monkeypatch):
    def unstable_at_noon(predictor, fields, when, *more):
        if when == np.datetime64("2026-01-09T12:00"):
            raise StabilityError("grew")

    monkeypatch.setattr(forecast_job, "require_stable_forecast", unstable_at_noon)
    series = pinnwx.forecast_series(run, until(tmp_path, 40), tmp_path / "out", init="2026-01-09/2026-01-09", hours=6)
    assert [attempt.written for attempt in series.attempts] == [True, True, False, True]
    with pytest.raises(StabilityError, match="grew"):
        series.require_all()


def test_a_full_disk_ends_it_at_once(run, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OutputError("cannot write: No space left on device")

    monkeypatch.setattr("pinnwx.jobs.series.write_forecast", full)
    with pytest.raises(OutputError, match="No space"):
        pinnwx.forecast_series(run, until(tmp_path, 40), tmp_path / "out", init="2026-01-09/2026-01-09", hours=6)


def test_what_is_there_and_is_no_forecast_is_refused_and_kept(run, tmp_path):
    out = tmp_path / "products"
    out.mkdir()
    (out / "tiny_20260109T0600Z.nc").write_text("mine")
    series = pinnwx.forecast_series(run, until(tmp_path, 40), out, init="2026-01-09/2026-01-09", hours=6)
    assert [attempt.written for attempt in series.attempts] == [True, False, True, True]
    assert (out / "tiny_20260109T0600Z.nc").read_text() == "mine"
    pinnwx.forecast_series(run, tmp_path / "analyses.nc", out, init="2026-01-09T06:00", hours=6, force=True)
    assert read_forecast(out / "tiny_20260109T0600Z.nc").sizes["time"] == 1


def test_age_is_asked_of_the_newest_alone_and_of_one_that_is_there_too(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PINNWX_NOW", "2026-01-11T00:00")
    data, out = until(tmp_path, 40), tmp_path / "products"
    with_backlog = pinnwx.forecast_series(run, data, out, init="2026-01-08/latest", hours=6, max_age=8)
    with_backlog.require_all()
    monkeypatch.setenv("PINNWX_NOW", "2026-01-12T00:00")
    too_old = pinnwx.forecast_series(run, data, out, init="2026-01-08/latest", hours=6, max_age=8)
    with pytest.raises(UnavailableError, match=r"30\.0 h old"):
        too_old.require_all()
    assert read_events(run)[-1].exit_code == 69, "a feed that has died is no success"


def test_what_the_data_do_not_reach_is_not_asked_for(run, tmp_path):
    series = pinnwx.forecast_series(run, until(tmp_path, 5), tmp_path / "out", init="P3D/latest", hours=6)
    assert [attempt.written for attempt in series.attempts] == [True] * 5
    with pytest.raises(UnavailableError, match="the data reach from 2026-01-01T00:00Z to 2026-01-02T00:00Z"):
        pinnwx.forecast_series(run, tmp_path / "analyses.nc", tmp_path / "out", init="2020-01-01/2020-12-31", hours=6)
    with pytest.raises(UnavailableError, match="nothing to forecast from"):
        pinnwx.forecast_series(run, tmp_path / "analyses.nc", tmp_path / "out", init="2027-01-01/latest", hours=6)


def test_what_would_be_removed_at_once_is_not_made(run, tmp_path):
    series = pinnwx.forecast_series(
        run, until(tmp_path, 40), tmp_path / "out", init="P9D/latest", hours=6, keep_days=1.0
    )
    assert len(series.attempts) == 4
    assert series.removed == ()


def test_another_request_is_not_taken_for_this_one(run, tmp_path):
    data, out = until(tmp_path, 40), tmp_path / "products"
    pinnwx.forecast_series(run, data, out, hours=6)
    for options in ({"hours": 12}, {"hours": 6, "members": 2}):
        with pytest.raises(OutputError, match="other leads, members, products or calibration"):
            pinnwx.forecast_series(run, data, out, **options).require_all()
    pinnwx.forecast_series(run, data, out, hours=12, force=True).require_all()


def test_a_latest_of_somebody_else_is_left_alone(run, tmp_path):
    out = tmp_path / "products"
    out.mkdir()
    (out / "latest.nc").write_text("mine")
    with pytest.raises(OutputError, match=r"latest\.nc exists"):
        pinnwx.forecast_series(run, until(tmp_path, 40), out, hours=6)
    assert (out / "latest.nc").read_text() == "mine"


def test_a_damaged_forecast_does_not_keep_the_others_from_being_scored(run, tmp_path):
    out = tmp_path / "products"
    pinnwx.forecast_series(run, until(tmp_path, 40), out, hours=12)
    (out / "tiny_20260101T0000Z.nc").write_text("no forecast")
    series = pinnwx.forecast_series(run, until(tmp_path, 41), out, hours=12, score=True)
    assert [path.name for path in series.scored] == ["tiny_20260110T1800Z.scores.json"]


def test_maps_that_were_not_drawn_are_drawn_later(run, tmp_path):
    data, out = until(tmp_path, 40), tmp_path / "products"
    pinnwx.forecast_series(run, data, out, hours=6)
    pinnwx.forecast_series(run, data, out, hours=6, plots=True)
    assert (out / "tiny_20260110T1800Z.png").is_file()


def test_scores_grow_as_analyses_arrive(run, tmp_path):
    out = tmp_path / "products"
    first = pinnwx.forecast_series(run, until(tmp_path, 40), out, hours=24, score=True)
    assert first.scored == (), "nothing has arrived since"
    file = out / "tiny_20260110T1800Z.scores.json"
    pinnwx.forecast_series(run, until(tmp_path, 42), out, hours=24, score=True)
    assert {entry["lead_hours"] for entry in Scores.load(file).scores if entry["n"]} == {6, 12}
    last = pinnwx.forecast_series(run, until(tmp_path, 45), out, hours=24, score=True)
    assert len(last.scored) == 2
    scored = Scores.load(file)
    assert {entry["lead_hours"] for entry in scored.scores if entry["n"]} == {6, 12, 18, 24}
    whole = pinnwx.verify(out / "tiny_20260110T1800Z.nc", tmp_path / "analyses.nc", run=run)
    assert scored.entry("msl", 24)["rmse"] == whole.entry("msl", 24)["rmse"]
    unchanged = pinnwx.forecast_series(run, tmp_path / "analyses.nc", out, hours=24, score=True)
    assert unchanged.scored == ()


def test_old_ones_go_with_their_maps_and_leave_their_scores(run, tmp_path):
    out, data = tmp_path / "products", until(tmp_path, 44)
    wanted = {"plots": True, "score": True, "hours": 6}
    (out / "sub").mkdir(parents=True)
    for other in ("mine", "tiny_b"):
        (out / f"{other}_20250101T0000Z.nc").write_text("another's")
    pinnwx.forecast_series(run, data, out, init="2026-01-10/2026-01-10", **wanted)
    series = pinnwx.forecast_series(run, data, out, keep_days=1.0, **wanted)
    assert {path.suffix for path in series.removed} == {".nc", ".png"}
    assert names(out) == [
        "latest.nc",
        "mine_20250101T0000Z.nc",
        "sub",
        *(f"tiny_20260110T{hour:02d}00Z.scores.json" for hour in (0, 6, 12, 18)),
        "tiny_20260111T1800Z.nc",
        "tiny_20260111T1800Z.png",
        "tiny_b_20250101T0000Z.nc",
    ]


def test_one_job_at_a_time(run, tmp_path):
    out, data = tmp_path / "products", until(tmp_path, 40)
    out.mkdir()
    with locked(out / ".lock", "it"), pytest.raises(LockedError):
        pinnwx.forecast_series(run, data, out)
    assert names(out) == []
    (event,) = read_events(run)
    assert (event.outcome, event.exit_code) == ("refused", 75)


@pytest.mark.parametrize(("init", "count"), [("P1D/latest", 5), ("PT12H/latest", 3), ("P1DT6H/latest", 6)])
def test_a_length_before_the_latest(run, tmp_path, init, count):
    series = pinnwx.forecast_series(run, until(tmp_path, 40), tmp_path / "out", init=init, hours=6)
    assert len(series.attempts) == count
    assert series.attempts[-1].init == np.datetime64("2026-01-10T18:00")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"init": "2026-01-09/2026-01-08"}, "after its end"),
        ({"init": "soon/latest"}, "soon"),
        ({"init": "P/latest"}, '"P" is not'),
        ({"init": "P1D/2026-01-09"}, 'a length can only precede "latest"'),
        ({"keep_days": 0.0}, "--keep-days 0"),
        ({"keep_days": float("nan")}, "--keep-days nan"),
        ({"keep_days": 1e6}, "at most 36,500"),
        ({"init": "P999999D/latest"}, "36,500"),
        ({"max_age": -1.0}, "--max-age -1"),
    ],
)
def test_what_is_asked_must_make_sense(run, tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        pinnwx.forecast_series(run, until(tmp_path, 40), tmp_path / "out", **options)


def test_a_single_forecast_is_recorded_with_what_it_was(run, tmp_path):
    data = until(tmp_path, 40)
    for _ in range(2):
        pinnwx.forecast(run, data, hours=6, out=tmp_path / "f.nc")
    with pytest.raises(UnavailableError):
        pinnwx.forecast(run, data, init="2027-01-01", hours=6)
    made, again, refused = read_events(run)
    assert (made.outcome, again.outcome, refused.outcome) == ("done", "nothing to do", "refused")
    assert made.details == {"file": str(tmp_path / "f.nc"), "version": "0001", "init": "2026-01-10T18:00Z"}
    assert refused.exit_code == 69
    assert "2027-01-01" in refused.reason
    assert json.loads((run / "events.jsonl").read_text().splitlines()[0])["verb"] == "forecast"
