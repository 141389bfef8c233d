"""Hidden names for what is being written, each locked as long as its writer lives.

The writer shares its lock, for HDF5 takes one of its own where it reads; who removes what was left takes it whole.
Whether a writer lives is told by its lock alone, which the system frees however the process ends. Names of machines and
numbers of processes tell nothing: containers change the one and share the other.
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
_NAME = re.compile(r"\..+\.([0-9a-f]{16}\.pinnwx|[A-Za-z0-9-]{1,40}\.\d+\.[0-9a-f]{8})\.tmp(\.[^.]+)?")  # or of old
_TRIES = 100
_YOUNG = 24 * 3600.0  # seconds
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
_OPENED = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _FLAGS


@contextlib.contextmanager
def beside(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """Yields an empty file, or folder, beside `path`; what has its name at the end is removed.

    Write into it, and put nothing else in its place, for the lock would go with it. The suffix of `path` stays last,
    because matplotlib and others choose a format by it.

    Raises:
        OSError: it cannot be made.
    """
    temporary, handle = _made(path, folder)
    try:
        yield temporary
    finally:
        try:
            _remove(temporary)
        finally:
            if handle is not None:
                os.close(handle)


def remove_orphans(folder: str | Path) -> None:
    """Removes what `beside` left whose writer is dead: it was killed.

    Where the file system knows no locks it removes what is a day old, and says why it keeps the rest. What this user
    may not remove stays.
    """
    for path in sorted(Path(folder).iterdir()) if Path(folder).is_dir() else ():
        if _NAME.fullmatch(path.name):
            with contextlib.suppress(OSError):
                _remove_if_left(path)


def why_unlockable(path: Path) -> str:
    """Why the file system locks no file: empty where it does, or where that cannot be told."""
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


def _made(path: Path, folder: bool) -> tuple[Path, int | None]:
    """A new name and what locks it: None where nothing could."""
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
        except (FileNotFoundError, BlockingIOError):  # taken for an orphan before it was locked
            if not path.parent.is_dir():
                raise
    raise OSError(f"new files vanish from {path.parent}")


def _opened(temporary: Path, folder: bool) -> int | None:
    """A new file or folder; None where nothing could lock it, and what is open could not be renamed."""
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
                "note: %s may be of a killed job: this file system knows no locks (%s), so it is removed when it is a "
                "day old",
                path, reason,
            )  # fmt: skip
        elif handle is None or _is(path, handle):
            _remove(path)
    finally:
        if handle is not None:
            os.close(handle)


def _lock(handle: int, *, alone: bool = True) -> str:
    """Locks an open file or folder, alone or with others that share it; if that cannot be, why.

    Raises:
        BlockingIOError: somebody else has locked it.
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
    """Whether the path still is what was opened."""
    return os.path.samestat(path.lstat(), os.fstat(handle))


def _newest(path: Path) -> float:
    """When something was last written to it [s]."""
    return max(each.lstat().st_mtime for each in (path, *path.rglob("*")))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
