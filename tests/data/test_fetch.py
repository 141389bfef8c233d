"""Fetching from stores: only what is asked for is transferred, dropped connections are survived, months go on."""

import http.server
import random
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import GLOBE, assert_same, truth, weatherbench2

import pinnwx
from pinnwx.config import load_config
from pinnwx.data.fields import source_fields_in
from pinnwx.errors import (
    DataError,
    GridError,
    LockedError,
    MissingInputError,
    OutputError,
    UnavailableError,
    UsageError,
)
from pinnwx.files import locked
from pinnwx.grid import Grid
from pinnwx.sources import Region, http_store
from pinnwx.sources import loading as module
from pinnwx.sources.selection import inside
from pinnwx.sources.zarr_store import open_store

ROOT = Path(__file__).resolve().parent.parent.parent
WANTED = truth(steps=16)  # from 2020-02-27 on, so into March
PERIOD = {"fields": ["z500", "t850", "msl"], "start": "2020-02-27", "end": "2020-03-01"}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return weatherbench2(WANTED, tmp_path_factory.mktemp("store"))


class _Flaky(http.server.SimpleHTTPRequestHandler):
    """Serves files; every so often it closes the connection instead, or in the middle of the answer."""

    dice, asked, dropped = random.Random(1), [], []
    share = 0.0

    def do_GET(self):
        self.asked.append(self.path)
        if self.share and self.dice.random() < self.share:
            self.dropped.append(self.path)
            if self.dice.random() < 0.5:
                self.send_response(200)
                self.send_header("Content-Length", "10000")
                self.end_headers()
                self.wfile.write(b"cut")
            self.close_connection = True
            self.connection.close()
            return
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def served(store):
    """The URL of the store, and the handler that tells what was asked for."""
    handler = type("Handler", (_Flaky,), {"asked": [], "dropped": [], "dice": random.Random(1)})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(store.parent)))
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{store.name}", handler
    server.shutdown()
    server.server_close()


def test_a_file_a_month_that_open_data_reads(store, tmp_path):
    done = []
    files = pinnwx.fetch(store, tmp_path / "out", **PERIOD, progress=lambda *numbers: done.append(numbers))
    assert [path.name for path in files] == ["2020-02.nc", "2020-03.nc"]
    assert done == [(1, 2), (2, 2)]
    assert_same(pinnwx.open_data(tmp_path / "out"), WANTED.sel(time=slice("2020-02-27", "2020-03-01")))


def test_only_what_is_asked_for_is_transferred(served, tmp_path):
    url, handler = served
    pinnwx.fetch(url, tmp_path, fields=["msl"], start="2020-02-28", end="2020-02-28", every_hours=12)
    arrays = {path.split("/")[2] for path in handler.asked if path.count("/") == 3 and path[-1].isdigit()}
    assert "mean_sea_level_pressure" in arrays
    assert not arrays & {"geopotential", "temperature"}
    times = WANTED.sel(time="2020-02-28")["time"].values[::2]
    assert_same(pinnwx.open_data(tmp_path), WANTED[["msl"]].sel(time=times))


def test_dropped_connections_are_survived(served, tmp_path, monkeypatch):
    monkeypatch.setattr(http_store, "FIRST_PAUSE", 0.001)
    url, handler = served
    handler.share = 0.05
    pinnwx.fetch(url, tmp_path, **PERIOD)
    assert handler.dropped
    assert_same(pinnwx.open_data(tmp_path), WANTED.sel(time=slice("2020-02-27", "2020-03-01")))


def test_a_connection_that_always_drops_ends_with_one_line_and_keeps_what_was_fetched(served, tmp_path, monkeypatch):
    monkeypatch.setattr(http_store, "FIRST_PAUSE", 0.001)
    url, handler = served

    def drop_after_february(done, _):
        handler.share = 1.0

    with pytest.raises(UnavailableError, match=r"/[67]\.0\.0\.0 did not answer .*kept"):
        pinnwx.fetch(url, tmp_path, **PERIOD, progress=drop_after_february)
    assert len(handler.dropped) <= 3 * http_store.ATTEMPTS
    assert [path.name for path in tmp_path.glob("*.nc")] == ["2020-02.nc"]
    handler.share = 0.0
    pinnwx.fetch(url, tmp_path, **PERIOD)
    assert_same(pinnwx.open_data(tmp_path), WANTED.sel(time=slice("2020-02-27", "2020-03-01")))


def test_a_server_that_never_answers_is_unavailable(tmp_path, monkeypatch):
    monkeypatch.setattr(http_store, "FIRST_PAUSE", 0.001)
    with pytest.raises(UnavailableError, match="did not answer"):
        pinnwx.fetch("http://127.0.0.1:9/nothing.zarr", tmp_path, **PERIOD)


def test_faulty_values_are_refused_at_once(tmp_path, monkeypatch):
    faulty = WANTED.copy(deep=True)
    faulty["msl"].values[3] = 5.0e5
    reads = []
    original = module.merge_fields

    def counted(*arguments, **options):
        reads.append(1)
        return original(*arguments, **options)

    monkeypatch.setattr(module, "merge_fields", counted)
    with pytest.raises(DataError, match="msl"):
        pinnwx.fetch(weatherbench2(faulty, tmp_path), tmp_path / "out", **PERIOD)
    assert len(reads) == 1
    assert not list((tmp_path / "out").glob("*.nc"))


def test_it_goes_on_where_it_was_cut_off_and_adds_what_is_new(store, tmp_path):
    pinnwx.fetch(store, tmp_path, **PERIOD | {"end": "2020-02-29"})
    february = (tmp_path / "2020-02.nc").stat().st_mtime_ns
    pinnwx.fetch(store, tmp_path, **PERIOD | {"end": "2020-03-01T00:00"})
    assert (tmp_path / "2020-02.nc").stat().st_mtime_ns == february
    with xr.open_dataset(tmp_path / "2020-03.nc") as march:
        assert march.sizes["time"] == 1
    pinnwx.fetch(store, tmp_path, **PERIOD)
    with xr.open_dataset(tmp_path / "2020-03.nc") as march:
        assert march.sizes["time"] == 4, "a month that had begun is fetched again with what has come"
    assert (tmp_path / "2020-02.nc").stat().st_mtime_ns == february


def test_fields_and_times_are_added_to_what_is_there(store, tmp_path):
    pinnwx.fetch(store, tmp_path, **PERIOD | {"fields": ["z500"], "end": "2020-02-28"})
    pinnwx.fetch(store, tmp_path, **PERIOD | {"fields": ["z500"], "start": "2020-02-28", "end": "2020-02-29"})
    assert_same(pinnwx.open_data(tmp_path), WANTED[["z500"]].sel(time=slice("2020-02-27", "2020-02-29")))
    pinnwx.fetch(store, tmp_path, **PERIOD | {"fields": ["msl"], "start": "2020-02-28", "end": "2020-02-28"})
    with xr.open_dataset(tmp_path / "2020-02.nc") as february:
        assert february["msl"].notnull().all(("latitude", "longitude")).values.sum() == 4
    both = pinnwx.open_data(tmp_path, ["z500", "msl"])
    assert_same(both, WANTED[["z500", "msl"]].sel(time="2020-02-28"))


def test_another_grid_is_not_mixed_in(store, tmp_path):
    pinnwx.fetch(store, tmp_path, **PERIOD)
    before = (tmp_path / "2020-02.nc").read_bytes()
    with pytest.raises(OutputError, match=r"2020-02\.nc is global 12 x 24.*6 x 12.*--force"):
        pinnwx.fetch(store, tmp_path, **PERIOD, grid="30deg")
    assert (tmp_path / "2020-02.nc").read_bytes() == before


def test_regridded_and_static(store, tmp_path):
    pinnwx.fetch(store, tmp_path, **PERIOD, static=["orography"], grid="30deg")
    found = pinnwx.open_data(tmp_path, ["z500", "msl"], static=["orography"])
    assert found["msl"].shape[1:] == (6, 12)
    assert "time" not in found["orography"].dims


@pytest.mark.parametrize("box", [(60.0, -30.0, 0.0, 45.0), (60.0, 330.0, 0.0, 45.0), (80.0, 40.0, 20.0, 120.0)])
def test_a_region_across_any_meridian(store, tmp_path, box):
    pinnwx.fetch(store, tmp_path, **PERIOD, region=box)
    found = pinnwx.open_data(tmp_path)
    north, west, south, east = box
    width = (east - west) % 360
    latitude, longitude = (np.array(getattr(GLOBE, name)) for name in ("latitude", "longitude"))
    columns = np.flatnonzero((longitude - west) % 360 <= width)
    columns = columns[np.argsort((longitude[columns] - west) % 360)]
    rows = np.flatnonzero((latitude >= south) & (latitude <= north))
    wanted = WANTED["t850"].values[:, rows][:, :, columns]
    np.testing.assert_array_equal(found["t850"].values, wanted)
    np.testing.assert_allclose(found["longitude"].values % 360, longitude[columns])


@settings(deadline=None)
@given(west=st.integers(-180, 359), width=st.integers(40, 350), south=st.integers(-90, 40), height=st.integers(40, 50))
def test_any_region_holds_the_same_values_at_the_same_places(store, west, width, south, height):
    region = Region(float(min(south + height, 90)), float(west), float(south), float(west + width) % 360)
    with open_store(str(store)) as dataset:
        (whole,) = (source_field for source_field in source_fields_in(dataset, "store") if source_field.name == "msl")
        try:
            part = inside(whole, region)
        except GridError:
            return
        values, cut = whole.read(slice(0, 2)), part.read(slice(0, 2))
    rows = np.searchsorted(whole.grid.latitude, part.grid.latitude)
    places = np.round((np.asarray(part.grid.longitude) - whole.grid.longitude[0]) / 15).astype(int) % 24
    np.testing.assert_array_equal(cut, values[:, rows][:, :, places])
    assert set(np.diff(part.grid.longitude).round(6)) == {15.0}


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"fields": ["z500", "q700"]}, DataError, "q700 not in"),
        ({"fields": []}, UsageError, "no field"),
        ({"fields": ["orography"]}, UsageError, "does not change in time"),
        ({"static": ["z500"]}, UsageError, "z500 changes in time"),
        ({"start": "2021-01-01", "end": "2021-01-02"}, UnavailableError, "no time"),
        ({"every_hours": 0.0}, UsageError, "--every 0"),
        ({"region": (1.0, 2.0)}, UsageError, "north,west,south,east"),
        ({"region": (10.0, 0.0, 20.0, 50.0)}, UsageError, "south below the north"),
        ({"region": (1.0, 0.0, 0.0, 2.0)}, GridError, "larger"),
    ],
)
def test_what_cannot_be(store, tmp_path, options, error, words):
    with pytest.raises(error, match=words):
        pinnwx.fetch(store, tmp_path / "out", **PERIOD | options)


def test_stores_and_folders_that_are_none(store, tmp_path):
    with pytest.raises(MissingInputError, match="weatherbench2"):
        pinnwx.fetch(tmp_path / "nothing.zarr", tmp_path / "out", **PERIOD)
    (tmp_path / "2020-02.nc").write_text("mine")
    with pytest.raises(OutputError, match="--force"):
        pinnwx.fetch(store, tmp_path, **PERIOD)
    with locked(tmp_path / ".lock", "it"), pytest.raises(LockedError):
        pinnwx.fetch(store, tmp_path, **PERIOD)


@pytest.mark.slow
def test_the_weatherbench_experiment_on_a_tiny_store_of_its_layout(tmp_path):
    """Its fields out of the store, trained on its years, scored on those of the table."""
    config = (ROOT / "experiments" / "weatherbench_5p625.toml").read_text()
    fields = load_config(ROOT / "experiments" / "weatherbench_5p625.toml").data.fields
    parts = [
        truth(fields, Grid.parse("5.625deg"), steps=24, start=start, seed=seed)
        for seed, start in enumerate(("2006-03-01", "2017-03-01"))
    ]
    store = weatherbench2(xr.concat(parts, "time"), tmp_path)
    data = tmp_path / "data"
    for start, end in (("2006-01-01", "2006-12-31"), ("2017-01-01", "2018-12-31")):
        pinnwx.fetch(store, data, fields=fields, static=["orography"], start=start, end=end)
    tiny = {
        'static = ["orography", "lsm"]': 'static = ["orography"]',
        "width = 96": "width = 8",
        "blocks = 4": "blocks = 1",
        "minutes = 60": "updates = 8",
        "{ steps = 4, fraction = 0.2 }, { steps = 12, fraction = 0.05 }": "",
    }
    for setting, instead in tiny.items():
        assert setting in config
        config = config.replace(setting, instead)
    (tmp_path / "tiny.toml").write_text(config)
    pinnwx.train(tmp_path / "tiny.toml", data, tmp_path / "run", promote_anyway=True)  # eight updates have no skill
    scores = pinnwx.evaluate(tmp_path / "run", data, start="2017-01-01", end="2018-12-25", leads=[6, 72])
    assert {entry["variable"] for entry in scores.scores} == set(fields)
    assert scores.entry("z500", 72)["n"] == 24 - 1 - 12
