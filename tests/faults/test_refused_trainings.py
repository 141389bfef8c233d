"""A job that is refused leaves nothing behind: no folder, no lock file, and what was there as it was."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from synthetic import wave_dataset
from verbs import INIT, recipe

import pinnwx
from pinnwx.errors import DataError, MissingInputError, PinnwxError, UnavailableError

FEW = "batch_size = 8\nupdates = 4"


def without_msl(dataset):
    return dataset.drop_vars("msl")


def with_a_hole(dataset):
    dataset["msl"].values[[5, 61], 3, 3] = np.nan  # in the training time, and at INIT
    return dataset


def every_other(dataset):
    return dataset.isel(time=slice(0, None, 2))


@pytest.mark.parametrize("change", [without_msl, with_a_hole, every_other])
@pytest.mark.parametrize("out", ["run", "deep/er/run"])
def test_a_training_refused_for_its_data(damaged, tmp_path, change, out):
    data = damaged(change)
    before = sorted(tmp_path.rglob("*"))
    config = recipe(tmp_path, FEW)
    with pytest.raises(DataError):
        pinnwx.train(config, data, tmp_path / out)
    assert sorted({*tmp_path.rglob("*")} - {config}) == before


def test_a_training_without_data_or_out_of_their_time(good, tmp_path):
    for data, train, error in (
        ("nowhere.nc", ("2026-01-01", "2026-01-15"), MissingInputError),
        (good, ("2031-01-01", "2031-01-15"), UnavailableError),
    ):
        with pytest.raises(error):
            pinnwx.train(recipe(tmp_path, FEW, train=train), data, tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_one_begun_afresh_and_refused_changes_nothing_of_the_run_before(damaged, good, tmp_path):
    run = tmp_path / "run"
    pinnwx.train(recipe(tmp_path, FEW), good, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "events.jsonl"}
    with pytest.raises(DataError):
        pinnwx.train(recipe(tmp_path, FEW + "\nlearning_rate = 0.1"), damaged(every_other), run, force=True)
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "events.jsonl"}
    assert after == before


def test_what_was_there_stays(good, tmp_path):
    """An empty folder of the user's is not taken away."""
    (tmp_path / "run").mkdir()
    with pytest.raises(MissingInputError):
        pinnwx.train(recipe(tmp_path, FEW), "nowhere.nc", tmp_path / "run")
    assert (tmp_path / "run").is_dir()


def test_a_series_that_makes_nothing(run, tmp_path):
    with pytest.raises(PinnwxError):
        pinnwx.forecast_series(run, "nowhere.nc", tmp_path / "a" / "series", hours=12)
    assert list(tmp_path.iterdir()) == []


def test_a_compression_that_is_refused(run, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "from"))
    wave_dataset(80).drop_vars("msl").to_netcdf(tmp_path / "bad.nc")
    with pytest.raises(DataError):
        pinnwx.prune(copy, tmp_path / "bad.nc", tmp_path / "small", keep=0.5, updates=4)
    assert not (tmp_path / "small").exists()


def test_a_single_forecast_that_is_refused_leaves_no_file(run, damaged, tmp_path):
    data = damaged(with_a_hole)
    with pytest.raises(DataError):
        pinnwx.forecast(run, data, init=INIT, hours=12, out=tmp_path / "f.nc")
    assert sorted(path.name for path in tmp_path.iterdir()) == [data.name]
