"""Faults 44 to 49: what we wrote ourselves comes back as it was, or is refused; a bad result is never published."""

import contextlib
import json
import pickle
import random
import shutil
import struct
import threading
import tracemalloc
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from synthetic import tiny_trained, wave_dataset
from verbs import Ended, pinnwx, recipe

from pinnwx.errors import CheckpointError, DataError
from pinnwx.forecasting.cf import read_forecast
from pinnwx.forecasting.runs import Run, new_run
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.manifest import MANIFEST, read_manifest, write_manifest

SEED = 20261126


@pytest.fixture
def copy(run, tmp_path) -> Path:
    """A run to damage."""
    return Path(shutil.copytree(run, tmp_path / "copy"))


@pytest.fixture
def use(good, tmp_path):
    """`use(run)`: a forecast with it, which may not leave a file where it fails."""

    def make(run: Path) -> Ended:
        out = tmp_path / "used.nc"
        out.unlink(missing_ok=True)
        ended = pinnwx("forecast", "--run", run, "--data", good, "--hours", 12, "--out", out)
        assert out.exists() == (ended.code == 0)
        return ended

    return make


def version(run: Path) -> Path:
    return run / "versions" / "0001"


def signed_again(run: Path) -> None:
    """Manifest and pointer rewritten for the files as they are now, as an attacker could."""
    manifest = json.loads((version(run) / MANIFEST).read_text())
    notes = {key: value for key, value in manifest.items() if key not in ("format", "pinnwx", "files", "sha256")}
    write_manifest(version(run), manifest["files"], notes)
    (run / "live").write_text("0001\n")


def test_44_a_flipped_bit_in_the_weights(copy, use):
    path = version(copy) / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 8
    path.write_bytes(content)
    use(copy).refused(65, "weights.safetensors does not match its SHA-256", "restore it")


def test_44_a_flipped_bit_anywhere_in_a_version(copy):
    """Any bit of any file, the manifest and the pointer included: refused, or it meant nothing."""
    dice, intact = random.Random(SEED), contents(copy)
    for path in sorted([*version(copy).iterdir(), copy / "live"]):
        good = path.read_bytes()
        for _ in range(12):
            content = bytearray(good)
            content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
            path.write_bytes(content)
            with contextlib.suppress(CheckpointError, DataError):
                assert contents(copy) == intact, path.name
        path.write_bytes(good)
    assert contents(copy) == intact


def contents(run: Path) -> tuple:
    """All that a forecast depends on."""
    trained = Run(run).load()
    leaves = tuple(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(nnx.state(trained.model)))
    return leaves, trained.config_text, repr(trained.manifest), trained.climatology.coefficients.tobytes()


def test_44_a_flipped_bit_in_a_forecast(run, good, tmp_path):
    dice, path = random.Random(SEED), tmp_path / "f.nc"
    pinnwx("forecast", "--run", run, "--data", good, "--hours", 12, "--out", path).did()
    intact, content = read_forecast(path), path.read_bytes()
    for _ in range(60):
        damaged = bytearray(content)
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        try:
            found = read_forecast(path)
        except DataError:
            continue
        assert found.identical(intact), "bits that mean nothing"


class Harmful:
    """Unpickled, it leaves a file."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("place", ["weights.safetensors", "normalisation.nc", "manifest.json"])
def test_45_a_pickle_is_never_loaded(copy, use, tmp_path, place):
    (version(copy) / place).write_bytes(pickle.dumps(Harmful(tmp_path / "harm")))
    if place != MANIFEST:
        signed_again(copy)
    ended = use(copy)
    assert ended.code == 65, ended.err
    assert len(ended.err.splitlines()) == 1
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("fault", ["shape", "dtype", "name", "config"])
def test_46_what_does_not_fit(copy, use, fault):
    folder = version(copy)
    weights = load_file(folder / "weights.safetensors")
    name = sorted(weights)[0]
    if fault == "shape":
        weights[name] = np.zeros((*weights[name].shape, 2), np.float32)
    elif fault == "dtype":
        weights[name] = weights[name].astype(np.float64)
    elif fault == "name":
        weights["intruder"] = weights.pop(name)
    else:
        text = (folder / "config.toml").read_text()
        (folder / "config.toml").write_text(text.replace("width = 16", "width = 32"))
    save_file(weights, folder / "weights.safetensors")
    signed_again(copy)
    if fault == "config":
        use(copy).refused(65, "0001", "config.toml", "its weights have other names or shapes")
    else:
        use(copy).refused(65, "weights.safetensors", ", not ")


def test_47_a_huge_header(copy):
    """It says that its header has 2^60 bytes: refused before any of them is asked for."""
    path = version(copy) / "weights.safetensors"
    path.write_bytes(struct.pack("<Q", 2**60) + b"{" + b" " * 1000)
    signed_again(copy)
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        TrainedModel.load(version(copy))
    tracemalloc.start()
    with pytest.raises(SafetensorError):
        load_file(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_48_updates_without_a_finite_loss(good, tmp_path):
    """Skipped; after many in a row training stops, and the version before stays live."""
    config = recipe(tmp_path, "batch_size = 8\nupdates = 8")
    out = tmp_path / "run"
    pinnwx("train", config, "--data", good, "--out", out).did()
    recipe(tmp_path, "batch_size = 8\nupdates = 400\nlearning_rate = 1e30\nclip_norm = 1e30")
    ended = pinnwx("train", config, "--data", good, "--out", out, "--force")
    assert ended.code == 70, ended.err
    assert "had no finite loss and gradient" in ended.err
    assert Run(out).live == "0001"
    Run(out).load()
    losses = [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert losses[0] is not None
    assert losses[-1] is None


@pytest.mark.parametrize("bias", [3e38, 1e4])
def test_49_a_forecast_blows_up(good, use, tmp_path, bias):
    """Not finite, or finite and far beyond any weather: stopped, with the step, the place and the part that did it."""
    trained = tiny_trained()
    decode = trained.model.closure.network.decode
    decode.bias[...] = decode.bias[...] + bias
    made = new_run(tmp_path / "broken")
    made.publish(trained, {})
    ended = use(made.folder)
    ended.refused(70, "is unstable", "step 1", "in this step network changed it by", "Nothing was written")


def test_an_older_version_loads_and_a_newer_one_says_what_it_needs(copy, use):
    path = version(copy) / MANIFEST
    manifest = json.loads(path.read_text())
    del manifest["sha256"]
    path.write_text(json.dumps(manifest | {"format": 1}))  # as pinnwx 0.1.0 wrote it at first
    (copy / "live").write_text("0001\n")
    use(copy).did()
    path.write_text(json.dumps(manifest | {"format": 3, "pinnwx": "7.1"}))
    use(copy).refused(65, 'has format "3"', "needs pinnwx 7.1")


def test_a_manifest_vouches_for_itself(tmp_path):
    (tmp_path / "a").write_text("content")
    write_manifest(tmp_path, ["a"], {"seed": 1})
    assert read_manifest(tmp_path)["seed"] == 1
    text = (tmp_path / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_text(text.replace('"seed": 1', '"seed": 3'))
    with pytest.raises(CheckpointError, match="does not match its own SHA-256"):
        read_manifest(tmp_path)


def test_50_a_worse_candidate_is_not_promoted(tmp_path):
    """Exit 77, the report is kept, and the live model stays; a better one passes."""
    data, run = tmp_path / "long.nc", tmp_path / "run"
    wave_dataset(120).to_netcdf(data)
    training, bounded = "batch_size = 8\nupdates = 400\nlearning_rate = 3e-3", "climate = { bound_margin = 0.1 }"
    pinnwx("train", recipe(tmp_path, training, model=bounded), "--data", data, "--out", run).did()
    Run(run).publish(tiny_trained(), {"seed": 0})
    Run(run).point_to("0001")
    gate = ["--run", run, "--data", data, "--start", "2026-01-17", "--end", "2026-01-28", "--leads", "6,12"]
    ended = pinnwx("models", "promote", "0002", *gate, "--json", tmp_path / "report.json")
    ended.refused(77, "0002 is not promoted", "of the live model's", "0001 stays live")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["passed"] is False
    assert any("no better than persistence" in objection for objection in report["objections"])
    assert any("is unstable" in objection for objection in report["objections"])
    assert Run(run).live == "0001"
    pinnwx("models", "promote", "0002", "--run", run).did()
    assert Run(run).live == "0002"
    pinnwx("models", "promote", "0001", *gate).did()
    assert Run(run).live == "0001"
    early = [word if word != "2026-01-17" else "2026-01-10" for word in gate]
    pinnwx("models", "promote", "0001", *early).refused(2, "--start 2026-01-10", "up to 2026-01-15T18:00Z")
    pinnwx("models", "promote", "0002", "--run", run, *gate[4:]).refused(2, "needs --data")
    # A candidate without a finite forecast is refused with a report too, and never stands in a better one's way.
    broken = tiny_trained()
    decode = broken.model.closure.network.decode
    decode.bias[...] = decode.bias[...] + 3e38
    Run(run).publish(broken, {})
    Run(run).point_to("0001")
    report = tmp_path / "broken.json"
    pinnwx("models", "promote", "0003", *gate, "--json", report).refused(77, "0003 is not promoted", "not finite")
    assert "not finite" in json.loads(report.read_text())["objections"][0]
    Run(run).point_to("0003")
    pinnwx("models", "promote", "0001", *gate).did()
    assert Run(run).live == "0001"


def test_51_rollback_is_one_atomic_swap(copy, use):
    """Whoever reads the pointer while it is swapped finds one version or the other, whole."""
    Run(copy).publish(tiny_trained(), {"seed": 1})
    Run(copy).publish(tiny_trained(), {"seed": 2})
    (version(copy).parent / "0002" / "weights.safetensors").write_bytes(b"damaged")
    listed = pinnwx("models", "list", "--run", copy)
    assert "does not match its SHA-256" in listed.out
    pinnwx("models", "rollback", "--run", copy).did()
    assert Run(copy).live == "0001", "the damaged one in between is passed over"
    use(copy).did()
    reader = threading.Thread(target=lambda: seen.extend(Run(copy).live for _ in range(2000)))
    seen: list[str] = []
    reader.start()
    while reader.is_alive():
        Run(copy).point_to("0003")
        Run(copy).point_to("0001")
    assert len(seen) == 2000
    assert set(seen) <= {"0001", "0003"}
    pinnwx("models", "rollback", "--run", copy).refused(66, "no usable version older than 0001")
    Run(copy).point_to("0003")
    (version(copy).parent / "0003" / MANIFEST).write_text("{}")
    use(copy).refused(65, "pinnwx models rollback")
    pinnwx("models", "rollback", "--run", copy).did()
    assert Run(copy).live == "0001", "whatever became of the live one"


@pytest.mark.parametrize("name", ["../0001", "0001/../0001", "latest", ""])
def test_53_the_name_of_a_version_stays_in_its_folder(run, name):
    pinnwx("models", "promote", "--run", run, "--", name).refused(2, "not the name of a version")
    pinnwx("models", "rollback", "--run", run, "--to", name).refused(2, "not the name of a version")
