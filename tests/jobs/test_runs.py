"""The run folder: which version is live, who may work in it, and what is left alone."""

import shutil

import pytest
from synthetic import tiny_trained

from pinnwx.errors import CheckpointError, LockedError, MissingInputError, OutputError
from pinnwx.forecasting.runs import Run, new_run


@pytest.fixture(scope="module")
def trained():
    return tiny_trained()


@pytest.fixture
def run(tmp_path, trained) -> Run:
    made = new_run(tmp_path / "run")
    made.publish(trained, {"seed": 0})
    return made


def test_publishing_makes_versions_live_one_after_the_other(run, trained):
    assert (run.versions, run.live) == (("0001",), "0001")
    assert run.publish(trained, {"seed": 1}) == "0002"
    assert (run.versions, run.live) == (("0001", "0002"), "0002")
    assert run.load().manifest["seed"] == 1
    (run.folder / "live").write_text("0001\n")
    assert run.load().manifest["seed"] == 0


def test_a_run_may_be_moved(run, tmp_path):
    elsewhere = shutil.move(run.folder, tmp_path / "elsewhere")
    assert Run.open(elsewhere).load().manifest["seed"] == 0


def test_foreign_files_are_left_alone(run, trained):
    for name in ("notes", "00001", "0002.bak", ".hidden"):
        (run.folder / "versions" / name).mkdir()
    (run.folder / "notes.txt").write_text("mine")
    assert run.versions == ("0001",)
    assert run.publish(trained, {}) == "0002"
    new_run(run.folder, force=True).begin()
    assert (run.folder / "notes.txt").read_text() == "mine"
    assert (run.folder / "versions" / "notes").is_dir()
    assert run.versions == ("0001", "0002")


@pytest.mark.parametrize("pointer", ["0009\n", "../0001\n", "", "0001/../0001", "latest"])
def test_a_damaged_pointer_is_refused(run, pointer):
    (run.folder / "live").write_text(pointer)
    with pytest.raises(CheckpointError, match="not one of 0001"):
        run.load()


def test_a_version_cut_off_is_refused(run):
    (run.folder / "versions" / "0001" / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no manifest\.json"):
        run.load()


def test_a_version_cut_off_does_not_stop_the_next(run, trained):
    """Its process died while it was written: the live one stays, and the next gets another number."""
    (run.folder / "versions" / "0002").mkdir()
    assert run.live == "0001"
    assert run.publish(trained, {"seed": 7}) == "0003"
    assert run.load().manifest["seed"] == 7


def test_no_run(tmp_path):
    with pytest.raises(MissingInputError, match="no run folder"):
        Run.open(tmp_path / "nowhere")
    with pytest.raises(MissingInputError, match="is not a run folder, which holds"):
        new_run(tmp_path / "empty").load()
    (tmp_path / "empty" / "versions").mkdir()
    with pytest.raises(CheckpointError, match="has no live model"):
        Run.open(tmp_path / "empty").load()


def test_one_job_at_a_time(run):
    with run.lock(), pytest.raises(LockedError, match="another job is at work"), run.lock():
        pass
    with run.lock():
        pass


def test_begin_marks_a_run_unfinished_until_it_publishes(run, trained):
    assert run.is_finished()
    (run.folder / "training").mkdir()
    (run.folder / "metrics.jsonl").write_text("{}\n")
    run.begin()
    assert not run.is_finished()
    assert run.live == "0001", "forecasts go on with the old one"
    assert not (run.folder / "training").exists()
    assert not (run.folder / "metrics.jsonl").exists()
    assert run.publish(trained, {}, ends_training=False) == run.live == "0002"
    assert not run.is_finished(), "another job's version is not what the training was for"
    run.publish(trained, {})
    assert run.is_finished()


def test_what_exists_is_refused(run, tmp_path):
    with pytest.raises(OutputError, match=r"give --resume .*, --force"):
        new_run(run.folder)
    assert new_run(run.folder, force=True).folder == run.folder
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        new_run(tmp_path / "file", force=True)
    with pytest.raises(OutputError, match="cannot create folder"):
        new_run(tmp_path / "file" / "below")
