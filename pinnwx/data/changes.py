"""Whether the files that are read stay the same while they are read.

A file that is cut or copied over meanwhile reads as zeros, or as two analyses in one, without an error of any library;
one that is replaced may be read under the times of the one before. So device, inode, size and time of change are noted
before a file is looked at and compared when its values are in memory. Of a zarr store that is done with its metadata
and the folders of its arrays; a chunk written over in place is noticed only by a checksum of its codec.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from pinnwx.data.zarr_store import metadata_files
from pinnwx.errors import ChangedError

_log = logging.getLogger(__name__)
Stamp = tuple[int, int, int, int]
P = ParamSpec("P")
R = TypeVar("R")


class Stamps:
    """What the files were when they were first looked at."""

    def __init__(self) -> None:
        self._stamps: dict[Path, Stamp | None] = {}

    def note(self, path: Path) -> None:
        """Notes a file or a zarr store; only the first time counts."""
        try:
            files = [*metadata_files(path)] if path.is_dir() else [path]
        except OSError:  # what cannot be listed cannot be read either, and is refused for that
            files = [path]
        for file in files:
            self._stamps.setdefault(file, _stamp(file))

    def require_unchanged(self) -> None:
        """Raises:
        ChangedError: a file is not what it was.
        """
        for path, stamp in self._stamps.items():
            if _stamp(path) != stamp:
                raise ChangedError(f"{path} changed while it was read; try again when it is complete")


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def once_more_if_changed(read: Callable[P, R]) -> Callable[P, R]:
    """Calls `read` a second time where a file changed meanwhile; the change is then often over."""

    @wraps(read)
    def wrapper(*args: P.args, **options: P.kwargs) -> R:
        try:
            return read(*args, **options)
        except ChangedError as error:
            _log.info("reading again: %s", error)
            return read(*args, **options)

    return wrapper
