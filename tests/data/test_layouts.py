"""Every layout opens with one call, and all of them give the same canonical dataset."""

import shutil

import numpy as np
import pytest
import xarray as xr
from layouts import BOX, GLOBE, POLES, assert_same, cds_new, cds_old, grib, ncep, truth, weatherbench1, weatherbench2

from pinnwx.data.open import check_data, open_data, open_with_report
from pinnwx.errors import DataError

NAMES = ("z500", "t850", "u500", "u850", "msl")


@pytest.mark.parametrize("grid", [GLOBE, POLES, BOX], ids=["globe", "poles", "box"])
@pytest.mark.parametrize(
    ("write", "tolerance"),
    [(cds_new, 0.0), (cds_old, 1e-5), (ncep, 1e-5), (weatherbench1, 0.0), (weatherbench2, 0.0)],
)
def test_layout_gives_the_truth(tmp_path, write, tolerance, grid):
    names = NAMES if write in (weatherbench2,) else ("z500", "t850", "u500", "msl")
    wanted = truth(names, grid)
    found, report = open_with_report(write(wanted, tmp_path / "files"), names)
    assert tuple(found.data_vars) == names
    assert_same(found, wanted, tolerance)
    assert report.ok
    assert report.grid == str(grid)
    assert report.steps == 6
    assert report.step_hours == 6


def test_grib_gives_the_truth_and_leaves_nothing_beside(tmp_path):
    names = ("z500", "t850", "t500", "msl", "t2m")
    wanted = truth(names, GLOBE, steps=3)
    path = grib(wanted, tmp_path / "files")
    assert_same(open_data(path.parent, names), wanted, 1e-6)
    assert [child.name for child in path.parent.iterdir()] == [path.name]


def test_grib_without_the_extra_names_it(tmp_path, monkeypatch):
    path = grib(truth(("msl",), steps=1), tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "eccodes", None)
    with pytest.raises(DataError, match=r"pinnwx\[grib\]"):
        open_data(path)


def test_zarr_version_3(tmp_path):
    wanted = truth(("z500", "t850", "msl"))
    assert_same(open_data(weatherbench2(wanted, tmp_path, zarr_format=3), tuple(wanted.data_vars)), wanted)


def test_without_fields_everything_recognised_is_read_static_fields_too(tmp_path):
    wanted = truth(("z500", "u850", "msl"), steps=2)
    found = open_data(weatherbench1(wanted, tmp_path))
    assert set(found.data_vars) == {"z500", "u850", "msl", "orography", "lsm"}
    assert found["orography"].dims == ("latitude", "longitude")
    assert found["orography"].attrs["units"] == "m"
    assert found["z500"].attrs == {
        "standard_name": "geopotential", "long_name": "Geopotential at 500 hPa", "units": "m2 s-2"
    }  # fmt: skip


def test_surface_geopotential_becomes_height_of_the_surface(tmp_path):
    path = weatherbench2(truth(("z500",), steps=1), tmp_path)
    assert float(open_data(path, ("z500",), static=("orography",))["orography"].max()) == pytest.approx(3e4 / 9.80665)


def test_a_year_a_file_a_list_a_glob_and_a_folder_are_the_same(tmp_path):
    wanted = truth(("z500",), steps=8, start="2019-12-31")
    folder = weatherbench1(wanted, tmp_path)
    files = sorted((folder / "geopotential_500").iterdir())
    assert len(files) == 2
    whole = open_data(folder, ("z500",))
    assert_same(whole, wanted)
    xr.testing.assert_identical(whole, open_data(files[::-1], ("z500",)))
    xr.testing.assert_identical(whole, open_data(str(folder / "geopotential_500" / "*.nc"), ("z500",)))
    xr.testing.assert_identical(whole, open_data([folder, str(files[0])], ("z500",)))


def test_files_that_are_not_gridded_data_are_listed_and_left_alone(tmp_path):
    folder = weatherbench1(truth(("z500",), steps=2), tmp_path)
    (folder / "README.md").write_text("about these data")
    (folder / ".hidden.nc").write_text("not looked at")
    (folder / "empty.txt").touch()
    report = check_data(folder)
    assert report.ok
    assert {entry.file.split("/")[-1] for entry in report.files if entry.format == "not gridded data"} == {
        "README.md", "empty.txt"
    }  # fmt: skip


def test_a_rotated_dimension_layout(tmp_path):
    """The 2T file of the Iberian data: (time, height, rlon, rlat) with lat(rlat) and lon(rlon)."""
    wanted = truth(("t2m",), BOX, steps=3)
    values = wanted["t2m"].values.swapaxes(1, 2)[:, None]
    xr.Dataset(
        {"2T": (("time", "height", "rlon", "rlat"), values, {"units": "K"})},
        {
            "time": ("time", np.arange(3) * 0.25 + 25624.0, {"units": "days since 1950-01-01 00:00:00"}),
            "height": [2.0],
            "lat": ("rlat", wanted["latitude"].values, {"units": "degrees north", "standard_name": "latitude"}),
            "lon": ("rlon", wanted["longitude"].values, {"units": "degrees east", "standard_name": "longitude"}),
        },
    ).to_netcdf(tmp_path / "NCEP_2T.nc")
    assert_same(open_data(tmp_path, ("t2m",)), wanted)


def test_one_time_as_a_scalar_coordinate(tmp_path):
    wanted = truth(("msl",), steps=1)
    wanted.isel(time=0).rename(time="valid_time").to_netcdf(tmp_path / "now.nc")
    assert_same(open_data(tmp_path, ("msl",)), wanted)


def test_a_moved_copy_opens_alike(tmp_path):
    wanted = truth(("z500", "msl"), steps=2)
    first = cds_new(wanted, tmp_path / "a")
    shutil.copytree(first, tmp_path / "b" / "c")
    xr.testing.assert_identical(open_data(first), open_data(tmp_path / "b"))
