"""A chunk of HDF5 that unpacks to far more than it declares is refused before it takes the memory."""

import resource
import zlib

import h5py
import numpy as np
import pytest
from synthetic import wave_dataset

from pinnwx.data.inflation import require_deflated_as_declared
from pinnwx.data.open import open_data
from pinnwx.errors import DataError


def packed_zeros(size: int) -> bytes:
    state = zlib.compressobj(9)
    return b"".join(state.compress(bytes(2**20)) for _ in range(size // 2**20)) + state.flush()


@pytest.fixture
def bomb(tmp_path):
    """Analyses of which one chunk unpacks to 256 MiB."""
    path = tmp_path / "bomb.nc"
    whole = wave_dataset(8)
    packing = {"zlib": True, "chunksizes": (1, *whole["t850"].shape[1:])}
    whole.to_netcdf(path, engine="netcdf4", encoding={"t850": packing, "msl": packing})
    open_data(path, ["t850"])
    with h5py.File(path, "r+") as file:
        file["t850"].id.write_direct_chunk((3, 0, 0), packed_zeros(2**28))
    return path


@pytest.mark.parametrize("by", ["its packed size", "its unpacked size"])
def test_a_chunk_that_unpacks_to_more_is_refused(bomb, monkeypatch, by):
    if by == "its unpacked size":
        monkeypatch.setattr("pinnwx.data.inflation._SLACK", 2**20)
        monkeypatch.setattr("pinnwx.data.inflation.memory_limit", lambda: 2**20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=r'"t850" has a chunk that unpacks to more than the [\d,]+ that its values'):
        open_data(bomb, ["t850"])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**17, "kiB"


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
    require_deflated_as_declared(path, ["t850", "msl", "absent"])
    np.testing.assert_array_equal(open_data(path, ["t850"])["t850"], calm["t850"].astype("f4"))
