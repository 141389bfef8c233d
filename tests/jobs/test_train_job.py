"""Training as a job: its folder, its budget, what it refuses, and how it is interrupted and goes on."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from synthetic import config_text, wave_archive, wave_dataset

from pinnwx.data.analysis_noise import AnalysisNoise
from pinnwx.data.fitting import fit_normalisation
from pinnwx.data.inputs import as_archive
from pinnwx.data.statistics_files import read_normalisation
from pinnwx.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    LockedError,
    MissingInputError,
    OutputError,
    UnavailableError,
    UsageError,
)
from pinnwx.forecasting.runs import Run, new_run
from pinnwx.jobs.interrupts import Interrupted, Interrupts
from pinnwx.jobs.train import train
from pinnwx.training.checkpoint import Checkpoints

UPDATES = "batch_size = 8\nupdates = 16"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text(config_text(training=UPDATES))
    return path


@pytest.fixture(scope="module")
def finished(data, recipe, tmp_path_factory) -> Run:
    return train(recipe, data, tmp_path_factory.mktemp("runs") / "whole")


def weights(run: Run | Path) -> dict[str, np.ndarray]:
    folder = run.folder if isinstance(run, Run) else run
    return load_file(folder / "versions" / Run(folder).live / "weights.safetensors")


def test_the_run_folder_is_that_of_the_contract(finished, recipe, data):
    found = {path.name for path in finished.folder.iterdir() if not path.name.startswith(".")}
    assert found == {"config.toml", "metrics.jsonl", "training", "versions", "live", "events.jsonl"}
    assert {path.name for path in (finished.folder / "versions" / "0001").iterdir()} == {
        "weights.safetensors", "optimiser.safetensors", "normalisation.nc", "climatology.nc", "static.nc",
        "config.toml", "manifest.json",
    }  # fmt: skip
    assert (finished.folder / "config.toml").read_text() == recipe.read_text()
    manifest = json.loads((finished.folder / "versions" / "0001" / "manifest.json").read_text())
    assert manifest["updates"] == 16
    assert manifest["trained_on"] == ["2026-01-01T00:00Z", "2026-01-15T18:00Z"]
    assert manifest["analyses"] == 60
    assert manifest["data_sha256"] == wave_archive(60).digest()
    lines = [json.loads(line) for line in (finished.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["update"] for line in lines] == list(range(1, 17))


def test_no_absolute_path_is_inside(finished, data):
    for path in finished.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for absolute in (finished.folder.parent, data.parent):
                assert str(absolute).encode() not in content, path


def test_nothing_is_left_beside_the_input(finished, data):
    assert [path.name for path in data.parent.iterdir()] == ["waves.nc"]


def test_only_the_training_time_is_fitted(finished):
    trained = finished.load()
    inside = wave_archive(80).select("2026-01-01", "2026-01-15")
    np.testing.assert_allclose(trained.normalisation.mean_map, inside.fields.mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(trained.climatology.coefficients[0], trained.normalisation.mean_map, rtol=1e-6)


def test_the_same_command_gives_the_same_weights(finished, recipe, data, tmp_path):
    again = weights(train(recipe, data, tmp_path / "again"))
    assert again.keys() == weights(finished).keys()
    assert all(again[name].tobytes() == values.tobytes() for name, values in weights(finished).items())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_interrupted_saves_and_resumes_to_the_same_bits(finished, recipe, data, tmp_path, number):
    def strike(progress):
        if progress.update == 8:
            os.kill(os.getpid(), number)

    previous = signal.getsignal(number)
    with pytest.raises(Interrupted, match=f"stopped by {number.name}; go on with --resume") as raised:
        train(recipe, data, tmp_path / "run", progress=strike)
    assert raised.value.exit_code == 128 + number
    assert signal.getsignal(number) == previous
    with pytest.raises(CheckpointError, match="train --resume"):
        Run(tmp_path / "run").load()
    moved = Path(shutil.move(tmp_path / "run", tmp_path / "moved"))
    stages = []
    train(recipe, data, moved, resume=True, progress=stages.append)
    assert [progress.update for progress in stages] == [12, 16]
    assert all(weights(moved)[name].tobytes() == values.tobytes() for name, values in weights(finished).items())


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_second_signal_does_not_end_it_unsaved(capfd, first, second):
    with Interrupts() as interrupts:
        assert not interrupts.arrived()
        os.kill(os.getpid(), first)
        os.kill(os.getpid(), second)
        assert interrupts.arrived()
        assert capfd.readouterr().err == (
            f"pinnwx: {first.name}: saving, please wait\npinnwx: {second.name}: still saving, please wait\n"
        )
    with pytest.raises(Interrupted, match=first.name) as raised:
        interrupts.raise_for("go on")
    assert raised.value.exit_code == 128 + first


def test_an_interrupt_during_the_save_leaves_the_save_whole(recipe, data, tmp_path, monkeypatch):
    """The second arrives while the checkpoint is written."""
    save = Checkpoints.save

    def struck(self, update, *rest):
        if update == 8:
            os.kill(os.getpid(), signal.SIGINT)
        save(self, update, *rest)

    monkeypatch.setattr(Checkpoints, "save", struck)

    def strike(progress):
        if progress.update == 8:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        train(recipe, data, tmp_path / "run", progress=strike)
    assert Checkpoints(tmp_path / "run" / "training").latest() == 8


def test_a_hangup_that_was_ignored_stays_ignored():
    """As `nohup` asks for."""
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupts.arrived()
    finally:
        signal.signal(signal.SIGHUP, previous)


def test_resuming_says_where_it_starts(recipe, data, tmp_path, caplog):
    def strike(progress):
        if progress.update == 8:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        train(recipe, data, tmp_path / "run", progress=strike)
    with caplog.at_level("INFO", logger="pinnwx"):
        train(recipe, data, tmp_path / "run", resume=True)
    assert "going on from update 8 of 16" in caplog.messages


def test_resuming_what_is_finished_is_done_at_once(finished, recipe, data):
    stages = []
    before = (finished.folder / "metrics.jsonl").read_bytes()
    assert train(recipe, data, finished.folder, resume=True, progress=stages.append).live == "0001"
    assert not stages
    assert (finished.folder / "metrics.jsonl").read_bytes() == before


def test_it_begins_with_the_weights_of_another_run(finished, data, tmp_path):
    """One update with a learning rate of nearly zero leaves them as they are. They may be learned on another grid."""
    path = tmp_path / "next.toml"
    path.write_text(config_text(grid="30deg", training="batch_size = 8\nupdates = 1\nlearning_rate = 1e-12"))
    other = train(path, data, tmp_path / "other", init_from=finished.folder, promote_anyway=True)
    for name, values in weights(finished).items():
        np.testing.assert_allclose(weights(other)[name], values, rtol=0, atol=1e-6, err_msg=name)
    manifest = json.loads((other.version(other.live) / "manifest.json").read_text())
    began = json.loads((finished.version("0001") / "manifest.json").read_text())["files"]["weights.safetensors"]
    assert manifest["initialised_from"] == {
        "name": "tiny", "version": "0001", "weights_sha256": began, "parameters": manifest["parameters"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"fields": ("t850", "msl")}, "fields is msl, t850 there and t850, msl here"),
        ({"model": "input_times = 2"}, "input_times is 1 there and 2 here"),
        ({"closure": "width = 8\nblocks = 1"}, "the weight .* has the shape .*16.* there and .*8.* here"),
        ({"closure": "width = 16\nblocks = 2"}, "the weight .*blocks/1.* is absent there and has the shape"),
    ],
)
def test_weights_that_do_not_fit_are_refused(settings, told, finished, data, tmp_path):
    path, out = tmp_path / "other.toml", tmp_path / "other"
    path.write_text(config_text(**settings, training=UPDATES))
    with pytest.raises(ConfigError, match=f"--init-from {finished.folder}: {told}"):
        train(path, data, out, init_from=finished.folder)
    assert not (out / "versions").exists()


def test_other_weights_than_it_began_with_are_no_training_to_resume(finished, recipe, data, tmp_path):
    out = tmp_path / "out"
    train(recipe, data, out, init_from=finished.folder)
    shutil.rmtree(out / "versions")
    (out / "live").unlink()
    with pytest.raises(CheckpointError, match="began with other weights; give the same --init-from"):
        train(recipe, data, out, resume=True)
    again = train(recipe, data, out, resume=True, init_from=finished.folder)
    assert again.live == "0001"


def irregular(path: Path, spread: float) -> Path:
    """The fields of the tests with noise, independent from time to time, of `spread` times their change in a step."""
    dataset = wave_dataset(80)
    noise = np.random.default_rng(3).standard_normal(dataset["msl"].shape)
    for name in ("msl", "t850"):
        dataset[name] += spread * float(dataset[name].diff("time").std()) * noise
    dataset.to_netcdf(path)
    return path


def test_a_simulation_gets_noise_like_that_of_analyses(finished, recipe, data, tmp_path):
    """The manifest names the analyses, and `resume` needs them again. Training and check have the same kind of data, so
    the model goes live."""
    analyses, out = irregular(tmp_path / "analyses.nc", spread=0.5), tmp_path / "out"
    run = train(recipe, data, out, noise_like=analyses)
    manifest, plain = (json.loads((one.version("0001") / "manifest.json").read_text()) for one in (run, finished))
    assert manifest["noise_like_sha256"] == as_archive(analyses, ["msl", "t850"]).digest()
    assert "noise_like_sha256" not in plain
    assert manifest["data_sha256"] != plain["data_sha256"]
    noisy, smooth = (read_normalisation(one.version("0001") / "normalisation.nc") for one in (run, finished))
    archive, like = (as_archive(one, ["msl", "t850"]) for one in (data, analyses))
    expected = AnalysisNoise.fit(archive.select("2026-01-01", "2026-01-15"), like, 6)
    expected = fit_normalisation(expected.added_to(archive.select("2026-01-01", "2026-01-15"), manifest["seed"]), 6)
    np.testing.assert_array_equal(noisy.increment_std, expected.increment_std)
    assert (noisy.increment_std > 1.1 * smooth.increment_std).all()
    shutil.rmtree(out / "versions")
    (out / "live").unlink()
    with pytest.raises(DataError, match=r"give the same --data \(and --noise-like\)"):
        train(recipe, data, out, resume=True)
    assert train(recipe, data, out, resume=True, noise_like=analyses).live == "0001"


@pytest.mark.parametrize(
    ("analyses", "reason"),
    [
        (wave_dataset(80)[["msl"]], "--noise-like: .*t850"),
        (wave_dataset(20), "--noise-like: the analyses have 17 sequences of four times 6 h apart"),
    ],
)
def test_noise_like_analyses_that_do_not_do_is_refused(analyses, reason, recipe, data, tmp_path):
    path, out = tmp_path / "analyses.nc", tmp_path / "out"
    analyses.to_netcdf(path)
    for one in (path, analyses):
        with pytest.raises(DataError, match=reason):
            train(recipe, data, out, noise_like=one)
    assert not (out / "versions").exists()


def test_noise_in_memory_is_that_of_files(recipe, data, tmp_path):
    path = irregular(tmp_path / "analyses.nc", spread=0.5)
    trained = train(recipe, as_archive(data, ["msl", "t850"]), noise_like=as_archive(path, ["msl", "t850"]))
    run = train(recipe, data, tmp_path / "out", noise_like=path)
    assert trained.manifest["data_sha256"] == run.load().manifest["data_sha256"]


def test_what_exists_is_not_overwritten_unasked(finished, recipe, data):
    with pytest.raises(OutputError, match="--resume"):
        train(recipe, data, finished.folder)


def test_force_trains_a_new_version_and_keeps_the_old(finished, recipe, data, tmp_path):
    folder = Path(shutil.copytree(finished.folder, tmp_path / "copy"))
    run = train(recipe, data, folder, force=True)
    assert (run.versions, run.live) == (("0001", "0002"), "0002")
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 16


def test_resuming_with_another_config_is_refused(finished, data, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text(config_text(training=UPDATES.replace("16", "20")))
    with pytest.raises(ConfigError, match="differs from the config of"):
        train(other, data, finished.folder, resume=True)


def test_resuming_what_never_began(recipe, data, tmp_path):
    with pytest.raises(MissingInputError, match="no run folder"):
        train(recipe, data, tmp_path / "nowhere", resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="no training state to resume from"):
        train(recipe, data, tmp_path / "other", resume=True)


def test_a_training_stopped_before_its_first_checkpoint_begins_again(finished, recipe, data, tmp_path):
    """Whether it was killed while it read the data, compiled, or saved: nobody has to look what is there."""
    run = new_run(tmp_path / "run")
    with run.lock():
        pass
    for left in ("nothing", "an unfinished checkpoint"):
        if left != "nothing":
            run.begin()
            (run.folder / "training" / "8").mkdir(parents=True)
        train(recipe, data, run.folder, resume=True)
        assert all(weights(run)[name].tobytes() == values.tobytes() for name, values in weights(finished).items())


def test_a_locked_run_is_refused(recipe, data, tmp_path):
    run = new_run(tmp_path / "run")
    with run.lock(), pytest.raises(LockedError):
        train(recipe, data, run.folder, force=True)


def test_a_failed_start_does_not_block_the_next(recipe, data, tmp_path):
    with pytest.raises(MissingInputError):
        train(recipe, tmp_path / "typo.nc", tmp_path / "run")
    with pytest.raises(MissingInputError):
        train(recipe, tmp_path / "typo.nc", tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"fields": ("msl", "z500")}, DataError, "z500"),
        ({"train": ("2027-01-01", "2027-01-15")}, UnavailableError, "2027-01-01 to 2027-01-15"),
        ({"train": ("2026-01-01", "2026-01-01T00:00")}, DataError, "no 2 analyses in a row 6 h apart"),
        ({"closure": "patch_size = 4", "grid": "22.5deg"}, ConfigError, "patch_size"),
    ],
    ids=["no such field", "no such time", "one time", "coarse grid of two rows"],
)
def test_what_cannot_be_trained_is_refused(options, error, message, data, tmp_path):
    recipe = tmp_path / "config.toml"
    recipe.write_text(config_text(training=UPDATES, **options))
    with pytest.raises(error, match=message):
        train(recipe, data, tmp_path / "run")


def test_validation_time_inside_the_training_time_is_refused(data, tmp_path):
    recipe = tmp_path / "config.toml"
    text = config_text(training=UPDATES)
    recipe.write_text(text.replace("[model]", 'validate = { start = "2026-01-15", end = "2026-01-20" }\n[model]', 1))
    with pytest.raises(ConfigError, match=r"data\.validate .* overlaps data\.train"):
        train(recipe, data, tmp_path / "run")


@pytest.mark.parametrize("minutes", [0, -1.0, float("nan"), float("inf")])
def test_a_budget_must_be_positive(recipe, data, tmp_path, minutes):
    with pytest.raises(UsageError, match="must be positive"):
        train(recipe, data, tmp_path / "run", minutes=minutes)


@pytest.mark.slow
def test_minutes_bound_the_wall_clock(data, tmp_path):
    """Compilation, saving and all; and the time is used, not given away."""
    recipe = tmp_path / "config.toml"
    recipe.write_text(config_text(training="batch_size = 8"))
    started = time.monotonic()
    run = train(recipe, data, tmp_path / "run", minutes=0.4)
    took = time.monotonic() - started
    assert 12 < took < 26
    manifest = run.load().manifest
    assert manifest["updates"] > 100
    assert sum(manifest["planned_updates"].values()) >= manifest["updates"]
