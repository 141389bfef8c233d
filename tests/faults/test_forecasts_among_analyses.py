"""A forecast is never read as an analysis: it is left out with a note, or refused where nothing else is there."""

import numpy as np
import pytest
import xarray as xr
from grib_files import message, write_grib
from gridded import EAST, HOUR, NORTH, START, fields, notes, opened, refusal, write
from synthetic import tiny_trained, wave_dataset
from verbs import INIT

import pinnwx
from pinnwx.errors import PinnwxError
from pinnwx.forecasting.cf import weatherbench2_view
from pinnwx.forecasting.runs import new_run

LAST = START + 18 * HOUR


def forecast(steps=4) -> xr.Dataset:
    """t2m at 6, 12, ... h after the last analysis, which no coordinate says."""
    return fields(steps=steps, start=LAST + 6 * HOUR, seed=9)


def leads(dataset, units="hours", **attributes):
    return ("time", 6 * np.arange(1, dataset.sizes["time"] + 1), {"units": units, **attributes})


def test_report_02_a_forecast_file_among_analyses(tmp_path):
    """The four analyses are read, bit for bit, and a note names the file and what it starts from."""
    analyses, dataset = fields(), forecast()
    write(analyses, tmp_path / "d" / "analyses.nc")
    dataset["forecast_reference_time"] = ((), LAST, {"standard_name": "forecast_reference_time"})
    dataset["forecast_period"] = leads(dataset, standard_name="forecast_period")
    write(dataset, tmp_path / "d" / "forecast.nc")
    found = opened(tmp_path / "d")
    np.testing.assert_array_equal(found["t2m"].values, analyses["t2m"].values)
    np.testing.assert_array_equal(found["time"].values, analyses["time"].values)
    report = pinnwx.check(tmp_path / "d")
    assert report.ok
    assert report.steps == 4
    (note,) = notes(tmp_path / "d")
    assert note.startswith("d/forecast.nc: left out: a forecast from 2020-01-01T18:00Z, 6 to 24 h ahead")
    assert "a forecast from 2020-01-01T18:00Z" in refusal(tmp_path / "d" / "forecast.nc")
    assert "a forecast from 2020-01-01T18:00Z" in refusal(tmp_path / "d" / "forecast.nc", ["t2m"])


def starting(dataset):
    return dataset.assign_coords(time=("time", dataset["time"].values, {"standard_name": "forecast_reference_time"}))


@pytest.mark.parametrize("standard_name", ["forecast_period", None])
@pytest.mark.parametrize(
    "name",
    [
        "forecast_period", "leadtime", "lead", "lead_time", "step", "prediction_timedelta", "forecast_hour", "fhour",
        "forecastHour", "lead_time_hours", "fcst_hour", "forecast_time", "ftime", "forecast_lead_time", "leads",
    ],
)  # fmt: skip
def test_report_03_a_lead_under_any_name(tmp_path, name, standard_name):
    """Fields of 24 h ahead, dated by their start: refused; read a day later where forecasts are asked for."""
    dataset = fields()
    attributes = {"units": "hours", **({"standard_name": standard_name} if standard_name else {})}
    path = write(starting(dataset).assign_coords({name: ((), 24, attributes)}), tmp_path / "x.nc")
    assert "24 h ahead" in refusal(path)
    later = opened(path, forecasts=True)
    np.testing.assert_array_equal(later["time"].values, dataset["time"].values + 24 * HOUR)
    zero = write(starting(dataset).assign_coords({name: ((), 0, attributes)}), tmp_path / "zero.nc")
    np.testing.assert_array_equal(opened(zero)["time"].values, dataset["time"].values)


def along_lead(name, attributes, hours=(6, 12)):
    """(time, lead, lat, lon), time being the start, as WeatherBench 2 and cfgrib lay forecasts out."""
    dataset = fields()
    many = xr.concat([dataset["t2m"]] * len(hours), name).transpose("time", name, ...).to_dataset(name="t2m")
    return many.assign_coords({name: (name, np.asarray(hours), attributes)})


LAYOUTS = {
    "a dimension of hours": along_lead("lead", {"units": "hours"}),
    "one step of many": along_lead("step", {"units": "hours"}, [24]),
    "a dimension without a coordinate": along_lead("leadtime", {}).drop_vars("leadtime"),
    "one without a coordinate": along_lead("leadtime", {}, [6]).drop_vars("leadtime"),
    "a timedelta": along_lead("whatever", {"units": "nanoseconds", "dtype": "timedelta64[ns]"}, [6 * 3600 * 10**9]),
    "known by its long name": along_lead("dt", {"units": "hours", "long_name": "lead time since start"}, [6]),
    "days of a seasonal forecast": along_lead("forecast_period", {"units": "days"}, [30]),
    "without units": along_lead("lead", {}, [1]),
    "steps of no length": along_lead("fstep", {}, [3]),
    "missing": along_lead("lead_time", {"units": "hours"}, [np.nan]),
    "hours beside a reference time": fields()
    .assign_coords(time=("time", [6, 12, 18, 24], {"units": "hours"}))
    .assign_coords(reftime=((), START, {"standard_name": "forecast_reference_time"})),
    "CAMS": along_lead("forecast_period", {"units": "hours"}, [3]).rename(time="forecast_reference_time"),
    "a reference time before the time": forecast().assign_coords(reftime=((), LAST)),
    "many reference times": forecast().assign_coords(
        init_time=("time", forecast()["time"].values - 12 * HOUR, {"long_name": "initialisation time"})
    ),
    "LDM": forecast()
    .rename(time="valtime")
    .assign_coords(
        reftime=("valtime", [LAST] * 4, {"long_name": "reference time"}),
        valtime_offset=("valtime", [6, 12, 18, 24], {"units": "hours", "long_name": "hours from reference time"}),
    ),
    "wgrib2": forecast().assign_coords(
        time=(
            "time",
            forecast()["time"].values,
            {"reference_time_description": "forecast or accumulated, reference date is fixed"},
        )
    ),
    "only a start": starting(fields()),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_layout_of_a_forecast_is_read_as_analyses(tmp_path, layout):
    said = refusal(write(LAYOUTS[layout], tmp_path / "x.nc"))
    assert "x.nc" in said
    assert "forecast" in said


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "only a start"])
def test_analyses_beside_a_forecast_are_read_alone(tmp_path, layout):
    analyses = write(fields(), tmp_path / "analyses.nc")
    alone = opened(analyses)
    write(LAYOUTS[layout], tmp_path / "x.nc")
    xr.testing.assert_identical(opened(tmp_path), alone)
    (note,) = [note for note in notes(tmp_path) if "x.nc" in note]
    assert "left out: a forecast" in note


MIXED = {
    "a dimension": along_lead("lead_time", {"units": "hours"}, [0, 6, 12]),
    "the analysis last": along_lead("step", {"units": "hours"}, [12, 0]),
    "timedeltas": along_lead("prediction_timedelta", {"units": "seconds", "dtype": "timedelta64[ns]"}, [0, 21600]),
    "along time": fields(steps=8)
    .isel(time=[0, 1, 2, 3, 4, 5, 6, 7])
    .assign_coords(time=("time", START + np.repeat(np.arange(4), 2) * 6 * HOUR, {"standard_name": "time"}))
    .assign_coords(forecast_period=("time", [0, 6] * 4, {"units": "hours", "standard_name": "forecast_period"})),
    "two dimensions of valid times": along_lead("ahead", {}, [0, 6])
    .rename(time="forecast_reference_time")
    .drop_vars("ahead")
    .assign_coords(
        valid_time=(
            ("forecast_reference_time", "ahead"),
            fields()["time"].values[:, None] + np.array([0, 6]) * HOUR,
            {"standard_name": "time"},
        )
    ),
}


def with_other_leads(dataset: xr.Dataset) -> xr.Dataset:
    """Ten degrees warmer wherever the lead is not zero."""
    changed = dataset.copy(deep=True)
    for name in ("lead_time", "step", "prediction_timedelta", "forecast_period"):
        if name in changed.coords:
            zero = np.asarray(changed[name].values.astype(float) == 0)
            changed["t2m"] = changed["t2m"] + xr.DataArray(np.where(zero, 0, 10), dims=changed[name].dims)
    if "valid_time" in changed.coords:
        changed["t2m"] = changed["t2m"] + xr.DataArray([0, 10], dims="ahead")
    changed["t2m"] = changed["t2m"].transpose(*dataset["t2m"].dims).astype("f4").assign_attrs(units="K")
    return changed


@pytest.mark.parametrize("layout", MIXED)
@pytest.mark.parametrize("store", ["netcdf", "zarr"])
def test_of_mixed_leads_the_analyses_are_read(tmp_path, layout, store):
    """As of GRIB: what lies at lead zero is an analysis; the rest is left out, and the note says so."""
    dataset = with_other_leads(MIXED[layout])
    path = tmp_path / f"x.{'nc' if store == 'netcdf' else 'zarr'}"
    dataset.to_netcdf(path) if store == "netcdf" else dataset.to_zarr(path, zarr_format=2)
    found = opened(path)
    wanted = fields(steps=8).isel(time=slice(None, None, 2)) if layout == "along time" else fields()
    np.testing.assert_array_equal(found["t2m"].values, wanted["t2m"].values)
    np.testing.assert_array_equal(found["time"].values, fields()["time"].values)
    (note,) = (note for note in notes(path) if "left out" in note)
    assert "left out: a forecast" in note
    assert "its analyses at lead 0 are read" in note


@pytest.mark.parametrize("said", [{"GRIB_stepType": "accum"}, {"cell_methods": "time: sum"}, {"GRIB_stepType": "max"}])
def test_sums_and_extremes_since_the_start_are_no_analyses_at_lead_zero(tmp_path, said):
    """There they are of no time: zero, or what is no extreme."""
    dataset = MIXED["a dimension"].copy()
    dataset["t2m"].attrs |= said
    assert "a forecast" in refusal(write(dataset, tmp_path / "x.nc"))
    if "GRIB_stepType" in said:
        assert "a forecast" in refusal(write(dataset.isel(lead_time=[0]), tmp_path / "zero.nc"))


def test_what_pinnwx_wrote_is_no_analysis_at_lead_zero_either(tmp_path):
    dataset = MIXED["a dimension"].assign_attrs(source="pinnwx 1.0", title="Forecast by x")
    assert "a forecast" in refusal(write(dataset, tmp_path / "x.nc"))


def test_ncl_says_the_lead_in_an_attribute_of_the_variable(tmp_path):
    dataset = fields()
    dataset["t2m"].attrs |= {"forecast_time": np.int32(24), "forecast_time_units": "hours"}
    assert "24 hours ahead" in refusal(write(dataset, tmp_path / "x.nc"))
    dataset["t2m"].attrs["forecast_time"] = np.int32(0)
    assert opened(write(dataset, tmp_path / "zero.nc")).sizes["time"] == 4


def test_leads_of_zero_are_of_analyses(tmp_path):
    """What cfgrib makes of analyses: a start, a step of zero and a valid time that is the start."""
    wanted = opened(write(fields(), tmp_path / "plain.nc"))
    dataset = starting(fields()).assign_coords(step=((), 0.0, {"units": "hours", "standard_name": "forecast_period"}))
    dataset = dataset.assign_coords(valid_time=("time", dataset["time"].values, {"standard_name": "time"}))
    xr.testing.assert_identical(opened(write(dataset, tmp_path / "x.nc")), wanted)
    flat = dataset.expand_dims(step=[0]).transpose("time", "step", ...)
    xr.testing.assert_identical(opened(write(flat, tmp_path / "y.nc")), wanted)
    equal = fields().assign_coords(reftime=("time", fields()["time"].values, {"long_name": "reference time"}))
    xr.testing.assert_identical(opened(write(equal, tmp_path / "z.nc")), wanted)


@pytest.mark.parametrize("name", ["valid_time", "valtime"])
def test_a_valid_time_that_stands_still_is_no_valid_time(tmp_path, name):
    """A lead of zero to 18 h over one and the same `valid_time`: it is the start, and the leads say so."""
    dataset = along_lead("step", {"units": "hours"}, [6]).rename(time=name)
    assert "6 h ahead" in refusal(write(dataset, tmp_path / "x.nc"))


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """A folder with analyses, and what pinnwx writes from them."""
    folder = tmp_path_factory.mktemp("ours")
    run = new_run(folder / "run")
    run.publish(tiny_trained(), {"seed": 0})
    data = folder / "data" / "analyses.nc"
    write(wave_dataset(80), data)
    made = {
        "forecast": pinnwx.forecast(run.folder, data, init=INIT, hours=24),
        "ensemble": pinnwx.forecast(run.folder, data, init=INIT, hours=12, members=2),
        "budget": pinnwx.explain(run.folder, data, init=INIT, hours=12),
        "attribution": pinnwx.explain(run.folder, data, init=INIT, hours=12, target="msl@52,10"),
    }
    made["weatherbench2"] = weatherbench2_view(made["forecast"])
    made["mean"] = made["ensemble"].isel(realization=0, drop=True)
    made["stripped"] = made["forecast"].drop_attrs(deep=False)
    made["without leads"] = made["forecast"].drop_vars(["forecast_period", "forecast_reference_time"])
    return folder, made


KINDS = ["forecast", "ensemble", "budget", "attribution", "weatherbench2", "mean", "stripped", "without leads"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_pinnwx_writes_is_no_analysis(ours, tmp_path, kind):
    folder, made = ours
    alone = opened(folder / "data")
    write(wave_dataset(80), tmp_path / "analyses.nc")
    write(made[kind], tmp_path / "made.nc")
    xr.testing.assert_identical(opened(tmp_path), alone)
    assert pinnwx.check(tmp_path).ok
    assert isinstance(opened(tmp_path / "made.nc"), PinnwxError)


def test_a_run_folder_among_the_data_adds_nothing(ours, tmp_path):
    folder, _ = ours
    alone = opened(folder / "data" / "analyses.nc")
    xr.testing.assert_identical(opened([folder / "data" / "analyses.nc", folder / "run"]), alone)


def test_a_forecast_in_the_data_folder_changes_no_forecast(ours, tmp_path):
    folder, made = ours
    write(wave_dataset(80), tmp_path / "data" / "analyses.nc")
    write(made["forecast"], tmp_path / "data" / "made.nc")
    again = pinnwx.forecast(folder / "run", tmp_path / "data", init=INIT, hours=24)
    for name in ("msl", "t850"):
        np.testing.assert_array_equal(again[name], made["forecast"][name])
    assert pinnwx.forecast(folder / "run", tmp_path / "data", hours=6)["time"].values[0] == np.datetime64("2026-01-21")


def test_verify_still_reads_forecasts_as_forecasts(ours, tmp_path):
    folder, _ = ours
    path = tmp_path / "made.nc"
    pinnwx.forecast(folder / "run", folder / "data", init=INIT, hours=24, out=path)
    alone = pinnwx.verify(path, folder / "data").to_dict()["scores"]
    assert pinnwx.verify(path, [folder / "data", path]).to_dict()["scores"] == alone


@pytest.mark.parametrize("member", [0, 3])
def test_one_member_of_an_ensemble_is_not_taken_silently(tmp_path, member):
    dataset = fields().assign_coords(number=((), member, {"standard_name": "realization"}))
    path = write(dataset, tmp_path / "x.nc")
    assert opened(path).sizes["time"] == 4
    assert any(f"member {member} of an ensemble (number)" in note for note in notes(path)) == bool(member)


def test_all_members_of_an_ensemble_are_refused(tmp_path):
    assert 'has 3 values along "number"' in refusal(write(fields().expand_dims(number=3), tmp_path / "x.nc"))


def test_a_forecast_whose_times_may_be_either_is_refused_as_a_boundary_too(tmp_path):
    dataset = fields().assign_coords(step=((), 24, {"units": "hours"}))
    said = opened(write(dataset, tmp_path / "x.nc"), forecasts=True)
    assert "time may be the start of the forecast or its valid time" in str(said)


@pytest.mark.parametrize("said", [{"GRIB_dataType": "an"}, {"forecast_time": np.int32(0)}])
def test_a_start_alone_is_the_time_of_what_is_said_to_be_an_analysis(tmp_path, said):
    dataset = starting(fields())
    dataset["t2m"].attrs |= said
    found = opened(write(dataset, tmp_path / "x.nc"))
    np.testing.assert_array_equal(found["time"].values, fields()["time"].values)


def test_a_grib_forecast_is_read_at_its_valid_time_where_forecasts_are_asked_for(tmp_path):
    pytest.importorskip("eccodes")
    values = fields()["t2m"].values[0]
    made = [message(values + step, NORTH, EAST, short_name="2t", date=20200101, time=0, step=step) for step in (6, 12)]
    path = write_grib(tmp_path / "x.grib", *made)
    assert isinstance(opened(path), PinnwxError)
    found = opened(path, forecasts=True)
    np.testing.assert_array_equal(found["time"].values, START + np.array([6, 12]) * HOUR)
    np.testing.assert_allclose(found["t2m"].values[1], values + 12, atol=1e-3)
