"""A chunk of HDF5 that unpacks to far more than it declares is refused before it takes the memory."""

import bz2
import resource
import struct
import zlib
from functools import cache

import h5py
import netCDF4
import numcodecs
import numpy as np
import pytest
from synthetic import wave_dataset

from pinnwx.data.hdf5 import require_bounded
from pinnwx.data.open import open_data
from pinnwx.data.storage import read_netcdf, write_netcdf
from pinnwx.errors import CheckpointError, DataError

WAVES = wave_dataset(8)
REFUSED = r"has a chunk that unpacks to .*more than the [\d,]+ that its values can take; .*: fetch it again"
DECLARED = {"szip": 2**30, "blosc_lz4": 2**30, "zstd": 2**26}  # bytes


@cache
def packed_zeros(size: int) -> bytes:
    state = zlib.compressobj(9)
    return b"".join(state.compress(bytes(2**20)) for _ in range(size // 2**20)) + state.flush()


def bomb_of(compression: str) -> bytes:
    """What a filter of this name takes for a chunk of very many bytes."""
    if compression == "zlib":
        return packed_zeros(2**28)
    if compression == "zstd":
        return bytes(numcodecs.get_codec({"id": "zstd"}).encode(bytes(DECLARED["zstd"])))
    if compression == "blosc_lz4":
        return b"\x02\x01\x31\x04" + struct.pack("<III", DECLARED["blosc_lz4"], 2**18, 100) + bytes(84)
    return bz2.compress(bytes(2**24)) if compression == "bzip2" else struct.pack("<I", DECLARED["szip"]) + bytes(60)


def packed(path, compression: str, **options):
    """Analyses whose fields are packed by a filter, a step a chunk."""
    WAVES.drop_vars(["t850", "msl"]).to_netcdf(path)
    with netCDF4.Dataset(path, "a") as file:
        for name in ("t850", "msl"):
            dims = WAVES[name].dims
            chunk = (1, *WAVES[name].shape[1:])
            made = file.createVariable(name, "f4", dims, compression=compression, chunksizes=chunk, **options)
            made.units = WAVES[name].attrs["units"]
            made[:] = WAVES[name].to_numpy()
    np.testing.assert_array_equal(open_data(path, ["t850"])["t850"], WAVES["t850"])
    return path


@pytest.fixture
def bomb(tmp_path):
    """Analyses of which one chunk unpacks to 256 MiB."""
    path = packed(tmp_path / "bomb.nc", "zlib")
    with h5py.File(path, "r+") as file:
        file["t850"].id.write_direct_chunk((3, 0, 0), packed_zeros(2**28))
    return path


@pytest.mark.parametrize("by", ["its packed size", "its unpacked size"])
def test_a_chunk_that_unpacks_to_more_is_refused(bomb, monkeypatch, by):
    if by == "its unpacked size":
        monkeypatch.setattr("pinnwx.data.inflation._SLACK", 2**20)
        monkeypatch.setattr("pinnwx.data.inflation.memory_limit", lambda: 2**20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=f'"t850" {REFUSED}'):
        open_data(bomb, ["t850"])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**17, "kiB"


@pytest.mark.parametrize("place", ["in a file", "behind a user block"])
@pytest.mark.parametrize("compression", ["zstd", "blosc_lz4", "bzip2", "szip"])
def test_filters_other_than_deflate(tmp_path, compression, place):
    """They are read where they are installed; what they say to hold is asked first."""
    path = packed(tmp_path / "x.nc", compression)
    if place != "in a file":
        path.write_bytes(bytes(512) + path.read_bytes())
        np.testing.assert_array_equal(open_data(path, ["t850"])["t850"], WAVES["t850"])
    with h5py.File(path, "r+") as file:
        file["t850"].id.write_direct_chunk((3, 0, 0), bomb_of(compression))
    size = f"{DECLARED[compression]:,} bytes" if compression in DECLARED else ""
    with pytest.raises(DataError, match=REFUSED.replace("to ", f"to {size}", 1)):
        open_data(path, ["t850"])


def test_a_chunk_that_is_packed_twice(tmp_path):
    """What the outer filter gives may be small, and a bomb for the inner one."""
    path = packed(tmp_path / "x.nc", "zlib", shuffle=True, fletcher32=True)
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk((4,))
    made.set_deflate(4)
    made.set_deflate(4)
    with h5py.File(path, "a") as file:
        h5py.h5d.create(file.id, b"label", h5py.h5t.NATIVE_INT32, h5py.h5s.create_simple((8,)), made)
    with pytest.raises(DataError, match='"label" is packed twice; rewrite the file with deflate'):
        open_data(path, ["t850"])


@pytest.mark.parametrize("filter_id", [5, 6])
def test_a_filter_that_is_told_to_make_more_values(tmp_path, filter_id):
    """Scale-offset and n-bit take the number of values from the file, here 2^30 of 4 bytes for a chunk of 128."""
    path = tmp_path / "x.nc"
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk((128,))
    kind = h5py.h5t.STD_I32LE.copy()
    if filter_id == 5:
        kind.set_precision(17)
        made.set_filter(5, 0, ())
    else:
        made.set_scaleoffset(h5py.h5z.SO_INT, 0)
    with h5py.File(path, "w") as file:
        h5py.h5d.create(file.id, b"label", kind, h5py.h5s.create_simple((128,)), made)
        file["label"][...] = np.arange(128)
        properties = file["label"].id.get_create_plist()
        (told,) = (properties.get_filter(at)[2] for at in range(properties.get_nfilters()))
    require_bounded(path, ["label"])
    numbers = f"<{len(told)}I"
    before = struct.pack(numbers, *told)
    content = path.read_bytes()
    assert content.count(before) == 1
    path.write_bytes(content.replace(before, struct.pack(numbers, *told[:2], 2**30, *told[3:])))
    with pytest.raises(DataError, match=r'"label" has a chunk that unpacks to 4,294,967,296 bytes'):
        require_bounded(path, ["label"])


@pytest.mark.parametrize("name", ["time", "latitude"])
def test_an_axis_that_unpacks_to_more_or_by_an_unknown_filter(tmp_path, name):
    WAVES.to_netcdf(tmp_path / "x.nc", encoding={name: {"zlib": True, "chunksizes": (8,)}})
    open_data(tmp_path / "x.nc")
    with h5py.File(tmp_path / "x.nc", "r+") as file:
        file[name].id.write_direct_chunk((0,), packed_zeros(2**27))
    with pytest.raises(DataError, match=f'"{name}" {REFUSED}'):
        open_data(tmp_path / "x.nc")
    with h5py.File(tmp_path / "x.nc", "r+") as file:
        del file[name]
        file.create_dataset(name, data=np.arange(8.0), compression="lzf").make_scale()
    with pytest.raises(DataError, match=f'"{name}" is compressed by the HDF5 filter 32000, which is not installed'):
        open_data(tmp_path / "x.nc")


def test_an_artefact_that_unpacks_to_more(tmp_path):
    write_netcdf(WAVES, tmp_path / "x.nc")
    with h5py.File(tmp_path / "x.nc", "r+") as file:
        file["msl"].id.write_direct_chunk((0, 0, 0), packed_zeros(2**28))
    with pytest.raises(CheckpointError, match=f'"msl" {REFUSED}'):
        read_netcdf(tmp_path / "x.nc")


@pytest.mark.parametrize("limit", [2**20, 2**40])
def test_what_packs_well_is_read(tmp_path, monkeypatch, limit):
    """Constant values, in chunks that are unpacked first where so much memory might be too much."""
    path = tmp_path / "calm.nc"
    calm = wave_dataset(8)
    calm["t850"].values[0] = 280.0
    size = calm["t850"].shape
    calm.to_netcdf(path, engine="netcdf4", encoding={"t850": {"zlib": True, "chunksizes": size}})
    monkeypatch.setattr("pinnwx.data.inflation._SLACK", 16)
    monkeypatch.setattr("pinnwx.data.inflation.memory_limit", lambda: limit)
    require_bounded(path, ["t850", "msl", "absent"])
    np.testing.assert_array_equal(open_data(path, ["t850"])["t850"], calm["t850"].astype("f4"))
