"""Checks that the declared content of a file fits into memory, before any memory is allocated."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pinnwx.errors import DataError
from pinnwx.runtime import memory_limit


@dataclass(frozen=True)
class Declared:
    """An array as declared in its file; `chunk` is the shape that is unpacked at once, if it is stored in chunks."""

    name: str
    shape: tuple[int, ...]
    itemsize: int
    chunk: tuple[int, ...] | None = None


def require_readable(arrays: Iterable[Declared]) -> None:
    """Refuses coordinates (which are read whole) and chunks that do not fit into memory.

    Raises:
        DataError: the message names the declared size and the available memory.
    """
    for one in arrays:
        if len(one.shape) < 2:
            require_memory(
                math.prod(one.shape) * one.itemsize, f"{one.name} has {math.prod(one.shape):,} values, which"
            )
        if one.chunk is not None:
            shape = " x ".join(f"{size:,}" for size in one.chunk)
            require_memory(
                math.prod(one.chunk) * one.itemsize, f"{one.name} is stored in chunks of {shape}, each of which"
            )


def require_memory(needed: int, what: str, remedy: str = "is the file damaged?") -> None:
    """Raises:
    DataError: `what` needs `needed` bytes, and this machine has fewer.
    """
    limit = memory_limit()
    if needed > limit:
        raise DataError(f"{what} needs {_gibibytes(needed)} of memory; this machine has {_gibibytes(limit)}: {remedy}")


def _gibibytes(size: int) -> str:
    return f"{size / 2**30:,.3g} GiB" if size < 1000 * 2**30 else f"{size / 2**30:,.0f} GiB"
