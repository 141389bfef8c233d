"""Files that are either whole or absent: temporary file, flush to disk, rename; and their SHA-256."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from pinnwx.errors import OutputError


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it over `path` when the block ends well, else removes it.

    A reader sees the old file or the complete new one, never a part.

    Raises:
        OutputError: the folder does not exist or cannot be written, or the disk is full.
    """
    path = Path(path)
    # The suffix stays last, because matplotlib and others choose a format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        try:
            yield temporary
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
        except (OSError, RuntimeError, SafetensorError) as error:  # the latter two are the libraries' full disk
            raise OutputError(f"cannot write {path}: {_reason(error)}; choose another place") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(folder: str | Path) -> Iterator[None]:
    """Where a library writes into `folder` by itself, not through `replacing`: its failure as an error of ours.

    Raises:
        OutputError: a write failed.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {_reason(error)}; free space or choose another place") from error


def _reason(error: Exception) -> str:
    """Why, in one line."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]


def write_text(path: str | Path, text: str) -> None:
    """Writes a small text file atomically.

    Raises:
        OutputError: as `replacing`.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: str | Path) -> str:
    """Hexadecimal digest of a file's bytes."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def check_writable(path: str | Path, *, force: bool = False) -> None:
    """Refuses, before any work is done, an output that could not be written at the end.

    Raises:
        OutputError: `path` exists and `force` is false, or its folder is missing or not writable.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; give a file name")
    if path.exists() and not force:
        raise OutputError(f"{path} exists; give --force to replace it, or another name")
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"no folder {folder} to write {path.name} in; create it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"folder {folder} is not writable; choose another place for {path.name}")
