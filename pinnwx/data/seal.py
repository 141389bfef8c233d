"""A SHA-256 in the last line of a file, verified before any library parses the file.

The libraries that read HDF5 may crash on a damaged file, or never finish. They ignore the seal, because it follows the
end of the file that the HDF5 header declares. A program that modifies the file removes the seal.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pinnwx.errors import DataError

_MARK = b"\npinnwx sha256 "
_LENGTH = len(_MARK) + 64 + 1


def write_sealed(path: Path, content: bytes | memoryview) -> None:
    """Writes a content and its seal.

    Raises:
        OSError: the disk is full, or fails.
    """
    with path.open("wb") as file:
        file.write(content)
        file.write(_MARK + hashlib.sha256(content).hexdigest().encode() + b"\n")


def require_seal(path: Path) -> None:
    """Verifies the seal of a file; a file without a seal passes.

    Raises:
        DataError: the content is not the sealed content.
        OSError: the file cannot be read.
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
        raise DataError("is damaged: its bytes differ from those that were written; write it again")
