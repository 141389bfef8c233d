"""The traps that real files set: each is normalised, or refused in one line that names file, variable and remedy."""

from datetime import date

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import BOX, GLOBE, POLES, assert_same, cds_new, cds_old, grib, hours_since, packed, truth, weatherbench2

from pinnwx.config import VariableSettings
from pinnwx.data.open import check_data, open_data, open_with_report
from pinnwx.data.quality import stuck_steps
from pinnwx.errors import DataError, GridError, MissingInputError, UnavailableError
from pinnwx.variables import VARIABLES, Variable


def write(dataset: xr.Dataset, path, **options):
    for variable in dataset.variables.values():
        variable.encoding.setdefault("_FillValue", None)
    dataset.to_netcdf(path, **options)
    return path


def problems(path, severity="error", **options):
    return [str(problem) for problem in check_data(path, **options).problems if problem.severity == severity]


def refused(path, pattern, fields=None, error=DataError, **options):
    """`open_data` raises, and `check_data` reports the same without raising."""
    with pytest.raises(error, match=pattern) as caught:
        open_data(path, fields, **options)
    assert "\n" not in str(caught.value)
    report = check_data(path, **{key: options[key] for key in options.keys() & {"levels", "variables"}})
    assert not report.ok
    return caught.value


# ---- order, orientation and type: the same dataset, bit for bit ----


def rewrap(dataset: xr.Dataset, convention: str) -> xr.Dataset:
    longitude = dataset["longitude"]
    wrapped = {"0..360": longitude % 360, "-180..180": (longitude + 180) % 360 - 180, "-360..0": longitude % 360 - 360}
    return dataset.assign_coords(longitude=wrapped[convention]).sortby("longitude")


@settings(max_examples=25, deadline=None)
@given(
    grid=st.sampled_from([GLOBE, POLES, BOX]),
    descending=st.booleans(),
    convention=st.sampled_from(["0..360", "-180..180", "-360..0"]),
    dims=st.permutations(["time", "latitude", "longitude"]),
    dtype=st.sampled_from([np.float32, np.float64]),
    jitter=st.floats(-2e-5, 2e-5),
    times=st.permutations(range(4)),
)
def test_order_and_orientation_do_not_matter(
    tmp_path_factory, grid, descending, convention, dims, dtype, jitter, times
):
    folder = tmp_path_factory.mktemp("orders")
    wanted = truth(("msl",), grid, steps=4)
    plain = open_data(write(wanted, folder / "plain.nc"))
    other = rewrap(wanted.isel(time=list(times)), convention).isel(latitude=slice(None, None, -1 if descending else 1))
    other = other.assign_coords({axis: (other[axis] + jitter).astype(dtype) for axis in ("latitude", "longitude")})
    found = open_data(write(other.transpose(*dims), folder / "other.nc"))
    xr.testing.assert_identical(found, plain)
    assert_same(found, wanted)


def test_longitude_is_0_to_360_around_the_globe_and_contiguous_on_a_box(tmp_path):
    globe = truth(("msl",), GLOBE, steps=1)
    globe = globe.assign_coords(longitude=(globe["longitude"] + 180) % 360 - 180).sortby("longitude")
    assert tuple(open_data(write(globe, tmp_path / "g.nc"))["longitude"].values) == GLOBE.longitude
    box = truth(("msl",), BOX, steps=1)
    greenwich = box.assign_coords(longitude=box["longitude"] % 360).sortby("longitude")
    assert tuple(open_data(write(greenwich, tmp_path / "b.nc"))["longitude"].values) == BOX.longitude
    pacific = box.assign_coords(longitude=(box["longitude"] + 190 + 180) % 360 - 180).sortby("longitude")
    found = open_data(write(pacific, tmp_path / "p.nc"))["longitude"].values
    np.testing.assert_array_equal(found, np.arange(170.0, 206.0, 5.0))


def test_a_repeated_meridian_is_dropped(tmp_path):
    wanted = truth(("msl",), GLOBE, steps=2)
    last = wanted.isel(longitude=[0]).assign_coords(longitude=[360.0])
    found, report = open_with_report(write(xr.concat([wanted, last], "longitude"), tmp_path / "x.nc"))
    assert_same(found, wanted)
    assert any("repeated longitude" in note for note in report.files[0].normalised)
    last["msl"].values[1, 3] += 100
    refused(write(xr.concat([wanted, last], "longitude"), tmp_path / "y.nc"), "have the same meridian but differ")


def test_float32_and_float64_coordinates_in_two_files_are_one_grid(tmp_path):
    first = truth(("msl",), BOX).assign_coords(latitude=np.arange(30.0, 61.0, 5.0) + 1e-7)
    write(first, tmp_path / "a.nc")
    second = truth(("t850",), BOX)
    write(
        second.assign_coords({axis: second[axis].astype("f4") for axis in ("latitude", "longitude")}),
        tmp_path / "t850.nc",
    )
    assert open_data(tmp_path, ("msl", "t850")).sizes == {"time": 6, "latitude": 7, "longitude": 8}


@pytest.mark.parametrize("fill", [np.int16(-32767), np.float64(-32767.0), None])
def test_packed_values_with_any_fill_value(tmp_path, fill):
    wanted = truth(("msl",), BOX)
    integers, attributes = packed(wanted["msl"].values)
    attributes = {
        key: value for key, value in attributes.items() if "_" in key and key[0] != "_" and key != "missing_value"
    }
    if fill is not None:
        integers[2] = -32767
        attributes["missing_value"] = fill
    out = wanted.assign(msl=(("time", "latitude", "longitude"), integers, {**attributes, "units": "Pa"}))
    found = open_data(write(out, tmp_path / "p.nc"))
    assert_same(found, wanted if fill is None else wanted.drop_isel(time=2), 1e-5)


def test_float64_is_cast(tmp_path):
    wanted = truth(("msl",), BOX)
    assert_same(open_data(write(wanted.astype("f8"), tmp_path / "x.nc")), wanted)


# ---- units and ranges ----


@pytest.mark.parametrize(
    ("name", "units", "factor", "offset"),
    [
        ("msl", "hPa", 0.01, 0), ("msl", "millibars", 0.01, 0), ("msl", "Pa", 1, 0), ("t2m", "degC", 1, -273.15),
        ("t2m", "degrees_celsius", 1, -273.15), ("t850", "kelvin", 1, 0), ("z500", "m", 1 / 9.80665, 0),
        ("z500", "gpm", 1 / 9.80665, 0), ("z500", "m^2/s^2", 1, 0), ("z500", "m**2 s**-2", 1, 0),
        ("z500", "J kg-1", 1, 0),
        ("q850", "g/kg", 1000, 0), ("q850", "1", 1, 0), ("u10", "knots", 3600 / 1852, 0), ("u10", "m/s", 1, 0),
    ],
)  # fmt: skip
def test_units_are_converted(tmp_path, name, units, factor, offset):
    wanted = truth((name,), BOX, steps=2)
    given_ = wanted.astype("f8") * factor + offset
    given_[name].attrs["units"] = units
    found = open_data(write(given_, tmp_path / "x.nc"))
    np.testing.assert_allclose(found[name].values, wanted[name].values, rtol=1e-6)
    assert found[name].attrs["units"] == VARIABLES[name.rstrip("0123456789") if name not in VARIABLES else name].units


@pytest.mark.parametrize(
    ("name", "units", "factor", "offset", "hint"),
    [
        ("t2m", "K", 1, -273.15, "looks like degC"), ("msl", "Pa", 0.01, 0, "looks like hPa"),
        ("z500", "m2 s-2", 1 / 9.80665, 0, "looks like m "), ("z850", "m2 s-2", 1 / 9.80665, 0, "looks like m "),
        ("q850", "kg kg-1", 1000, 0, "looks like g kg-1"), ("z500", None, 1 / 9.80665, 0, "looks like m "),
        ("msl", None, 0.01, 0, "looks like hPa"),
    ],
)  # fmt: skip
def test_wrong_units_are_refused_never_guessed(tmp_path, name, units, factor, offset, hint):
    wanted = truth((name,), BOX, steps=2).astype("f8")
    if name == "z850":
        wanted = wanted - 54000 + 14000
    given_ = wanted * factor + offset
    if units:
        given_[name].attrs["units"] = units
    error = refused(write(given_, tmp_path / f"{name}.nc"), hint)
    assert name in str(error)
    assert "2020-02-27T00:00Z" in str(error)


def test_unknown_units_are_refused(tmp_path):
    dataset = truth(("msl",), BOX)
    dataset["msl"].attrs["units"] = "furlongs"
    refused(write(dataset, tmp_path / "x.nc"), 'units "furlongs" do not convert to Pa; known are Pa, hPa, kPa')


def test_missing_units_are_said(tmp_path):
    path = write(truth(("msl",), BOX), tmp_path / "x.nc")
    assert any("no units" in text for text in problems(path, "warning"))


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        (np.nan, r"1 missing value\(s\) \(NaN\)"), (np.inf, r"1 infinite"), (-np.inf, r"1 infinite"),
        (-9999.0, "fill value"), (9.96921e36, "fill value"), (1e20, "fill value"), (-32767.0, "fill value"),
        (2e5, "outside 85000 to 110000 Pa"),
    ],
)  # fmt: skip
def test_one_bad_cell_is_refused_with_its_place(tmp_path, value, pattern):
    dataset = truth(("msl",), BOX)
    dataset["msl"].values[3, 2, 1] = value
    error = refused(write(dataset, tmp_path / "bad.nc"), pattern)
    for text in ("bad.nc", "msl", "2020-02-27T18:00Z", "40 N -15 E"):
        assert text in str(error)


def test_a_sentinel_inside_a_wide_range_is_found(tmp_path):
    table = {**VARIABLES, "melt": Variable("melt", "", "Melt", "m", -1e5, 1e5)}
    dataset = truth(("msl",), BOX).rename(msl="melt")
    dataset["melt"].attrs["units"] = "m"
    dataset["melt"].values[:] = 5.0
    dataset["melt"].values[0, 0, 0] = -9999.0
    refused(write(dataset, tmp_path / "x.nc"), "fill value", variables=table)


def test_values_beyond_float32_are_refused(tmp_path):
    dataset = truth(("msl",), BOX).astype("f8")
    dataset["msl"].values[0, 0, 0] = 1e300
    refused(write(dataset, tmp_path / "x.nc"), "infinite")


# ---- times ----


def test_unsorted_times_are_sorted_with_a_warning(tmp_path):
    wanted = truth(("msl",), BOX)
    path = write(wanted.isel(time=[3, 0, 1, 5, 4, 2]), tmp_path / "x.nc")
    assert_same(open_data(path), wanted)
    assert any("not in order" in text for text in problems(path, "warning"))


def test_identical_duplicates_are_dropped_with_a_warning(tmp_path, caplog):
    wanted = truth(("msl",), BOX)
    path = write(wanted.isel(time=[0, 1, 1, 2, 3, 4, 5, 5]), tmp_path / "x.nc")
    assert_same(open_data(path), wanted)
    assert "2 repeated step(s)" in caplog.text
    write(wanted.isel(time=[4, 5]), tmp_path / "overlap.nc")
    assert_same(open_data(tmp_path), wanted)


def test_conflicting_duplicates_are_refused(tmp_path):
    wanted = truth(("msl",), BOX)
    write(wanted, tmp_path / "a.nc")
    other = wanted.isel(time=[5]).copy(deep=True)
    other["msl"].values[0, 1, 1] += 10
    write(other, tmp_path / "b.nc")
    refused(tmp_path, r"b.nc: msl: 2020-02-28T06:00Z is stored twice, with values that differ by up to 10 Pa")


def test_overlapping_packed_files_may_differ_by_their_packing(tmp_path):
    wanted = truth(("z500",), BOX)
    cds_old(wanted, tmp_path / "all")
    cds_old(wanted.isel(time=slice(4, 6)), tmp_path / "late")
    assert_same(open_data(tmp_path, ("z500",)), wanted, 1e-4)


def test_a_step_without_any_value_is_a_missing_step(tmp_path, caplog):
    wanted = truth(("msl", "t850"), BOX)
    holed = wanted.copy(deep=True)
    holed["msl"].values[2] = np.nan
    found = open_data(write(holed, tmp_path / "x.nc"))
    assert_same(found, wanted.drop_isel(time=2))
    assert "1 step(s) without values left out, the first 2020-02-27T12:00Z" in caplog.text


def test_only_common_times_are_kept_and_the_others_counted(tmp_path, caplog):
    wanted = truth(("msl", "t850"), BOX)
    write(wanted[["msl"]].isel(time=slice(0, 4)), tmp_path / "a.nc")
    write(wanted[["t850"]].isel(time=slice(1, 6)), tmp_path / "b.nc")
    assert_same(open_data(tmp_path, ("msl", "t850")), wanted.isel(time=slice(1, 4)))
    assert "msl: 1 step(s) left out" in caplog.text
    assert "t850: 2 step(s) left out" in caplog.text


def test_no_common_time_is_unavailable(tmp_path):
    wanted = truth(("msl", "t850"), BOX)
    write(wanted[["msl"]].isel(time=slice(0, 3)), tmp_path / "a.nc")
    write(wanted[["t850"]].isel(time=slice(3, 6)), tmp_path / "b.nc")
    with pytest.raises(UnavailableError, match="no time has all of t850, msl"):
        open_data(tmp_path)


def test_a_period_is_read_alone_and_includes_its_last_day(tmp_path):
    wanted = truth(("msl",), BOX, steps=12)
    path = write(wanted, tmp_path / "x.nc")
    assert_same(open_data(path, start="2020-02-27T12:00", end="2020-02-28"), wanted.isel(time=slice(2, 8)))
    with pytest.raises(UnavailableError, match="from 2021-01-01 to the end"):
        open_data(path, start="2021-01-01")


def test_gaps_are_reported(tmp_path):
    path = write(truth(("msl",), BOX).drop_isel(time=[2, 3]), tmp_path / "x.nc")
    report = check_data(path)
    assert report.ok
    assert report.gaps == (("2020-02-27T06:00Z", "2020-02-28T00:00Z"),)


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "julian", "all_leap"])
def test_calendars_without_real_dates_are_refused(tmp_path, calendar):
    dataset = truth(("msl",), BOX)
    dims, hours, attributes = hours_since(dataset, "2000-01-01")
    dataset = dataset.assign_coords(time=(dims, hours, {**attributes, "calendar": calendar}))
    refused(write(dataset, tmp_path / "x.nc"), f'calendar "{calendar}".*convert_calendar')


_SINCE_YEAR_ONE = 24 * (date(2020, 2, 27).toordinal() - 1 + 2)  # CF's mixed calendar is Julian then: two days more


@pytest.mark.parametrize(
    ("values", "units"),
    [
        (np.arange(6) / 4.0, "days since 2020-02-27"),
        (np.arange(6) * 0.25 + 0.5, "days since 2020-02-26 12:00:0.0"),
        (np.arange(6) * 21600, "seconds since 2020-02-27T00:00:00"),
        (np.arange(6, dtype="f4") * 6, "hours since 2020-2-27"),
        (np.arange(6) * 360, "minutes since 2020-02-27"),
        (np.arange(6) * 6 + 1, "hours since 2020-02-27 00:00:00 +01:00"),
        (np.arange(6) * 6 + _SINCE_YEAR_ONE, "hours since 0001-01-01 00:00:00"),
    ],
)
def test_times_in_any_unit(tmp_path, values, units):
    wanted = truth(("msl",), BOX)
    given_ = wanted.assign_coords(time=("time", values, {"units": units}))
    assert_same(open_data(write(given_, tmp_path / "x.nc")), wanted)


@pytest.mark.parametrize("units", ["days since 0850-01-01", "days since 5000-01-01"])
def test_times_that_nanoseconds_cannot_hold_are_refused(tmp_path, units):
    dataset = truth(("msl",), BOX).assign_coords(time=("time", np.arange(6), {"units": units}))
    refused(write(dataset, tmp_path / "x.nc"), "outside the years 1678 to 2261")


def test_times_without_a_reference_are_refused(tmp_path):
    dataset = truth(("msl",), BOX).assign_coords(time=("time", np.arange(6), {"units": "hours"}))
    refused(write(dataset, tmp_path / "x.nc"), 'time has units "hours"')


def test_forecasts_are_not_taken_for_analyses(tmp_path):
    dataset = truth(("msl",), BOX).expand_dims(prediction_timedelta=[6, 12])
    refused(write(dataset, tmp_path / "x.nc"), "a forecast.*6 to 12")


def test_a_valid_time_that_is_the_reference_time_is_of_analyses(tmp_path):
    wanted = truth(("msl",), BOX)
    both = wanted.assign_coords(valid_time=("time", wanted["time"].values))
    assert_same(open_data(write(both, tmp_path / "x.nc")), wanted)


def test_a_valid_time_after_the_start_is_of_a_forecast(tmp_path):
    """Refused among analyses; read at its valid time where forecasts are asked for."""
    wanted = truth(("msl",), BOX)
    start = wanted["time"].values - np.timedelta64(6, "h")
    forecast = wanted.assign_coords(valid_time=("time", wanted["time"].values), time=start)
    path = write(forecast, tmp_path / "x.nc")
    refused(path, "a forecast from 2020-02-26T18:00Z to 2020-02-28T00:00Z, 6 h ahead")
    assert_same(open_data(path, forecasts=True), wanted)


def test_expver_as_a_dimension_is_merged(tmp_path):
    wanted = truth(("msl",), BOX)
    final, preliminary = wanted.copy(deep=True), wanted.copy(deep=True)
    final["msl"].values[4:] = np.nan
    preliminary["msl"].values[:4] += 100  # superseded
    both = xr.concat([preliminary, final], xr.DataArray([5, 1], dims="expver", name="expver"))
    found, report = open_with_report(write(both, tmp_path / "x.nc"))
    assert_same(found, wanted)
    assert any("preliminary" in note for note in report.files[0].normalised)


# ---- names, levels, grids ----


def test_a_missing_variable_lists_the_names_found(tmp_path):
    path = cds_new(truth(("z500", "msl"), BOX), tmp_path)
    with pytest.raises(DataError, match="t850 not in the data; found: z500, msl"):
        open_data(path, ("t850", "z500"))


def test_a_missing_level_lists_the_levels_found(tmp_path):
    path = weatherbench2(truth(("z500", "z850")), tmp_path)
    with pytest.raises(DataError, match="z700 not in the data; found: z500, z850"):
        open_data(path, ("z700",))


def test_a_level_may_be_in_a_name_or_an_option_else_it_is_refused(tmp_path):
    wanted = truth(("z500",), BOX)
    bare = wanted.rename(z500="z")
    bare["z"].attrs["units"] = "m2 s-2"
    path = write(bare, tmp_path / "download_2020.nc")
    refused(path, "levels = { z = 500 }")
    with pytest.raises(DataError, match=r"z500 not in the data; found: nothing;.*levels = { z = 500 }"):
        open_data(path, ("z500",))
    assert_same(open_data(path, levels={"z": 500}), wanted)
    for name in ("z500.nc", "Z_500_2020.nc", "geopotential_500_5.625deg.nc", "era_500hPa_2020.nc", "NCEP_z500.nc"):
        named = write(bare, tmp_path / name)
        assert_same(open_data(named), wanted)
        named.unlink()
    (tmp_path / "geopotential_500").mkdir()
    assert_same(open_data(write(bare, tmp_path / "geopotential_500" / "1979.nc")), wanted)


def test_a_name_and_a_coordinate_that_disagree_on_the_level_are_refused(tmp_path):
    """What `sel(level=500)` leaves behind, after t850 from elsewhere has been put into the same file."""
    dataset = truth(("z500", "t850"), BOX).assign_coords(level=500)
    refused(write(dataset, tmp_path / "x.nc"), "t850: is named for 850 hPa, but its level coordinate says 500 hPa")


def test_a_pressure_axis_in_pascal(tmp_path):
    wanted = truth(("z500",), BOX)
    bare = wanted.rename(z500="z").expand_dims(plev=[50000.0])
    bare["plev"].attrs["units"] = "Pa"
    assert_same(open_data(write(bare, tmp_path / "x.nc")), wanted)


def test_two_grids_at_once_are_refused(tmp_path):
    write(truth(("msl",), BOX), tmp_path / "a.nc")
    write(truth(("t850",), GLOBE), tmp_path / "b.nc")
    refused(tmp_path, "two grids at once: .*b.nc is global 12 x 24.*a.nc is regional 7 x 8", error=GridError)


def test_a_box_does_not_cover_the_globe(tmp_path):
    path = write(truth(("msl",), BOX), tmp_path / "a.nc")
    with pytest.raises(GridError, match="do not cover the requested grid"):
        open_data(path, grid="5.625deg")


def test_uneven_coordinates_are_refused(tmp_path):
    dataset = truth(("msl",), BOX).assign_coords(latitude=[30.0, 35, 40, 45, 51, 55, 60])
    refused(write(dataset, tmp_path / "x.nc"), "evenly spaced")


def test_ensembles_are_refused(tmp_path):
    refused(write(truth(("msl",), BOX).expand_dims(number=3), tmp_path / "x.nc"), 'has 3 values along "number"')


def test_a_wind_at_100_metres_is_no_wind_at_100_hectopascals(tmp_path):
    dataset = truth(("u10",), BOX).rename(u10="u100")
    dataset["u100"].attrs.update(units="m s-1", long_name="100 metre U wind component")
    with pytest.raises(DataError, match="u100 not in the data"):
        open_data(write(dataset, tmp_path / "x.nc"), ("u100",))


def test_a_users_own_variable(tmp_path):
    def table_of(alias: str) -> dict[str, Variable]:
        entry = VariableSettings(units="mm", minimum=0, maximum=500, aliases=(alias,))
        return {**VARIABLES, "rain": entry.variable("rain")}

    table = table_of("tp")
    dataset = truth(("msl",), BOX).rename(msl="tp")
    dataset["tp"].values[:] = 0.003
    dataset["tp"].attrs["units"] = "m"
    path = write(dataset, tmp_path / "x.nc")
    np.testing.assert_allclose(open_data(path, ("rain",), variables=table)["rain"].values, 3.0, rtol=1e-6)
    with pytest.raises(DataError, match="no variable of the table"):
        open_data(path)
    own = open_data(write(dataset.rename(tp="slp"), path), variables=table_of("slp"))
    assert list(own.data_vars) == ["rain"]


# ---- damaged files ----


def test_nothing_there(tmp_path):
    for path in (tmp_path / "none.nc", str(tmp_path / "*.nc"), [], tmp_path):
        with pytest.raises(MissingInputError):
            open_data(path)
        with pytest.raises(MissingInputError):
            check_data(path)


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (b"", "is empty"), (b"<!DOCTYPE html><html>503</html>", "an HTML page"), (b"junk" * 100, "not netCDF"),
        (b"CDF\x05" + b"\0" * 44, "no variable"), (b"CDF\x01\0\0", "damaged"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 99, "damaged"),
    ],
)  # fmt: skip
def test_files_that_only_look_like_data(tmp_path, content, pattern):
    (tmp_path / "x.nc").write_bytes(content)
    refused(tmp_path / "x.nc", pattern)


@pytest.mark.parametrize("format", ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT"])
@pytest.mark.parametrize("share", [0.999, 0.9, 0.5, 0.1])
def test_a_truncated_file_is_refused(tmp_path, format, share):
    path = write(truth(("msl", "t850"), BOX, steps=40), tmp_path / "x.nc", format=format, unlimited_dims=["time"])
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path, "damaged or incomplete|truncated")


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("chunks", [(1, 4, 8), (6, 4, 8), (2, 7, 4)])
def test_a_step_of_which_a_chunk_is_missing_is_refused(tmp_path, zarr_format, chunks):
    path = tmp_path / "x.zarr"
    truth(("msl",), BOX).to_zarr(path, zarr_format=zarr_format, encoding={"msl": {"chunks": chunks}})
    chunk = max(child for child in (path / "msl").rglob("*") if child.is_file() and child.name[-1].isdigit())
    chunk.unlink()
    refused(path, r'1 of \d+ chunks of "msl" are absent')


@pytest.mark.parametrize("fill", [0.0, -9999.0])
def test_a_missing_chunk_that_reads_as_values_is_refused(tmp_path, fill):
    path = tmp_path / "x.zarr"
    encoding = {"msl": {"chunks": (1, *BOX.shape), "_FillValue": fill}}
    truth(("msl",), BOX).to_zarr(path, zarr_format=2, encoding=encoding)
    (path / "msl" / "5.0.0").unlink()
    refused(path, '1 of 6 chunks of "msl" are absent')


@pytest.mark.parametrize("place", [0, 1])
def test_a_missing_shard_is_a_gap_or_refused(tmp_path, place):
    path = tmp_path / "x.zarr"
    shape = (BOX.shape[0], BOX.shape[1] // (1 + place))
    chunks = {"msl": {"chunks": (1, *shape), "shards": (2, *shape)}}
    wanted = truth(("msl",), BOX)
    wanted.to_zarr(path, zarr_format=3, encoding=chunks)
    assert_same(open_data(path), wanted)
    (path / "msl" / "c" / "1" / "0" / str(place)).unlink()
    if place:
        refused(path, 'chunks of "msl" are absent')
    else:
        assert_same(open_data(path), wanted.drop_isel(time=[2, 3]))


@pytest.mark.parametrize("share", [0.98, 0.6])  # half of it would be whole messages
def test_truncated_grib_is_refused(tmp_path, share):
    path = grib(truth(("msl", "z500"), steps=2), tmp_path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused(path, "truncated")


def test_a_broken_grib_message_is_not_skipped(tmp_path):
    path = grib(truth(("msl",), steps=3), tmp_path)
    content = path.read_bytes()
    second = content.index(b"7777") - 4
    path.write_bytes(content[:second] + b"\0\0\0\0\0\0\0\0" + content[second + 8 :])
    refused(path, "damaged or incomplete")


def test_check_collects_every_problem_at_once(tmp_path):
    wanted = truth(("msl", "t850"), BOX)
    wanted["msl"].values[0, 0, 0] = np.nan
    wanted["t850"].values[1, 1, 1] = 1e30
    write(wanted, tmp_path / "a.nc")
    (tmp_path / "b.nc").write_bytes(b"<html>")
    found = problems(tmp_path)
    assert len(found) == 3
    assert all(any(text in problem for problem in found) for text in ("HTML", "NaN", "fill value"))


def test_stuck_steps_and_spikes_are_flagged(tmp_path):
    wanted = truth(("msl",), GLOBE, steps=8)
    smooth = (
        101325
        + 800 * np.sin(np.deg2rad(wanted["longitude"].values)) * np.cos(np.deg2rad(wanted["latitude"].values))[:, None]
    )
    wanted["msl"].values[:] = smooth + 30 * np.random.default_rng(0).standard_normal((8, 1, 1))
    assert problems(write(wanted, tmp_path / "a.nc"), "warning")[1:] == []
    wanted["msl"].values[5] = wanted["msl"].values[4]
    wanted["msl"].values[2, 6, 7] += 6000
    found = problems(write(wanted, tmp_path / "a.nc"), "warning")
    assert any("1 step(s) repeat the previous step, the first 2020-02-28T06:00Z" in text for text in found)
    assert any("a spike at 2020-02-27T12:00Z, 7.5 N 105 E" in text for text in found)
    assert check_data(tmp_path / "a.nc").ok
    wanted["msl"].values[7] = wanted["msl"].values[6]
    newest = problems(write(wanted, tmp_path / "a.nc"))
    assert any("the first 2020-02-28T18:00Z" in text and "the newest analysis" in text for text in newest)


def test_a_field_that_changes_all_at_once_is_flagged(tmp_path):
    """Shifted as a whole, or swapped for another time's, it passes every check of its cells."""
    wanted = truth(("msl",), GLOBE, steps=12)
    waves = 101325 + 800 * np.sin(np.deg2rad(wanted["longitude"].values))
    wanted["msl"].values[:] = waves + np.arange(12)[:, None, None]
    write(wanted, tmp_path / "a.nc")
    assert not [text for text in problems(tmp_path / "a.nc", "warning") if "jump" in text]
    wanted["msl"].values[5:] += 1500
    (found,) = (text for text in problems(write(wanted, tmp_path / "a.nc"), "warning") if "jump" in text)
    assert "a jump to 2020-02-28T06:00Z: 150" in found


@pytest.mark.parametrize("every", [2, 4])
def test_a_field_that_is_told_daily_is_not_stuck_until_it_is(every):
    told = np.arange(20) // every
    values = np.random.default_rng(0).standard_normal((20, 4, 8)).astype(np.float32)[told]
    assert not stuck_steps(values).any()
    values[16:] = values[16 - 1]
    assert np.flatnonzero(stuck_steps(values)).tolist() == [16, 17, 18, 19]


@pytest.mark.parametrize("length", [1, 5, 11])
def test_a_field_stuck_for_long_is_stuck(length):
    """However long nobody looked: it does not become usual."""
    values = np.random.default_rng(0).standard_normal((12, 4, 8)).astype(np.float32)
    values[12 - length :] = values[11 - length]
    assert np.flatnonzero(stuck_steps(values)).tolist() == list(range(12 - length, 12))
    assert not stuck_steps(values[:1]).any()
