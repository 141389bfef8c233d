"""Forecast files of strangers: each is read as what it is, or refused in one line that says why."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from forecast_mutations import write_changed
from test_fuzz_artefacts import only_errors_of_ours
from verbs import INIT

import pinnwx
from pinnwx.errors import DataError, OutputError
from pinnwx.forecasting.cf import point, read_forecast, weatherbench2_view
from pinnwx.reporting.panel import lines_for

SEED, TRIES, DRAWN = 20261129, 24, 6


@pytest.fixture(scope="module")
def made(untouched_run, good, tmp_path_factory) -> dict[str, xr.Dataset]:
    """What pinnwx writes that is read back."""
    run = Path(shutil.copytree(untouched_run, tmp_path_factory.mktemp("made") / "run"))
    of = {"run": run, "data": good, "init": INIT}
    return {
        "forecast": pinnwx.forecast(**of, hours=18),
        "ensemble": pinnwx.forecast(**of, hours=12, members=2),
        "budget": pinnwx.explain(**of, hours=12),
        "attribution": pinnwx.explain(**of, hours=12, target="msl@52,10"),
    }


def test_whatever_a_forecast_file_holds_it_is_read_or_refused(made, run, good, tmp_path):
    dice, path, refused = random.Random(SEED), tmp_path / "f.nc", 0
    for number in range(TRIES):
        write_changed(dice, made[dice.choice([*made])], path)
        calls = [
            lambda: pinnwx.verify(path, good), lambda: point(read_forecast(path), 10, 10),
            lambda: weatherbench2_view(read_forecast(path)),
            lambda: pinnwx.forecast(run, good, init=INIT, hours=18, out=path),
        ]  # fmt: skip
        if number < DRAWN:
            calls.append(lambda: pinnwx.plot(path, tmp_path / "p.png", force=True))
        refused += only_errors_of_ours(*calls)
    assert refused > TRIES


def with_attribute(**attributes):
    return lambda dataset: dataset.assign_attrs(attributes)


def along(name, values):
    return lambda dataset: dataset.assign_coords({name: (dataset[name].dims, values)})


def with_cell(name, value):
    def change(dataset):
        dataset = dataset.copy(deep=True)
        dataset[name][1, 2, 3] = value
        return dataset

    return change


STRANGE = {
    "an edge in words": (
        with_attribute(boundary_width="wide"), "attribute boundary_width: Input should be a valid integer"),
    "an edge wider than the grid": (with_attribute(boundary_width=4), "boundary_width = 4 covers its whole grid"),
    "a model that is a list": (with_attribute(model=[1, 2]), "attribute model: Input should be a valid string"),
    "a lead that is not that of its time": (
        along("forecast_period", [6, 12, 24]), "is 18 h after 2026-01-16T06:00Z, and its forecast_period is 24 h"
    ),
    "times that stand still": (
        along("time", np.array(3 * ["2026-01-16T12:00"], "datetime64[ns]")), "its times do not ascend"
    ),
    "leads in words": (along("forecast_period", ["6", "12", "18"]), "forecast_period does not consist of numbers"),
    "a latitude without a value": (
        lambda dataset: dataset.assign_coords(latitude=[np.nan, *dataset["latitude"].values[1:]]), "lacks a value"
    ),
    "a field of words": (
        lambda dataset: dataset.assign(msl=(dataset["msl"].dims, np.full(dataset["msl"].shape, "x"))),
        "msl is not a field of numbers along time, latitude, longitude",
    ),
    "a pressure whose square is no number": (with_cell("msl", 1e30), "msl reaches 1e+30, which is impossible"),
    "a field of a config's own": (
        lambda dataset: with_cell("heat", -3e37)(dataset.rename(t850="heat")), "heat reaches -3e+37, which is"
    ),
    "a field of another dimension": (
        lambda dataset: dataset.assign(msl=dataset["msl"].expand_dims(q=2)), "msl is not a field of numbers along"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGE)
def test_a_strange_forecast_is_told_for_what_it_is(made, run, good, tmp_path, case):
    change, why = STRANGE[case]
    changed = change(made["forecast"].copy())
    changed.to_netcdf(tmp_path / "f.nc")
    with pytest.raises(DataError) as refused:
        pinnwx.verify(tmp_path / "f.nc", good)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(OutputError, match="give --force to replace it"):
        pinnwx.forecast(run, good, init=INIT, hours=18, out=tmp_path / "f.nc")


@pytest.mark.parametrize("config", ["name = ", 'name = "../x"', "x = 1"])
def test_a_config_that_is_none_is_a_fault_of_the_file(made, good, tmp_path, config):
    with_attribute(config=config)(made["forecast"]).to_netcdf(tmp_path / "f.nc")
    with pytest.raises(DataError, match="the config inside the forecast: ") as refused:
        pinnwx.verify(tmp_path / "f.nc", good)
    assert refused.value.exit_code == 65


def test_fields_may_be_in_any_order(made, tmp_path):
    made["forecast"].transpose("longitude", "time", "latitude").to_netcdf(tmp_path / "f.nc")
    xr.testing.assert_equal(read_forecast(tmp_path / "f.nc"), made["forecast"])
    assert read_forecast(tmp_path / "f.nc")["msl"].dims == ("time", "latitude", "longitude")


@pytest.mark.parametrize("value", [9e9, -1e14])
def test_a_map_has_few_lines_whatever_its_values(value):
    """Four hectopascals apart there would be millions, and the drawing would never end."""
    values = np.array([[100_000.0, 101_000.0], [102_000.0, value]])
    lines = lines_for(values, 4.0)
    assert 10 < len(lines) <= 101
    np.testing.assert_allclose(np.diff(lines), np.diff(lines)[0])
    assert lines_for(np.array([[990.0, 1010.0]]), 4.0).tolist() == [992, 996, 1000, 1004, 1008]
