"""Old versions go, never those that forecasts or a rollback need; a folder that is no run is called so."""

import pytest
from synthetic import tiny_trained

import pinnwx
from pinnwx.errors import MissingInputError, UsageError
from pinnwx.forecasting.runs import Run, new_run
from pinnwx.jobs.events import read_events


@pytest.fixture(scope="module")
def trained():
    return tiny_trained()


@pytest.fixture
def run(trained, tmp_path) -> Run:
    made = new_run(tmp_path / "run")
    for seed in range(5):
        made.publish(trained, {"seed": seed})
    return made


def test_the_newest_stay(run):
    assert pinnwx.prune_models(run.folder, 2) == ("0001", "0002", "0003")
    assert run.versions == ("0004", "0005")
    assert read_events(run.folder)[-1].details["removed"] == ["0001", "0002", "0003"]
    assert pinnwx.prune_models(run.folder, 2) == ()


def test_only_said(run):
    assert pinnwx.prune_models(run.folder, 1, dry_run=True) == ("0001", "0002", "0003")
    assert len(run.versions) == 5


@pytest.mark.parametrize(("live", "gone"), [("0005", "123"), ("0003", "14"), ("0001", "234")])
def test_neither_the_live_one_nor_that_of_a_rollback(run, live, gone):
    run.point_to(live)
    assert pinnwx.prune_models(run.folder, 1) == tuple(f"000{number}" for number in gone)
    assert run.live == live
    if live != "0001":
        assert int(pinnwx.rollback(run.folder)) == int(live) - 1


def test_a_damaged_one_is_none_to_roll_back_to(run):
    (run.version("0004") / "weights.safetensors").write_bytes(b"damaged")
    assert pinnwx.prune_models(run.folder, 1) == ("0001", "0002", "0004")
    assert pinnwx.rollback(run.folder) == "0003"


def test_what_is_asked_must_make_sense(run):
    with pytest.raises(UsageError, match="--keep 0"):
        pinnwx.prune_models(run.folder, 0)


def test_a_folder_that_is_no_run_is_called_so(run):
    parent = run.folder.parent
    (parent / "empty").mkdir()
    with pytest.raises(
        MissingInputError, match=r"empty is not a run folder, which holds config\.toml, versions/ and the"
    ):
        pinnwx.status(parent / "empty")
    with pytest.raises(MissingInputError, match=f"did you mean {run.folder}"):
        pinnwx.status(parent)
    with pytest.raises(MissingInputError, match=f"did you mean {run.folder}"):
        pinnwx.status(parent / "runs")
    with pytest.raises(MissingInputError, match=f"did you mean {run.folder}"):
        pinnwx.show_model(run.folder / "versions" / "0001")
