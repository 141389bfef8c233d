"""Atomic writes (temporary file, flush to disk, rename), locks, and SHA-256."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from pinnwx.errors import LockedError, OutputError
from pinnwx.runlayout import run_of
from pinnwx.temporary import beside, remove_orphans, why_unlockable

_FILE_MODE = 0o666  # before the umask
_LITTLE = 2**20  # free bytes; below that, a failed write is attributed to a full disk


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yields a new file beside `path`; renames it to `path` if the block succeeds, and otherwise removes it.

    A reader sees the old file or the complete new one. The permissions of the file follow the umask, whatever library
    writes it.

    Raises:
        OutputError: the folder does not exist or cannot be written, or the disk is full.
    """
    path = Path(path)
    try:
        with beside(path) as temporary:
            yield temporary
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
            if not temporary.is_symlink():
                with contextlib.suppress(OSError):  # file systems without permissions
                    temporary.chmod(_FILE_MODE & ~umask())  # some libraries create files for the owner only
            temporary.replace(path)
            _flush_folder(path.parent)
    except (OSError, RuntimeError) as error:  # libraries raise RuntimeError for a full disk
        raise OutputError(f"cannot write {path}: {_reason_in(path.parent, error)}; choose another place") from error


def umask() -> int:
    """The permissions that this process removes from new files."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)  # other systems return it only when it is set
    os.umask(mask)
    return mask


@contextlib.contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `folder`; renames it if the block succeeds, and otherwise removes it.

    Raises:
        OutputError: the folder cannot be created, or exists.
    """
    with contextlib.ExitStack() as stack:
        with writing(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = stack.enter_context(beside(folder, folder=True))
        yield temporary
        with writing(folder):
            temporary.rename(folder)
            _flush_folder(folder.parent)


@contextlib.contextmanager
def locked(path: str | Path, what: str) -> Iterator[None]:
    """Holds the lock file `path` for this process; the system releases it when the process ends, even if killed.

    Raises:
        LockedError: another job holds the lock; `what` names the locked object.
        OutputError: the lock file cannot be created, or is not a regular file.
    """
    try:
        if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
            raise OutputError(f"{path} is not a regular file, so {what} cannot be locked; remove it")
        lock = FileLock(path, mode=_FILE_MODE & ~umask())
        lock.acquire(timeout=0)
    except Timeout:
        shared = Path(path).is_file() and Path(path).stat().st_nlink > 1
        copies = f" (or on a hard-linked copy: {path} has other names; remove it in the copy)" if shared else ""
        if reason := why_unlockable(Path(path)):
            raise LockedError(
                f"another job is at work on {what}, or was killed: this file system supports no locks ({reason}); "
                f"remove {path} when no job is at work"
            ) from None
        raise LockedError(f"another job is at work on {what}{copies}; try again when it is done") from None
    except OSError as error:
        raise OutputError(f"cannot lock {what}: {_reason(error)}; choose another place") from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def kept_if_used(folder: str | Path) -> Iterator[None]:
    """Removes a folder, and its parents, if the block created them, failed, and left the folder empty.

    A folder with only lock files counts as empty.
    """
    folder = Path(folder)
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            if created and all(path.name.endswith(".lock") for path in folder.iterdir()):
                for lock in folder.iterdir():
                    lock.unlink()
                for path in created:
                    path.rmdir()
        raise


@contextlib.contextmanager
def output_lock(path: str | Path) -> Iterator[None]:
    """Locks an output file for this process, by a hidden lock file beside it that is removed at the end.

    Raises:
        LockedError, OutputError: as `locked`.
    """
    path = Path(path)
    lock = path.with_name(f".{path.name}.lock")
    with locked(lock, str(path)):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)  # removed while it is held; a waiting job creates a new one


@contextlib.contextmanager
def writing(folder: str | Path) -> Iterator[None]:
    """Converts the error of a library that writes into `folder` directly (not through `replacing`).

    Raises:
        OutputError: a write failed.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {_reason(error)}; free space or choose another place") from error


def _flush_folder(folder: Path) -> None:
    """Flushes a folder to disk, so that a new file name is durable; has no effect if the system does not support it."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _reason_in(folder: Path, error: Exception) -> str:
    """The reason for a failed write; HDF5 reports a full disk as "HDF error"."""
    reason = _reason(error)
    if "HDF error" in reason or "HDF5" in reason:
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(folder).free
            if free < _LITTLE:
                return f"no space left on device ({free:,} bytes free)"
    return reason


def _reason(error: Exception) -> str:
    """The reason in one line."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]


def write_text(path: str | Path, text: str) -> None:
    """Writes a small text file atomically.

    Raises:
        OutputError: as `replacing`.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: str | Path) -> str:
    """The hexadecimal SHA-256 of a file."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def check_writable(path: str | Path, *, force: bool = False) -> None:
    """Checks before any work that an output can be written at the end.

    It also removes unfinished files of killed jobs in the folder.

    Raises:
        OutputError: `path` exists and `force` is false, or its folder is missing or not writable. Even with `force`: it
            is not a regular file, or it is a file of a run folder.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; give a file name")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is not a regular file; give another name")
    if (run := run_of(path)) is not None:
        raise OutputError(f"{path} belongs to the files of the run {run}; give a name outside the run")
    if path.exists() and not force:
        raise OutputError(f"{path} exists; give --force to replace it, or another name")
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"no folder {folder} to write {path.name} in; create it first")
    try:  # permissions do not show a read-only file system, and do not apply to every user
        with beside(path):
            pass
        remove_orphans(folder)
    except OSError as error:
        raise OutputError(f"folder {folder} is not writable ({_reason(error)}); choose another place") from error
