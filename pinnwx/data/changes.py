"""Detects files that change while they are read.

If a file is truncated or overwritten while it is read, the libraries may return zeros or a mixture of two analyses
without an error. If it is replaced, its values may be paired with the times of the old file. Therefore device, inode,
size and modification time are recorded before a file is opened, and compared when its values are in memory. For a zarr
store, this covers the metadata and the folders of the arrays; a chunk that is overwritten in place is detected only by
a checksum codec.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from pinnwx.data.zarr_metadata import metadata_files
from pinnwx.errors import ChangedError

_log = logging.getLogger(__name__)
Stamp = tuple[int, int, int, int]
P = ParamSpec("P")
R = TypeVar("R")


class Stamps:
    """The state of the files when they were first opened."""

    def __init__(self) -> None:
        self._stamps: dict[Path, Stamp | None] = {}

    def note(self, path: Path) -> None:
        """Records a file or a zarr store; later calls for the same path have no effect."""
        try:
            files = [*metadata_files(path)] if path.is_dir() else [path]
        except OSError:  # a folder that cannot be listed is refused when it is read
            files = [path]
        for file in files:
            self._stamps.setdefault(file, _stamp(file))

    def require_unchanged(self) -> None:
        """Raises:
        ChangedError: a file changed since it was recorded.
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
    """Calls `read` a second time if a file changed meanwhile; the writer has often finished by then."""

    @wraps(read)
    def wrapper(*args: P.args, **options: P.kwargs) -> R:
        try:
            return read(*args, **options)
        except ChangedError as error:
            _log.info("reading again: %s", error)
            return read(*args, **options)

    return wrapper
