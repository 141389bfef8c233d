"""The verdict of `check` is that of the verb it names."""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import config_text, wave_dataset
from verbs import pinnwx as verb

import pinnwx
from pinnwx.data.archive import Archive
from pinnwx.data.open import check_data, open_data
from pinnwx.errors import ConfigError, PinnwxError
from pinnwx.jobs.readiness import require_credible, require_timely


def write(dataset, path):
    dataset.to_netcdf(path)
    return path


def errors(report) -> str:
    return "; ".join(str(problem) for problem in report.problems if problem.severity == "error")


def with_surface_geopotential(dataset):
    surface = xr.full_like(dataset["msl"], 500.0)
    surface.attrs = {"units": "furlongs", "standard_name": "geopotential"}
    return dataset.assign(z=surface)


def test_report_09_what_is_unusable_beside_good_fields_condemns_nothing(tmp_path):
    path = write(with_surface_geopotential(wave_dataset(12)), tmp_path / "a.nc")
    report = pinnwx.check(path)
    assert report.ok, errors(report)
    assert set(report.fields) == {"msl", "t850"}
    assert any("z" in str(problem) for problem in report.problems if problem.severity == "note")
    assert set(open_data(path).data_vars) == {"msl", "t850"}


def test_report_09_no_common_time_is_an_error(tmp_path):
    waves = wave_dataset(12)
    write(waves[["msl"]].isel(time=slice(0, 6)), tmp_path / "a.nc")
    write(waves[["t850"]].isel(time=slice(6, 12)), tmp_path / "b.nc")
    report = pinnwx.check(tmp_path)
    assert "no time has all of t850, msl" in errors(report)
    assert report.steps == 0
    assert "would be refused" in report.verdict


def test_check_does_not_advise_to_check(tmp_path):
    waves = wave_dataset(12)
    write(waves[["msl"]].isel(time=slice(0, 6)), tmp_path / "a.nc")
    write(waves[["t850"]].isel(time=slice(6, 12)), tmp_path / "b.nc")
    assert errors(pinnwx.check(tmp_path)) == "no time has all of t850, msl"
    (tmp_path / "notes.txt").write_text("sunny\n")
    assert errors(pinnwx.check(tmp_path / "notes.txt")) == "no variable of the table in 1 file(s)"
    with pytest.raises(PinnwxError, match=r"`pinnwx check` lists them$"):
        open_data(tmp_path / "notes.txt")


def test_report_09_no_time_step_is_an_error(tmp_path):
    write(wave_dataset(4).isel(time=slice(0, 0)), tmp_path / "a.nc")
    assert "no time has all of" in errors(pinnwx.check(tmp_path / "a.nc"))


def test_a_field_without_any_value_is_refused_by_check_as_by_forecast(tmp_path):
    waves = wave_dataset(12)
    waves["msl"].values[:] = np.nan
    report = pinnwx.check(write(waves, tmp_path / "a.nc"))
    assert "no time has all of t850, msl" in errors(report)
    with pytest.raises(PinnwxError, match="no time has all of t850, msl"):
        open_data(tmp_path / "a.nc")


def test_static_fields_alone_are_nothing_to_forecast_from(tmp_path):
    waves = wave_dataset(1).isel(time=0, drop=True)
    land = waves[["msl"]].rename(msl="lsm") * 0.0
    land["lsm"].attrs["units"] = "1"
    assert "nothing to forecast from" in errors(pinnwx.check(write(land, tmp_path / "a.nc")))


def test_an_analysis_dated_ahead_of_the_clock_is_refused_by_check(tmp_path, monkeypatch):
    path = write(wave_dataset(12), tmp_path / "a.nc")
    monkeypatch.setenv("PINNWX_NOW", "2026-01-03T12:00")
    assert "2026-01-03T18:00Z is dated 6.0 h ahead of the clock" in errors(pinnwx.check(path))


CONFIGS = {
    "good": ({}, None),
    "a field that is not there": ({"fields": ("msl", "t850", "t500")}, "t500 not in the data"),
    "another step": (
        {"training": "batch_size = 8\ncurriculum = [{steps = 1, fraction = 1.0}]", "step": 5}, "5 h apart"),
    "a training time without data": ({"train": ("2020-01-01", "2020-02-01")}, "no time from 2020-01-01 to 2020-02-01"),
    "too few analyses in a row": (
        {"training": "batch_size = 8\ncurriculum = [{steps = 99, fraction = 1.0}]"},
        "holds no 100 analyses in a row 6 h apart",
    ),
    "a grid that is too fine for the box": ({"grid": "5deg", "box": True}, "do not cover the requested grid"),
    "a validation time inside": (
        {"validate": 'validate = { start = "2026-01-10", end = "2026-01-12" }'}, "overlaps data.train"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CONFIGS)
def test_what_train_refuses_check_does_not_accept(tmp_path, case):
    """One text for both, and all of it before anything is written."""
    options, expected = CONFIGS[case]
    options = dict(options)
    step, box, validate = options.pop("step", 6), options.pop("box", False), options.pop("validate", "")
    text = config_text(**options).replace("step_hours = 6", f"step_hours = {step}")
    (tmp_path / "c.toml").write_text(text.replace("[model]\n", f"{validate}\n[model]\n", 1))
    waves = wave_dataset(80)
    path = write(waves.isel(longitude=slice(0, 8)) if box else waves, tmp_path / "a.nc")
    report = pinnwx.check(path, config=tmp_path / "c.toml")
    assert report.verdict.startswith(f"`pinnwx train {tmp_path / 'c.toml'}` with these files would be ")
    if expected is None:
        assert report.ok, errors(report)
        return
    assert expected in errors(report)
    with pytest.raises(PinnwxError) as refused:
        pinnwx.train(tmp_path / "c.toml", path, tmp_path / "run")
    assert expected in str(refused.value)
    assert not (tmp_path / "run" / "versions").exists()


def test_all_problems_of_a_config_and_its_data_are_told_at_once(tmp_path):
    text = config_text(fields=("msl", "t850", "t500"), train=("2026-01-01", "2026-01-05"))
    validate = 'validate = { start = "2026-01-03", end = "2026-01-06" }'
    (tmp_path / "c.toml").write_text(text.replace("[model]\n", f"{validate}\n[model]\n", 1))
    waves = wave_dataset(40)
    waves["msl"].values[3, 2, 2] = np.nan
    waves["t850"].values[5, 2, 2] = np.inf
    with pytest.raises(PinnwxError) as refused:
        pinnwx.train(tmp_path / "c.toml", write(waves, tmp_path / "a.nc"), tmp_path / "run")
    for words in ("overlaps data.train", "t500 not in the data", "missing value(s) (NaN)", "infinite value(s)"):
        assert words in str(refused.value)
        assert words in errors(pinnwx.check(tmp_path / "a.nc", config=tmp_path / "c.toml"))
    assert "\n" not in str(refused.value)


def test_what_is_wrong_with_a_config_hides_nothing_of_its_data(tmp_path):
    """A config that is none is not read on, but its data are, where it can be known which."""
    text = config_text(training="batch_size = 0\ncurriculum = [{steps = 99, fraction = 1.0}]").replace(
        "[model]", "[modl]"
    )
    (tmp_path / "c.toml").write_text(text)
    waves = wave_dataset(40)
    waves["msl"].values[3, 2, 2] = np.nan
    path = write(waves, tmp_path / "a.nc")
    for job in (
        lambda: pinnwx.train(tmp_path / "c.toml", path, tmp_path / "run"),
        lambda: pinnwx.check(path, config=tmp_path / "c.toml"),
    ):
        with pytest.raises(ConfigError) as refused:
            job()
        for words in ("modl: Extra inputs", 'did you mean "model"?', "training.batch_size: ", "missing value(s) (NaN)"):
            assert words in str(refused.value)
        assert "holds no 100 analyses in a row 6 h apart" in str(refused.value)
    (tmp_path / "c.toml").write_text(text.replace('"msl", "t850"', '"msl", 7'))
    with pytest.raises(ConfigError) as refused:
        pinnwx.check(path, config=tmp_path / "c.toml")
    assert "NaN" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_config_is_judged_by_its_own_fields_and_time(tmp_path):
    """Damage in a field, or at a time, that training does not read condemns it not."""
    (tmp_path / "c.toml").write_text(config_text(fields=("msl",)))
    waves = wave_dataset(80)
    waves["t850"].values[3, 2, 2] = np.nan
    waves["msl"].values[79, 2, 2] = np.nan
    path = write(waves, tmp_path / "a.nc")
    report = pinnwx.check(path, config=tmp_path / "c.toml")
    assert report.ok, errors(report)
    assert report.fields == ("msl",)
    assert not pinnwx.check(path).ok


def test_check_of_a_run_is_the_verdict_of_its_forecast(run, tmp_path):
    waves = wave_dataset(80)
    waves["t850"].values[-1] = waves["t850"].values[-2]
    path = write(waves, tmp_path / "a.nc")
    ended = verb("check", "--data", path, "--run", run, "--json", tmp_path / "c.json")
    assert ended.code == 65
    assert (
        json.loads((tmp_path / "c.json").read_text())["verdict"]
        == f"A forecast of {run} from these files would be refused."
    )
    assert "t850:stuck@2026-01-20T18:00Z" in ended.out
    assert pinnwx.check(write(wave_dataset(80), tmp_path / "b.nc"), run=run).ok
    missing = pinnwx.check(write(wave_dataset(80)[["msl"]], tmp_path / "c.nc"), run=run)
    assert "t850 not in the data" in errors(missing)


def a_forecast_is_accepted(path) -> bool:
    """By the steps of `forecast` up to the model: read all fields, then the newest analysis is fit."""
    try:
        dataset = open_data(path)
        names = [str(name) for name in dataset.data_vars if "time" in dataset[name].dims]
        archive = Archive.from_dataset(dataset, names)
        require_timely(archive.times[-1], None)
        require_credible(archive, archive.times[-1], archive.times[-1])
    except PinnwxError:
        return False
    return bool(names)


CHANGES = {
    "nothing": lambda d, _: d,
    "nan": lambda d, n: put(d, "msl", n, np.nan),
    "all nan": lambda d, n: put(d, "t850", n, np.nan, whole=True),
    "spike": lambda d, n: put(d, "msl", n, 109000.0),
    "stuck": lambda d, n: put(d, "t850", n, step_before(d["t850"].values, n), whole=True),
    "sentinel": lambda d, n: put(d, "msl", n, -9999.0),
    "repeated time": lambda d, n: d.assign_coords(time=np.where(np.arange(d.sizes["time"]) == n, d.time[:1], d.time)),
    "no steps": lambda d, _: d.isel(time=slice(0, 0)),
    "units": lambda d, _: d.assign(msl=d["msl"].assign_attrs(units="furlongs")),
    "all units": lambda d, _: d.map(lambda field: field.assign_attrs(units="furlongs")),
    "future": lambda d, _: d.assign_coords(time=d.time + np.timedelta64(365 * 100, "D")),
    "surface geopotential": lambda d, _: with_surface_geopotential(d) if "msl" in d else d,
    "shuffled": lambda d, n: d.isel(time=np.random.default_rng(n).permutation(d.sizes["time"])),
}  # fmt: skip


def step_before(values, step):
    return values[max(step % len(values) - 1, 0)] if len(values) else np.nan


def put(dataset, name, step, value, whole=False):
    if dataset.sizes["time"] and name in dataset:
        place = step % dataset.sizes["time"] if whole else (step % dataset.sizes["time"], 3, 5)
        dataset[name].values[place] = value
    return dataset


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.integers(1, 30),
    changes=st.lists(st.tuples(st.sampled_from(sorted(CHANGES)), st.sampled_from([0, 5, -1])), max_size=3),
)
def test_check_and_the_verbs_agree(tmp_path_factory, steps, changes):
    """For whatever is wrong with the data: `check` accepts exactly what a forecast is made from."""
    dataset = wave_dataset(steps)
    for change, step in changes:
        dataset = CHANGES[change](dataset, step if step >= 0 else max(dataset.sizes["time"] - 1, 0))
    path = write(dataset, tmp_path_factory.mktemp("data") / "a.nc")
    report = check_data(path)
    assert report.ok == a_forecast_is_accepted(path), (changes, errors(report))
