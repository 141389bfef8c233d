"""Hidden temporary files, each locked while its writer runs.

The writer holds a shared lock, because HDF5 also locks a file that it reads. The removal of an orphan needs the
exclusive lock. Only the lock shows whether the writer still runs, because the system releases it when the process ends.
Host names and process identifiers are not reliable in containers.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_log = logging.getLogger(__name__)
_NAME = re.compile(
    r"\..+\.([0-9a-f]{16}\.pinnwx|[A-Za-z0-9-]{1,40}\.\d+\.[0-9a-f]{8})\.tmp(\.[^.]+)?"
)  # or the old pattern
_TRIES = 100
_YOUNG = 24 * 3600.0  # seconds
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
_OPENED = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _FLAGS


@contextlib.contextmanager
def beside(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """Yields an empty file or folder beside `path`, and removes whatever has its name at the end.

    Write into it and do not replace it, because a replacement would lose the lock. The suffix of `path` is preserved,
    because libraries such as matplotlib choose the format by it.

    Raises:
        OSError: it cannot be created.
    """
    temporary, handle = _create(path, folder)
    try:
        yield temporary
    finally:
        try:
            _remove(temporary)
        finally:
            if handle is not None:
                os.close(handle)


def remove_orphans(folder: str | Path) -> None:
    """Removes the temporary files of killed writers.

    If the file system supports no locks, it removes files that are older than a day and logs the others. Files that
    this user may not remove stay.
    """
    for path in sorted(Path(folder).iterdir()) if Path(folder).is_dir() else ():
        if _NAME.fullmatch(path.name):
            with contextlib.suppress(OSError):
                _remove_if_left(path)


def why_unlockable(path: Path) -> str:
    """The reason why the file system cannot lock a file; empty if it can, or if this is unknown."""
    try:
        handle = os.open(path, os.O_RDWR | _FLAGS)
    except OSError:
        return ""
    try:
        return _lock(handle)
    except BlockingIOError:
        return ""
    finally:
        os.close(handle)


def _create(path: Path, folder: bool) -> tuple[Path, int | None]:
    """A new temporary file or folder and the handle of its lock (None if locks are not available)."""
    for _ in range(_TRIES):
        temporary = path.with_name(f".{path.stem}.{secrets.token_hex(8)}.pinnwx.tmp{path.suffix}")
        try:
            handle = _opened(temporary, folder)
            if handle is None:
                return temporary, None
            try:
                _lock(handle, alone=False)
                if _is(temporary, handle):
                    return temporary, handle
            except OSError:
                os.close(handle)
                raise
            os.close(handle)
        except (FileNotFoundError, BlockingIOError):  # another job removed it before it was locked
            if not path.parent.is_dir():
                raise
    raise OSError(f"new files disappear from {path.parent}")


def _opened(temporary: Path, folder: bool) -> int | None:
    """The handle of a new file or folder; None on systems without `fcntl`, where open files cannot be renamed."""
    if folder:
        temporary.mkdir()
        return None if fcntl is None else os.open(temporary, _OPENED)
    handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, 0o666)
    if fcntl is not None:
        return handle
    return os.close(handle)


def _remove_if_left(path: Path) -> None:
    status = path.lstat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        if stat.S_ISLNK(status.st_mode) and time.time() - status.st_mtime > _YOUNG:
            path.unlink()
        return
    handle = None if fcntl is None else os.open(path, _OPENED)
    try:
        reason = "this system has none" if handle is None else _lock(handle)
        if reason and time.time() - _newest(path) < _YOUNG:
            _log.warning(
                "note: %s may belong to a killed job: this file system supports no locks (%s), so it is removed when "
                "it is a day old",
                path, reason,
            )  # fmt: skip
        elif handle is None or _is(path, handle):
            _remove(path)
    finally:
        if handle is not None:
            os.close(handle)


def _lock(handle: int, *, alone: bool = True) -> str:
    """Locks an open file or folder, exclusively or shared; returns the reason if locks are not available, else "".

    Raises:
        BlockingIOError: another process holds a conflicting lock.
    """
    assert fcntl is not None
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _is(path: Path, handle: int) -> bool:
    """Whether the path still refers to the opened file."""
    return os.path.samestat(path.lstat(), os.fstat(handle))


def _newest(path: Path) -> float:
    """The newest modification time of a file or of the content of a folder [s]."""
    return max(each.lstat().st_mtime for each in (path, *path.rglob("*")))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
