"""Training state on disk, by orbax: the last acknowledged checkpoint survives whatever happens to the process."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from pinnwx.errors import CheckpointError
from pinnwx.files import write_text

logging.getLogger("absl").setLevel(logging.ERROR)  # orbax reports every file it touches


class Checkpoints:
    """The two newest training states under a folder, each with the plan it belongs to.

    One process at a time may use a folder.
    """

    def __init__(self, folder: Path):
        options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
        self._folder = folder.resolve()
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    def save(self, update: int, state: Any, notes: dict[str, Any]) -> None:
        """Stores the state after `update` updates; returns when it is safe on disk."""
        leaves = {f"{i:05d}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
        saved = ocp.args.Composite(state=ocp.args.StandardSave(leaves), notes=ocp.args.JsonSave(notes))
        self._manager.save(update, args=saved, force=True)
        self._manager.wait_until_finished()
        # orbax marks a complete checkpoint with a file that names its absolute path; a run folder may be moved.
        for marker in self._folder.joinpath(str(update)).rglob("commit_success.txt"):
            write_text(marker, "")

    def latest(self) -> int | None:
        """The number of updates behind the newest checkpoint."""
        return self._manager.latest_step()

    def load(self, like: Any) -> tuple[Any, dict[str, Any]]:
        """The newest state, in the structure of `like`, and its notes.

        Raises:
            CheckpointError: there is none, it is damaged, or it belongs to another model or optimiser.
        """
        newest = self.latest()
        if newest is None:
            raise CheckpointError("no training state to resume from; start afresh with --force")
        leaves, structure = jax.tree.flatten(like)
        wanted = ocp.args.Composite(state=ocp.args.StandardRestore(), notes=ocp.args.JsonRestore())
        try:
            found = self._manager.restore(newest, args=wanted)
        except (ValueError, KeyError, OSError) as error:
            raise CheckpointError(
                f"the training state is damaged: {str(error).splitlines()[0]}; train afresh"
            ) from None
        stored = [found["state"][key] for key in sorted(found["state"])]
        shapes, expected = ([(leaf.shape, str(leaf.dtype)) for leaf in each] for each in (stored, leaves))
        if shapes != expected:
            raise CheckpointError("the training state does not fit this config; train afresh")
        return jax.tree.unflatten(structure, [jax.numpy.asarray(leaf) for leaf in stored]), found["notes"]

    def close(self) -> None:
        self._manager.close()
