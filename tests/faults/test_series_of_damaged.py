"""A series goes on without what is damaged, replaced or dated ahead: what can be made is made, the rest is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from synthetic import wave_dataset

import pinnwx
from pinnwx.errors import DataError, OutputError, UnavailableError
from pinnwx.forecasting.cf import read_forecast
from pinnwx.jobs.events import read_events

FIRST, LAST = "2026-01-09", "2026-01-10T18:00"
CUT = "2026-01-10T06:00"


@pytest.fixture
def run(run, tmp_path):
    return Path(shutil.copytree(run, tmp_path / "run"))


def name_of(when: str) -> str:
    return f"analysis_{when.replace(':', '')}.nc"


@pytest.fixture
def feed(tmp_path):
    """A file an analysis, 2026-01-09 to 2026-01-10, in a folder."""
    folder = tmp_path / "analyses"
    folder.mkdir()
    dataset = wave_dataset(40).sel(time=slice(FIRST, LAST))
    for when in dataset["time"].values:
        dataset.sel(time=[when]).to_netcdf(folder / name_of(np.datetime_as_string(when, unit="m")))
    return folder


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-2000])


def emptied(path):
    path.write_bytes(b"")


def html(path):
    path.write_text("<html>500</html>")


def edited(change):
    def edit(path):
        with xr.open_dataset(path) as opened:
            dataset = opened.load()
        change(dataset)
        path.unlink()
        dataset.to_netcdf(path)

    return edit


def a_hole(dataset):
    dataset["msl"].values[0, 2, 3] = np.nan


def a_sentinel(dataset):
    dataset["t850"].values[0, 2, 3] = -9999


def hectopascals(dataset):
    dataset["msl"].values[...] /= 100


DAMAGES = [cut_off, emptied, html, edited(a_hole), edited(a_sentinel), edited(hectopascals)]
NAMES = ["cut off", "empty", "HTML", "a hole", "a sentinel", "hPa as Pa"]


def made(series):
    return [np.datetime_as_string(one.init, unit="h") for one in series.attempts if one.written]


def refused(series):
    return {np.datetime_as_string(one.init, unit="h"): one.refused for one in series.attempts if one.refused}


@pytest.mark.parametrize("damage", DAMAGES, ids=NAMES)
def test_one_damaged_file_does_not_hold_up_the_others(run, feed, tmp_path, damage, caplog):
    clean = pinnwx.forecast_series(run, feed, tmp_path / "clean", init=f"{FIRST}/latest", hours=12)
    assert len(made(clean)) == 8
    damage(feed / name_of(CUT))
    series = pinnwx.forecast_series(run, feed, tmp_path / "out", init=f"{FIRST}/latest", hours=12)
    assert len(made(series)) == 7
    assert list(refused(series)) == ["2026-01-10T06"]
    error = refused(series)["2026-01-10T06"]
    assert isinstance(error, DataError)
    assert error.exit_code == 65
    assert name_of(CUT) in str(error)
    assert str(error).count(name_of(CUT)) == 1
    assert sum(name_of(CUT) in message for message in caplog.messages) == 1, "named once, in a warning"
    event = read_events(run)[-1]
    assert list(event.details["damaged"]) == [f"analyses/{name_of(CUT)}"]
    assert list(event.details["refused"]) == ["2026-01-10T06:00Z"]
    for path in (tmp_path / "out").glob("tiny_*.nc"):
        with xr.open_dataset(path) as here, xr.open_dataset(tmp_path / "clean" / path.name) as there:
            np.testing.assert_array_equal(here["msl"], there["msl"])


@pytest.mark.parametrize("damage", DAMAGES, ids=NAMES)
@pytest.mark.parametrize("init", ["latest", "P1D/latest"])
def test_a_damaged_newest_is_never_replaced_by_an_older_one_without_a_word(
    run, feed, tmp_path, damage, init, monkeypatch
):
    monkeypatch.setenv("PINNWX_NOW", "2026-01-10T20:00")
    damage(feed / name_of(LAST))
    series = pinnwx.forecast_series(run, feed, tmp_path / "out", init=init, hours=12)
    assert made(series)[-1] == "2026-01-10T12"
    with pytest.raises(DataError, match="2026-01-10T18:00Z, which may be in analyses/"):
        series.require_all()
    assert read_events(run)[-1].exit_code == 65


def test_a_file_without_a_date_in_its_name_may_hold_the_newest(run, feed, tmp_path, monkeypatch):
    monkeypatch.setenv("PINNWX_NOW", "2026-01-10T20:00")
    cut_off(feed / name_of(LAST))
    (feed / name_of(LAST)).rename(feed / "x.nc")
    series = pinnwx.forecast_series(run, feed, tmp_path / "out", hours=12)
    assert list(refused(series)) == ["2026-01-10T18"]


def test_an_old_damaged_file_is_a_warning_alone(run, feed, tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("PINNWX_NOW", "2026-01-10T20:00")
    cut_off(feed / name_of("2026-01-09T00:00"))
    series = pinnwx.forecast_series(run, feed, tmp_path / "out", init="P1D/latest", hours=12)
    series.require_all()
    assert len(made(series)) == 5
    assert "left out as damaged" in caplog.text
    assert read_events(run)[-1].exit_code == 0


def test_two_files_that_differ_for_one_time_cost_that_time_alone(run, feed, tmp_path):
    path = feed / name_of(CUT)
    shutil.copy(path, feed / "z_again.nc")
    edited(lambda dataset: dataset["msl"].__setitem__(slice(None), dataset["msl"] + 500))(feed / "z_again.nc")
    series = pinnwx.forecast_series(run, feed, tmp_path / "out", init=f"{FIRST}/latest", hours=12)
    assert len(made(series)) == 7
    assert list(refused(series)) == ["2026-01-10T06"]
    assert "is stored twice" in str(refused(series)["2026-01-10T06"])


def test_what_is_missing_and_not_damaged_is_late(run, feed, tmp_path):
    (feed / name_of(CUT)).unlink()
    cut_off(feed / name_of("2026-01-09T00:00"))
    series = pinnwx.forecast_series(run, feed, tmp_path / "out", init=f"{FIRST}/latest", hours=12)
    assert isinstance(refused(series)["2026-01-10T06"], UnavailableError)


def test_nothing_but_damaged_files(run, feed, tmp_path):
    for path in feed.iterdir():
        cut_off(path)
    with pytest.raises(DataError, match=r"analysis_2026-01-09T0000\.nc"):
        pinnwx.forecast_series(run, feed, tmp_path / "out", hours=12)


def test_a_single_forecast_refuses_damaged_files_as_check_does(run, feed):
    cut_off(feed / name_of(CUT))
    with pytest.raises(DataError, match=name_of(CUT)):
        pinnwx.forecast(run, feed, init="2026-01-09T06:00", hours=12)
    assert not pinnwx.check(feed).ok


def test_one_dated_ahead_of_the_clock_is_refused_alone(run, feed, tmp_path, monkeypatch):
    monkeypatch.setenv("PINNWX_NOW", "2026-01-10T20:00")
    wrong = wave_dataset(1).assign_coords(time=[np.datetime64("2062-01-01", "ns")])
    wrong.to_netcdf(feed / "wrong.nc")
    options = {"init": "P1D/latest", "hours": 12, "max_age": 12, "keep_days": 1.0}
    series = pinnwx.forecast_series(run, feed, tmp_path / "out", **options)
    assert made(series) == [f"2026-01-{day}" for day in ("10T00", "10T06", "10T12", "10T18")]
    assert list(refused(series)) == ["2062-01-01T00"]
    assert "ahead of the clock" in str(refused(series)["2062-01-01T00"])
    assert (tmp_path / "out" / "latest.nc").readlink().name == "tiny_20260110T1800Z.nc"


def test_a_replaced_analysis_is_noticed_and_made_again_on_request(run, feed, tmp_path, caplog):
    out, options = tmp_path / "out", {"init": f"{FIRST}/latest", "hours": 12}
    pinnwx.forecast_series(run, feed, out, **options)
    file = out / "tiny_20260110T0600Z.nc"
    before = read_forecast(file)
    edited(lambda dataset: dataset["msl"].__setitem__(slice(None), dataset["msl"] + 50))(feed / name_of(CUT))
    series = pinnwx.forecast_series(run, feed, out, **options)
    assert [np.datetime_as_string(one.init, unit="h") for one in series.attempts if one.outdated] == ["2026-01-10T06"]
    assert "tiny_20260110T0600Z.nc: its analyses have changed since it was made; --remake" in caplog.text
    assert read_events(run)[-1].details["outdated"] == ["2026-01-10T06:00Z"]
    assert read_forecast(file).attrs == before.attrs
    again = pinnwx.forecast_series(run, feed, out, remake=True, **options)
    assert made(again) == ["2026-01-10T06"]
    alone = pinnwx.forecast(run, feed, init=CUT, hours=12)
    np.testing.assert_array_equal(read_forecast(file)["msl"], alone["msl"])
    assert not made(pinnwx.forecast_series(run, feed, out, remake=True, **options))


def test_a_single_forecast_of_replaced_analyses(run, feed, tmp_path):
    out, options = tmp_path / "f.nc", {"init": CUT, "hours": 12}
    pinnwx.forecast(run, feed, out=out, **options)
    edited(lambda dataset: dataset["msl"].__setitem__(slice(None), dataset["msl"] + 50))(feed / name_of(CUT))
    with pytest.raises(OutputError, match="its analyses have changed since it was made; give --remake"):
        pinnwx.forecast(run, feed, out=out, **options)
    with pytest.raises(OutputError, match="is another forecast"):
        pinnwx.forecast(run, feed, out=out, init=CUT, hours=18, remake=True)
    again = pinnwx.forecast(run, feed, out=out, remake=True, **options)
    np.testing.assert_array_equal(read_forecast(out)["msl"], again["msl"])


def test_analyses_that_were_deleted_since_are_not_called_changed(run, feed, tmp_path):
    out, options = tmp_path / "out", {"init": f"{FIRST}/latest", "hours": 12}
    pinnwx.forecast_series(run, feed, out, **options)
    (feed / name_of(CUT)).unlink()
    series = pinnwx.forecast_series(run, feed, out, remake=True, **options)
    assert not any(one.outdated or one.written or one.refused for one in series.attempts)


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", "a copy"])
def test_a_file_named_as_a_forecast_of_2200_removes_nothing(run, feed, tmp_path, content):
    out = tmp_path / "out"
    pinnwx.forecast_series(run, feed, out, init=f"{FIRST}/latest", hours=12)
    planted = out / "tiny_22000101T0000Z.nc"
    if content == "a copy":
        shutil.copy(out / "tiny_20260109T0000Z.nc", planted)
    else:
        planted.write_bytes(content)
    series = pinnwx.forecast_series(run, feed, out, hours=12, keep_days=30)
    assert series.removed == ()
    assert len(list(out.glob("tiny_2026*.nc"))) == 8
    assert (out / "latest.nc").readlink().name == "tiny_20260110T1800Z.nc"


def test_only_forecasts_of_this_job_are_removed(run, feed, tmp_path):
    """Old by their names: one of this job goes; an empty file, a damaged one and another model's stay."""
    out = tmp_path / "out"
    pinnwx.forecast_series(run, feed, out, init=f"{FIRST}/latest", hours=12)
    whole = out / "tiny_20260109T0000Z.nc"
    (out / "tiny_20260101T0000Z.nc").write_bytes(b"")
    shutil.copy(whole, out / "tiny_20260102T0000Z.nc")
    damaged = bytearray((out / "tiny_20260109T0600Z.nc").read_bytes())
    damaged[len(damaged) // 2] ^= 255
    (out / "tiny_20260109T0600Z.nc").write_bytes(damaged)
    series = pinnwx.forecast_series(run, feed, out, hours=12, keep_days=1.0)
    assert [path.name for path in series.removed] == [
        "tiny_20260109T0000Z.nc", "tiny_20260109T1200Z.nc", "tiny_20260109T1800Z.nc",
    ]  # fmt: skip
    assert {"tiny_20260101T0000Z.nc", "tiny_20260102T0000Z.nc", "tiny_20260109T0600Z.nc"} <= {
        path.name for path in out.iterdir()
    }
