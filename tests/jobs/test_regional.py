"""A regional model that is told its edge: hindcasts say so, and a forecast needs a boundary."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from synthetic import config_text, tiny_trained, wave_dataset

import pinnwx
from pinnwx.config import parse_config
from pinnwx.data.archive import Archive
from pinnwx.errors import DataError, GridError, OutputError, UnavailableError, UsageError
from pinnwx.forecasting.runs import new_run
from pinnwx.model.scores import weighted_square_error
from pinnwx.terminal.scores import score_table
from pinnwx.training.update import device_archive, rollout_loss

BOX = {"latitude": slice(1, 7), "longitude": slice(3, 12)}
TEXT = config_text(grid="native", model="boundary_width = 1\ninput_times = 2", closure="width = 16\npatch_size = 1")


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    path = tmp_path_factory.mktemp("box") / "box.nc"
    wave_dataset(80).isel(BOX).to_netcdf(path)
    return path


@pytest.fixture(scope="module")
def run(box, tmp_path_factory):
    with xr.open_dataset(box) as dataset:
        archive = Archive.from_dataset(pinnwx.open_data(box, ["msl", "t850"]), ("msl", "t850"))
        assert archive.grid.shape == (dataset.sizes["latitude"], dataset.sizes["longitude"])
    made = new_run(tmp_path_factory.mktemp("runs") / "run")
    made.publish(tiny_trained(TEXT, archive), {"seed": 0})
    return made.folder


def test_training_is_told_the_edge_of_each_step(box):
    """The loss has no part from the edge: there, the forecast of every step is the truth of that step."""
    settings = parse_config(TEXT)
    archive = Archive.from_dataset(pinnwx.open_data(box, ["msl", "t850"]), ("msl", "t850"))
    model, source = tiny_trained(TEXT, archive).model, device_archive(archive, settings.model.step_hours)
    windows, scale = jnp.arange(5)[None], jnp.array([1e3, 15.0])[:, None, None]
    rows = jnp.zeros((archive.grid.shape[0], 1))

    def loss(row: int) -> float:
        def error(forecasts, truth):
            return weighted_square_error(forecasts, truth, scale, rows.at[row].set(1))

        return float(rollout_loss(model, windows, source, error))

    losses = [loss(row) for row in (0, -1, 2)]
    assert losses[0] == losses[1] == 0 < losses[2]


def test_a_driven_model_is_trained_and_forecasts(box, tmp_path):
    (tmp_path / "c.toml").write_text(TEXT + "updates = 60\n")
    pinnwx.train(tmp_path / "c.toml", box, tmp_path / "run")
    made = pinnwx.forecast(tmp_path / "run", box, init="2026-01-16", hours=12, lateral_boundary=box)
    assert made.sizes["time"] == 2


def test_hindcasts_are_told_the_edge_and_say_so(run, box, capsys):
    scores = pinnwx.evaluate(run, box, start="2026-01-16", end="2026-01-20", leads=[6, 24])
    assert scores.settings["lateral_boundary"] == "analyses of the valid times"
    last = np.datetime64("2026-01-20T18:00")
    assert scores.settings["last_initial_time"] == str(last - np.timedelta64(24, "h")) + "Z"
    assert scores.skipped["initial_times_without_analysis"] == 4, "those whose edge is not known to the last lead"
    assert scores.settings["grid"].startswith("regional 4 x 7"), "what is told is not scored"
    score_table(scores)
    assert "Lateral boundary of the hindcasts: analyses of the valid times." in capsys.readouterr().out


def test_a_forecast_needs_a_boundary(run, box, tmp_path):
    with pytest.raises(UsageError, match="give a forecast as --lateral-boundary"):
        pinnwx.forecast(run, box, init="2026-01-16", hours=12, out=tmp_path / "f.nc")
    made = pinnwx.forecast(run, box, init="2026-01-16", hours=12, lateral_boundary=box, out=tmp_path / "f.nc")
    with xr.open_dataset(box) as truth:
        later = truth.sel(time=made["time"].values)
        np.testing.assert_allclose(made["msl"][:, 0], later["msl"][:, 0], rtol=1e-6)
        np.testing.assert_allclose(made["t850"][:, :, -1], later["t850"][:, :, -1], rtol=1e-6)
        assert np.abs(made["msl"] - later["msl"]).max() > 1
    with pytest.raises(UnavailableError, match="no lateral boundary field at 2026-01-21T00:00Z"):
        pinnwx.forecast(run, box, init="latest", hours=6, lateral_boundary=box)


def test_a_boundary_that_has_changed_since_is_noticed(run, box, tmp_path):
    """Only what the forecast was told: a boundary that reaches further makes the same forecast."""
    out, lateral_boundary = tmp_path / "f.nc", tmp_path / "b.nc"
    with xr.open_dataset(box) as dataset:
        told = dataset.load()
    told.sel(time=slice("2026-01-16", "2026-01-16T12:00")).to_netcdf(lateral_boundary)
    asked = {"init": "2026-01-16", "hours": 12, "lateral_boundary": lateral_boundary, "out": out}
    first = pinnwx.forecast(run, box, **asked)
    told.sel(time=slice("2026-01-10", "2026-01-18")).to_netcdf(lateral_boundary)
    before = out.read_bytes()
    pinnwx.forecast(run, box, **asked)
    assert out.read_bytes() == before
    told["msl"].loc[{"time": "2026-01-16T12:00"}] += 50.0
    told.sel(time=slice("2026-01-10", "2026-01-18")).to_netcdf(lateral_boundary)
    with pytest.raises(OutputError, match="have changed since it was made; give --remake"):
        pinnwx.forecast(run, box, **asked)
    again = pinnwx.forecast(run, box, **asked, remake=True)
    np.testing.assert_allclose(again["msl"][-1, 0], first["msl"][-1, 0] + 50.0, rtol=1e-6)


def test_a_forecast_of_a_larger_area_drives_the_box(run, box, tmp_path):
    whole = new_run(tmp_path / "whole")
    whole.publish(tiny_trained(), {"seed": 0})
    wave_dataset(80).to_netcdf(tmp_path / "all.nc")
    large = pinnwx.forecast(whole.folder, tmp_path / "all.nc", init="2026-01-16", hours=12, out=tmp_path / "large.nc")
    made = pinnwx.forecast(run, box, init="2026-01-16", hours=12, lateral_boundary=tmp_path / "large.nc")
    south = large["msl"].isel(latitude=1, longitude=BOX["longitude"])
    np.testing.assert_allclose(made["msl"][:, 0], south, rtol=1e-6)
    assert "boundary_sha256" in made.attrs


def test_a_coarser_boundary_is_interpolated(run, box, tmp_path):
    """Linear between cell centres: exact for a field that is linear in latitude and longitude, and without steps."""
    times = wave_dataset(80)["time"]
    latitude, longitude = np.arange(-85.0, 90, 10), np.arange(0.0, 360, 45)
    plane = 1e5 + 10 * latitude[:, None] + np.abs(longitude - 180)
    fields = {
        name: (("time", "latitude", "longitude"), np.float32(np.stack([factor * plane] * len(times))), {"units": units})
        for name, factor, units in (("msl", 1.0, "Pa"), ("t850", 2.8e-3, "K"))
    }
    coarse = xr.Dataset(fields, {"time": times, "latitude": latitude, "longitude": longitude})
    coarse["latitude"].attrs["units"], coarse["longitude"].attrs["units"] = "degrees_north", "degrees_east"
    coarse.to_netcdf(tmp_path / "coarse.nc")
    given = {"init": "2026-01-16", "hours": 6, "lateral_boundary": tmp_path / "coarse.nc"}
    with pytest.raises(DataError, match="repeat the previous step"):
        pinnwx.forecast(run, box, **given)
    made = pinnwx.forecast(run, box, **given, accept_suspicious=["stuck"])
    at = made["msl"].isel(time=0, latitude=0)
    expected = 1e5 + 10 * float(at["latitude"]) + np.abs(at["longitude"] - 180)
    np.testing.assert_allclose(at, expected, rtol=1e-6)
    coarse.isel(longitude=slice(0, 3)).to_netcdf(tmp_path / "part.nc")
    with pytest.raises(GridError, match="does not cover the regional grid"):
        pinnwx.forecast(run, box, init="2026-01-16", hours=6, lateral_boundary=tmp_path / "part.nc")


def test_a_driven_forecast_is_verified_inside_its_edge(run, box, tmp_path):
    pinnwx.forecast(run, box, init="2026-01-16", hours=12, lateral_boundary=box, out=tmp_path / "f.nc")
    verified = pinnwx.verify(tmp_path / "f.nc", box, run=run).entry("msl", 12)
    evaluated = pinnwx.evaluate(run, box, start="2026-01-16T00:00", end="2026-01-16T00:00", leads=[12]).entry("msl", 12)
    for key in ("rmse", "persistence_rmse", "climatology_rmse"):
        assert verified[key] == pytest.approx(evaluated[key], rel=1e-5)


def test_driven_and_free_are_not_compared(run, box, tmp_path):
    free = new_run(tmp_path / "free")
    archive = Archive.from_dataset(pinnwx.open_data(box, ["msl", "t850"]), ("msl", "t850"))
    free.publish(tiny_trained(TEXT.replace("boundary_width = 1\n", ""), archive), {"seed": 0})
    with pytest.raises(DataError, match="the scores differ in"):
        pinnwx.compare(run, free.folder, box, start="2026-01-16", end="2026-01-17", leads=[6])


def test_members_of_an_ensemble_share_the_edge(run, box):
    made = pinnwx.forecast(run, box, init="2026-01-16", hours=12, members=4, lateral_boundary=box)
    spread = made["msl"].std("realization")
    assert float(spread[:, 0].max()) == 0
    assert float(spread[:, 3, 4].min()) > 0


def test_other_models_have_no_use_for_a_boundary(tmp_path):
    whole = new_run(tmp_path / "whole")
    whole.publish(tiny_trained(), {"seed": 0})
    wave_dataset(80).to_netcdf(tmp_path / "all.nc")
    with pytest.raises(UsageError, match="leave out --lateral-boundary"):
        pinnwx.forecast(whole.folder, tmp_path / "all.nc", lateral_boundary=tmp_path / "all.nc")
