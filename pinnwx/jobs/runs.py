"""The run folder: where a training lives, which version of the model is live.

    config.toml  metrics.jsonl  training/  versions/0001/ ...  live

`live` names the version that forecasts use; it is replaced atomically. The folder may be copied and moved.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pinnwx.errors import CheckpointError, LockedError, MissingInputError, OutputError
from pinnwx.files import write_text
from pinnwx.forecasting.trained import Trained, load_trained, save_trained

_UNFINISHED = "unfinished"
_VERSION = re.compile(r"\d{4}")


@dataclass(frozen=True)
class Run:
    """A run folder on disk."""

    folder: Path

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """An existing run.

        Raises:
            MissingInputError: there is no such folder.
        """
        run = cls(Path(folder))
        if not run.folder.is_dir():
            raise MissingInputError(f"no run folder {folder}")
        return run

    @property
    def versions(self) -> tuple[str, ...]:
        """Names of the version folders, oldest first, finished or not."""
        folder = self.folder / "versions"
        if not folder.is_dir():
            return ()
        return tuple(sorted(entry.name for entry in folder.iterdir() if _VERSION.fullmatch(entry.name)))

    @property
    def live(self) -> str:
        """The name of the live version.

        Raises:
            CheckpointError: no training has finished here, or the pointer is damaged.
        """
        pointer = self.folder / "live"
        if not pointer.is_file():
            raise CheckpointError(f"{self.folder} has no live model: its training did not finish; try train --resume")
        name = pointer.read_text(encoding="utf-8").strip()
        if not _VERSION.fullmatch(name) or name not in self.versions:
            raise CheckpointError(f'{pointer} names "{name}", which is not one of {", ".join(self.versions) or "none"}')
        return name

    def is_finished(self) -> bool:
        """Whether the newest training here has published its model."""
        return (self.folder / "live").is_file() and not (self.folder / _UNFINISHED).exists()

    def begin(self) -> None:
        """Clears what an earlier training left behind, except its versions, and marks this one as unfinished."""
        write_text(self.folder / _UNFINISHED, "a training began here and has not published its model yet\n")
        shutil.rmtree(self.folder / "training", ignore_errors=True)
        (self.folder / "metrics.jsonl").unlink(missing_ok=True)

    def load(self) -> Trained:
        """The live model, verified.

        Raises:
            CheckpointError: as `live` and `load_trained`.
        """
        return load_trained(self.folder / "versions" / self.live)

    def publish(self, trained: Trained, notes: Mapping[str, Any]) -> str:
        """Stores a new version and makes it live; returns its name."""
        number = f"{int(self.versions[-1]) + 1 if self.versions else 1:04d}"
        save_trained(trained, self.folder / "versions" / number, notes)
        write_text(self.folder / "live", number + "\n")
        (self.folder / _UNFINISHED).unlink(missing_ok=True)
        return number

    def lock(self) -> contextlib.AbstractContextManager[object]:
        """Holds the run for one job; freed by the system when its process ends, however it ends.

        Raises:
            LockedError: another job holds it.
            OutputError: the folder cannot be written.
        """
        try:
            return FileLock(self.folder / ".lock").acquire(timeout=0)
        except Timeout:
            raise LockedError(f"another job is at work in {self.folder}; try again when it is done") from None
        except OSError as error:
            raise OutputError(f"cannot lock {self.folder}: {error.strerror or error}; choose another place") from error


def new_run(
    folder: str | Path, *, force: bool = False, remedy: str = "--resume to go on with it, --force to start afresh"
) -> Run:
    """A run in a new or empty folder; `force` starts afresh in one that holds a run, whose versions are kept.

    Raises:
        OutputError: the folder holds something already, or cannot be made.
    """
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} is a file; give a folder name")
    if path.is_dir() and any(entry.name != ".lock" for entry in path.iterdir()) and not force:
        raise OutputError(f"{path} exists; give {remedy}, or another name")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make folder {path}: {error.strerror}") from None
    return Run(path)
