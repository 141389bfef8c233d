"""A run folder that somebody else made is data: nothing in it is followed out of it, and nothing of it is replaced."""

import json
import os
import shutil
import socket
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from safetensors.numpy import save_file
from synthetic import config_text, tiny_trained

from pinnwx import manifest as manifests
from pinnwx.enclosed import appended_own, read_own, require_own_folder, require_own_tree
from pinnwx.errors import CheckpointError, LockedError, OutputError, PinnwxError
from pinnwx.files import check_writable, sha256, write_text
from pinnwx.forecasting.runs import LAST_VERSION, Run, new_run
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.evaluate import evaluate
from pinnwx.jobs.events import read_log, recorded
from pinnwx.jobs.models import list_models
from pinnwx.jobs.promote import rollback
from pinnwx.jobs.status import status
from pinnwx.manifest import MANIFEST, read_manifest, write_manifest
from pinnwx.training.checkpoint import Checkpoints

PROFILE = "# the user's own shell profile\n"


@pytest.fixture
def copy(run, tmp_path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


@pytest.fixture
def outside(tmp_path) -> Path:
    """What no run may read into, write to or remove."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / ".profile").write_text(PROFILE)
    return folder


def linked(path: Path, target: Path) -> None:
    """Puts a link in the place of a file or folder, to what it was."""
    if path.is_dir():
        shutil.rmtree(target)
        path.rename(target)
    elif path.exists():
        path.unlink()
    path.symlink_to(target)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def train_again(run: Path) -> None:
    """All that a training does to a run folder that it starts afresh in."""
    made = new_run(run, force=True)
    with made.lock():
        made.begin()
        write_text(run / "config.toml", "new")
        made.publish(tiny_trained(), {})
        made.point_to("0001")


@pytest.mark.parametrize("name", ["events.jsonl", "live", ".lock", "config.toml", "metrics.jsonl", "unfinished"])
@pytest.mark.parametrize("verb", ["rollback", "train", "status"])
def test_a_file_that_is_a_link_is_never_written_through(copy, outside, caplog, name, verb):
    """Whatever a job does with a run, what a link in it leads to is as it was."""
    linked(copy / name, outside / ".profile")
    said, code = [], 0
    try:
        if verb == "rollback":
            rollback(copy, "0001")
        elif verb == "status":
            found = status(copy)
            said += [*found.warnings, found.alarm]
        else:
            with recorded(copy, "train"):
                train_again(copy)
    except PinnwxError as error:
        said.append(str(error))
        code = error.exit_code
    assert code in (0, 65, 73)
    assert contents(outside) == {".profile": PROFILE.encode()}
    if (name, verb) in (("live", "status"), ("live", "rollback"), ("events.jsonl", verb)):
        assert "is a link" in caplog.text + " ".join(said)
    if name == ".lock" and verb != "status":
        assert "cannot be locked" in said[0]


def test_events_are_not_appended_to_a_shell_profile(copy, outside, caplog):
    """The folder chooses the text of an event (here a version's name), so it would choose what a shell runs."""
    (copy / "events.jsonl").unlink(missing_ok=True)
    (copy / "events.jsonl").symlink_to(outside / ".profile")
    with recorded(copy, "forecast") as event:
        event.details["version"] = "$(touch harm)"
    assert (outside / ".profile").read_text() == PROFILE
    assert "is a link" in caplog.text
    with pytest.raises(CheckpointError, match="is a link"):
        read_log(copy)
    assert any("is a link" in warning for warning in status(copy).warnings)


def test_events_do_not_change_a_hard_linked_backup(copy, tmp_path, caplog):
    with recorded(copy, "check"), Run(copy).lock():
        pass
    backup = tmp_path / "backup"
    shutil.copytree(copy, backup, copy_function=os.link)
    before = contents(backup)
    for _ in range(2):
        with recorded(copy, "forecast"):
            pass
    assert contents(backup) == before
    assert [event.verb for event in read_log(copy).events] == ["check", "forecast", "forecast"]
    assert caplog.text.count("was replaced by a copy") == 1, "said once, for then it is the run's own"
    Run(copy).point_to("0001")
    assert contents(backup) == before
    with Run(backup).lock(), pytest.raises(LockedError, match="hard-linked"), Run(copy).lock():
        pass


@pytest.mark.parametrize("part", ["versions", "versions/0001", "training", "reports"])
def test_a_folder_that_is_a_link_is_not_entered(copy, tmp_path, part):
    """Neither to read a model, nor to clear or write one, though what is there would do."""
    elsewhere = tmp_path / "elsewhere"
    (copy / part).mkdir(exist_ok=True)
    (copy / part / "kept.txt").write_text("kept")
    if part.startswith("versions"):
        (copy / part / "kept.txt").unlink()
    elsewhere.mkdir()
    linked(copy / part, elsewhere)
    before = contents(elsewhere)
    if part.startswith("versions"):
        with pytest.raises(CheckpointError, match="is a link"):
            Run(copy).load()
    if part == "reports":
        with pytest.raises(CheckpointError, match="is a link"):
            Run(copy).reports()
    else:
        with pytest.raises(CheckpointError, match=f"{part} is a link, .*replace it by the file or folder itself"):
            train_again(copy)
    assert contents(elsewhere) == before


def test_a_run_may_be_reached_by_a_link(run, tmp_path):
    (tmp_path / "link").symlink_to(run)
    assert Run.open(tmp_path / "link").load().manifest["seed"] == 0


@pytest.mark.parametrize("name", ["weights.safetensors", "config.toml", "static.nc", MANIFEST])
def test_a_linked_part_of_a_version_is_refused(copy, tmp_path, name):
    """Even where what it leads to is what the manifest vouches for."""
    part = copy / "versions" / "0001" / name
    shutil.move(part, tmp_path / "part")
    part.symlink_to(tmp_path / "part")
    with pytest.raises(CheckpointError, match=f"{name} is a link"):
        Run(copy).load()


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder"])
def test_only_regular_files_are_opened(copy, kind):
    path = copy / "live"
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        short = Path(os.path.relpath(path))
        with socket.socket(socket.AF_UNIX) as made:
            try:
                made.bind(str(min(short, path, key=lambda p: len(str(p)))))
            except OSError:
                pytest.skip("the path is too long for a socket")
    with pytest.raises(CheckpointError, match=f"is a {kind}"):
        _ = Run(copy).live


@pytest.mark.parametrize("name", ["a/link/file", "link", "link/file", "a/pipe"])
def test_no_part_of_a_path_is_followed(tmp_path, outside, name):
    inside = tmp_path / "inside"
    (inside / "a").mkdir(parents=True)
    (inside / "link").symlink_to(outside)
    (inside / "a" / "link").symlink_to(outside)
    (outside / "file").write_text("theirs")
    os.mkfifo(inside / "a" / "pipe")
    with pytest.raises(CheckpointError, match=r"is a (link|pipe)"):
        read_own(inside, name)
    with pytest.raises(CheckpointError, match=r"is a (link|pipe)"), appended_own(inside, name):
        pass
    with pytest.raises(CheckpointError, match="is a link"):
        require_own_folder(inside, "a", "link")
    with pytest.raises(CheckpointError, match=r"is a (link|pipe)"):
        require_own_tree(inside)
    assert read_own(inside, "a/absent") is None
    with appended_own(inside, "a/new") as handle:
        os.write(handle, b"text")
    assert read_own(inside, "a/new") == b"text"
    with pytest.raises(CheckpointError, match="4 bytes, more than the limit of 3"):
        read_own(inside, "a/new", 3)


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "a/../../b", "a//b", "", ".", "a\\b", "C:x", "a\nb", "\u202ea", "x" * 300, "a/./b"],
)
def test_a_manifest_may_not_name_what_is_elsewhere(tmp_path, name):
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "version"
    folder.mkdir()
    content = {"format": 1, "files": {name: sha256(tmp_path / "secret")}}
    (folder / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"is damaged \(files"):
        read_manifest(folder)


def test_the_weights_that_are_used_are_those_that_were_hashed(copy, monkeypatch):
    """A file that is swapped as soon as it was looked at."""
    folder = copy / "versions" / "0001"
    good = TrainedModel.load(folder)
    whole = manifests.read_own

    def swapped_after(where, name, *rest):
        content = whole(where, name, *rest)
        if name != MANIFEST:
            (where / name).write_bytes(b"something else")
        return content

    monkeypatch.setattr("pinnwx.manifest.read_own", swapped_after)
    found = TrainedModel.load(folder)
    assert found.config_text == good.config_text
    assert (found.normalisation.mean_map == good.normalisation.mean_map).all()
    assert (found.climatology.coefficients == good.climatology.coefficients).all()
    assert (folder / "weights.safetensors").read_bytes() == b"something else"


def test_a_training_state_is_under_its_manifest(tmp_path, outside):
    """What is not listed is not opened, and nothing in it is a link."""
    state = [np.arange(8.0, dtype=np.float32)]
    saved = Checkpoints(tmp_path / "training")
    saved.save(1, state, {"number": 1})
    saved.save(2, [state[0] + 1], {"number": 2})
    (tmp_path / "training" / "2" / "state" / "extra.msgpack").write_bytes(b"\x80\x04N.")
    found, notes = saved.load(state)
    assert notes == {"number": 1}
    assert np.array_equal(found[0], state[0])
    saved.close()
    (tmp_path / "training" / "1" / "notes" / "x").symlink_to(outside / ".profile")
    with pytest.raises(CheckpointError, match="is a link"):
        Checkpoints(tmp_path / "training")


@pytest.mark.parametrize("option", ["metrics", "json"])
@pytest.mark.parametrize(
    "name", ["live", "events.jsonl", "config.toml", "versions/0001/weights.safetensors", "reports/x"]
)
def test_status_replaces_no_file_of_a_run(copy, option, name):
    (copy / "reports").mkdir()
    (copy / "config.toml").write_text(config_text())
    before = contents(copy)
    with pytest.raises(OutputError, match="give a name outside the run"):
        status(copy, **{option: copy / name}, force=True)
    assert contents(copy) == before


@pytest.mark.parametrize("held", ["a letter", "[Interface]\n", "pinnwx_rmse 1\n"])
def test_status_replaces_metrics_files_alone(copy, tmp_path, held):
    path = tmp_path / "m.prom"
    path.write_text(held)
    with pytest.raises(OutputError, match=r"is not a metrics file.*give another name"):
        status(copy, metrics=path)
    assert path.read_text() == held
    path.write_text("")
    for _ in range(2):
        status(copy, metrics=path)
    assert path.read_text().startswith("# HELP pinnwx_")


def test_an_output_is_a_regular_file(tmp_path, copy):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    for path in (tmp_path / "pipe", tmp_path / "null", Path("/dev/null")):
        with pytest.raises(OutputError, match="is not a regular file"):
            check_writable(path, force=True)
    (tmp_path / "dir").symlink_to(copy)
    for path in (copy / "live", tmp_path / "dir" / "live", copy / "versions" / "new.nc", copy / "x" / ".." / "live"):
        (copy / "x").mkdir(exist_ok=True)
        with pytest.raises(OutputError, match="of the run"):
            check_writable(path, force=True)
    check_writable(copy / "scores.json")  # beside them is the user's choice
    (tmp_path / "reports").mkdir()
    check_writable(tmp_path / "reports" / "live")


def test_versions_go_on_past_four_digits(copy):
    (copy / "versions" / "0001").rename(copy / "versions" / "9999")
    run = Run(copy)
    run.point_to("9999")
    assert run.publish(tiny_trained(), {"seed": 5}) == run.live == "10000"
    assert run.versions == ("9999", "10000")
    assert run.load().manifest["seed"] == 5
    assert [one.name for one in list_models(copy) if not one.problem] == ["9999", "10000"]
    rollback(copy)
    assert run.live == "9999"
    assert status(copy).version == "9999"


def test_the_last_version_is_said_before_training(copy):
    (copy / "versions" / f"{LAST_VERSION}").mkdir()
    with pytest.raises(CheckpointError, match="the last possible version is 99999"):
        new_run(copy, force=True).begin()
    assert Run(copy).live == "0001"


@pytest.mark.parametrize("kind", ["external storage", "external link", "no checksum"])
def test_numbers_that_stand_elsewhere_are_refused(copy, outside, kind):
    """An array whose bytes are a file of this machine would be published by an export of the run."""
    folder = copy / "versions" / "0001"
    with xr.open_dataset(folder / "static.nc") as dataset:
        plain = dataset.load().drop_encoding()
    plain.to_netcdf(folder / "static.nc", engine="netcdf4")
    if kind != "no checksum":
        (outside / "secret").write_bytes(bytes(8 * 16))
        with h5py.File(folder / "static.nc", "r+") as file:
            if kind == "external link":
                file["secret"] = h5py.ExternalLink(str(outside / "other.h5"), "/x")
            else:
                file.create_dataset("secret", (16,), "f8", external=[(str(outside / "secret"), 0, 128)])
    signed_again(folder)
    words = "without a checksum" if kind == "no checksum" else "secret"
    with pytest.raises(CheckpointError, match=words):
        TrainedModel.load(folder)


def test_a_part_that_this_package_does_not_know_is_refused(copy):
    folder = copy / "versions" / "0001"
    save_file({"a": np.zeros(1, np.float32)}, folder / "calibration.safetensors")
    manifest = json.loads((folder / MANIFEST).read_text())
    write_manifest(folder, [*manifest["files"], "calibration.safetensors"], {"seed": 0})
    (copy / "live").write_text("0001\n")
    with pytest.raises(CheckpointError, match=r"calibration\.safetensors, which pinnwx .* does not know"):
        Run(copy).load()


def signed_again(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    write_manifest(folder, manifest["files"], {"seed": 0})
    (folder.parent.parent / "live").write_text("0001\n")


def resealed(folder: Path, **changes) -> None:
    """The manifest of a version with other notes, None for one that is left out, as another package would write it."""
    manifest = {**json.loads((folder / MANIFEST).read_text()), **changes}
    kept = {key: value for key, value in manifest.items() if value is not None and key != "sha256"}
    write_manifest(folder, manifest["files"], kept)
    (folder.parent.parent / "live").write_text("0001\n")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"terms": ["advection", "pressure_gradient"]}, "its terms: advection, pressure_gradient, here none"),
        ({"closure": "attention"}, "its closure: attention, here residual"),
        ({"normalisation": "quantiles"}, "its normalisation: quantiles, here mean and standard deviation"),
        ({"format": 2}, "its format: 2, here 1"),
        ({"kind": "spectral"}, "its kind: spectral, here transport"),
        ({"assimilates": True}, "it declares assimilates = true"),
        ({"weights": "0" * 64}, "its weights have other names or shapes"),
        ({"winds": ["none", "thermal"]}, "its winds: none, thermal, here none"),
        ("no table", "what it is made of is no table"),
    ],
)
def test_a_model_of_other_parts_is_not_run_without_them(copy, change, words):
    folder = copy / "versions" / "0001"
    told = json.loads((folder / MANIFEST).read_text())["model"]
    resealed(folder, model=told | change if isinstance(change, dict) else change)
    message = rf"that pinnwx .* builds from its config\.toml: {words}; use the version of pinnwx that wrote it"
    with pytest.raises(CheckpointError, match=message):
        Run(copy).load()


def test_a_version_that_tells_nothing_of_its_parts_is_loaded(copy):
    resealed(copy / "versions" / "0001", model=None)
    assert "model" not in Run(copy).load().manifest


def test_settings_of_another_package_are_an_artefact_of_its(copy):
    folder = copy / "versions" / "0001"
    text = (folder / "config.toml").read_text()
    (folder / "config.toml").write_text(text.replace("[model.closure]", "[model.closure]\nattention_heads = 4"))
    resealed(folder)
    with pytest.raises(CheckpointError, match=r"attention_heads.*; use the version of pinnwx that wrote it \(0\."):
        Run(copy).load()


@pytest.mark.parametrize("end", ["2026-01-16", "2026-01-10"])
def test_scores_of_the_training_time_say_so(copy, good, tmp_path, caplog, end):
    folder = copy / "versions" / "0001"
    resealed(folder, trained_on=["2026-01-01T00:00Z", "2026-01-12T18:00Z"])
    out = tmp_path / "s.json"
    scores = evaluate(copy, good, start="2026-01-09", end=end, leads=[6], json=out)
    to = "2026-01-12T18:00Z" if end == "2026-01-16" else "2026-01-11T00:00Z"
    assert scores.settings["trained_on"] == ["2026-01-09T00:00Z", to]
    assert json.loads(out.read_text())["settings"]["trained_on"][-1] == to
    assert "errors in the training time are too small" in caplog.text


def test_scores_of_later_days_do_not(copy, good, caplog):
    resealed(copy / "versions" / "0001", trained_on=["2026-01-01T00:00Z", "2026-01-12T18:00Z"])
    scores = evaluate(copy, good, start="2026-01-13", end="2026-01-16", leads=[6])
    assert "trained_on" not in scores.settings
    assert "learned from" not in caplog.text
