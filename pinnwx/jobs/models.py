"""The versions of a run: which there are and which is live. Promotion and rollback swap one pointer, atomically."""

from __future__ import annotations

import json as json_module
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinnwx.enclosed import require_own_folder
from pinnwx.errors import CheckpointError, MissingInputError, PinnwxError, UsageError
from pinnwx.files import check_writable, write_text, writing
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.runs import Run, is_version
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.events import NOTHING_TO_DO, recorded
from pinnwx.jobs.promotion_check import PromotionReport, compare_candidate
from pinnwx.jobs.training_check import KEY, may_be_live
from pinnwx.manifest import MANIFEST, read_manifest
from pinnwx.runlayout import VERSIONS
from pinnwx.runtime import prepare


@dataclass(frozen=True)
class Version:
    """One version of a run's model; `problem` says why it cannot be used, empty if it can.

    `objection` is why the training check refused it, empty if it did not, or if it was made live all the same.
    """

    name: str
    is_live: bool
    trained_to: str = ""
    updates: int = 0
    problem: str = ""
    objection: str = ""


def list_models(run: str | Path) -> tuple[Version, ...]:
    """The versions of a run, oldest first, each verified.

    Raises:
        MissingInputError: there is no such run.
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
    objection = "" if may_be_live(manifest) else next(iter(manifest[KEY]["objections"]))
    return Version(name, is_live, trained_on[-1], int(manifest.get("updates", 0)), objection=objection)


def show_model(run: str | Path, name: str | None = None) -> dict[str, Any]:
    """The manifest of a version, the live one if none is named, after everything it vouches for was verified.

    Raises:
        UsageError, MissingInputError, CheckpointError: as `promote`.
    """
    opened = Run.open(run)
    name = opened.live if name is None else name
    return {"version": name, **read_manifest(_existing(opened, name))}


def promote(
    run: str | Path,
    name: str,
    *,
    data: Sequence[str | Path] | str | Path | None = None,
    start: str | None = None,
    end: str | None = None,
    leads: Sequence[float] | None = None,
    json: str | Path | None = None,
    force: bool = False,
) -> PromotionReport | None:
    """Makes a version live; forecasts use it from the next one on.

    With `data`, `start` and `end` it first has to pass the promotion check (`pinnwx.jobs.promotion_check`)
    against the live one then. `json` keeps the promotion report, whether it passes or not.

    Raises:
        NotPromotedError: it did not pass; the live version stays.
        UsageError: the name is none of a version.
        MissingInputError, CheckpointError: there is no such version, or it is damaged.
        LockedError: a job is at work in the run.
    """
    if data is not None and (start is None or end is None):
        raise UsageError("the promotion check needs --start and --end: days that neither model was trained on")
    if data is None and (start, end, leads, json) != (None, None, None, None):
        raise UsageError(
            "--start, --end, --leads and --json belong to the promotion check, which needs --data; else leave them out"
        )
    prepare()
    opened = Run.open(run)
    with recorded(run, "promote") as event, opened.lock():
        event.details["version"] = name
        if json is not None:
            check_writable(json, force=force)
        candidate = TrainedModel.load(_existing(opened, name))
        promotion = None
        if data is not None:
            incumbent = opened.load()
            archives = matching_archive(candidate, data), matching_archive(incumbent, data)
            promotion = compare_candidate(candidate, incumbent, archives, start or "", end or "", leads)
            if json is not None:
                write_text(json, json_module.dumps(promotion.to_dict(), indent=2) + "\n")
            promotion.require_passed(name, opened.live)
        opened.point_to(name)
    return promotion


def rollback(run: str | Path, to: str | None = None) -> str:
    """Makes `to` live again, or the newest version older than the live one that can be used; returns its name.

    What a training check refused is gone back to only if it is named.

    Raises:
        UsageError, MissingInputError, CheckpointError, LockedError: as `promote`; MissingInputError also where there is
            no such version.
    """
    prepare()
    opened = Run.open(run)
    with recorded(run, "rollback") as event, opened.lock():
        live, _ = opened.pointer  # whatever became of that version
        candidates = [to] if to is not None else [name for name in reversed(opened.versions) if int(name) < int(live)]
        for name in candidates:
            try:
                manifest = TrainedModel.load(_existing(opened, name)).manifest
            except PinnwxError:
                if to is not None:
                    raise
                continue
            if to is None and not may_be_live(manifest):
                continue
            opened.point_to(name)
            event.details["version"] = name
            return name
        raise MissingInputError(f"{run} has no version older than {live} that can be used")


def prune_models(run: str | Path, keep: int, *, dry_run: bool = False) -> tuple[str, ...]:
    """Removes all but the newest `keep` versions of a run; returns the names of those removed, oldest first.

    What stays besides: the live version, the newest older one that is whole, which a rollback would go back to, and
    everything as long as no live version can be told. With `dry_run` nothing is removed.

    Raises:
        UsageError: `keep` is below 1.
        CheckpointError: no version is live, or the pointer is damaged.
        MissingInputError, LockedError, OutputError: as their names say.
    """
    if keep < 1:
        raise UsageError(f"--keep {keep}: at least 1 version stays")
    opened = Run.open(run)
    with recorded(run, "prune") as event, opened.lock():
        live, _ = opened.pointer
        versions = opened.versions
        older = (
            name for name in reversed(versions) if int(name) < int(live) and not _described(opened, name, False).problem
        )
        stays = {*versions[-keep:], live, *list(older)[:1]}
        gone = tuple(name for name in versions if name not in stays)
        if not gone or dry_run:
            event.outcome = NOTHING_TO_DO
            return gone
        for name in gone:
            _remove(require_own_folder(opened.folder, VERSIONS, name))
        event.details["removed"] = list(gone)
    return gone


def _remove(version: Path) -> None:
    """The manifest goes first: what is left of a version that was cut off here is known as none."""
    with writing(version):
        (version / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(version)


def _existing(run: Run, name: str) -> Path:
    if not is_version(name):
        raise UsageError(f'"{name}" is not the name of a version, such as 0002')
    if name not in run.versions:
        raise MissingInputError(f"{run.folder} has no version {name}, only {', '.join(run.versions) or 'none'}")
    return run.version(name)
