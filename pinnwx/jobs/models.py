"""The versions of a run: a list, their manifests, and the removal of old ones."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinnwx.enclosed import require_own_folder
from pinnwx.errors import CheckpointError, MissingInputError, UsageError
from pinnwx.files import writing
from pinnwx.forecasting.runs import Run, is_version
from pinnwx.jobs.events import NOTHING_TO_DO, recorded
from pinnwx.manifest import MANIFEST, TRAINING_CHECK, may_be_live, read_manifest
from pinnwx.runlayout import VERSIONS


@dataclass(frozen=True)
class Version:
    """One version of the model of a run; `problem` is the reason why it is unusable, or empty.

    `objection` is the reason why the training check refused it; empty if it passed or was promoted anyway.
    """

    name: str
    is_live: bool
    trained_to: str = ""
    updates: int = 0
    problem: str = ""
    objection: str = ""


def list_models(run: str | Path) -> tuple[Version, ...]:
    """Verifies and lists the versions of a run, oldest first.

    Raises:
        MissingInputError: the run does not exist.
    """
    opened = Run.open(run)
    try:
        live, _ = opened.pointer
    except CheckpointError:
        live = ""
    return tuple(_described(opened, name, name == live) for name in opened.versions)


def _described(run: Run, name: str, is_live: bool) -> Version:
    try:
        manifest = read_manifest(run.version(name))
    except CheckpointError as error:
        return Version(name, is_live, problem=str(error))
    trained_on = manifest.get("trained_on", ("", ""))
    objection = "" if may_be_live(manifest) else next(iter(manifest[TRAINING_CHECK]["objections"]))
    return Version(name, is_live, trained_on[-1], int(manifest.get("updates", 0)), objection=objection)


def show_model(run: str | Path, name: str | None = None) -> dict[str, Any]:
    """The manifest of a version (default: the live version), after all its files are verified.

    Raises:
        UsageError, MissingInputError, CheckpointError: as `jobs.promote.promote`.
    """
    opened = Run.open(run)
    name = opened.live if name is None else name
    return {"version": name, **read_manifest(existing_version(opened, name))}


def prune_models(run: str | Path, keep: int, *, dry_run: bool = False) -> tuple[str, ...]:
    """Removes all but the newest `keep` versions of a run; returns the names of those removed, oldest first.

    The live version and the newest complete version before it (the target of a rollback) also stay. If the live version
    is unknown, nothing is removed. With `dry_run`, nothing is removed.

    Raises:
        UsageError: `keep` is below 1.
        CheckpointError: no version is live, or the pointer is damaged.
        MissingInputError, LockedError, OutputError: see `pinnwx.errors`.
    """
    if keep < 1:
        raise UsageError(f"--keep {keep}: keep at least 1 version")
    opened = Run.open(run)
    with recorded(run, "prune") as event, opened.lock():
        live, _ = opened.pointer
        versions = opened.versions
        older = (
            name for name in reversed(versions) if int(name) < int(live) and not _described(opened, name, False).problem
        )
        stays = {*versions[-keep:], live, *list(older)[:1]}
        removed = tuple(name for name in versions if name not in stays)
        if not removed or dry_run:
            event.outcome = NOTHING_TO_DO
            return removed
        for name in removed:
            _remove(require_own_folder(opened.folder, VERSIONS, name))
        event.details["removed"] = list(removed)
    return removed


def _remove(version: Path) -> None:
    """Removes the manifest first, so that the remains of an interrupted removal are not a version."""
    with writing(version):
        (version / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(version)


def existing_version(run: Run, name: str) -> Path:
    """The folder of a version.

    Raises:
        UsageError: the name is none of a version.
        MissingInputError: the run has no such version.
    """
    if not is_version(name):
        raise UsageError(f'"{name}" is not the name of a version, such as 0002')
    if name not in run.versions:
        raise MissingInputError(f"{run.folder} has no version {name}, only {', '.join(run.versions) or 'none'}")
    return run.version(name)
