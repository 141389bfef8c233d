"""A SHA-256 behind the content of a file, in its last line, told before any library parses the file.

The libraries that read HDF5 may crash on a damaged file, or never come to an end. Behind the end that the file itself
tells of, they pass over the seal; and who opens it to change it takes the seal away.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pinnwx.errors import DataError

_MARK = b"\npinnwx sha256 "
_LENGTH = len(_MARK) + 64 + 1


def write_sealed(path: Path, content: bytes | memoryview) -> None:
    """Writes a content, and its seal.

    Raises:
        OSError: the disk is full, or fails.
    """
    with path.open("wb") as file:
        file.write(content)
        file.write(_MARK + hashlib.sha256(content).hexdigest().encode() + b"\n")


def require_seal(path: Path) -> None:
    """Of a file without a seal nothing is known; it passes.

    Raises:
        DataError: the content is not what was sealed.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2) - _LENGTH
        if size < 0:
            return
        file.seek(size)
        mark, digest = (last := file.read(_LENGTH))[: len(_MARK)], last[len(_MARK) : -1]
        if mark != _MARK:
            return
        file.seek(0)
        state = hashlib.sha256()
        while part := file.read(min(2**20, size - file.tell())):
            state.update(part)
    if state.hexdigest().encode() != digest:
        raise DataError("its bytes are not those that were written: damaged; write it anew")
