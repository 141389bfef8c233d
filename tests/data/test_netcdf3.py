"""netCDF-3 by offsets holds what the netCDF-4 library and scipy say of whole files, and refuses files that are not."""

import netCDF4
import numpy as np
import pytest
import scipy.io
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from pinnwx.data.netcdf3 import open_netcdf3
from pinnwx.errors import DataError

FORMATS = {
    "NETCDF3_CLASSIC": ["i1", "S1", "i2", "i4", "f4", "f8"],
    "NETCDF3_64BIT_OFFSET": ["i1", "S1", "i2", "i4", "f4", "f8"],
    "NETCDF3_64BIT_DATA": ["i1", "S1", "i2", "i4", "f4", "f8", "u1", "u2", "u4", "i8", "u8"],
}
DIMS = {"time": 3, "level": 2, "lat": 4, "lon": 5}


@st.composite
def recipes(draw):
    """Variables of all types, with and without records, of odd lengths so that padding counts."""
    kind = draw(st.sampled_from(sorted(FORMATS)))
    shapes = [("lat",), ("time",), ("lat", "lon"), ("time", "lon"), ("time", "level", "lat", "lon"), ()]
    entries = st.tuples(st.sampled_from(shapes), st.sampled_from(FORMATS[kind]))
    return kind, draw(st.lists(entries, max_size=5)), draw(st.booleans()), draw(st.integers(0, 5))


def write(path, kind, entries, unlimited, records):
    rng = np.random.default_rng(0)
    sizes = DIMS | {"time": records if unlimited else 3}
    with netCDF4.Dataset(path, "w", format=kind) as file:
        file.title = "waves, 20 °C"
        for name in DIMS:
            file.createDimension(name, None if name == "time" and unlimited else DIMS[name])
        for index, (dims, dtype) in enumerate(entries):
            variable = file.createVariable(f"v{index}", dtype, dims)
            variable.set_auto_maskandscale(False)
            variable.setncatts({"units": "K", "valid_range": np.array([1, 2], "f4"), "scale_factor": np.float64(0.5)})
            shape = tuple(sizes[dim] for dim in dims)
            values = rng.integers(0, 100, shape)
            if variable.dtype != "S1":
                variable[...] = values
            elif shape:
                variable[...] = np.full(shape, b"x", "S1")


@settings(max_examples=25, deadline=None)
@given(recipe=recipes())
def test_the_same_as_the_netcdf_library(tmp_path_factory, recipe):
    path = tmp_path_factory.mktemp("n") / "x.nc"
    write(path, *recipe)
    found = open_netcdf3(path)
    assert found.attrs == {"title": "waves, 20 °C"}
    with netCDF4.Dataset(path) as truth:
        truth.set_auto_maskandscale(False)
        truth.set_auto_chartostring(False)
        assert set(found.variables) == set(truth.variables)
        for name, wanted in truth.variables.items():
            array = found[name]
            assert array.dims == wanted.dimensions
            assert array.dtype.newbyteorder("=") == wanted.dtype
            np.testing.assert_array_equal(array.to_numpy(), wanted[...])
            assert array.attrs["units"] == "K"
            assert array.attrs["scale_factor"] == 0.5
            np.testing.assert_array_equal(array.attrs["valid_range"], [1, 2])


def index(size):
    whole = st.just(slice(None))
    part = st.builds(slice, st.integers(0, size), st.integers(0, size), st.sampled_from([1, 2]))
    return st.one_of(
        whole,
        part,
        st.just(slice(None, None, -1)),
        st.integers(-size, size - 1),
        st.lists(st.integers(0, size - 1), max_size=3),
    )


@settings(max_examples=50, deadline=None)
@given(key=st.tuples(*map(index, DIMS.values())), unlimited=st.booleans())
def test_any_part_of_an_array(tmp_path_factory, key, unlimited):
    values = np.random.default_rng(1).normal(size=tuple(DIMS.values())).astype("f4")
    path = tmp_path_factory.mktemp("p") / "x.nc"
    dims = {"unlimited_dims": ["time"]} if unlimited else {}
    dataset = xr.Dataset({"a": (tuple(DIMS), values), "b": (("time", "lon"), values[:, 0, 0])})
    dataset.to_netcdf(path, format="NETCDF3_64BIT", **dims)
    selection = dict(zip(DIMS, key, strict=True))
    xr.testing.assert_equal(open_netcdf3(path)["a"].isel(selection), dataset["a"].isel(selection))


@pytest.mark.parametrize("unlimited", [[], ["time"]])
def test_as_scipy_reads_it(tmp_path, unlimited):
    """The reader that netCDF-3 was read with before: the same types, bytes and attributes."""
    values = np.random.default_rng(2).normal(size=(3, 4, 5))
    dataset = xr.Dataset(
        {
            "t": (("time", "lat", "lon"), values.astype("f4"), {"units": "K"}),
            "z": (("time", "lat", "lon"), (values * 100).astype("i2"), {"_FillValue": np.int16(-32767)}),
        },
        {"time": ("time", np.arange(3), {"units": "hours since 2000-01-01"}), "lat": np.arange(4.0)},
    )
    dataset.to_netcdf(tmp_path / "x.nc", format="NETCDF3_CLASSIC", unlimited_dims=unlimited)
    with xr.open_dataset(tmp_path / "x.nc", engine="scipy", decode_cf=False) as wanted:
        found = open_netcdf3(tmp_path / "x.nc")
        xr.testing.assert_identical(found, wanted)
        assert {name: array.dtype for name, array in found.variables.items()} == {
            name: array.dtype for name, array in wanted.variables.items()
        }


def test_a_number_of_records_that_is_not_told(tmp_path):
    """A program that streams its output leaves the count open; the size of the file tells it."""
    path = tmp_path / "x.nc"
    with scipy.io.netcdf_file(path, "w") as file:
        file.createDimension("time", None)
        file.createDimension("lon", 3)
        file.createVariable("t", "f4", ("time", "lon"))[:] = np.arange(12).reshape(4, 3)
    content = bytearray(path.read_bytes())
    content[4:8] = b"\xff" * 4
    path.write_bytes(content)
    np.testing.assert_array_equal(open_netcdf3(path)["t"], np.arange(12).reshape(4, 3))


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off(tmp_path, share):
    path = tmp_path / "x.nc"
    write(path, "NETCDF3_64BIT_DATA", [(("time", "level", "lat", "lon"), "f8"), (("time",), "f8")], True, 40)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(EOFError, match=r"bytes are missing at its end|header is truncated"):
        open_netcdf3(path)


@pytest.mark.parametrize("records", [10**9, 2**32 - 2])
def test_records_that_are_not_there(tmp_path, records):
    path = tmp_path / "x.nc"
    write(path, "NETCDF3_CLASSIC", [(("time",), "f8"), (("time", "lon"), "f4")], True, 3)
    content = bytearray(path.read_bytes())
    content[4:8] = records.to_bytes(4, "big")
    path.write_bytes(content)
    with pytest.raises((EOFError, DataError), match=r"bytes are missing|needs .* GiB of memory"):
        open_netcdf3(path)
