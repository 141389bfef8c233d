"""Servers that are slow, broken or lying: `fetch` ends soon, with 69, and takes no value that nobody sent."""

import json
import subprocess
import time

import numpy as np
import pytest
import servers
import xarray as xr
from servers import Handler, in_turn, serve, serving, status
from synthetic import wave_dataset
from verbs import Ended, command

import pinnwx
from pinnwx.errors import DataError, MissingInputError, OutputError, UnavailableError, UsageError
from pinnwx.sources import http_store, retry, zarr_store

WAVES = wave_dataset(8)[["msl", "t850"]]  # two days
TIMEOUT = 0.5  # seconds
ASKED = {"fields": ["msl", "t850"], "start": "2026-01-01", "end": "2026-01-02"}
CHUNK = {2: "msl/1.0.0", 3: "msl/c/1/0/0"}


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(http_store, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.001)


@pytest.fixture(scope="module", params=[2, 3], ids=["zarr2", "zarr3"])
def version(request) -> int:
    return request.param


@pytest.fixture(scope="module")
def store(version, tmp_path_factory):
    """A chunk a day, and an absent one reads as zero."""
    path = tmp_path_factory.mktemp("store") / "x.zarr"
    fill = {"_FillValue" if version == 2 else "fill_value": 0.0}
    encoding = {name: {"chunks": (4, 8, 16)} | fill for name in WAVES.data_vars}
    WAVES.to_zarr(path, zarr_format=version, encoding=encoding)
    return path


def fetched(url: str, out, **options) -> xr.Dataset:
    pinnwx.fetch(url, out, **ASKED | {"timeout": TIMEOUT} | options)
    return pinnwx.open_data(out)


def assert_whole(found: xr.Dataset) -> None:
    assert len(found["time"]) == 8
    for name in WAVES:
        np.testing.assert_array_equal(found[name], WAVES[name])


def refused(store, fault, end: str, out, error=UnavailableError) -> tuple[str, type[Handler]]:
    """The message, of one line; nothing is written, and it does not take long."""
    with serving(store.parent, {end: fault}) as (url, handler):
        began = time.monotonic()
        with pytest.raises(error) as caught:
            fetched(f"{url}/{store.name}", out)
        assert time.monotonic() - began < 20 * TIMEOUT
    assert not list(out.glob("*.nc"))
    assert caught.value.exit_code == (69 if error is UnavailableError else 65)
    assert "\n" not in str(caught.value)
    return str(caught.value), handler


def test_a_store_is_fetched_as_it_is(store, tmp_path):
    with serving(store.parent, {}) as (url, _):
        assert_whole(fetched(f"{url}/{store.name}", tmp_path))


@pytest.mark.parametrize("code", [404, 410])
def test_a_chunk_that_is_not_there_is_refused_and_not_read_as_zeros(store, version, tmp_path, code):
    message, _ = refused(store, status(code), CHUNK[version], tmp_path, DataError)
    assert f"{CHUNK[version]} of the store is absent" in message


def test_a_chunk_that_is_not_there_and_reads_as_nan_is_a_gap(tmp_path):
    encoding = {name: {"chunks": (4, 8, 16), "_FillValue": np.float32(np.nan)} for name in WAVES.data_vars}
    WAVES.to_zarr(tmp_path / "x.zarr", zarr_format=2, encoding=encoding)
    with serving(tmp_path, {CHUNK[2]: status(404)}) as (url, _):
        found = fetched(f"{url}/x.zarr", tmp_path / "out")
    xr.testing.assert_equal(found["msl"].drop_attrs(), WAVES["msl"].isel(time=slice(4)).drop_attrs())


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (servers.silent, "fewer than 500 bytes came in 0.5 s; see --timeout"),
        (servers.promising, "fewer than 500 bytes came in 0.5 s"),
        (servers.dripping, "fewer than 500 bytes came in 0.5 s"),
        (servers.dropping, "did not answer"),
        (servers.short, "did not answer"),
        (servers.short_of_unknown_length, "3 times in vain"),
        (servers.page, "3 times in vain"),
        (servers.endless, "sends more than 67,668 bytes"),
        (servers.enormous, "sends more than 67,668 bytes"),
        (status(403), "403"),
        (status(500), "500"),
        (status(204), "204"),
    ],
    ids=lambda fault: getattr(fault, "__name__", ""),
)
def test_a_chunk_that_is_not_sent_ends_it_soon(store, version, tmp_path, fault, reason):
    message, handler = refused(store, fault, CHUNK[version], tmp_path)
    assert reason in message
    assert CHUNK[version] in message or "in vain" in message
    assert handler.sent < 2**24
    assert (
        sum(path.endswith(CHUNK[version]) for path in handler.asked) <= 2 * http_store.ATTEMPTS
    )  # aiohttp asks twice, too


@pytest.mark.parametrize("fault", [servers.silent, servers.promising, servers.dropping, servers.short, servers.page])
def test_metadata_that_are_not_sent_end_it_soon(store, version, tmp_path, fault):
    refused(store, fault, ".zmetadata" if version == 2 else "x.zarr/zarr.json", tmp_path)


def test_endless_metadata_are_cut(store, version, tmp_path, monkeypatch):
    monkeypatch.setattr(http_store, "LARGEST_METADATA", 2**20)
    end = ".zmetadata" if version == 2 else "x.zarr/zarr.json"
    message, handler = refused(store, servers.endless, end, tmp_path)
    assert "sends more than 1,048,576 bytes" in message
    assert handler.sent < 2**24


@pytest.mark.parametrize("fault", [servers.dropping, servers.short, servers.silent, status(503), status(429)])
def test_what_fails_once_is_asked_for_again(store, version, tmp_path, fault):
    with serving(store.parent, {CHUNK[version]: in_turn(fault, serve)}) as (url, _):
        assert_whole(fetched(f"{url}/{store.name}", tmp_path))


def test_a_slow_server_that_sends_on_is_waited_for(store, version, tmp_path):
    """Longer than the time-out, but never so long without enough."""

    def slow(handler: Handler) -> None:
        content = handler.content()
        handler.send(b"", **{"Content-Length": len(content)})
        for start in range(0, len(content), 600):
            handler.over.wait(0.2)
            handler.wfile.write(content[start : start + 600])

    with serving(store.parent, {CHUNK[version]: slow}) as (url, _):
        assert_whole(fetched(f"{url}/{store.name}", tmp_path))


def test_nothing_but_one_line_is_printed_though_others_are_still_waited_for(tmp_path):
    """A process of its own: libraries speak of what is unfinished when it ends."""
    wave_dataset(24).to_zarr(tmp_path / "x.zarr", zarr_format=2, encoding={"msl": {"chunks": (1, 8, 16)}})
    faults = {f"msl/{step}.0.0": servers.silent for step in range(1, 24)} | {"msl/0.0.0": status(403)}
    with serving(tmp_path, faults) as (url, _):
        options = ("--fields", "msl", "--start", "2026-01-01", "--end", "2026-01-06", "--timeout", 10)
        done = subprocess.run(
            command("fetch", f"{url}/x.zarr", *options, "--out", tmp_path / "out"), capture_output=True, text=True
        )
    ended = Ended(done.returncode, done.stdout, done.stderr)
    ended.refused(69, "msl/0.0.0 is refused by its server: 403 Forbidden")


def edited(store, tmp_path, change):
    """A copy of a store whose metadata of `msl` are changed, consolidated ones too, as a server would send them."""
    path = tmp_path / "edited.zarr"
    for file in store.rglob("*"):
        if file.is_file():
            target = path / file.relative_to(store)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    own = {".zmetadata": ("metadata", "msl/.zarray"), "zarr.json": ("consolidated_metadata", "metadata", "msl")}
    for file, inside in [*own.items(), ("msl/.zarray", ()), ("msl/zarr.json", ())]:
        if (path / file).exists():
            document = array = json.loads((path / file).read_text())
            for key in inside:
                array = array[key]
            change(array)
            (path / file).write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("name", ["pickle", "vlen-bytes", "numcodecs.zfpy"])
def test_codecs_of_remote_stores_are_those_of_local_ones(store, version, tmp_path, name):
    def change(array):
        if version == 2:
            array["filters"] = [{"id": name}]
        else:
            array["codecs"] = [*array["codecs"], {"name": name, "configuration": {}}]

    path = edited(store, tmp_path, change)
    with serving(tmp_path, {}) as (url, handler):
        for source in (f"{url}/{path.name}", str(path)):
            with pytest.raises(DataError, match=f'the array "msl" is packed by the codec "{name}"'):
                fetched(source, tmp_path / "out")
    assert not any(path.endswith(CHUNK[version]) for path in handler.asked)


@pytest.mark.parametrize("what", ["axis", "chunk"])
def test_sizes_that_a_remote_store_declares_are_judged_first(store, version, tmp_path, what):
    def change(array):
        shape = [10**12] if what == "axis" else [8, 8, 16]
        chunk = [4] if what == "axis" else [10**6, 10**4, 10**4]
        array["shape"] = shape
        if version == 2:
            array["chunks"] = chunk
        else:
            array["chunk_grid"]["configuration"]["chunk_shape"] = chunk

    path = edited(store, tmp_path, change)
    with serving(tmp_path, {}) as (url, _), pytest.raises(DataError, match=r"msl .*GiB of memory; this machine has"):
        fetched(f"{url}/{path.name}", tmp_path / "out")


def test_consolidated_metadata_on_disk_are_not_believed(store, version, tmp_path):
    """They may name other codecs than those of the arrays, which are judged."""

    def change(array):
        array["filters" if version == 2 else "codecs"] = [{"id": "pickle", "name": "pickle"}]

    path = edited(store, tmp_path, change)
    for file in (".zarray", "zarr.json"):
        if (store / "msl" / file).exists():
            (path / "msl" / file).write_bytes((store / "msl" / file).read_bytes())
    assert_whole(fetched(str(path), tmp_path / "out"))


def test_a_store_without_consolidated_metadata(version, tmp_path):
    """It is read where the server lists its folders, as the one of Python does."""
    WAVES.to_zarr(tmp_path / "x.zarr", zarr_format=version, consolidated=False)
    with serving(tmp_path, {}) as (url, _):
        assert_whole(fetched(f"{url}/x.zarr", tmp_path / "out"))
    with (
        serving(tmp_path, {"x.zarr/": status(404)}) as (url, _),
        pytest.raises(DataError, match="consolidate_metadata"),
    ):
        fetched(f"{url}/x.zarr", tmp_path / "other")


def of_range(handler: Handler) -> None:
    """What SimpleHTTPRequestHandler does not do: send the part that is asked for."""
    first, last = handler.headers["Range"].removeprefix("bytes=").split("-")
    content = handler.content()
    start = int(first) if first else len(content) - int(last)
    end = int(last) + 1 if first else len(content)
    told = f"bytes {start}-{end - 1}/{len(content)}"
    handler.send(content[start:end], 206, **{"Content-Range": told})


@pytest.mark.parametrize("fault", [serve, of_range], ids=["whole", "parts"])
@pytest.mark.parametrize("index_location", ["start", "end"])
def test_shards(tmp_path, fault, index_location):
    """Half of a shard is asked for; a server may send the whole. Inner chunks that it lacks are refused."""
    import zarr

    WAVES.drop_vars("msl").to_zarr(tmp_path / "x.zarr", zarr_format=3, consolidated=False)
    array = zarr.create_array(
        store=str(tmp_path / "x.zarr"), name="msl", shape=WAVES["msl"].shape, dtype="float32", chunks=(1, 4, 16),
        shards={"shape": (4, 8, 16), "index_location": index_location}, fill_value=100_000.0,
        dimension_names=WAVES["msl"].dims, attributes={"units": "Pa"},
    )  # fmt: skip
    array[:] = WAVES["msl"].values
    asked = {"fields": ["msl"], "every_hours": 12.0}
    with serving(tmp_path, {"c/1/0/0": fault}) as (url, _):
        found = fetched(f"{url}/x.zarr", tmp_path / "out", **asked)
        np.testing.assert_array_equal(found["msl"], WAVES["msl"][::2])
        array[6, :4] = 100_000.0
        with pytest.raises(DataError, match="c/1/0/0 of the store lacks 1 of its inner chunks"):
            fetched(f"{url}/x.zarr", tmp_path / "other", **asked)


def test_another_part_than_the_one_asked_for_is_refused(tmp_path):
    def shifted(handler: Handler) -> None:
        first, last = handler.headers["Range"].removeprefix("bytes=").split("-")
        if not first:
            of_range(handler)
            return
        length = int(last) + 1 - int(first)
        told = f"bytes 0-{length - 1}/{len(handler.content())}"
        handler.send(handler.content()[:length], 206, **{"Content-Range": told})

    encoding = {name: {"chunks": (1, 8, 16), "shards": (4, 8, 16), "compressors": None} for name in WAVES}
    WAVES.to_zarr(tmp_path / "x.zarr", zarr_format=3, encoding=encoding)
    with serving(tmp_path, {"msl/c/1/0/0": shifted}) as (url, _), pytest.raises(UnavailableError, match="another part"):
        fetched(f"{url}/x.zarr", tmp_path / "out", every_hours=12.0)


def test_names_in_metadata_do_not_lead_out_of_the_store(store, version, tmp_path):
    path = edited(store, tmp_path, lambda _: None)
    file = path / (".zmetadata" if version == 2 else "zarr.json")
    file.write_text(file.read_text().replace('"msl', '"../other/msl'))
    with serving(tmp_path, {}) as (url, handler), pytest.raises((DataError, MissingInputError)):
        fetched(f"{url}/{path.name}", tmp_path / "out")
    assert not any("other" in asked for asked in handler.asked)


def test_public_buckets_are_read_over_http(store, tmp_path, monkeypatch):
    with serving(store.parent, {}) as (url, _):
        monkeypatch.setattr(zarr_store, "GOOGLE", url)
        assert_whole(fetched(f"gs://{store.name}", tmp_path))


@pytest.mark.parametrize(
    "source", ["s3://bucket/x.zarr", "file:///tmp/x.zarr", "reference://x.json", "http://", "x::y"]
)
def test_what_is_no_address(source, tmp_path):
    with pytest.raises((MissingInputError, DataError)):
        fetched(source, tmp_path)


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), 1e9])
def test_a_time_out_that_cannot_be(timeout, tmp_path):
    with pytest.raises(UsageError, match="--timeout"):
        pinnwx.fetch("http://127.0.0.1:9/x.zarr", tmp_path, **ASKED, timeout=timeout)


def test_a_month_that_is_there_is_read_with_care(store, tmp_path):
    """It may be anything: here a file that takes its values from another one."""
    import h5py

    fetched(str(store), tmp_path)
    month, secret = tmp_path / "2026-01.nc", tmp_path / "secret"
    secret.write_bytes(bytes(4 * 8 * 8 * 16))
    with h5py.File(month, "a") as file:
        del file["msl"]
        file.create_dataset("msl", (8, 8, 16), "f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
    with pytest.raises(OutputError, match=r"2026-01\.nc exists, and is no file of this job"):
        pinnwx.fetch(str(store), tmp_path, **ASKED | {"end": "2026-01-03"})
