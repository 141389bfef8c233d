"""Chunks that a zarr store does not hold: steps without values, or damage.

zarr writes no chunk that holds the fill value alone, and reads an absent one as the fill value. Where that is NaN, and
all chunks of a step are absent, the step has no values: a gap. In any other case values would be made up, or a part of
a field be lost.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zarr

from pinnwx.errors import DataError


def require_chunks(array: zarr.Array, name: str, spatial: tuple[int, int]) -> None:
    """Refuses an array with absent chunks, unless they are whole steps of NaN; `spatial` are its axes in space.

    Raises:
        DataError: with the number of absent chunks.
    """
    absent = array.nchunks - array.nchunks_initialized
    if absent and not _is_gap(array, spatial):
        raise DataError(
            f'{absent} of {array.nchunks} chunks of "{name}" are absent; fetch the store again, '
            "or write it with write_empty_chunks=True if they are empty on purpose"
        )


def _is_gap(array: zarr.Array, spatial: tuple[int, int]) -> bool:
    if array.dtype.kind != "f" or array.fill_value is None or not np.isnan(array.fill_value):
        return False
    there = _present(array)
    return bool(there.any() and (there.any(axis=spatial) == there.all(axis=spatial)).all())


def _present(array: zarr.Array) -> np.ndarray:
    """Which chunks the store holds, in the order of the grid of chunks (of shards, where there are some)."""
    size = array.shards or array.chunks
    there = np.zeros([-(-length // each) for length, each in zip(array.shape, size, strict=True)], dtype=bool)
    root = Path(str(getattr(array.store, "root", ""))) / array.path
    for place in np.ndindex(there.shape):
        there[place] = (root / array.metadata.encode_chunk_key(place)).exists()
    return there
