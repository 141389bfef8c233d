"""The forecast file keeps what it is given, is CF, and is never half written; a place is found on any grid."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from pinnwx.errors import DataError, MissingInputError, OutputError, StabilityError, UsageError
from pinnwx.forecasting.cf import (
    ensemble_mean,
    forecast_dataset,
    lead_hours,
    point,
    read_forecast,
    reference_time,
    weatherbench2_view,
    write_forecast,
)
from pinnwx.grid import Grid
from pinnwx.variables import VARIABLES, Variable

GRID = Grid.parse("22.5deg")
NAMES = ("z500", "t850", "msl", "t2m", "vo850")
INIT = np.datetime64("2026-02-11T18:00", "ns")
LEADS = (6, 12, 24, 72)
PROVENANCE = {"model_hash": "a1" * 32, "data_hash": "b2" * 32, "versions": {"jax": "0.10.2"}, "seed": 3}


def example(leads=LEADS, grid=GRID, names=NAMES, **options) -> xr.Dataset:
    fields = np.random.default_rng(0).standard_normal((len(leads), len(names), *grid.shape)).astype(np.float32)
    return forecast_dataset(fields, names, grid, INIT, leads, provenance=PROVENANCE, **options)


def linear_field(grid: Grid, slopes=(3.0, 2.0), start=100.0) -> xr.Dataset:
    """start + latitude slope + longitude slope, at two leads; the second is twice the first."""
    latitude, longitude = np.asarray(grid.latitude)[:, None], np.asarray(grid.longitude)
    plane = start + slopes[0] * latitude + slopes[1] * longitude
    fields = np.stack([plane, 2 * plane])[:, None].astype(np.float32)
    return forecast_dataset(fields, ("msl",), grid, INIT, (6, 12), provenance={})


def test_round_trip(tmp_path):
    dataset = example()
    write_forecast(dataset, tmp_path / "f.nc")
    back = read_forecast(tmp_path / "f.nc")
    xr.testing.assert_identical(back, dataset)
    assert all(back[name].dtype == np.float32 for name in NAMES)
    assert back["z500"].dims == ("time", "latitude", "longitude")
    assert reference_time(back) == INIT
    np.testing.assert_array_equal(lead_hours(back), LEADS)
    write_forecast(back, tmp_path / "again.nc")
    xr.testing.assert_identical(read_forecast(tmp_path / "again.nc"), dataset)


def ensemble(members=3) -> xr.Dataset:
    fields = np.random.default_rng(1).standard_normal((members, len(LEADS), len(NAMES), *GRID.shape))
    return forecast_dataset(fields.astype(np.float32), NAMES, GRID, INIT, LEADS, provenance=PROVENANCE)


def test_an_ensemble_keeps_its_members(tmp_path):
    dataset = ensemble()
    write_forecast(dataset, tmp_path / "f.nc")
    back = read_forecast(tmp_path / "f.nc")
    xr.testing.assert_identical(back, dataset)
    assert back["z500"].dims == ("realization", "time", "latitude", "longitude")
    assert back["realization"].attrs["standard_name"] == "realization"
    mean = ensemble_mean(back)
    assert mean["msl"].dims == ("time", "latitude", "longitude")
    assert mean["msl"].attrs["units"] == "Pa"
    np.testing.assert_allclose(mean["msl"], dataset["msl"].mean("realization"))
    xr.testing.assert_identical(ensemble_mean(example()), example())
    assert point(back, 10, 20).sizes == {"realization": 3, "time": 4}
    assert weatherbench2_view(back).sizes["prediction_timedelta"] == 4


def test_of_an_ensemble_the_time_that_is_not_finite_is_named(tmp_path):
    broken = ensemble()
    broken["msl"].values[2, 1, 0, 0] = np.nan
    with pytest.raises(StabilityError, match="msl is not finite at 2026-02-12T06:00Z"):
        write_forecast(broken, tmp_path / "f.nc")
    assert not (tmp_path / "f.nc").exists()


@pytest.mark.parametrize("options", [{}, {"decode_timedelta": True}, {"decode_timedelta": False}])
def test_xarray_opens_it_with_decoded_times(tmp_path, options):
    """However a reader takes "hours", the valid times are times and our lead times are hours."""
    write_forecast(example(), tmp_path / "f.nc")
    with xr.open_dataset(tmp_path / "f.nc", **options) as opened:
        expected = INIT + np.array(LEADS, dtype="timedelta64[h]")
        np.testing.assert_array_equal(opened["time"].values.astype("datetime64[ns]"), expected)
        assert opened["forecast_reference_time"].values.astype("datetime64[ns]") == INIT
        assert set(opened.coords) >= {"time", "forecast_reference_time", "forecast_period"}
        np.testing.assert_array_equal(lead_hours(opened), LEADS)


def test_fractional_leads(tmp_path):
    write_forecast(example((0.25, 1.5)), tmp_path / "f.nc")
    back = read_forecast(tmp_path / "f.nc")
    np.testing.assert_array_equal(lead_hours(back), (0.25, 1.5))
    np.testing.assert_array_equal(back["forecast_period"], (0.25, 1.5))


def test_what_stands_in_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("PINNWX_NOW", "2026-02-12T03:04:05+01:00")
    write_forecast(example(), tmp_path / "f.nc")
    with netCDF4.Dataset(tmp_path / "f.nc") as raw:
        assert raw.data_model == "NETCDF4"
        assert raw.Conventions == "CF-1.11"
        assert raw.history.startswith("2026-02-12T02:04Z")
        assert {"title", "institution", "source", "references", "model_hash", "data_hash"} <= set(raw.ncattrs())
        assert json.loads(raw.versions) == {"jax": "0.10.2"}
        assert raw.seed == 3
        time = raw["time"]
        assert time.dtype == np.int64
        assert (time.units, time.calendar) == ("seconds since 1970-01-01", "standard")
        assert raw["forecast_period"].units == "hours"
        assert raw["forecast_reference_time"].shape == ()
        assert raw["z500"].pressure_level == 500
        assert raw["z500"].standard_name == "geopotential"
        assert "pressure_level" not in raw["t2m"].ncattrs()
        assert raw["t2m"].units_metadata == "temperature: on_scale"
        for name in NAMES:
            filters = raw[name].filters()
            assert filters["zlib"]
            assert filters["fletcher32"]
            assert "_FillValue" not in raw[name].ncattrs()
        for name in ("time", "latitude", "longitude"):
            assert "_FillValue" not in raw[name].ncattrs()
            assert raw[name].filters()["fletcher32"]


def test_the_same_forecast_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setenv("PINNWX_NOW", "2026-02-12T03:00")
    files = [tmp_path / "one.nc", tmp_path / "two.nc"]
    for path, zone in zip(files, ("UTC", "Asia/Tokyo"), strict=True):
        monkeypatch.setenv("TZ", zone)
        write_forecast(example(), path)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_variables_of_the_users_own():
    own = Variable("tracer", "", "Tracer", "kg m-3", 0.0, 1.0)
    dataset = example(names=("tracer",), variables={**VARIABLES, "tracer": own})
    assert dataset["tracer"].attrs == {"long_name": "Tracer", "units": "kg m-3", "cell_methods": "time: point"}
    with pytest.raises(DataError, match="unknown variable"):
        example(names=("nothing",))


@pytest.mark.parametrize("leads", [(6, 6), (12, 6)])
def test_leads_must_ascend(leads):
    with pytest.raises(UsageError, match="ascending"):
        example(leads)


def test_a_compliance_checker_finds_nothing(tmp_path):
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    checker = shutil.which("compliance-checker", path=folders)
    if checker is None:
        pytest.skip("compliance-checker is not installed")
    write_forecast(example(), tmp_path / "f.nc")
    command = [checker, "--test=cf:1.11", "--criteria=strict", str(tmp_path / "f.nc")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_written(tmp_path, value):
    dataset = example()
    dataset["t850"][2, 3, 4] = value
    with pytest.raises(StabilityError, match="t850 is not finite at 2026-02-12T18:00Z"):
        write_forecast(dataset, tmp_path / "f.nc")
    assert not list(tmp_path.iterdir())


def test_an_existing_file_stays_without_force(tmp_path):
    path = tmp_path / "f.nc"
    path.write_text("precious")
    with pytest.raises(OutputError, match="--force"):
        write_forecast(example(), path)
    assert path.read_text() == "precious"
    write_forecast(example(), path, force=True)
    xr.testing.assert_identical(read_forecast(path), example())


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(5, "Input/output error")])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, error):
    """Even where the disk says so no sooner than when what was written is flushed."""
    path = tmp_path / "f.nc"
    write_forecast(example(), path)
    before = path.read_bytes()

    def failing(handle):
        raise error

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OutputError, match=rf"cannot write .*f\.nc: {error.strerror}"):
        write_forecast(example((6,)), path, force=True)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["f.nc"]


def test_no_folder_no_file(tmp_path):
    with pytest.raises(OutputError, match="no folder"):
        write_forecast(example(), tmp_path / "absent" / "f.nc")


def test_what_is_no_forecast_is_refused(tmp_path):
    path = tmp_path / "f.nc"
    with pytest.raises(MissingInputError):
        read_forecast(path)
    for content in (b"", b"<html>404</html>", b"CDF\x01 too short"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read"):
            read_forecast(path)
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(path)
    with pytest.raises(DataError, match="no coordinate time, latitude"):
        read_forecast(path)


def test_damage_is_noticed(tmp_path):
    """A truncated file and flipped bits are refused, or harmless: never read as another forecast.

    The checksum of HDF5 alone does not do it: bits of its chunk index changed values unnoticed.
    """
    path = tmp_path / "f.nc"
    expected, refused = example(grid=Grid.parse("5.625deg")), 0
    write_forecast(expected, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(DataError):
        read_forecast(path)
    for position in np.random.default_rng(0).integers(0, len(whole), 200):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << int(position % 8)
        path.write_bytes(flipped)
        try:
            back = read_forecast(path)
        except DataError:
            refused += 1
        else:  # the bit was in the mark of the seal
            xr.testing.assert_identical(back, expected)
    assert refused > 195


def test_a_damaged_file_is_given_to_no_library(tmp_path, monkeypatch):
    """They may crash on it, or never come to an end."""
    path = tmp_path / "f.nc"
    write_forecast(example(), path)
    whole = path.read_bytes()
    monkeypatch.setattr("pinnwx.forecasting.cf.require_self_contained", lambda _: pytest.fail("it was parsed"))
    for position in (0, len(whole) // 2, len(whole) - 90, len(whole) - 10):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(DataError, match="differ from those that were written"):
            read_forecast(path)


def test_a_file_may_be_opened_to_append(tmp_path):
    """By the netCDF library, with what it appends."""
    path = tmp_path / "f.nc"
    write_forecast(example(), path)
    with netCDF4.Dataset(path, "a") as raw:
        raw.createVariable("extra", "f4", ("time", "latitude"))[:] = 1.0
    with xr.open_dataset(path) as opened:
        assert (opened["extra"] == 1).all()
        np.testing.assert_array_equal(opened["t850"], example()["t850"])


def test_texts_are_of_fixed_length(tmp_path):
    """As the netCDF library writes them: `char` to ncdump, which tools of any age read."""
    write_forecast(example(), tmp_path / "f.nc")
    with h5py.File(tmp_path / "f.nc") as file:
        for owner in (file, *file.values()):
            for name in owner.attrs:
                kind = owner.attrs.get_id(name).get_type()
                assert not (isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str()), name


def test_an_edited_file_is_refused_until_it_says_so(tmp_path):
    path = tmp_path / "f.nc"
    write_forecast(example(), path)
    with netCDF4.Dataset(path, "a") as raw:
        raw["t850"][0, 0, 0] = 7.0
    with pytest.raises(DataError, match="delete its attribute content_sha256"):
        read_forecast(path)
    with netCDF4.Dataset(path, "a") as raw:
        del raw.content_sha256
    assert read_forecast(path)["t850"][0, 0, 0] == 7.0


def test_weatherbench2_view():
    dataset = example()
    view = weatherbench2_view(dataset)
    assert view["z500"].sizes == {"time": 1, "prediction_timedelta": 4, "latitude": 8, "longitude": 16}
    assert view["time"].values == [INIT]
    np.testing.assert_array_equal(view["prediction_timedelta"], np.array(LEADS, dtype="timedelta64[h]"))
    step = view["z500"].sel(time=INIT, prediction_timedelta=np.timedelta64(24, "h"))
    np.testing.assert_array_equal(step, dataset["z500"].sel(time=INIT + np.timedelta64(24, "h")))
    assert "time" in view["z500"].dims
    assert dataset["z500"].dims == ("time", "latitude", "longitude")  # untouched


def test_nearest_is_the_cell_that_holds_the_place():
    dataset = example()
    west_of_greenwich = point(dataset, 30, -11)  # cell of 0 E: 11.25 W to 11.25 E
    assert west_of_greenwich["longitude"] == 0.0
    xr.testing.assert_equal(point(dataset, 30, 349), west_of_greenwich)
    assert point(dataset, 30, -12)["longitude"] == 337.5
    assert point(dataset, 90, 0)["latitude"] == pytest.approx(78.75)
    np.testing.assert_array_equal(west_of_greenwich["t850"], dataset["t850"].values[:, 5, 0])
    assert west_of_greenwich["t850"].dims == ("time",)
    assert west_of_greenwich["t850"].attrs["units"] == "K"
    assert west_of_greenwich["t850"].dtype == np.float32


@settings(deadline=None, max_examples=40)
@given(st.floats(-78.75, 78.75), st.floats(0, 337.5), st.integers(-2, 2))
def test_linear_is_exact_on_linear_fields(latitude, longitude, turns):
    place = point(linear_field(GRID), latitude, longitude + 360 * turns, method="linear")
    expected = 100 + 3 * latitude + 2 * longitude
    np.testing.assert_allclose(place["msl"], [expected, 2 * expected], rtol=0, atol=1e-3)  # float32 of up to 2000


@settings(deadline=None, max_examples=40)
@given(st.floats(30, 45), st.floats(-20, 10))
def test_linear_is_exact_on_a_box_across_greenwich(latitude, longitude):
    box = Grid.from_coordinates(np.arange(30, 46.5, 1.5), np.arange(-20, 10.5, 1.5))
    for turn in (0, 360):
        place = point(linear_field(box), latitude, longitude + turn, method="linear")
        assert float(place["msl"][0]) == pytest.approx(100 + 3 * latitude + 2 * longitude, abs=1e-3)


def test_linear_closes_the_globe():
    """Between the last column and the first: halfway is the mean of both, and nothing jumps."""
    dataset = example()
    halfway = point(dataset, GRID.latitude[3], 360 - 11.25, method="linear")
    columns = dataset["msl"].values[:, 3, [-1, 0]]
    np.testing.assert_allclose(halfway["msl"], columns.mean(axis=1), rtol=1e-6)
    for longitude, column in ((359.999999, 0), (337.5, -1), (-22.5, -1), (360.0, 0)):
        at_column = point(dataset, GRID.latitude[3], longitude, method="linear")
        np.testing.assert_allclose(at_column["msl"], dataset["msl"].values[:, 3, column], atol=1e-5)


def test_linear_keeps_the_last_row_up_to_the_pole():
    dataset = example()
    np.testing.assert_array_equal(point(dataset, 90, 45, "linear")["msl"], dataset["msl"].values[:, -1, 2])
    np.testing.assert_array_equal(point(dataset, -85, 45, "linear")["msl"], dataset["msl"].values[:, 0, 2])


def test_outside_is_refused():
    box = linear_field(Grid.from_coordinates(np.arange(30, 46.5, 1.5), np.arange(-20, 10.5, 1.5)))
    edges = {"linear": (30, 45, -20, 10), "nearest": (29.25, 45.75, -20.75, 10.75)}
    for method, (south, north, west, east) in edges.items():
        for latitude, longitude in ((south, west), (north, east)):
            point(box, latitude, longitude, method)
        outside = ((south - 0.01, 0), (north + 0.01, 0), (40, west - 0.01), (40, east + 0.01), (40, 180))
        for latitude, longitude in outside:
            with pytest.raises(UsageError, match="outside the grid"):
                point(box, latitude, longitude, method)
    with pytest.raises(UsageError, match="outside"):
        point(example(), 90.5, 0)
    with pytest.raises(UsageError, match="method"):
        point(example(), 0, 0, "cubic")
    with pytest.raises(UsageError, match="outside"):
        point(example(), float("nan"), 0)


def test_linear_does_not_hide_missing_values():
    dataset = example()
    dataset["msl"][0, 3, 2] = np.nan
    assert np.isnan(point(dataset, GRID.latitude[3] + 1, 46, "linear")["msl"][0])
