"""ERA5T beside ERA5: in every format and encoding of the label, final data win, and preliminary ones are marked."""

import netCDF4
import numpy as np
import pytest
import xarray as xr
from synthetic import wave_dataset

from pinnwx.data.open import check_data, open_data, open_with_report
from pinnwx.errors import DataError

STEPS = 6
FORMATS = ["NETCDF4", "NETCDF3_CLASSIC", "zarr2", "zarr3"]


def write(dataset, path, format="NETCDF4", encoding=None):
    if format.startswith("zarr"):
        dataset.to_zarr(path, zarr_format=int(format[-1]), encoding=encoding)
    else:
        dataset.to_netcdf(path, format=format, encoding=encoding)
    return path


def labels(dataset, values, dims):
    return dataset.assign_coords(expver=xr.DataArray(values, dims=dims))


ENCODINGS = {
    "int": lambda text: np.array([int(each) for each in text], "i4"),
    "float": lambda text: np.array([float(each) for each in text]),
    "short text": lambda text: np.array([each.lstrip("0") for each in text]),
    "text": lambda text: np.array(text),
    "bytes": lambda text: np.array(text, "S4"),
    "padded bytes": lambda text: np.array([each + "  " for each in text], "S6"),
    "objects": lambda text: np.array(text, object),
}
PARTS = ["0001"] * 3 + ["0005"] * 3


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_report_05_the_label_along_time_marks_preliminary_steps(tmp_path, format, encoding):
    dataset = labels(wave_dataset(STEPS), ENCODINGS[encoding](PARTS), "time")
    path = write(dataset, tmp_path / "x", format)
    found, report = open_with_report(path)
    xr.testing.assert_equal(found, open_data(write(wave_dataset(STEPS), tmp_path / "plain.nc")))
    assert found.attrs["preliminary"] == "yes"
    assert any("preliminary data (expver 5)" in str(problem) for problem in report.problems)
    assert report.files[0].ignored == ()
    early = open_data(path, end="2026-01-01T12:00")
    assert "preliminary" not in early.attrs


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("encoding", ["int", "text", "bytes", "float"])
@pytest.mark.parametrize(("label", "marked"), [("0001", False), ("0005", True)])
def test_the_label_of_a_whole_file(tmp_path, format, encoding, label, marked):
    dataset = labels(wave_dataset(STEPS), ENCODINGS[encoding]([label])[0], ())
    assert ("preliminary" in open_data(write(dataset, tmp_path / "x", format)).attrs) == marked


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("encoding", ["int", "text", "bytes", "float"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_report_05_the_label_as_a_dimension_final_data_win_in_any_order(tmp_path, format, encoding, order):
    truth = wave_dataset(STEPS)
    final, preliminary = truth.copy(deep=True), truth.copy(deep=True)
    for name in truth.data_vars:
        final[name].values[4:] = np.nan
        preliminary[name].values[:4] += 3  # superseded
    both = [final, preliminary]
    values = ENCODINGS[encoding](["0001", "0005"])[list(order)]
    for dims in (("expver", ...), ("time", "expver", ...)):
        dataset = xr.concat([both[index] for index in order], xr.DataArray(values, dims="expver", name="expver"))
        path = write(dataset.transpose(*dims), tmp_path / f"{len(dims)}{dims[0]}", format)
        found, report = open_with_report(path)
        np.testing.assert_array_equal(found["msl"].values, truth["msl"].values)
        np.testing.assert_array_equal(found["t850"].values, truth["t850"].values)
        assert found.attrs["preliminary"] == "yes"
        assert any("4 preliminary step(s) replaced by final data" in str(problem) for problem in report.problems)
        assert "preliminary" not in open_data(path, end="2026-01-01T18:00").attrs


def test_characters_as_netcdf_3_has_them(tmp_path):
    dataset = wave_dataset(STEPS)
    path = write(dataset, tmp_path / "x.nc", "NETCDF3_CLASSIC")
    with netCDF4.Dataset(path, "a") as file:
        file.createDimension("string4", 4)
        variable = file.createVariable("expver", "S1", ("time", "string4"))
        variable[:] = np.array([list(each) for each in PARTS], "S1")
    assert open_data(path).attrs["preliminary"] == "yes"
    assert "preliminary" not in open_data(path, end="2026-01-01T12:00").attrs


@pytest.mark.parametrize("fill", [-1, 0, 9999])
def test_a_masked_label_counts_as_preliminary(tmp_path, fill):
    dataset = labels(wave_dataset(STEPS), np.array([1, 1, 1, 1, 1, fill], "i4"), "time")
    dataset["expver"].attrs["_FillValue"] = np.int32(fill)
    path = write(dataset, tmp_path / "x.nc")
    assert open_data(path).attrs["preliminary"] == "yes"
    assert "preliminary" not in open_data(path, end="2026-01-02T00:00").attrs


@pytest.mark.parametrize("order", ["ab", "ba"])
@pytest.mark.parametrize("format", ["NETCDF4", "NETCDF3_CLASSIC", "zarr2"])
def test_final_data_of_another_file_replace_preliminary_ones(tmp_path, order, format):
    truth = wave_dataset(STEPS)
    preliminary = truth.copy(deep=True)
    preliminary["msl"].values[:] += 50
    suffix = "zarr" if format == "zarr2" else "nc"
    write(labels(truth, "0001", ()).isel(time=slice(0, 4)), tmp_path / f"{order[0]}.{suffix}", format)
    write(labels(preliminary, "0005", ()), tmp_path / f"{order[1]}.{suffix}", format)
    found, report = open_with_report(tmp_path)
    np.testing.assert_array_equal(found["msl"].values[:4], truth["msl"].values[:4])
    np.testing.assert_array_equal(found["msl"].values[4:], preliminary["msl"].values[4:])
    assert any("msl: 4 preliminary step(s) replaced by final data" in str(problem) for problem in report.problems)
    assert found.attrs["preliminary"] == "yes"
    assert "preliminary" not in open_data(tmp_path, end="2026-01-01T18:00").attrs
    assert check_data(tmp_path).ok


@pytest.mark.parametrize("label", ["0001", "0005"])
def test_two_of_one_kind_that_differ_are_refused(tmp_path, label):
    one = labels(wave_dataset(STEPS), label, ())
    other = one.copy(deep=True)
    other["msl"].values[2] += 50
    write(one, tmp_path / "a.nc")
    write(other, tmp_path / "b.nc")
    with pytest.raises(DataError, match=r"msl: 2026-01-01T12:00Z is stored twice.*a\.nc and .*b\.nc"):
        open_data(tmp_path)


def test_a_dimension_without_labels_may_not_contradict_itself(tmp_path):
    truth = wave_dataset(STEPS)
    other = truth.copy(deep=True)
    other["msl"].values[:] += 50
    path = write(xr.concat([truth, other], "expver"), tmp_path / "x.nc")
    with pytest.raises(DataError, match="is stored twice"):
        open_data(path)
    path = write(xr.concat([truth, truth], "expver"), tmp_path / "y.nc")
    assert open_data(path).attrs["preliminary"] == "yes"


def test_a_copy_of_arco_era5_says_until_when_it_is_final(tmp_path):
    """Its preliminary data are in the same arrays; two attributes name the last days, both included."""
    dataset = wave_dataset(STEPS).assign_attrs(valid_time_stop="2026-01-01", valid_time_stop_era5t="2026-01-05")
    path = write(dataset, tmp_path / "x.zarr", "zarr2")
    assert open_data(path).attrs["preliminary"] == "yes"
    assert "preliminary" not in open_data(path, end="2026-01-01").attrs
    assert open_data(path, end="2026-01-01").sizes["time"] == 4


def test_what_was_opened_stays_marked_when_it_is_written_and_opened_again(tmp_path):
    found = open_data(write(labels(wave_dataset(STEPS), "0005", ()), tmp_path / "x.nc"))
    assert open_data(write(found, tmp_path / "again.nc")).attrs["preliminary"] == "yes"
