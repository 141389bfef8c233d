"""Checkpoints: training states on disk, by orbax. A checkpoint that was saved survives a killed process.

The manifest of a checkpoint is written last. A checkpoint without one is incomplete. One whose files differ from the
manifest is damaged; orbax itself does not notice flipped bits. Resuming skips both and takes the checkpoint before.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from pinnwx.enclosed import require_own_tree
from pinnwx.errors import CheckpointError, OutputError
from pinnwx.files import write_text
from pinnwx.manifest import MANIFEST, read_manifest, write_manifest

logging.getLogger("absl").setLevel(logging.CRITICAL)  # orbax logs every file; errors are raised too
_log = logging.getLogger(__name__)
_SPACE = 1.2  # bytes of the files for each byte of a state, at most


class Checkpoints:
    """The two newest training states in a folder, each with its notes. One process at a time may use a folder."""

    def __init__(self, folder: Path):
        """Raises:
        CheckpointError: the folder is damaged beyond reading, or something in it is a link.
        """
        require_own_tree(folder)
        options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
        self._folder = folder.resolve()
        try:
            self._manager = ocp.CheckpointManager(self._folder, options=options)
        except Exception as error:  # orbax raises many kinds of errors for odd names
            raise CheckpointError(f"{folder} is damaged ({_reason(error)}); start afresh with --force") from error

    def save(self, update: int, state: Any, notes: dict[str, Any]) -> None:
        """Stores the state after `update` updates; returns once it is on disk.

        Raises:
            OutputError: the files cannot be written; the checkpoint before stays.
        """
        leaves = {f"{i:05d}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
        self._require_space(sum(leaf.nbytes for leaf in leaves.values()))
        saved = ocp.args.Composite(state=ocp.args.StandardSave(leaves), notes=ocp.args.JsonSave(notes))
        try:
            self._manager.save(update, args=saved, force=True)
            self._manager.wait_until_finished()
        except (OSError, ValueError, RuntimeError) as error:  # the threads of orbax, on a full disk
            raise OutputError(
                f"cannot write {self._folder}: {_reason(error)}; free space, then go on with --resume"
            ) from error
        if jax.process_index() == 0:
            folder = self._folder / str(update)
            # orbax marks a complete checkpoint with a file that names its absolute path; a run folder may be moved.
            for marker in folder.rglob("commit_success.txt"):
                write_text(marker, "")
            names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
            write_manifest(folder, (name for name in names if name != MANIFEST), {})

    def _require_space(self, size: int) -> None:
        """Checks the free space first, because the threads of orbax print long errors on a full disk."""
        free = shutil.disk_usage(self._folder).free
        if free < _SPACE * size:
            raise OutputError(
                f"cannot write {self._folder}: no space left on device ({free:,} bytes free, {size:,} to write); "
                "free space, then go on with --resume"
            )

    def latest(self) -> int | None:
        """The number of updates of the newest checkpoint, complete or not."""
        return self._manager.latest_step()

    def load(self, like: Any) -> tuple[Any, dict[str, Any]]:
        """The newest complete state, in the structure of `like`, and its notes; newer incomplete ones are removed.

        Raises:
            CheckpointError: there is none, all are damaged, or they belong to another model or optimiser.
        """
        newest = self._newest_complete()
        leaves, structure = jax.tree.flatten(like)
        wanted = ocp.args.Composite(state=ocp.args.StandardRestore(), notes=ocp.args.JsonRestore())
        try:
            declared: Any = ocp.StandardCheckpointer().metadata(self._folder / str(newest) / "state").item_metadata
            _require_fitting(declared.tree, leaves)  # before memory is allocated for the declared shapes
            restored = self._manager.restore(newest, args=wanted)
            _require_fitting(restored["state"], leaves)
            stored = [restored["state"][key] for key in sorted(restored["state"])]
        except CheckpointError:
            raise
        except Exception as error:  # orbax raises many kinds of errors for damaged files
            raise CheckpointError(
                f"the training state is damaged: {_reason(error)}; start afresh with --force"
            ) from None
        return jax.tree.unflatten(structure, [jax.numpy.asarray(leaf) for leaf in stored]), restored["notes"]

    def _newest_complete(self) -> int:
        incomplete: list[int] = []
        problem = "no training state to resume from"
        for update in sorted(self._manager.all_steps(), reverse=True):
            try:
                _require_intact(self._folder / str(update))
            except CheckpointError as error:
                problem = f"no whole training state to resume from ({error})"
                incomplete.append(update)
                continue
            for newer in incomplete:
                _log.warning("the training state after update %d is not whole; going on from %d", newer, update)
                self._manager.delete(newer)
            return update
        raise CheckpointError(f"{problem}; start afresh with --force")

    def close(self) -> None:
        self._manager.close()


def _require_fitting(stored: Mapping[str, Any], leaves: Sequence[Any]) -> None:
    """Raises:
    CheckpointError: the arrays have other shapes or types than those of the state.
    """
    shapes = [(tuple(stored[key].shape), str(np.dtype(stored[key].dtype))) for key in sorted(stored)]
    if shapes != [(tuple(leaf.shape), str(leaf.dtype)) for leaf in leaves]:
        raise CheckpointError("the training state does not fit this config; start afresh with --force")


def _require_intact(folder: Path) -> None:
    """Raises:
    CheckpointError: a file differs from the manifest, or the manifest does not list a file that orbax might read.
    """
    listed = read_manifest(folder)["files"]
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if unlisted := sorted(present - listed.keys() - {MANIFEST}):
        raise CheckpointError(f"{folder / MANIFEST} does not list {unlisted[0]}")


def _reason(error: Exception) -> str:
    """The first line of an error, shortened."""
    line = next(iter(str(error).splitlines()), type(error).__name__)
    return "no space left on device" if "No space left" in line else line[:200]
