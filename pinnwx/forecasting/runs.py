"""The run folder: the files of a training, the versions of its model, and the live version.

    config.toml  metrics.jsonl  training/  versions/0001/ ...  live  events.jsonl  reports/

`live` names the version that forecasts use, with the SHA-256 of its manifest; it is replaced atomically. `events.jsonl`
is the log of the jobs of this run (`pinnwx.jobs.events`), `reports/` holds their results. The folder may be copied and
moved.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pinnwx.enclosed import digest_own, is_there, read_own_text, require_own_folder
from pinnwx.errors import CheckpointError, MissingInputError, OutputError
from pinnwx.files import appearing, locked, write_text
from pinnwx.manifest import MANIFEST
from pinnwx.runlayout import LIVE, LOCK, METRICS, REPORTS, TRAINING, UNFINISHED, VERSIONS
from pinnwx.temporary import remove_orphans

if TYPE_CHECKING:
    from pinnwx.forecasting.trained_model import TrainedModel

LAST_VERSION = 99_999
_VERSION = re.compile(r"\d{4}|[1-9]\d{4}", re.ASCII)
_LONGEST_POINTER = 1000  # bytes
_MARKS = (LIVE, VERSIONS, TRAINING, UNFINISHED, LOCK)  # a run folder, unfinished or finished, has one of them


def is_version(name: str) -> bool:
    """Whether this is a possible name of a version, such as 0002 or 12345."""
    return _VERSION.fullmatch(name) is not None


@dataclass(frozen=True)
class Run:
    """A run folder on disk."""

    folder: Path

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Opens an existing run.

        Raises:
            MissingInputError: there is no such folder.
        """
        run = cls(Path(folder))
        if not run.folder.is_dir():
            raise MissingInputError(f"no run folder {folder}{_did_you_mean(run.folder)}")
        return run

    @property
    def versions(self) -> tuple[str, ...]:
        """The names of the version folders, oldest first, including unfinished ones."""
        folder = require_own_folder(self.folder, VERSIONS)
        if not folder.is_dir():
            return ()
        return tuple(sorted((entry.name for entry in folder.iterdir() if is_version(entry.name)), key=int))

    def version(self, name: str) -> Path:
        """The folder of a version.

        Raises:
            CheckpointError: the folder is a link.
        """
        return require_own_folder(self.folder, VERSIONS, name)

    @property
    def next_version(self) -> str:
        """The name of the next version.

        Raises:
            CheckpointError: no name is left.
        """
        number = int(self.versions[-1]) + 1 if self.versions else 1
        if number > LAST_VERSION:
            raise CheckpointError(
                f"{self.folder} has a version {self.versions[-1]}, and the last possible version is {LAST_VERSION}; "
                "remove it, or train into another folder"
            )
        return f"{number:04d}"

    def text(self, name: str) -> str | None:
        """The text of a file of the run; None if the file does not exist.

        Raises:
            CheckpointError: it is a link, or not a regular file.
        """
        return read_own_text(self.folder, name)

    def reports(self) -> Path:
        """The folder of the reports of promotion checks and compressions; it is created if necessary.

        Raises:
            CheckpointError: the folder is a link.
        """
        folder = require_own_folder(self.folder, REPORTS)
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def live(self) -> str:
        """The name of the live version.

        Raises:
            CheckpointError: no training has finished here, or the pointer or the version is damaged.
        """
        name, digest = self.pointer
        manifest = self.version(name) / MANIFEST
        # A pointer written by hand may lack the digest.
        if digest and digest_own(manifest.parent, MANIFEST) not in (digest, None):
            raise CheckpointError(
                f"{self.folder / 'live'} and {manifest} do not agree: one is damaged; pinnwx models rollback finds a "
                "good version"
            )
        return name

    @property
    def pointer(self) -> tuple[str, str]:
        """The name and the digest in the pointer, not verified.

        Raises:
            MissingInputError: the folder is not a run.
            CheckpointError: no training has finished here, or the name is not that of a version.
        """
        if not any((self.folder / name).exists() for name in _MARKS):
            raise MissingInputError(
                f"{self.folder} is not a run folder, which holds config.toml, versions/ and the pointer live"
                f"{_did_you_mean(self.folder)}"
            )
        text = read_own_text(self.folder, LIVE, _LONGEST_POINTER)
        if text is None:
            why = "its training did not finish; try train --resume"
            if self.is_finished():
                newest = self.versions[-1]
                why = f"none was promoted; pinnwx models show {newest} --run {self.folder} says why"
            raise CheckpointError(f"{self.folder} has no live model: {why}")
        name, _, digest = text.strip().partition(" ")
        if not is_version(name) or name not in self.versions:
            known = ", ".join(self.versions[-10:]) or "none"
            raise CheckpointError(f'{self.folder / LIVE} names "{name}", which is not one of {known}')
        return name, digest

    @property
    def has_live(self) -> bool:
        """Whether the run has a live version."""
        return is_there(self.folder / LIVE)

    def is_finished(self) -> bool:
        """Whether the newest training has published its model, live or not."""
        return bool(self.versions) and not is_there(self.folder / UNFINISHED)

    def may_begin(self) -> bool:
        """Whether a training may begin here: the folder is empty, or a training stopped before it saved anything."""
        fresh = all(entry.name == LOCK for entry in self.folder.iterdir())
        saved = any(require_own_folder(self.folder, TRAINING).glob(f"*/{MANIFEST}"))
        return (fresh or is_there(self.folder / UNFINISHED)) and not saved

    def begin(self) -> None:
        """Removes the files of an earlier training, except its versions, and marks the new training as unfinished.

        Raises:
            CheckpointError: a folder of the run is a link, which is not followed; or no version name is left.
        """
        training = require_own_folder(self.folder, TRAINING)
        _ = self.next_version
        write_text(self.folder / UNFINISHED, "a training began here and has not published its model yet\n")
        shutil.rmtree(training, ignore_errors=True)
        (self.folder / METRICS).unlink(missing_ok=True)

    def load(self) -> TrainedModel:
        """Loads and verifies the live model.

        Raises:
            CheckpointError: as `live` and `TrainedModel.load`; the message names the command for a rollback, if there
                is an older version.
        """
        from pinnwx.forecasting.trained_model import TrainedModel  # JAX, which a look at the folder does not need

        live = self.live
        try:
            return TrainedModel.load(self.version(live))
        except CheckpointError as error:
            if all(int(name) >= int(live) for name in self.versions):
                raise
            back = f"pinnwx models rollback --run {self.folder}"
            raise CheckpointError(f"{error}, or go back to an older version: {back}") from None

    def publish(
        self,
        trained: TrainedModel,
        notes: Mapping[str, Any],
        optimiser: Mapping[str, np.ndarray] | None = None,
        *,
        ends_training: bool = True,
        live: bool = True,
    ) -> str:
        """Stores a new version, makes it live if `live`, and returns its name.

        `ends_training` is true if this version completes the training that began here.
        """
        number = self.next_version
        with appearing(self.version(number)) as folder:
            trained.save_version(folder, notes, optimiser)
        if live:
            self.point_to(number)
        if ends_training:
            (self.folder / UNFINISHED).unlink(missing_ok=True)
        return number

    def point_to(self, name: str) -> None:
        """Makes a version live atomically."""
        write_text(self.folder / LIVE, f"{name} {digest_own(self.version(name), MANIFEST)}\n")

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the run for one job, and removes unfinished files of killed jobs.

        Raises:
            LockedError: another job holds the lock.
            OutputError: the folder cannot be written.
        """
        with locked(self.folder / LOCK, str(self.folder)):
            remove_orphans(self.folder)
            remove_orphans(require_own_folder(self.folder, VERSIONS))
            yield


def _did_you_mean(folder: Path) -> str:
    """A hint at a run inside or around a folder, or beside it with a similar name; else empty."""
    with contextlib.suppress(OSError):
        beside = {path.name: path for path in folder.parent.iterdir() if path != folder}
        alike = difflib.get_close_matches(folder.name, beside)
        inside = sorted(folder.iterdir()) if folder.is_dir() else []
        for path in (*inside, *folder.parents[:2], *(beside[name] for name in alike)):
            if (path / "live").is_file() and (path / "versions").is_dir():
                return f"; did you mean {path}?"
    return ""


def new_run(
    folder: str | Path, *, force: bool = False, remedy: str = "--resume to continue it, --force to start again"
) -> Run:
    """Creates a run in a new or empty folder; `force` starts again in an existing run and keeps its versions.

    Raises:
        OutputError: the folder is not empty, or cannot be created.
    """
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} is a file; give a folder name")
    if path.is_dir() and any(entry.name != LOCK for entry in path.iterdir()) and not force:
        raise OutputError(f"{path} exists; give {remedy}, or another name")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create folder {path}: {error.strerror}") from None
    return Run(path)
