"""What a file declares is judged before memory is asked for: refused in one line that names the size and the memory."""

import json
import resource
import struct
import tracemalloc

import h5py
import netCDF4
import numpy as np
import pytest
from synthetic import wave_dataset

from pinnwx import runtime
from pinnwx.data.open import check_data, open_data
from pinnwx.data.storage import read_netcdf
from pinnwx.errors import CheckpointError, DataError

WAVES = wave_dataset(4)


def assert_refused(path, *words: str, error=DataError, read=open_data) -> None:
    """In one line, within 200 MB."""
    tracemalloc.start()
    with pytest.raises(error) as caught:
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    message = str(caught.value)
    assert peak < 2e8
    assert "\n" not in message
    for word in words:
        assert word in message
    assert "GiB of memory; this machine has" in message or "bytes are missing" in message


def netcdf4(path, sizes: dict[str, int], chunks=None) -> None:
    """Declares everything and stores nothing."""
    with netCDF4.Dataset(path, "w") as file:
        for name, size in sizes.items():
            file.createDimension(name, size)
            axis = file.createVariable(name, "f8", (name,), chunksizes=(min(size, 1000),))
            axis.units = {"time": "hours since 2000-01-01", "latitude": "degrees_north"}.get(name, "degrees_east")
        file.createVariable("msl", "f4", tuple(sizes), chunksizes=chunks).units = "Pa"


@pytest.mark.parametrize("axis", ["time", "latitude", "longitude"])
def test_an_axis_of_twenty_thousand_million_values(tmp_path, axis):
    netcdf4(tmp_path / "x.nc", {"time": 2, "latitude": 3, "longitude": 4, axis: 20_000_000_000}, (1, 3, 4))
    assert_refused(tmp_path / "x.nc", axis, "20,000,000,000 values", "149 GiB")
    assert any("20,000,000,000" in str(problem) for problem in check_data(tmp_path / "x.nc").problems)


def test_a_chunk_that_does_not_fit_into_memory(tmp_path, monkeypatch):
    """HDF5 lets chunks grow to 4 GiB: on a machine with less, they are refused."""
    monkeypatch.setattr("pinnwx.data.sizes.memory_limit", lambda: 2**30)
    netcdf4(tmp_path / "x.nc", {"time": 2000, "latitude": 400, "longitude": 800}, (1000, 400, 800))
    assert_refused(tmp_path / "x.nc", "msl", "chunks of 1,000 x 400 x 800", "1.19 GiB")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("what", ["axis", "chunk", "shard"])
def test_a_zarr_store_that_declares_more_than_memory(tmp_path, version, what):
    WAVES.to_zarr(tmp_path / "x.zarr", zarr_format=version, consolidated=False)
    name = "time" if what == "axis" else "msl"
    path = tmp_path / "x.zarr" / name / (".zarray" if version == 2 else "zarr.json")
    document = json.loads(path.read_text())
    if what == "axis":
        document["shape"] = [10**12]
    elif version == 2:
        document["chunks"] = [10**6, 1000, 1000]
    else:
        document["chunk_grid"]["configuration"]["chunk_shape"] = [10**6, 1000, 1000]
        if what == "shard":
            inner = {"chunk_shape": [1, 8, 16], "codecs": document["codecs"]}
            document["codecs"] = [{"name": "sharding_indexed", "configuration": inner}]
    path.write_text(json.dumps(document))
    assert_refused(tmp_path / "x.zarr", name)


def test_netcdf3_with_more_than_memory(tmp_path):
    """The number of records, and the length of a dimension, as a flipped bit would make them."""
    WAVES.to_netcdf(tmp_path / "x.nc", format="NETCDF3_CLASSIC", unlimited_dims=["time"])
    content = bytearray((tmp_path / "x.nc").read_bytes())
    (tmp_path / "x.nc").write_bytes(content[:4] + struct.pack(">I", 2**32 - 2) + content[8:])
    assert_refused(tmp_path / "x.nc")
    at = content.index(b"latitude") + len("latitude")
    (tmp_path / "x.nc").write_bytes(content[:at] + struct.pack(">I", 2**32 - 4) + content[at + 4 :])
    assert_refused(tmp_path / "x.nc")


def test_a_single_step_that_does_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr("pinnwx.data.sizes.memory_limit", lambda: 900)
    WAVES.to_netcdf(tmp_path / "x.nc", format="NETCDF3_CLASSIC")
    assert_refused(tmp_path / "x.nc", "a step of", "8 x 16 points")


def test_all_that_is_asked_for_together(tmp_path, monkeypatch):
    """Each field fits, both do not; the way out that is named works."""
    wave_dataset(40).to_netcdf(tmp_path / "x.nc")
    monkeypatch.setattr("pinnwx.data.sizes.memory_limit", lambda: 30_000)
    assert_refused(tmp_path / "x.nc", "t850, msl at 40 times", "a shorter period or fewer fields")
    assert open_data(tmp_path / "x.nc", ["msl"]).sizes["time"] == 40
    assert open_data(tmp_path / "x.nc", end="2026-01-05").sizes["time"] == 20


def test_an_artefact_that_declares_more_than_memory(tmp_path):
    with h5py.File(tmp_path / "x.nc", "w") as file:
        file.create_dataset("a", (10**6, 10**6), "f8", chunks=(10, 10))
    assert_refused(tmp_path / "x.nc", "what x.nc declares", error=CheckpointError, read=read_netcdf)


def test_the_memory_of_this_machine():
    """At least what this test uses, and no more than the machine has."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert used < runtime.memory_limit() <= 2**50


def test_the_limit_of_a_container_counts(monkeypatch, tmp_path):
    texts = {"/proc/self/cgroup": "0::/jobs/one\n", "/sys/fs/cgroup/jobs/one/memory.max": "max\n"}
    texts["/sys/fs/cgroup/jobs/memory.max"] = "1000000\n"

    def read(path, *_, **__):
        if str(path) not in texts:
            raise FileNotFoundError(path)
        return texts[str(path)]

    monkeypatch.setattr(runtime.Path, "read_text", read)
    runtime.memory_limit.cache_clear()
    try:
        assert runtime.memory_limit() == 1_000_000
    finally:
        runtime.memory_limit.cache_clear()


def test_ordinary_values_pass(tmp_path):
    WAVES.to_netcdf(tmp_path / "x.nc", encoding={"msl": {"chunksizes": (4, 8, 16), "zlib": True}})
    np.testing.assert_array_equal(open_data(tmp_path / "x.nc")["msl"], WAVES["msl"])
