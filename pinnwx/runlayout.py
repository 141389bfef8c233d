"""The names of the files in a run folder; no output of a command may overwrite them."""

from __future__ import annotations

from pathlib import Path

LIVE, EVENTS, METRICS, CONFIG, LOCK, UNFINISHED = (
    "live", "events.jsonl", "metrics.jsonl", "config.toml", ".lock", "unfinished",
)  # fmt: skip
VERSIONS, TRAINING, REPORTS = "versions", "training", "reports"
_FILES, _FOLDERS = (LIVE, EVENTS, METRICS, CONFIG, LOCK, UNFINISHED), (VERSIONS, TRAINING, REPORTS)
_MARKS = (LIVE, EVENTS, UNFINISHED)


def is_run(folder: Path) -> bool:
    """Whether a folder is a run: a job has begun or ended in it."""
    return any((folder / name).exists() for name in _MARKS)


def run_of(path: Path) -> Path | None:
    """The run folder to whose own files a path belongs; None for any other path."""
    path = path.parent.resolve() / path.name
    for folder in path.parents:
        first, *deeper = path.relative_to(folder).parts
        if (first in _FOLDERS if deeper else first in (*_FILES, *_FOLDERS)) and is_run(folder):
            return folder
    return None
