"""Promotion and rollback: both make another version live by one pointer, which is replaced atomically."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from pathlib import Path

from pinnwx.errors import MissingInputError, PinnwxError, UsageError
from pinnwx.files import check_writable, write_text
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.events import recorded
from pinnwx.jobs.models import existing_version
from pinnwx.jobs.promotion_check import PromotionReport, compare_candidate
from pinnwx.manifest import may_be_live
from pinnwx.runtime import prepare


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
    """Makes a version live; the next forecast uses it.

    With `data`, `start` and `end`, the version must first pass the promotion check (`pinnwx.jobs.promotion_check`)
    against the live version. `json` is a file for the promotion report, which is written in either case.

    Raises:
        NotPromotedError: the version did not pass; the live version is unchanged.
        UsageError: the name is not that of a version.
        MissingInputError, CheckpointError: the version does not exist or is damaged.
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
        candidate = TrainedModel.load(existing_version(opened, name))
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
    """Makes `to` live, or by default the newest usable version before the live one; returns its name.

    A version that its training check refused is used only if `to` names it.

    Raises:
        UsageError, MissingInputError, CheckpointError, LockedError: as `promote`; MissingInputError also if no version
            is usable.
    """
    prepare()
    opened = Run.open(run)
    with recorded(run, "rollback") as event, opened.lock():
        live, _ = opened.pointer  # not verified, because the live version may be damaged
        candidates = [to] if to is not None else [name for name in reversed(opened.versions) if int(name) < int(live)]
        for name in candidates:
            try:
                manifest = TrainedModel.load(existing_version(opened, name)).manifest
            except PinnwxError:
                if to is not None:
                    raise
                continue
            if to is None and not may_be_live(manifest):
                continue
            opened.point_to(name)
            event.details["version"] = name
            return name
        raise MissingInputError(f"{run} has no usable version older than {live}")
