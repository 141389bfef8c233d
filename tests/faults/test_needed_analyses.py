"""A forecast reads the analyses that it needs: the same forecast and the same verdicts as from the whole archive."""

import tracemalloc

import numpy as np
import pytest
import xarray as xr
from synthetic import wave_dataset

import pinnwx
from pinnwx.data.open import open_data
from pinnwx.data.source_field import SourceField
from pinnwx.data.suspicion import around
from pinnwx.errors import DataError, PinnwxError, UnavailableError
from pinnwx.jobs.forecast_job import ForecastJob

NAMED, STEP = "2026-01-16T06:00", 61  # of 80


@pytest.fixture
def steps_read(monkeypatch):
    """How many steps of a field were read from the file."""
    counted = []
    read = SourceField.read

    def counting(source_field, block):
        counted.append(block.stop - block.start)
        return read(source_field, block)

    monkeypatch.setattr(SourceField, "read", counting)
    return lambda: sum(counted) / 2  # of two fields


def from_everything(run, data, init, members=None, **options) -> xr.Dataset:
    """The forecast by way of the whole archive, as a series makes it."""
    job = ForecastJob.open(run, data, hours=12, members=members)
    when = job.initial_time(init)
    return job.make(when, job.require_fit(when, max_age=None, **{"accept_suspicious": ()} | options))


def assert_identical(found: xr.Dataset, wanted: xr.Dataset) -> None:
    for attributes in (found.attrs, wanted.attrs):
        for key in ("history", "date_created"):
            attributes.pop(key, None)
    xr.testing.assert_identical(found, wanted)


@pytest.mark.parametrize("init", ["latest", NAMED, "2026-01-02T00:00"])
@pytest.mark.parametrize("members", [None, 3])
def test_the_forecast_is_the_same_bit_for_bit(run, good, init, members):
    if members and init < NAMED:
        with pytest.raises(UnavailableError, match="perturbations of an ensemble need"):
            pinnwx.forecast(run, good, init=init, hours=12, members=members)
        return
    found = pinnwx.forecast(run, good, init=init, hours=12, members=members)
    assert_identical(found, from_everything(run, good, init, members))


@pytest.mark.parametrize(("init", "members", "most"), [("latest", None, 14), (NAMED, None, 14), (NAMED, 3, STEP + 1)])
def test_no_more_is_read_than_it_needs(run, good, steps_read, init, members, most):
    pinnwx.forecast(run, good, init=init, hours=12, members=members)
    assert 12 < steps_read() <= most


def emptied(*steps):
    def change(dataset):
        dataset["msl"].values[list(steps)] = np.nan

    return change


def stuck(step):
    def change(dataset):
        dataset["t850"].values[step] = dataset["t850"].values[step - 1]

    return change


def cell(name, step, value):
    def change(dataset):
        dataset[name].values[step, 3, 5] = value

    return change


VERDICTS = {
    "the newest steps are empty": (emptied(78, 79), "latest"),
    "the step is empty": (emptied(STEP), NAMED),
    "the steps before are empty": (emptied(*range(40, STEP)), NAMED),
    "every other step is empty": (emptied(*range(1, 80, 2)), "latest"),
    "all but the last are empty": (emptied(*range(79)), "latest"),
    "all are empty": (emptied(*range(80)), "latest"),
    "a gap, then a stuck step": (lambda d: (stuck(STEP)(d), d.isel(time=[*range(30), *range(58, 80)]))[1], NAMED),
    "stuck": (stuck(STEP), NAMED),
    "stuck, and the one before is empty": (lambda d: (stuck(STEP)(d), emptied(STEP - 1)(d))[0], NAMED),
    "a spike": (cell("msl", STEP, 109_000.0), NAMED),
    "a spike in the step before": (cell("msl", STEP - 1, 109_000.0), NAMED),
    "a hole": (cell("t850", STEP, np.nan), NAMED),
    "no such time": (lambda _: None, "2026-01-16T07:00"),
    "no such day": (lambda _: None, "2027-01-16"),
    "before all": (lambda _: None, "2025-01-16"),
    "half of a field": (lambda d: d.assign(msl=d["msl"].isel(time=slice(30))), NAMED),
}


def verdict(make) -> xr.Dataset | tuple[int, str]:
    """What else the data hold, behind the semicolon, is as their files say; whether it has values was not looked at."""
    try:
        return make()
    except UnavailableError as error:
        return error.exit_code, str(error).partition(";")[0]
    except PinnwxError as error:
        return error.exit_code, str(error)


@pytest.mark.parametrize("case", VERDICTS)
def test_the_verdict_is_the_same(run, damaged, case):
    change, init = VERDICTS[case]
    path = damaged(change)
    wanted = verdict(lambda: from_everything(run, path, init))
    found = verdict(lambda: pinnwx.forecast(run, path, init=init, hours=12))
    if isinstance(wanted, xr.Dataset):
        assert isinstance(found, xr.Dataset), found
        assert_identical(found, wanted)
    else:
        assert found == wanted


def test_a_hole_in_what_it_does_not_need_is_no_matter(run, good, damaged):
    """A value that is not read is in no forecast; `check` warns of it."""
    path = damaged(cell("msl", 3, np.nan))
    assert_identical(
        pinnwx.forecast(run, path, init="latest", hours=12), pinnwx.forecast(run, good, init="latest", hours=12)
    )
    report = pinnwx.check(path, run=run)
    assert report.ok
    assert any("1 missing value(s) (NaN)" in problem.message for problem in report.problems)
    assert not pinnwx.check(damaged(cell("msl", 75, np.nan), "near.nc"), run=run).ok
    with pytest.raises(DataError, match="missing value"):
        pinnwx.forecast(run, path, init="2026-01-02T00:00", hours=12)


@pytest.mark.parametrize("empty", [[], [60], [58, 59, 61], [*range(45, 61)], [*range(2, 80, 3)]])
def test_a_selection_that_meets_empty_steps_is_made_again(damaged, empty):
    """What is read holds what the selection from the steps with values holds."""

    def select(times):
        return times[around(times, times[-1], times[-1])]

    path = damaged(emptied(*empty))
    whole, part = open_data(path), open_data(path, select=select)
    xr.testing.assert_identical(
        part.sel(time=select(whole["time"].values)), whole.sel(time=select(whole["time"].values))
    )


def test_memory_does_not_grow_with_the_archive(tmp_path):
    """3,000 steps are 24 MB a field; thirteen are read."""
    waves = wave_dataset(3000)
    finer = waves.reindex(
        latitude=np.linspace(-87.1875, 87.1875, 32), longitude=np.arange(0, 360, 5.625), method="nearest"
    )
    finer.to_netcdf(tmp_path / "x.nc", encoding={name: {"chunksizes": (1, 32, 64)} for name in finer.data_vars})
    tracemalloc.start()
    found = open_data(tmp_path / "x.nc", select=lambda times: times[-13:])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.sizes["time"] == 13
    assert peak < 4e6
