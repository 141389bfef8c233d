"""Every netCDF file as services write them: `open_data` gives what the netCDF library reads raw, place by place."""

import netCDF4
import numpy as np
import pytest

from pinnwx.data.open import check_data, open_data, open_with_report
from pinnwx.errors import DataError
from pinnwx.variables import describe

pytestmark = pytest.mark.real_data

GRAVITY = 9.80665
# canonical name -> (variable of the file, its level, factor)
FILES = {
    "cyclone_20070101.nc": {
        "z500": ("z", 500, 1.0), "z850": ("z", 850, 1.0), "t500": ("t", 500, 1.0), "t850": ("t", 850, 1.0)
    },
    "era5_norway_static.nc": {"orography": ("z", None, 1 / GRAVITY), "lsm": ("lsm", None, 1.0)},
}  # fmt: skip


@pytest.fixture
def formats(real_data):
    return real_data / "formats"


def test_every_netcdf_file_is_looked_at(formats):
    assert {path.name for path in formats.glob("*.nc")} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_it_agrees_with_the_netcdf_library(formats, name):
    with netCDF4.Dataset(formats / name) as raw:
        time = raw["valid_time" if "valid_time" in raw.variables else "time"]
        instants = netCDF4.num2date(time[:], time.units, only_use_cftime_datetimes=False)
        north, east = np.asarray(raw["latitude"][:], "f8"), np.asarray(raw["longitude"][:], "f8") % 360
        wanted = {}
        for canonical, (variable, level, factor) in FILES[name].items():
            values = np.ma.filled(raw[variable][:], np.nan)
            values = values if level is None else values[:, list(raw["level"][:]).index(level)]
            wanted[canonical] = values * factor
    found, report = open_with_report(formats / name)
    assert report.ok
    assert set(found) == set(wanted)
    rows = np.searchsorted(found["latitude"].values, north - 1e-3)
    columns = [int(np.abs((found["longitude"].values - place + 180) % 360 - 180).argmin()) for place in east]
    np.testing.assert_allclose(found["latitude"].values[rows], north, atol=1e-4)
    np.testing.assert_allclose(found["longitude"].values[columns] % 360, east, atol=1e-4)
    for canonical, values in wanted.items():
        if "time" in found[canonical].dims:
            np.testing.assert_array_equal(found["time"].values, np.array(list(instants), "datetime64[ns]"))
        else:
            assert describe(canonical).static
            values = values[0]
        placed = found[canonical].values[..., rows, :][..., columns]
        np.testing.assert_allclose(placed, values, rtol=2e-7, atol=0)


def test_surface_geopotential_is_on_no_pressure_level(formats):
    with pytest.raises(DataError, match="z500 not in the data; found: orography, lsm"):
        open_data(formats / "era5_norway_static.nc", ["z500"], levels={"z": 500})


def test_check_says_what_was_taken_for_an_axis(formats):
    (file,) = check_data(formats / "cyclone_20070101.nc").files
    assert file.axes == (
        "time from time: 2007-01-01T12:00Z", "pressure levels 500 to 850 millibars (level)",
        "latitude from latitude (181)", "longitude from longitude (360)",
    )  # fmt: skip
