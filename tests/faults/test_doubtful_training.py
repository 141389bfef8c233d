"""`train` says in one line when what it is given to learn from is suspicious; it learns all the same."""

from pathlib import Path

import pytest
from synthetic import wave_dataset
from verbs import pinnwx, recipe

TRAINING = "batch_size = 8\nupdates = 1"
WARNING = "warning: training learns from analyses that are suspicious: "


def off_by_80_hpa(dataset):
    dataset["msl"].values[20, 5, 7] -= 8000


def stuck(dataset):
    dataset["t850"].values[30] = dataset["t850"].values[29]


def both(dataset):
    off_by_80_hpa(dataset)
    stuck(dataset)


def learned_from(tmp_path: Path, monkeypatch, damage) -> list[str]:
    """The lines of `train` about what it learns from; learning itself is left out."""
    monkeypatch.setattr("pinnwx.jobs.train.train_in_run", lambda *_, **__: "0001")
    monkeypatch.setattr("pinnwx.forecasting.runs.Run.live", "0001")
    dataset = wave_dataset(80)
    damage(dataset)
    dataset.to_netcdf(tmp_path / "waves.nc")
    config = recipe(tmp_path, TRAINING)
    said = pinnwx("train", config, "--data", tmp_path / "waves.nc", "--out", tmp_path / "run").did()
    return [line for line in said.splitlines() if "suspicious" in line]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (off_by_80_hpa, "msl: a spike at 2026-01-06T00:00Z, "),
        (stuck, "t850: the step at 2026-01-08T12:00Z repeats the previous one: a stuck feed?; "),
        (both, "msl: a spike at 2026-01-06T00:00Z, "),
    ],
)
def test_training_names_the_first_of_what_is_suspicious(tmp_path, monkeypatch, damage, told):
    (line,) = learned_from(tmp_path, monkeypatch, damage)
    assert line.startswith(f"pinnwx: {WARNING}{told}")
    assert ("(1 more, in msl, t850)" in line) == (damage is both)
    assert f"pinnwx check --config {tmp_path / 'tiny.toml'} names them all" in line


def test_good_analyses_are_not_spoken_of(tmp_path, monkeypatch):
    assert not learned_from(tmp_path, monkeypatch, lambda _: None)


def test_what_is_outside_the_training_time_is_not_spoken_of(tmp_path, monkeypatch):
    def late(dataset):
        dataset["msl"].values[70, 5, 7] -= 8000

    assert not learned_from(tmp_path, monkeypatch, late)
