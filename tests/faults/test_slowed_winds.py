"""How much of the wind is slowed, by whose Courant number, and which sub-steps would do."""

import json
import logging

import numpy as np
import pytest
import xarray as xr
from synthetic import config_text, transport

import pinnwx
from pinnwx.config import parse_config
from pinnwx.data.archive import Archive
from pinnwx.data.open import open_data
from pinnwx.grid import Grid
from pinnwx.jobs.report import _provenance
from pinnwx.jobs.train import train
from pinnwx.training.slowed import slowed_winds
from pinnwx.training.substeps import with_substeps

NO_NETWORK = "enabled = false"
BOX = Grid.from_coordinates(np.arange(-10.0, 11.0, 2.5), np.arange(0.0, 30.0, 2.5))


def zonal_winds(speeds: np.ndarray) -> Archive:
    """A uniform wind along the circles of latitude at each time, and a temperature to carry."""
    shape = (len(speeds), *BOX.shape)
    east = np.broadcast_to(speeds[:, None, None], shape)
    ripple = np.cos(np.arange(len(speeds)))[:, None, None]
    small = 1e-4 * ripple * np.ones(shape)  # a field has to change
    fields = np.stack([280 + 1e4 * small, east * (1 + small), small], axis=1)
    times = np.datetime64("2026-01-01T00", "ns") + np.arange(len(speeds)) * np.timedelta64(6, "h")
    return Archive(times, fields.astype(np.float32), ("t500", "u500", "v500"), BOX)


def found(archive: Archive, substeps: int, **physics):
    equation = transport("t500", wind="prognostic:500")
    extra = "".join(f"{key} = {value}\n" for key, value in physics.items())
    text = config_text(archive.names, grid="native", substeps=substeps, physics=extra + equation, closure=NO_NETWORK)
    return slowed_winds(parse_config(text).model, archive)


@pytest.mark.parametrize("coupling_steps", [1, 2])
@pytest.mark.parametrize("courant", [0.5, 0.95, 3.0])
def test_the_courant_number_of_a_uniform_wind(courant, coupling_steps):
    """u dt / dx, largest where the circles of latitude are shortest; the sub-steps that would do are in proportion."""
    step, substeps = 6 * 3600.0, 4
    speed = courant * BOX.zonal_spacing.min() / (step / substeps)
    said = found(zonal_winds(np.full(12, speed)), substeps, coupling_steps=coupling_steps)
    assert said.largest_courant == pytest.approx(courant, rel=1e-3)
    over = (courant * BOX.zonal_spacing.min() / BOX.zonal_spacing > 0.9).mean()
    assert said.fraction == pytest.approx(over)
    assert said.matters == (over > 0)
    needed = max(int(np.ceil(substeps * courant / 0.9 / coupling_steps)) * coupling_steps, substeps)
    assert (said.substeps, said.substeps_for_all) == (substeps, needed)
    again = found(zonal_winds(np.full(12, speed)), said.substeps_for_all, coupling_steps=coupling_steps)
    assert again.fraction == 0
    assert again.substeps_for_all == said.substeps_for_all


def test_one_storm_in_48_analyses():
    """It is slowed alone, and what is usual is said beside it."""
    speeds = np.full(48, 1.0)
    speeds[7] = 200.0
    said = found(zonal_winds(speeds), 4)
    assert said.fraction == pytest.approx(1 / 48)
    assert 4 < said.substeps_needed <= said.substeps_for_all
    assert said.matters
    assert said.median_courant < 0.1


def test_nothing_is_slowed_without_a_wind():
    archive = zonal_winds(np.full(12, 100.0))
    text = config_text(archive.names, grid="native", closure="patch_size = 1")
    assert slowed_winds(parse_config(text).model, archive) is None


def test_train_says_so_and_keeps_it(tmp_path, caplog):
    archive = zonal_winds(20.0 + 5 * np.cos(np.arange(40)))
    coordinates = {"time": archive.times, "latitude": list(BOX.latitude), "longitude": list(BOX.longitude)}
    units = {"t500": "K", "u500": "m s-1", "v500": "m s-1"}
    dataset = xr.Dataset(
        {
            name: (("time", "latitude", "longitude"), archive.fields[:, index], {"units": units[name]})
            for index, name in enumerate(archive.names)
        },
        coordinates,
    )
    dataset.to_netcdf(tmp_path / "winds.nc")
    text = config_text(
        archive.names,
        grid="native",
        substeps=1,
        physics=transport("t500", wind="prognostic:500"),
        closure="width = 4\nblocks = 1\npatch_size = 1",
        train=("2026-01-01", "2026-01-10"),
        training="batch_size = 2\nupdates = 1",
    )
    (tmp_path / "c.toml").write_text(text)
    with caplog.at_level(logging.INFO, "pinnwx"):
        run = train(tmp_path / "c.toml", tmp_path / "winds.nc", tmp_path / "run", promote_anyway=True)
    assert "the wind of t500 is slowed in 100 % of the cells" in caplog.text
    kept = json.loads((run.version("0001") / "manifest.json").read_text())["slowed_winds"]
    assert kept["fraction"] == 1
    assert f"model.physics.substeps = {kept['substeps_needed']} instead of 1" in caplog.text
    line = "transport has 1 sub-step in a step and slows the wind in 100 % of the cells"
    assert f"note: {line}" in caplog.text
    assert _provenance(run.load()).facts["Winds"] == line
    told = pinnwx.check(tmp_path / "winds.nc", config=tmp_path / "c.toml")
    assert told.ok
    (warning,) = (one.message for one in told.problems if "is slowed" in one.message)
    assert f"warning: {warning}" in caplog.text


@pytest.mark.real_data
def test_europe_is_slowed_in_every_other_cell_with_12_substeps_and_hardly_with_automatic_ones(real_data):
    """The figures that were measured by hand on every 15th day: 55 %, median 0.98, most 5.7."""
    dataset = open_data(real_data / "erainterim_europe", ("z500",), start="2000-01-01", end="2006-12-31")
    archive = Archive.from_dataset(dataset, ("z500",), ())
    equation = transport("vo500", wind="geostrophic:z500", absolute_vorticity=True)
    text = config_text(("z500",), grid="native", substeps=12, physics=equation, closure=NO_NETWORK)
    text = text.replace("hours = 6", "hours = 24")
    settings = parse_config(text).model
    said = slowed_winds(settings, archive)
    assert said.fraction == pytest.approx(0.55, abs=0.05)
    assert said.median_courant == pytest.approx(0.98, abs=0.1)
    assert 4.5 < said.largest_courant < 6.5
    assert 50 < said.substeps_for_all < 90
    assert 12 < said.substeps_needed < said.substeps_for_all
    automatic = with_substeps(parse_config(text.replace("= 12", '= "auto"')).model, archive)
    assert automatic.physics.substeps == said.substeps_needed
    now = slowed_winds(automatic, archive)
    assert 0 < now.fraction <= 0.01
    assert not now.matters
