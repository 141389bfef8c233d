"""A regional model that is told its edge: hindcasts say so, and a forecast needs a boundary."""

import numpy as np
import pytest
import xarray as xr
from synthetic import config_text, tiny_trained, wave_dataset

import pinnwx
from pinnwx.data.archive import Archive
from pinnwx.errors import UnavailableError, UsageError
from pinnwx.jobs.runs import new_run

BOX = {"latitude": slice(1, 7), "longitude": slice(3, 12)}
TEXT = config_text(grid="native", model="driven_edge = 1\ninput_times = 2", closure="width = 16\ncoarsen = 1")


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


def test_training_is_told_the_edge(box, tmp_path):
    (tmp_path / "c.toml").write_text(TEXT + "updates = 3\n")
    pinnwx.train(tmp_path / "c.toml", box, tmp_path / "run")
    made = pinnwx.forecast(tmp_path / "run", box, init="2026-01-16", hours=12, boundary=box)
    assert made.sizes["time"] == 2


def test_hindcasts_are_told_the_edge_and_say_so(run, box, capsys):
    scores = pinnwx.evaluate(run, box, start="2026-01-16", end="2026-01-20", leads=[6, 24])
    assert scores.settings["driven_edge"] == "analyses of the valid times"
    last = np.datetime64("2026-01-20T18:00")
    assert scores.settings["last_initial_time"] == str(last - np.timedelta64(24, "h")) + "Z"
    assert scores.skipped["initial_times_without_analysis"] == 4, "those whose edge is not known to the last lead"
    from pinnwx.terminal import score_table

    score_table(scores)
    assert "Hindcasts: the edge of the box was told by the analyses" in capsys.readouterr().out


def test_a_forecast_needs_a_boundary(run, box, tmp_path):
    with pytest.raises(UsageError, match="give a forecast as --boundary"):
        pinnwx.forecast(run, box, init="2026-01-16", hours=12, out=tmp_path / "f.nc")
    made = pinnwx.forecast(run, box, init="2026-01-16", hours=12, boundary=box, out=tmp_path / "f.nc")
    with xr.open_dataset(box) as truth:
        later = truth.sel(time=made["time"].values)
        np.testing.assert_allclose(made["msl"][:, 0], later["msl"][:, 0], rtol=1e-6)
        np.testing.assert_allclose(made["t850"][:, :, -1], later["t850"][:, :, -1], rtol=1e-6)
        assert np.abs(made["msl"] - later["msl"]).max() > 1
    with pytest.raises(UnavailableError, match="no driving field at 2026-01-21T00:00Z"):
        pinnwx.forecast(run, box, init="latest", hours=6, boundary=box)


def test_a_forecast_of_a_larger_area_drives_the_box(run, box, tmp_path):
    whole = new_run(tmp_path / "whole")
    whole.publish(tiny_trained(), {"seed": 0})
    wave_dataset(80).to_netcdf(tmp_path / "all.nc")
    large = pinnwx.forecast(whole.folder, tmp_path / "all.nc", init="2026-01-16", hours=24, out=tmp_path / "large.nc")
    made = pinnwx.forecast(run, box, init="2026-01-16", hours=24, boundary=tmp_path / "large.nc")
    south = large["msl"].isel(latitude=1, longitude=BOX["longitude"])
    np.testing.assert_allclose(made["msl"][:, 0], south, rtol=1e-6)
    assert "boundary_sha256" in made.attrs


def test_members_of_an_ensemble_share_the_edge(run, box):
    made = pinnwx.forecast(run, box, init="2026-01-16", hours=12, members=4, boundary=box)
    spread = made["msl"].std("realization")
    assert float(spread[:, 0].max()) == 0
    assert float(spread[:, 3, 4].min()) > 0


def test_other_models_have_no_use_for_a_boundary(tmp_path):
    whole = new_run(tmp_path / "whole")
    whole.publish(tiny_trained(), {"seed": 0})
    wave_dataset(80).to_netcdf(tmp_path / "all.nc")
    with pytest.raises(UsageError, match="leave out --boundary"):
        pinnwx.forecast(whole.folder, tmp_path / "all.nc", boundary=tmp_path / "all.nc")
