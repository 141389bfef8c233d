"""Faults 1 to 32: what is wrong with the data. Refused in one line with exit 65 and nothing written, or the forecast is
that from the good data."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from synthetic import tiny_trained, wave_dataset
from verbs import fields_of, pinnwx

from pinnwx.data.archive import Archive
from pinnwx.data.open import check_data, open_data
from pinnwx.errors import DataError
from pinnwx.forecasting.runs import new_run

USED = 61  # the step that the forecast starts from
TIME = "2026-01-16T06:00Z"


def same(path: Path, expected: xr.Dataset, tolerance: float = 0.0) -> None:
    """The forecast fields are the expected ones, to a share of their range."""
    found = fields_of(path)
    assert found.keys() == set(expected.data_vars)
    for name, values in found.items():
        wanted = expected[name].to_numpy()
        np.testing.assert_allclose(values, wanted, rtol=0, atol=tolerance * float(np.ptp(wanted)))


def test_01_an_empty_file(forecast, tmp_path):
    (tmp_path / "bad.nc").touch()
    forecast(tmp_path / "bad.nc").refused(65, "bad.nc", "the file is empty", "fetch it again")


def test_02_an_html_page_named_nc(forecast, tmp_path):
    (tmp_path / "bad.nc").write_text("<!DOCTYPE html><html><body>503 Service Unavailable</body></html>")
    forecast(tmp_path / "bad.nc").refused(65, "bad.nc", "not netCDF", "an HTML page")


@pytest.mark.parametrize("number", [pytest.param("03", id="03"), pytest.param("04", id="04")])
def test_03_04_a_truncated_file(forecast, damaged, number):
    path = damaged(lambda _: None, format={"03": "NETCDF4", "04": "NETCDF3_64BIT"}[number])
    content = path.read_bytes()
    path.write_bytes(content[: int(0.6 * len(content))])
    forecast(path).refused(65, "bad.nc", "damaged or incomplete")


def flip(path: Path, offset: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1 << bit
    path.write_bytes(content)


def test_05_a_flipped_bit(forecast, damaged, expected):
    """A checksum of the storage layer finds any; without one, the range check finds what matters most."""
    stored = wave_dataset(80)["msl"].values.tobytes()  # steps may repeat each other, the whole does not
    cell = USED * 8 * 16 * 4 + 400
    checked = damaged(lambda _: None, encoding={name: {"fletcher32": True} for name in ("msl", "t850")})
    flip(checked, checked.read_bytes().index(stored[:4096]) + 400)
    forecast(checked).refused(65, "bad.nc", "damaged or incomplete")
    plain = damaged(lambda _: None, name="plain.nc")
    flip(plain, plain.read_bytes().index(stored) + cell + 3, bit=6)  # the exponent
    forecast(plain).refused(65, "plain.nc", "msl", TIME)


def test_06_a_variable_is_missing(forecast, damaged):
    forecast(damaged(lambda d: d.drop_vars("t850"))).refused(65, "t850 not in the data", "found: msl")


def test_07_a_level_is_missing(forecast, damaged):
    def only_500(dataset):
        return dataset.rename(t850="t").expand_dims(level=[500]).transpose("time", "level", ...)

    forecast(damaged(only_500)).refused(65, "t850 not in the data", "t500")


def put(name: str, value: float, step: int = USED):
    """A change that puts this value into one cell."""

    def change(dataset: xr.Dataset) -> None:
        dataset[name].values[step, 3, 5] = value

    return change


def test_08_one_missing_cell(forecast, damaged):
    forecast(damaged(put("msl", np.nan))).refused(65, "bad.nc", "msl", "1 missing value(s) (NaN)", TIME, "-11.25 N")


def test_09_a_step_without_values_is_a_missing_step(forecast, damaged, expected, tmp_path):
    def emptied(step):
        def change(dataset):
            dataset["msl"].values[step] = np.nan

        return change

    path = damaged(emptied(USED - 5))
    assert "1 step(s) without values left out" in forecast(path).did()
    same(tmp_path / "f.nc", expected)
    forecast(damaged(emptied(USED), "other.nc"), out="g.nc").refused(69, "no analysis at 2026-01-16T06:00Z")


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_10_an_infinite_value(forecast, damaged, value):
    forecast(damaged(put("t850", value))).refused(65, "bad.nc", "t850", "infinite", TIME)


@pytest.mark.parametrize("value", [-9999.0, 9.96921e36])
def test_11_a_fill_value_without_attribute(forecast, damaged, value):
    forecast(damaged(put("msl", value))).refused(65, "bad.nc", "msl", "fill value", "_FillValue")


def relabelled(name: str, factor: float, offset: float, units: str):
    def change(dataset: xr.Dataset) -> None:
        dataset[name].values[:] = dataset[name].values * factor + offset
        dataset[name].attrs["units"] = units

    return change


def test_12_celsius_labelled_kelvin(forecast, damaged):
    forecast(damaged(relabelled("t850", 1, -273.15, "K"))).refused(65, "t850", "looks like degC")


def test_13_geopotential_in_metres(tmp_path):
    """Converted where the units say so, else refused."""
    waves = wave_dataset(80, names=("msl", "t850")).rename(t850="z500")
    waves["z500"].values[:] = 5.5e4 + 60 * (waves["z500"].values - 280)
    made = new_run(tmp_path / "run")
    text = tiny_trained().config_text.replace('"t850"', '"z500"')
    waves["z500"].attrs["units"] = "m2 s-2"
    made.publish(tiny_trained(text, Archive.from_dataset(waves, ("msl", "z500"))), {})
    answers = {}
    for name, factor, units in (("phi", 1, "m2 s-2"), ("height", 1 / 9.80665, "m"), ("lie", 1 / 9.80665, "m2 s-2")):
        given = waves.copy(deep=True)
        given["z500"].values[:] *= factor
        given["z500"].attrs["units"] = units
        given.to_netcdf(tmp_path / f"{name}.nc")
        answers[name] = pinnwx(
            "forecast", "--run", made.folder, "--data", tmp_path / f"{name}.nc", "--hours", 12,
            "--out", tmp_path / f"f-{name}.nc",
        )  # fmt: skip
    answers["phi"].did(), answers["height"].did()
    answers["lie"].refused(65, "z500", "looks like m (geopotential height)")
    with xr.open_dataset(tmp_path / "f-phi.nc") as wanted:
        same(tmp_path / "f-height.nc", wanted, 1e-4)


def test_14_hectopascal_labelled_pascal(forecast, damaged):
    forecast(damaged(relabelled("msl", 0.01, 0, "Pa"))).refused(65, "msl", "looks like hPa")


@pytest.mark.parametrize("number", ["15", "16", "17"])
def test_15_16_17_order_and_orientation_do_not_matter(forecast, damaged, expected, tmp_path, number):
    changes = {
        "15": lambda d: d.isel(latitude=slice(None, None, -1)),
        "16": lambda d: d.assign_coords(longitude=(d["longitude"] + 180) % 360 - 180).sortby("longitude"),
        "17": lambda d: d.transpose("time", "longitude", "latitude"),
    }
    forecast(damaged(changes[number])).did()
    same(tmp_path / "f.nc", expected)


def test_18_double_precision_or_packed(forecast, damaged, expected, tmp_path):
    forecast(damaged(lambda d: d.astype("f8"))).did()
    same(tmp_path / "f.nc", expected)
    packing = {
        "msl": {"dtype": "i2", "scale_factor": 0.5, "add_offset": 1.0e5, "_FillValue": -32767},
        "t850": {"dtype": "i2", "scale_factor": 2e-3, "add_offset": 280.0, "_FillValue": -32767},
    }
    forecast(damaged(lambda _: None, "packed.nc", encoding=packing), out="g.nc").did()
    same(tmp_path / "g.nc", expected, 2e-3)


def test_19_another_grid_is_averaged_with_a_notice(forecast, damaged):
    def finer(dataset):
        places = {"latitude": np.arange(-84.375, 90, 11.25), "longitude": np.arange(0, 360, 11.25)}
        return dataset.reindex(places, method="nearest")

    assert "averaged conservatively from" in forecast(damaged(finer)).did()


def test_20_a_box_for_a_global_model(forecast, damaged):
    box = damaged(lambda d: d.isel(latitude=slice(2, 6), longitude=slice(0, 8)))
    forecast(box).refused(65, "cover")


def test_21_a_step_twice_and_equal(forecast, damaged, expected, tmp_path):
    twice = damaged(lambda d: d.isel(time=[*range(80), USED - 5, USED]))
    assert "2 repeated step(s) with equal values dropped" in forecast(twice).did()
    same(tmp_path / "f.nc", expected)


def test_22_a_step_twice_and_different(forecast, damaged):
    def change(dataset):
        again = dataset.isel(time=[USED]).copy(deep=True)
        again["msl"].values[0, 2, 2] += 100
        return xr.concat([dataset, again], "time")

    forecast(damaged(change)).refused(65, "bad.nc", "msl", TIME, "is stored twice")


def test_23_unsorted_times(forecast, damaged, expected, tmp_path):
    shuffled = damaged(lambda d: d.isel(time=np.random.default_rng(0).permutation(80)))
    assert "times are not in order; sorted" in forecast(shuffled).did()
    same(tmp_path / "f.nc", expected)


def test_24_no_pair_spans_a_missing_step(run, damaged, tmp_path):
    path = damaged(lambda d: d.drop_isel(time=[40]))  # 2026-01-11T00
    options = ("--run", run, "--data", path, "--start", "2026-01-10", "--end", "2026-01-11", "--leads", "6,12")
    pinnwx("evaluate", *options, "--json", tmp_path / "s.json").did()
    scores = json.loads((tmp_path / "s.json").read_text())
    counts = {(entry["variable"], entry["lead_hours"]): entry["n"] for entry in scores["scores"]}
    # Of 8 initial times one is missing; for one more the truth is missing at either lead.
    assert set(counts.values()) == {6}


@pytest.mark.parametrize("calendar", ["noleap", "360_day"])
def test_25_a_calendar_without_real_dates(forecast, damaged, calendar):
    def change(dataset):
        hours = 6.0 * np.arange(80)
        attributes = {"units": "hours since 2026-01-01", "calendar": calendar}
        return dataset.assign_coords(time=("time", hours, attributes))

    forecast(damaged(change)).refused(65, "bad.nc", calendar, "convert_calendar")


def test_26_preliminary_data_are_merged_and_marked(forecast, damaged, expected, tmp_path):
    def change(dataset):
        final, preliminary = dataset.copy(deep=True), dataset.copy(deep=True)
        for name in dataset.data_vars:
            final[name].values[60:] = np.nan
            preliminary[name].values[:60] = np.nan
        return xr.concat([final, preliminary], xr.DataArray([1, 5], dims="expver", name="expver"))

    def all_preliminary(dataset):
        return dataset.assign_coords(expver=("time", np.full(80, 5)))

    for name, made in (("both.nc", change), ("new.nc", all_preliminary)):
        assert "preliminary data (expver 5)" in forecast(damaged(made, name), out=f"f-{name}").did()
        same(tmp_path / f"f-{name}", expected)
        with xr.open_dataset(tmp_path / f"f-{name}") as dataset:
            assert "may still be replaced" in dataset.attrs["preliminary"]
    assert "preliminary" not in expected.attrs


def test_27_a_stuck_field(forecast, damaged):
    def change(dataset):
        dataset["t850"].values[USED] = dataset["t850"].values[USED - 1]

    path = damaged(change)
    assert "t850: 1 step(s) repeat the previous step" in pinnwx("check", "--data", path).out
    option = ("--accept-suspicious", f"t850:stuck@{TIME}")
    forecast(path).refused(65, "t850", "repeat the previous step", TIME, " ".join(option))
    assert "accepted: t850" in forecast(path, *option).did()
    forecast(path, out="later.nc", init="2026-01-17").did()


def test_28_a_spike_in_one_cell(forecast, damaged):
    path = damaged(put("msl", 109000.0))
    assert "a spike at 2026-01-16T06:00Z, -11.25 N 112.5 E" in pinnwx("check", "--data", path).out
    forecast(path).refused(65, "msl", "a spike at", TIME, "--accept-suspicious")


def test_29_a_missing_chunk(forecast, tmp_path):
    wave_dataset(80).to_zarr(tmp_path / "x.zarr", zarr_format=2, encoding={"msl": {"chunks": (20, 4, 16)}})
    (tmp_path / "x.zarr" / "msl" / "2.0.0").unlink()
    forecast(tmp_path / "x.zarr").refused(65, "x.zarr", '1 of 8 chunks of "msl" are absent')


def test_30_the_newest_analysis_is_too_old(forecast, good):
    clock = {"PINNWX_NOW": "2026-01-21T12:00"}  # the last analysis is of 2026-01-20T18:00
    forecast(good, "--max-age", 12, init="latest", env=clock).refused(69, "18.0 h old", "--max-age 12 h")
    forecast(good, "--max-age", 24, init="latest", env=clock).did()


def test_31_an_analysis_of_the_future(forecast, good):
    early = {"PINNWX_NOW": "2026-01-20T16:00"}
    forecast(good, init="latest", env=early).refused(65, "2026-01-20T18:00Z", "2.0 h ahead of the clock")
    forecast(good, init="latest", env={"PINNWX_NOW": "2026-01-20T17:30"}).did()


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/London", "Asia/Kolkata"])
def test_32_the_time_zone_does_not_matter(run, forecast, tmp_path, zone):
    """Across the changes to and from daylight saving time."""
    waves = wave_dataset(80)
    for start, init in (("2025-10-20", "2025-11-02T06:00"), ("2026-03-20", "2026-03-29T00:00")):
        moved = waves.assign_coords(time=np.datetime64(start, "ns") + np.arange(80) * np.timedelta64(6, "h"))
        moved.to_netcdf(tmp_path / "moved.nc")
        for name, tz in (("utc.nc", "UTC"), ("local.nc", zone)):
            (tmp_path / name).unlink(missing_ok=True)
            forecast(tmp_path / "moved.nc", out=name, init=init, env={"TZ": tz, "PINNWX_NOW": "2026-05-01"}).did()
        assert (tmp_path / "utc.nc").read_bytes() == (tmp_path / "local.nc").read_bytes()


def test_every_layout_of_damage_is_named_by_check(damaged, tmp_path):
    """`pinnwx check` of a folder with one file of each kind names every problem, as a table and as JSON."""
    folder = tmp_path / "all"
    folder.mkdir()
    kinds = {
        "empty.nc": b"",
        "page.nc": b"<html>503</html>",
        "junk.nc": b"junk" * 100,
    }
    for name, content in kinds.items():
        (folder / name).write_bytes(content)
    whole = damaged(lambda _: None)
    (folder / "cut.nc").write_bytes(whole.read_bytes()[:20000])
    changes = {
        "nan.nc": put("msl", np.nan, 5), "inf.nc": put("msl", np.inf, 15), "fill.nc": put("msl", -9999.0, 25),
        "celsius.nc": relabelled("t850", 1, -273.15, "K"), "furlongs.nc": relabelled("t850", 1, 0, "furlongs"),
    }  # fmt: skip
    parts = {
        "nan.nc": (0, 10),
        "inf.nc": (10, 20),
        "fill.nc": (20, 30),
        "celsius.nc": (30, 40),
        "furlongs.nc": (40, 50),
    }
    for name, change in changes.items():
        path = damaged(change, name)
        with xr.open_dataset(path) as dataset:
            dataset.isel(time=slice(*parts[name])).to_netcdf(folder / name)
    ended = pinnwx("check", "--data", folder, "--json", tmp_path / "check.json")
    assert ended.code == 65
    problems = json.loads((tmp_path / "check.json").read_text())["problems"]
    words = {
        "empty.nc": "is empty", "page.nc": "HTML", "junk.nc": "not netCDF", "cut.nc": "damaged", "nan.nc": "NaN",
        "inf.nc": "infinite", "fill.nc": "fill value", "celsius.nc": "looks like degC", "furlongs.nc": "furlongs",
    }  # fmt: skip
    for name, word in words.items():
        assert any(word in problem["message"] and name in str(problem) for problem in problems), name
        assert any(name in line and word in line for line in ended.out.splitlines()), name


def test_report_22_file_and_variable_are_named_once(damaged):
    """By reading and by check, which lists them in one line."""
    path = damaged(put("msl", np.nan, 5), "nan.nc")
    with pytest.raises(DataError) as refused:
        open_data(path)
    assert str(refused.value).count("nan.nc") == 1
    assert str(refused.value).count("msl") == 1
    assert "missing value(s) (NaN)" in str(refused.value)
    (problem,) = (one for one in check_data(path).problems if one.severity == "error")
    assert str(problem) == str(refused.value)
