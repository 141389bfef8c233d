"""Inner chunks that a shard of a zarr store does not hold: counted like chunks, never read as the fill value."""

import numpy as np
import pytest
import xarray as xr
import zarr
from servers import serving
from synthetic import wave_dataset

import pinnwx
from pinnwx.data.open import check_data, open_data
from pinnwx.errors import DataError

WAVES = wave_dataset(4)[["msl"]]  # 8 x 16 points
SHARD = np.s_[0:2, 0:8, 0:16]  # the first of two, each of eight inner chunks


def store(path, *, fill: float, index_location: str = "end", inner=(1, 4, 8), dtype: str = "float32"):
    """Two shards of two steps; what is written as the fill value is not stored."""
    WAVES.drop_vars("msl").to_zarr(path, zarr_format=3, consolidated=False)
    array = zarr.create_array(
        store=str(path), name="msl", shape=WAVES["msl"].shape, dtype=dtype, chunks=inner,
        shards={"shape": (2, 8, 16), "index_location": index_location}, compressors=None, fill_value=fill,
        dimension_names=WAVES["msl"].dims, attributes={"units": "Pa"},
    )  # fmt: skip
    array[:] = WAVES["msl"].values.astype(dtype)
    return array


def refused(path, words: str) -> None:
    with pytest.raises(DataError, match=words):
        open_data(path)
    assert not check_data(path).ok


@pytest.mark.parametrize("index_location", ["start", "end"])
@pytest.mark.parametrize(("fill", "dtype"), [(100_000.0, "float32"), (0.0, "float32"), (100_000, "int32")])
def test_an_absent_inner_chunk_that_would_read_as_a_value_is_refused(tmp_path, index_location, fill, dtype):
    """100,000 Pa is a pressure like any other: nothing else would notice it."""
    array = store(tmp_path / "x.zarr", fill=fill, index_location=index_location, dtype=dtype)
    np.testing.assert_array_equal(open_data(tmp_path / "x.zarr")["msl"], WAVES["msl"].values.astype(dtype))
    array[1, 0:4, 8:16] = fill
    refused(tmp_path / "x.zarr", '1 of 16 chunks of "msl" are absent')


def test_what_is_absent_from_whole_steps_and_reads_as_nan_is_a_gap(tmp_path):
    array = store(tmp_path / "x.zarr", fill=np.nan)
    array[1] = np.nan
    xr.testing.assert_equal(open_data(tmp_path / "x.zarr"), WAVES.drop_isel(time=1))
    array[2, 0:4, 0:8] = np.nan
    refused(tmp_path / "x.zarr", '5 of 16 chunks of "msl" are absent')


def test_a_shard_that_reaches_beyond_the_array_lacks_nothing(tmp_path):
    """Three steps in shards of two: the inner chunks of the fourth are nowhere, and nobody asks for them."""
    path, waves = tmp_path / "x.zarr", WAVES.isel(time=slice(3))
    encoding = {"msl": {"chunks": (1, 4, 8), "shards": (2, 8, 16), "_FillValue": 0.0}}
    waves.to_zarr(path, zarr_format=3, consolidated=False, encoding=encoding)
    np.testing.assert_array_equal(open_data(path)["msl"], waves["msl"])


def test_an_inner_chunk_beyond_the_end_of_its_shard_is_absent(tmp_path):
    """A shard whose index stands first, and whose copy broke off: zarr reads what it lacks as the fill value."""
    store(tmp_path / "x.zarr", fill=100_000.0, index_location="start")
    shard = tmp_path / "x.zarr" / "msl" / "c" / "1" / "0" / "0"
    content = shard.read_bytes()
    shard.write_bytes(content[:-100])
    refused(tmp_path / "x.zarr", '1 of 16 chunks of "msl" are absent')
    shard.write_bytes(content[:50])
    refused(tmp_path / "x.zarr", "the index of a shard has 50 bytes, not 132")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("remote", [False, True])
def test_an_absent_chunk_of_a_time_is_no_date(tmp_path, version, remote):
    """It would read as the date in the units. A first value of zero, which zarr does not write, is fine."""

    def read(out: str) -> xr.Dataset:
        if not remote:
            return open_data(tmp_path / "x.zarr")
        with serving(tmp_path, {}) as (url, _):
            asked = {"fields": ["msl"], "start": "1999-01-01", "end": "2026-12-31"}
            pinnwx.fetch(f"{url}/x.zarr", tmp_path / out, **asked)
        return open_data(tmp_path / out)

    fill = {"_FillValue": np.float32(np.nan)}
    hours = {"units": "hours since 2026-01-01", "chunks": (1,), "dtype": "int64"}
    WAVES.to_zarr(tmp_path / "x.zarr", zarr_format=version, encoding={"time": hours, "msl": fill})
    chunk = "c/{}" if version == 3 else "{}"
    (tmp_path / "x.zarr" / "time" / chunk.format(0)).unlink(missing_ok=True)
    np.testing.assert_array_equal(read("whole")["time"], WAVES["time"])
    (tmp_path / "x.zarr" / "time" / chunk.format(2)).unlink()
    with pytest.raises(DataError, match=r"time.* (absent)"):
        read("other")


def test_other_arrays_of_zeros_alone_need_not_be_stored(tmp_path):
    """A lead of zero along time, as cfgrib has it, and a scalar."""
    dataset = WAVES.assign_coords(step=("time", np.zeros(4, "int64"), {"units": "hours"}), number=0)
    encoding = {"msl": {"_FillValue": np.float32(np.nan)}}
    dataset.to_zarr(tmp_path / "x.zarr", zarr_format=3, consolidated=False, encoding=encoding)
    assert not (tmp_path / "x.zarr" / "step" / "c").exists()
    np.testing.assert_array_equal(open_data(tmp_path / "x.zarr")["msl"], WAVES["msl"])
    with serving(tmp_path, {}) as (url, _):
        pinnwx.fetch(f"{url}/x.zarr", tmp_path / "out", fields=["msl"], start="2026-01-01", end="2026-01-02")
    np.testing.assert_array_equal(open_data(tmp_path / "out")["msl"], WAVES["msl"])
