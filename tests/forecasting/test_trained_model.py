"""A version on disk: it comes back bit for bit, or is refused; nothing in it is ever executed."""

import hashlib
import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file
from synthetic import config_text, tiny_trained, transport, wave_archive

from pinnwx.config import parse_config
from pinnwx.errors import CheckpointError, MissingInputError
from pinnwx.files import sha256
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.trained_model import TrainedModel

FILES = ("weights.safetensors", "normalisation.nc", "climatology.nc", "static.nc", "config.toml")


@pytest.fixture(scope="module")
def trained():
    archive = wave_archive(60)
    orography = np.linspace(0, 3000, 128, dtype=np.float32).reshape(8, 16)
    text = config_text(extra="").replace("[model]", 'static = ["orography"]\n[model]', 1)
    return tiny_trained(text, replace(archive, static={"orography": orography}))


@pytest.fixture(scope="module")
def original(trained, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("versions") / "0001"
    trained.save_version(folder, {"seed": 0, "data_sha256": "ab" * 32})
    return folder


@pytest.fixture
def version(original, tmp_path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "0001"))


def signed_again(version: Path, change=lambda files: files) -> None:
    """The manifest rewritten for the files as they are now, or as `change` has them, as an attacker could."""
    manifest = json.loads((version / "manifest.json").read_text())
    manifest["files"] = change({name: sha256(version / name) for name in manifest["files"]})
    del manifest["sha256"]
    manifest["sha256"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (version / "manifest.json").write_text(json.dumps(manifest))


def test_round_trip_forecasts_the_same_bits(trained, original):
    loaded = TrainedModel.load(original)
    archive = wave_archive(60)
    rows = np.arange(3)
    forecasts = [Predictor(each, [6, 12]).from_archive(archive, archive.times[rows]) for each in (trained, loaded)]
    assert np.std(forecasts[0] - archive.fields[rows][:, None]) > 0.1
    assert forecasts[0].tobytes() == forecasts[1].tobytes()


def test_every_part_comes_back(trained, original):
    loaded = TrainedModel.load(original)
    assert loaded.config == trained.config
    assert loaded.config_text == trained.config_text
    assert loaded.grid == trained.grid
    assert loaded.names == ("msl", "t850")
    for name in ("mean", "std", "increment_std", "mean_map"):
        np.testing.assert_array_equal(getattr(loaded.normalisation, name), getattr(trained.normalisation, name))
    np.testing.assert_array_equal(loaded.climatology.coefficients, trained.climatology.coefficients)
    np.testing.assert_array_equal(loaded.static["orography"], trained.static["orography"])
    ours, theirs = (jax.tree.leaves(nnx.state(each.model, nnx.Param)) for each in (loaded, trained))
    assert all((a == b).all() for a, b in zip(ours, theirs, strict=True))


def test_manifest(original):
    manifest = json.loads((original / "manifest.json").read_text())
    assert manifest["format"] == 2
    assert manifest["files"] == {name: sha256(original / name) for name in FILES}
    assert manifest["data_sha256"] == "ab" * 32
    assert {"pinnwx", "jax", "flax", "optax", "diffrax", "numpy"} <= manifest["versions"].keys()
    assert str(original.parent) not in (original / "manifest.json").read_text()


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_refused(version, name):
    content = bytearray((version / name).read_bytes())
    content[len(content) // 2] ^= 1
    (version / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name} does not match its SHA-256"):
        TrainedModel.load(version)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(version, name):
    (version / name).unlink()
    with pytest.raises(CheckpointError, match=f"lacks {name}"):
        TrainedModel.load(version)


def test_a_folder_without_manifest_is_no_version(version):
    (version / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no manifest\.json"):
        TrainedModel.load(version)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": 3}', '{"format": 1}', "\x00"])
def test_a_damaged_manifest_is_refused(version, content):
    (version / "manifest.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"manifest\.json is damaged"):
        TrainedModel.load(version)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "weights.safetensors/.."])
def test_a_manifest_that_reaches_outside_is_refused(version, name):
    signed_again(version, lambda files: files | {name: "00"})
    with pytest.raises(CheckpointError, match="is not the name of a file inside its folder"):
        TrainedModel.load(version)


def test_a_manifest_that_leaves_a_file_out_is_refused(version):
    """Or else that file would be read unverified."""
    signed_again(version, lambda files: {name: files[name] for name in files if name != "weights.safetensors"})
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        TrainedModel.load(version)


@pytest.mark.parametrize(
    "change",
    [
        lambda weights, key: weights | {key: weights[key][..., :-1].copy()},
        lambda weights, key: weights | {key: weights[key].astype(np.float64)},
        lambda weights, key: {name: values for name, values in weights.items() if name != key},
        lambda weights, key: weights | {"another": weights[key]},
    ],
    ids=["shape", "precision", "missing", "too many"],
)
def test_weights_that_do_not_fit_the_config_are_refused(version, change):
    weights = load_file(version / "weights.safetensors")
    key = next(name for name, values in sorted(weights.items()) if values.ndim > 1)
    save_file(change(weights, key), version / "weights.safetensors")
    signed_again(version)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: .*, not "):
        TrainedModel.load(version)


def test_another_config_than_that_of_the_weights_is_refused(version):
    text = (version / "config.toml").read_text().replace("width = 16", "width = 24")
    parse_config(text)
    (version / "config.toml").write_text(text)
    signed_again(version)
    with pytest.raises(CheckpointError, match="its weights have other names or shapes"):
        TrainedModel.load(version)


def test_weights_that_are_not_finite_are_refused(version):
    weights = load_file(version / "weights.safetensors")
    key = sorted(weights)[0]
    weights[key] = np.full_like(weights[key], np.nan)
    save_file(weights, version / "weights.safetensors")
    signed_again(version)
    with pytest.raises(CheckpointError, match="not finite"):
        TrainedModel.load(version)


class Bomb:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", [name for name in FILES if name != "config.toml"])
@pytest.mark.parametrize("whole", [True, False], ids=["pickle", "archive of pickles"])
def test_a_pickle_is_never_loaded(version, tmp_path, name, whole):
    mark = tmp_path / "executed"
    if whole:
        (version / name).write_bytes(pickle.dumps(Bomb(mark)))
    else:
        with (version / name).open("wb") as file:
            np.savez(file, weights=np.array([Bomb(mark)], dtype=object))
    signed_again(version)
    with pytest.raises(CheckpointError):
        TrainedModel.load(version)
    assert not mark.exists()


def test_a_model_with_physics_comes_back_too(tmp_path):
    text = config_text(physics=transport("t850", wind="geostrophic:msl") + transport("msl", learned_wind=True))
    trained = tiny_trained(text)
    trained.save_version(tmp_path / "0001", {})
    loaded = TrainedModel.load(tmp_path / "0001")
    ours, theirs = (jax.tree.leaves(nnx.state(each.model, nnx.Param)) for each in (loaded, trained))
    assert all((a == b).all() for a, b in zip(ours, theirs, strict=True))


def test_no_such_version(tmp_path):
    with pytest.raises((CheckpointError, MissingInputError)):
        TrainedModel.load(tmp_path / "0007")
