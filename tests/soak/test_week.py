"""A forecaster's week on daily data: one analysis late, one damaged, one replaced, one dated ahead; retrained twice.

The verbs are called as `scripts/schedules` call them, once a day on a clock that is set. At the end every forecast is
there and is what its model makes of the analyses as they are then, and every refusal had its reason.
"""

import contextlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import pinnwx
from pinnwx.errors import DataError, NotPromotedError, UnavailableError
from pinnwx.forecasting.cf import read_forecast
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import WEIGHTS, TrainedModel
from pinnwx.jobs.events import read_events

DATA = Path(os.environ.get("PINNWX_DATA", "../shared/data")) / "erainterim_europe"
DAY, HOUR = np.timedelta64(1, "D"), np.timedelta64(1, "h")
BEGIN = np.datetime64("2008-03-01T12", "ns")
FIELDS = ["z500", "t850", "msl"]
REPLACED, LATE, DAMAGED, AHEAD = (BEGIN + day * DAY for day in (2, 3, 5, 6))
CONFIG = """
name = "week"
seed = 1
[data]
fields = ["z500", "t850", "msl"]
grid = "native"
train = { start = "2007-01-01", end = "2008-02-20" }
[model]
step_hours = 24
climate = { bound_margin = 1.0 }
[model.closure]
width = 16
blocks = 1
patch_size = 1
[training]
batch_size = 8
learning_rate = 3e-3
updates = 100
[retraining]
updates = 40
steps = 1
leads = [24.0]
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.optimised,
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="no real data here"),
]


class Feed:
    """A folder in which one analysis arrives each day."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        self.fields = pinnwx.open_data(DATA, FIELDS, start="2007-01-01", end="2008-03-12")
        self.fields.sel(time=slice(None, BEGIN - HOUR)).to_netcdf(folder / "archive.nc")

    def path(self, when: np.datetime64) -> Path:
        return self.folder / f"analysis_{np.datetime_as_string(when, unit='D')}.nc"

    def write(self, when: np.datetime64, offset: float = 0.0, dated: np.datetime64 | None = None) -> None:
        one = self.fields.sel(time=[when]).copy(deep=True)
        one["z500"] += offset
        one = one if dated is None else one.assign_coords(time=[dated])
        temporary = self.path(when).with_suffix(".part")
        one.to_netcdf(temporary)
        temporary.rename(self.path(when) if dated is None else self.folder / "wrong.nc")

    def deliver(self, when: np.datetime64) -> None:
        """Writes what arrives on the day of `when`."""
        if when != LATE:
            self.write(when, offset=300.0 if when == REPLACED else 0.0)  # at first it is preliminary
        if when == DAMAGED:
            self.path(when).write_bytes(self.path(when).read_bytes()[:-3000])
        if when == AHEAD:
            self.write(when, dated=np.datetime64("2030-01-01T12", "ns"))
        if when == LATE + DAY:
            self.write(LATE)
        if when == DAMAGED + DAY:
            self.write(DAMAGED)
        if when == AHEAD + DAY:
            (self.folder / "wrong.nc").unlink()
        if when == REPLACED + 2 * DAY:
            self.write(REPLACED)  # the final one


def day_of(when: np.datetime64) -> int:
    return int((when - BEGIN) // DAY)


def test_a_week_of_daily_analyses(tmp_path, monkeypatch):
    feed, run, out = Feed(tmp_path / "analyses"), tmp_path / "run", tmp_path / "forecasts"
    (tmp_path / "week.toml").write_text(CONFIG)
    monkeypatch.setenv("PINNWX_NOW", str(BEGIN))
    pinnwx.train(tmp_path / "week.toml", feed.folder / "archive.nc", run)
    refusals, outdated, retrained = {}, {}, 0
    options = {"init": "P3D/latest", "hours": 72, "max_age": 48, "score": True, "keep_days": 30}
    for when in BEGIN + np.arange(10) * DAY:
        feed.deliver(when)
        monkeypatch.setenv("PINNWX_NOW", str(when + 2 * HOUR))
        last = when == BEGIN + 9 * DAY
        series = pinnwx.forecast_series(run, feed.folder, out, remake=False, **options)
        for one in series.attempts:
            if one.refused is not None and one.init >= BEGIN:
                refusals[day_of(when), str(one.init)[:10]] = one.refused
            if one.outdated:
                outdated[day_of(when)] = str(one.init)[:10]
        if day_of(when) in (4, 9):
            with contextlib.suppress(NotPromotedError, UnavailableError):  # the log must give the reason
                pinnwx.retrain(run, feed.folder)
            retrained += 1
        assert not last or not pinnwx.status(run, forecasts=out).alarm
    # Every refusal for its reason, and of its class.
    damaged = refusals.pop((5, "2008-03-06"))
    assert isinstance(damaged, DataError)
    assert "analysis_2008-03-06.nc" in str(damaged)
    ahead = refusals.pop((6, "2030-01-01"))
    assert isinstance(ahead, DataError)
    assert "ahead of the clock" in str(ahead)
    assert refusals == {}, "the late analysis was not there to be forecast from"
    assert set(outdated.values()) <= {"2008-03-03"}
    assert outdated, "the replaced analysis was noticed"
    retrainings = [event for event in read_events(run) if event.verb == "retrain"]
    assert len(retrainings) == retrained == 2
    assert all(event.exit_code == 0 or event.reason for event in retrainings)
    pinnwx.forecast_series(run, feed.folder, out, remake=True, **options | {"init": "P9D/latest"})
    files = sorted(out.glob("week_200803*.nc"))
    assert [path.name for path in files] == [f"week_200803{day:02d}T1200Z.nc" for day in range(1, 11)]
    assert (out / "latest.nc").resolve() == files[-1]
    for path in files:
        stored = read_forecast(path)
        again = pinnwx.forecast(as_of(run, stored, tmp_path), feed.folder, init=init_of(stored), hours=72)
        xr.testing.assert_equal(stored.drop_attrs(), again.drop_attrs())


def init_of(forecast: xr.Dataset) -> str:
    return str(forecast["forecast_reference_time"].values)


def as_of(run: Path, forecast: xr.Dataset, folder: Path) -> Path:
    """A copy of the run in which the version that made this forecast is live."""
    opened = Run(run)
    (version,) = (
        name
        for name in opened.versions
        if TrainedModel.load(opened.version(name)).manifest["files"][WEIGHTS] == forecast.attrs["model_sha256"]
    )
    copy = folder / f"as_of_{version}"
    if not copy.exists():
        shutil.copytree(run, copy)
        Run(copy).point_to(version)
    return copy
