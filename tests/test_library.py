"""The library under the command line: eight lines from a dataset to a gradient, nothing written until `save`."""

import dataclasses

import jax
import numpy as np
import pytest
import synthetic
import xarray as xr
from jax import numpy as jnp

import pinnwx
from pinnwx.config import Config
from pinnwx.data.inputs import as_archive
from pinnwx.errors import ConfigError, DataError, GridError, OutputError, UnavailableError, UsageError
from pinnwx.forecasting.ensemble import Ensemble
from pinnwx.forecasting.predictor import ForecastPredictor, Predictor
from pinnwx.grid import Grid

GRID = Grid.parse("22.5deg")
FIELDS = ("msl", "t850")
SETTINGS = {
    "name": "tiny",
    "data": {"fields": list(FIELDS), "grid": "22.5deg", "train": {"start": "2026-01-01", "end": "2026-01-15"}},
    "model": {"step_hours": 6, "closure": {"width": 8, "blocks": 1}},
    "training": {"batch_size": 4, "updates": 8, "curriculum": [{"steps": 1, "fraction": 1}]},
}


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    """Eighteen days of a smooth atmosphere that oscillates."""
    times = synthetic.times(72)
    phase = 2 * np.pi * np.arange(72)[:, None, None, None] / 20
    one, other = synthetic.states(FIELDS, GRID, 2)
    fields = 0.5 * (one + other) + 0.5 * (one - other) * np.sin(phase)
    coordinates = {"time": times, "latitude": list(GRID.latitude), "longitude": list(GRID.longitude)}
    axes = ("time", "latitude", "longitude")
    return xr.Dataset({name: (axes, fields[:, i].astype(np.float32)) for i, name in enumerate(FIELDS)}, coordinates)


@pytest.fixture(scope="module")
def model(dataset, tmp_path_factory) -> pinnwx.TrainedModel:
    folder = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        trained = pinnwx.train(SETTINGS, dataset)
    assert list(folder.iterdir()) == []
    return trained


def test_training_in_memory_is_the_training_of_a_run(model, dataset, tmp_path):
    run = pinnwx.train(SETTINGS, dataset, tmp_path / "run", promote_anyway=True)
    expected = run.load()
    forecasts = [one.forecast(dataset, init="2026-01-10", hours=12) for one in (model, expected)]
    xr.testing.assert_equal(*forecasts)
    assert model.manifest["data_sha256"] == expected.manifest["data_sha256"]
    assert model.manifest["training_check"]["passed"] == expected.manifest["training_check"]["passed"]


def test_a_forecast_is_that_of_the_verb(model, dataset, tmp_path):
    model.save(tmp_path / "run")
    dataset.to_netcdf(tmp_path / "data.nc")
    ours = model.forecast(dataset, init=np.datetime64("2026-01-10"), hours=12)
    theirs = pinnwx.forecast(tmp_path / "run", tmp_path / "data.nc", init="2026-01-10", hours=12)
    xr.testing.assert_equal(ours, theirs)
    assert ours.attrs["model_sha256"] == theirs.attrs["model_sha256"]


def test_scores_are_a_table_and_data(model, dataset):
    scores = pinnwx.evaluate(model, dataset, start="2026-01-16", end="2026-01-17", leads=[6, 12])
    assert len(repr(scores)) < 1500
    assert "t850 [K]" in repr(scores)
    frame, labelled = scores.to_dataframe(), scores.to_xarray()
    assert frame.loc[("msl", 12), "rmse"] == scores.entry("msl", 12)["rmse"]
    assert labelled["rmse"].sel(variable="t850", lead_hours=6) == scores.entry("t850", 6)["rmse"]
    assert labelled["n"].dims == ("variable", "lead_hours")


def test_what_was_saved_is_loaded(model, dataset, tmp_path):
    model.save(tmp_path / "run")
    from_run = pinnwx.TrainedModel.load(tmp_path / "run")
    from_version = pinnwx.TrainedModel.load(str(tmp_path / "run" / "versions" / "0001"))
    state = model.state(dataset, "2026-01-10")
    expected = model.rollout(state, steps=2).fields
    for loaded in (from_run, from_version):
        np.testing.assert_array_equal(loaded.rollout(state, steps=2).fields, expected)
    assert from_run.manifest["trained_on"] == model.manifest["trained_on"]
    with pytest.raises(OutputError, match="force=True"):
        model.save(tmp_path / "run")
    from_run.save(tmp_path / "run", force=True)
    assert sorted(path.name for path in (tmp_path / "run" / "versions").iterdir()) == ["0001", "0002"]


def test_a_model_that_was_saved_in_spite_of_its_training_check_says_so(model, dataset, tmp_path, caplog):
    check = {"passed": False, "objections": ["it diverged"], "promoted_anyway": False}
    failed = dataclasses.replace(model, manifest={**model.manifest, "training_check": check})
    failed.save(tmp_path / "run")
    assert "is live because it was saved, though it did not pass its training check: it diverged" in caplog.text
    entry = pinnwx.show_model(tmp_path / "run")["training_check"]
    assert (entry["passed"], entry["objections"], entry["saved_by_user"]) == (False, ["it diverged"], True)
    assert not entry["promoted_anyway"], "nobody gave --promote-anyway"
    (version,) = pinnwx.list_models(tmp_path / "run")
    assert version.is_live
    assert "msl" in pinnwx.TrainedModel.load(tmp_path / "run").forecast(dataset, init="2026-01-10", hours=6)


def test_training_in_memory_makes_nothing_live(model):
    assert model.manifest["training_check"]["promoted_anyway"] is False
    assert "saved_by_user" not in model.manifest["training_check"]


def test_a_forecast_has_a_gradient(model, dataset):
    state = model.state(dataset, "2026-01-10")
    gradient = jax.grad(lambda one: jnp.sum(model.rollout(one, steps=2).fields[-1, 1] ** 2))(state)
    assert gradient.fields.shape == state.fields.shape
    assert np.abs(gradient.fields[:, 1]).max() > 0


def test_settings_are_taken_in_every_form():
    settings = pinnwx.load_config(SETTINGS)
    assert isinstance(settings, Config)
    assert pinnwx.load_config(settings) is settings
    assert pinnwx.load_config("quick").name == "quick"
    with pytest.raises(ConfigError, match="widht"):
        pinnwx.load_config({**SETTINGS, "model": {"closure": {"widht": 8}}})


def test_a_dataset_is_brought_into_canonical_form(dataset):
    expected = as_archive(dataset, FIELDS)
    turned = dataset.isel(latitude=slice(None, None, -1), time=slice(None, None, -1)).transpose("longitude", ...)
    turned["t850"] = (turned["t850"] - 273.15).assign_attrs(units="degC")
    actual = as_archive(turned, FIELDS)
    np.testing.assert_array_equal(actual.times, expected.times)
    np.testing.assert_allclose(actual.fields, expected.fields, rtol=1e-6)
    np.testing.assert_array_equal(as_archive(expected, ("t850",)).fields[:, 0], expected.fields[:, 1])


def test_what_is_no_data_is_refused(dataset):
    with pytest.raises(DataError, match="no variable z500, only msl, t850"):
        as_archive(dataset, ("z500",))
    with pytest.raises(DataError, match="no coordinate latitude"):
        as_archive(dataset.rename(latitude="lat"), FIELDS)
    with pytest.raises(DataError, match="not unique"):
        as_archive(xr.concat([dataset, dataset], "time"), FIELDS)
    with pytest.raises(UnavailableError, match="no data from 2030"):
        as_archive(dataset, FIELDS, start="2030-01-01", end="2030-01-02")
    with pytest.raises(DataError, match="not finite"):
        as_archive(dataset.where(dataset["t850"] > 280), FIELDS)
    with pytest.raises(GridError, match="the archive is on"):
        as_archive(as_archive(dataset, FIELDS), FIELDS, grid="45deg")


def test_options_of_a_run_folder_need_one(dataset):
    with pytest.raises(UsageError, match="give out"):
        pinnwx.train(SETTINGS, dataset, force=True)  # type: ignore[call-overload]


def test_single_forecasts_and_ensembles_are_one_protocol(model):
    for maker in (Predictor(model, [6]), Ensemble(model, [6], 2)):
        assert isinstance(maker, ForecastPredictor)
