"""Opens files of an untrusted folder: only regular files, and never through a link.

A run folder may come from anywhere. A file in it may be a link to the shell profile of the user, a pipe without a
writer, or a device. A folder in it may be a link to another place. Therefore this module opens every file of a run. It
follows no link inside the folder, and opens only regular files. Links in the path of the folder itself are followed,
because the user chose that path.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pinnwx.errors import CheckpointError

LARGEST_TEXT = 64 * 2**20  # bytes of a file that is read as text
LARGEST_FILE = 8 * 2**30  # of any file of a run
_REMEDY = "a run folder holds only its own files; replace it by the file or folder itself, or use a copy of the run"
_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NOFOLLOW, _DIRECTORY = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_DIRECTORY", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
Result = TypeVar("Result")
_RELATIVE = os.open in os.supports_dir_fd and os.stat in os.supports_dir_fd
_KINDS = (
    (stat.S_ISLNK, "a link"), (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"),
)  # fmt: skip


def require_own_folder(folder: Path, *names: str) -> Path:
    """The path of a folder inside another folder, whether it exists or not.

    Raises:
        CheckpointError: a part of the path inside is a link, or is not a folder.
    """
    for name in names:
        folder = folder / name
        mode = _mode(folder)
        if mode is not None and not stat.S_ISDIR(mode):
            raise CheckpointError(f"{folder} is {_kind(mode)}, not a folder of the run; {_REMEDY}")
    return folder


def require_own_tree(folder: Path) -> None:
    """Raises:
    CheckpointError: an entry of the folder, at any depth, is neither a regular file nor a folder.
    """
    require_own_folder(folder.parent, folder.name)
    for where, folders, files in os.walk(folder):
        for name, is_right in [(name, stat.S_ISDIR) for name in folders] + [(name, stat.S_ISREG) for name in files]:
            mode = _mode(Path(where, name))
            if mode is not None and not is_right(mode):
                raise CheckpointError(f"{Path(where, name)} is {_kind(mode)}; {_REMEDY}")


def is_there(path: Path) -> bool:
    """Whether the path exists, including a broken link."""
    return _mode(path) is not None


def read_own(folder: Path, name: str, most: int = LARGEST_FILE) -> bytes | None:
    """The bytes of a file of a folder, read once; None if it does not exist. `name` is a relative path with `/`.

    Raises:
        CheckpointError: the file or a folder in its path is a link, the file is not a regular file, has more than
        `most`
            bytes, or cannot be read.
    """
    return _read_by(folder, name, most, lambda file: file.read(os.fstat(file.fileno()).st_size))


def digest_own(folder: Path, name: str, most: int = LARGEST_FILE) -> str | None:
    """The hexadecimal SHA-256 of a file of a folder; None if it does not exist.

    Raises:
        CheckpointError: as `read_own`.
    """
    return _read_by(folder, name, most, lambda file: hashlib.file_digest(file, "sha256").hexdigest())


def read_own_text(folder: Path, name: str, most: int = LARGEST_TEXT) -> str | None:
    """Like `read_own`, decoded as UTF-8; invalid bytes become replacement characters."""
    content = read_own(folder, name, most)
    return None if content is None else content.decode("utf-8-sig", errors="replace")


@contextlib.contextmanager
def appended_own(folder: Path, name: str) -> Iterator[int]:
    """A descriptor for appending to a file of a folder, and for reading it; the file is created if necessary.

    Raises:
        CheckpointError: as `read_own`.
        OSError: the file cannot be written.
    """
    with _opened(folder, name, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)) as handle:
        yield handle


def _read_by(folder: Path, name: str, most: int, read: Callable[[io.BufferedReader], Result]) -> Result | None:
    """The result of `read` on a file of a folder; None if the file does not exist."""
    try:
        with _opened(folder, name, _READ) as handle:
            size = os.fstat(handle).st_size
            if size > most:
                raise CheckpointError(f"{folder / name} has {size:,} bytes, more than the limit of {most:,}")
            with os.fdopen(os.dup(handle), "rb") as file:
                return read(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CheckpointError(f"cannot read {folder / name}: {error.strerror or error}") from None


@contextlib.contextmanager
def _opened(folder: Path, name: str, flags: int) -> Iterator[int]:
    *folders, last = PurePosixPath(name).parts
    if not _RELATIVE:  # without openat, the path is checked first; a change after the check is not detected
        at, path = None, str(require_own_folder(folder, *folders) / last)
    else:
        at, path = os.open(folder, _READ | _DIRECTORY), last
    try:
        if at is not None:
            for index, part in enumerate(folders):
                _require(os.stat(part, dir_fd=at, follow_symlinks=False), stat.S_ISDIR, folder, folders[: index + 1])
                inner = os.open(part, _READ | _DIRECTORY | _NOFOLLOW, dir_fd=at)
                os.close(at)
                at = inner
        with contextlib.suppress(FileNotFoundError):
            _require(os.stat(path, dir_fd=at, follow_symlinks=False), stat.S_ISREG, folder, (*folders, last))
        handle = os.open(path, flags | _NOFOLLOW | _NONBLOCK, 0o666, dir_fd=at)
        try:
            _require(os.fstat(handle), stat.S_ISREG, folder, (*folders, last))
            yield handle
        finally:
            os.close(handle)
    finally:
        if at is not None:
            os.close(at)


def _require(status: os.stat_result, is_right, folder: Path, names) -> None:
    if not is_right(status.st_mode):
        raise CheckpointError(f"{folder.joinpath(*names)} is {_kind(status.st_mode)}; {_REMEDY}")


def _mode(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None


def _kind(mode: int) -> str:
    return next((kind for is_it, kind in _KINDS if is_it(mode)), "a file")
