"""Sources: found by name and location, read in part, named in the files; what a source promises is checked."""

from typing import ClassVar

import numpy as np
import pytest
import xarray as xr
from layouts import GLOBE, assert_same, truth, weatherbench2

import pinnwx
from pinnwx import sources
from pinnwx.errors import ConfigError, DataError, UnavailableError, UnreadableError, UsageError
from pinnwx.grid import Grid
from pinnwx.sources import registry, retry

TRUTH = truth(("z500", "t850"), steps=16)  # from 2020-02-27 on, so into March
PERIOD = {"fields": ["z500"], "start": "2020-02-27", "end": "2020-03-01"}
NO_TIMES = np.empty(0, "datetime64[ns]")


class Memory(sources.DataSource):
    """A dataset in memory."""

    dataset: ClassVar[xr.Dataset] = TRUTH
    grid = GLOBE
    requests: ClassVar[list[sources.Request]] = []

    def offers(self):
        return [sources.Offer(str(name), self.dataset["time"].values, self.grid) for name in self.dataset]

    def read(self, request):
        self.requests.append(request)
        return sources.source_fields_in(self.dataset, "memory")


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(registry.SOURCES, "_parts", {**registry.SOURCES.parts, "memory": Memory})
    monkeypatch.setattr(Memory, "requests", [])
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.0)


def test_names_locations_and_any_zarr_store():
    assert isinstance(sources.find_source("weatherbench2"), sources.WeatherBench2)
    assert sources.find_source("arco-era5").location.startswith("gs://gcp-public-data-arco-era5/")
    assert sources.find_source("arco-era5:http://mirror/era5").location == "http://mirror/era5"
    for text in ("https://server/store.zarr", "folder/store.zarr"):
        source = sources.find_source(text, timeout=5)
        assert (type(source), source.location, source.timeout) == (sources.ZarrStore, text, 5)


def test_a_month_is_requested_once_and_only_its_times_are_kept(tmp_path):
    pinnwx.fetch("memory:here", tmp_path, **PERIOD, every_hours=12)
    assert [request.fields for request in Memory.requests] == [("z500",), ("z500",)]
    wanted = TRUTH[["z500"]].sel(time=slice("2020-02-27", "2020-03-01")).isel(time=slice(None, None, 2))
    np.testing.assert_array_equal(np.concatenate([request.times for request in Memory.requests]), wanted["time"])
    assert_same(pinnwx.open_data(tmp_path), wanted)
    with xr.open_dataset(tmp_path / "2020-03.nc") as march:
        assert march.attrs["source"] == f"memory: here ({__name__}.Memory)"


def test_a_source_itself_cut_and_averaged(tmp_path):
    whole = pinnwx.fetch(Memory(), tmp_path / "whole", **PERIOD, grid="30deg")
    part = pinnwx.fetch(Memory(), tmp_path / "part", **PERIOD, region=(60, -30, 0, 45))
    assert pinnwx.open_data(whole)["z500"].shape == (16, 6, 12)
    columns = np.flatnonzero((np.array(GLOBE.longitude) + 30) % 360 <= 75)
    order = columns[np.argsort((np.array(GLOBE.longitude)[columns] + 30) % 360)]
    rows = np.flatnonzero((np.array(GLOBE.latitude) > 0) & (np.array(GLOBE.latitude) < 60))
    np.testing.assert_array_equal(pinnwx.open_data(part)["z500"], TRUTH["z500"].values[:, rows][:, :, order])


def test_load_gives_the_dataset_without_a_file():
    times = TRUTH["time"].values[2:5]
    dataset = sources.load(Memory(), sources.Request(("t850",), times))
    assert_same(dataset, TRUTH[["t850"]].isel(time=slice(2, 5)))


def test_a_file_of_two_sources_names_both_and_stays_preliminary(tmp_path, monkeypatch):
    store = weatherbench2(TRUTH, tmp_path)
    monkeypatch.setattr(Memory, "dataset", TRUTH.isel(time=slice(4)).assign_attrs(preliminary="yes"))
    pinnwx.fetch("memory", tmp_path / "out", **PERIOD)
    pinnwx.fetch(store, tmp_path / "out", **PERIOD)
    pinnwx.fetch(store, tmp_path / "out", **PERIOD)
    with xr.open_dataset(tmp_path / "out" / "2020-02.nc") as february:
        assert february.attrs == {"source": f"memory ({__name__}.Memory); zarr: {store}", "preliminary": "yes"}
        assert february.sizes["time"] == 12


def test_another_grid_than_the_one_offered_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Memory, "grid", Grid.parse("30deg"))
    with pytest.raises(DataError, match=r"delivers global 12 x 24.*, but offers global 6 x 12"):
        pinnwx.fetch("memory", tmp_path, **PERIOD)
    assert not list(tmp_path.glob("*.nc"))


def test_a_field_that_is_offered_and_not_given_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Memory, "read", lambda *_: sources.source_fields_in(TRUTH[["t850"]], "memory"))
    with pytest.raises(DataError, match="does not give z500, which it offers"):
        pinnwx.fetch("memory", tmp_path, **PERIOD)


@pytest.mark.parametrize("failing", ["offers", "read"])
def test_damaged_answers_are_asked_for_again_and_then_unavailable(tmp_path, monkeypatch, failing):
    original, answers = getattr(Memory, failing), []

    def damaged(self, *arguments):
        answers.append(1)
        if len(answers) < limit:
            raise UnreadableError("half of it")
        return original(self, *arguments)

    monkeypatch.setattr(Memory, failing, damaged)
    limit = 3
    pinnwx.fetch("memory", tmp_path, **PERIOD)
    answers.clear()
    limit = 4
    with pytest.raises(UnavailableError, match=r"3 times in vain \(half of it\); what was fetched so far is kept"):
        pinnwx.fetch("memory", tmp_path / "other", **PERIOD)


def test_sources_are_found_in_the_files_that_the_user_lists(tmp_path, monkeypatch):
    file = tmp_path / "own_sources_of_a_test.py"
    file.write_text(
        "from pinnwx import sources\n\n@sources.register('own')\nclass Own(sources.DataSource):\n"
        "    def offers(self):\n        return []\n    def read(self, request):\n        return []\n"
    )
    monkeypatch.setenv("PINNWX_EXTENSIONS", str(file))
    source = sources.find_source("own:there")
    assert registry.description(source) == "own: there (own_sources_of_a_test.Own)"
    with pytest.raises(DataError, match=r"z500 not in own: there .*; found: nothing"):
        pinnwx.fetch("own:there", tmp_path / "out", **PERIOD)
    monkeypatch.setenv("PINNWX_EXTENSIONS", "absent_module_of_a_test")
    with pytest.raises(ConfigError, match="cannot be imported"):
        sources.find_source("other")


def test_only_times_that_are_offered(tmp_path, monkeypatch):
    monkeypatch.setattr(Memory, "offers", lambda _: [sources.Offer("z500", NO_TIMES, GLOBE)])
    with pytest.raises(UnavailableError, match="holds no time from"):
        pinnwx.fetch("memory", tmp_path, **PERIOD)
    monkeypatch.setattr(Memory, "offers", lambda _: [sources.Offer("z500", None, GLOBE)])
    with pytest.raises(UsageError, match="z500 does not change in time"):
        pinnwx.fetch("memory", tmp_path, **PERIOD)
