"""Training state on disk: what was saved comes back bit for bit, or is refused."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pinnwx.errors import CheckpointError
from pinnwx.training.checkpoint import Checkpoints


class State(NamedTuple):
    weights: dict
    count: jax.Array


def state(seed: int = 0, width: int = 3) -> State:
    values = np.random.default_rng(seed).standard_normal((2, width)).astype(np.float32)
    values[0, 0], values[1, 1] = np.inf, -0.0
    return State({"b": jnp.asarray(values), "a": jnp.ones(width)}, jnp.asarray(seed, jnp.int32))


@pytest.fixture
def checkpoints(tmp_path):
    made = Checkpoints(tmp_path / "training")
    yield made
    made.close()


def test_round_trip(checkpoints):
    checkpoints.save(8, state(1), {"steps": [1, 4], "updates": [8, 8]})
    checkpoints.save(12, state(2), {"steps": [1, 4], "updates": [8, 8]})
    found, notes = checkpoints.load(state(0))
    assert checkpoints.latest() == 12
    assert notes == {"steps": [1, 4], "updates": [8, 8]}
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(state(2)), strict=True):
        assert ours.dtype == theirs.dtype
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()
    assert isinstance(found, State)


def test_another_process_finds_it(checkpoints, tmp_path):
    checkpoints.save(4, state(1), {})
    again = Checkpoints(tmp_path / "training")
    np.testing.assert_array_equal(again.load(state(0))[0].weights["b"], state(1).weights["b"])
    again.close()


def test_only_the_newest_are_kept(checkpoints, tmp_path):
    for update in (4, 8, 12):
        checkpoints.save(update, state(update), {})
    kept = {entry.name for entry in (tmp_path / "training").iterdir() if entry.name.isdigit()}
    assert kept == {"8", "12"}


def test_nothing_to_resume_from(checkpoints):
    with pytest.raises(CheckpointError, match="no training state to resume from"):
        checkpoints.load(state(0))


@pytest.mark.parametrize("other", [state(0, width=4), State({"b": jnp.ones((2, 3))}, jnp.zeros((), jnp.int32))])
def test_the_state_of_another_model_is_refused(checkpoints, other):
    checkpoints.save(4, state(1), {})
    with pytest.raises(CheckpointError, match="does not fit this config"):
        checkpoints.load(other)


def damage(folder) -> None:
    """Another byte in the largest file of a checkpoint, besides its manifest."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    path = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("fault", ["damaged", "cut off"])
def test_the_one_before_is_loaded_where_the_newest_is_not_whole(checkpoints, tmp_path, caplog, fault):
    for update in (4, 8):
        checkpoints.save(update, state(update), {"update": update})
    if fault == "damaged":
        damage(tmp_path / "training" / "8")
    else:
        (tmp_path / "training" / "8" / "manifest.json").unlink()
    again = Checkpoints(tmp_path / "training")
    found, notes = again.load(state(0))
    assert notes == {"update": 4}
    np.testing.assert_array_equal(found.weights["b"], state(4).weights["b"])
    assert "after update 8 is not whole; going on from 4" in caplog.text
    again.save(8, state(9), {"update": 8})
    assert again.load(state(0))[0].weights["b"].tobytes() == state(9).weights["b"].tobytes()
    again.close()


def test_where_none_is_whole_nothing_is_removed(checkpoints, tmp_path):
    checkpoints.save(4, state(4), {})
    damage(tmp_path / "training" / "4")
    with pytest.raises(CheckpointError, match=r"no whole training state to resume from .* does not match its SHA-256"):
        checkpoints.load(state(0))
    assert (tmp_path / "training" / "4").is_dir()


def test_a_state_of_other_shapes_is_refused_before_it_is_read(checkpoints, monkeypatch):
    """What a stranger's folder declares may be larger than any memory."""
    checkpoints.save(4, state(1), {})
    monkeypatch.setattr(checkpoints._manager, "restore", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(CheckpointError, match="does not fit this config"):
        checkpoints.load(state(0, width=4))


def test_names_in_the_folder_that_are_no_checkpoints(checkpoints, tmp_path):
    checkpoints.save(4, state(1), {})
    checkpoints.close()
    for name in ("99999999999999999999", "-1", "x", "\u0663"):
        (tmp_path / "training" / name).mkdir()
    (tmp_path / "training" / "7").write_text("{}")
    again = Checkpoints(tmp_path / "training")
    np.testing.assert_array_equal(again.load(state(0))[0].weights["b"], state(1).weights["b"])
    again.close()
