"""Chunks that a zarr store does not hold: steps without values, or damage.

zarr writes no chunk that holds the fill value alone, and reads an absent one as the fill value; so do the inner chunks
of a shard. Where that is NaN, and all chunks of a step are absent, the step has no values: a gap. In any other case
values would be made up, or a part of a field be lost.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zarr
from jaxtyping import Bool

from pinnwx.data.formats import open_regular
from pinnwx.data.zarr_metadata import ArrayLayout, ShardIndex
from pinnwx.errors import DataError


def require_chunks(array: zarr.Array, layout: ArrayLayout, spatial: tuple[int, int]) -> None:
    """Refuses an array on disk with absent chunks, unless they are whole steps of NaN; `spatial` are its axes in space.

    Raises:
        DataError: with the number of absent chunks.
    """
    there = _present(array, layout)
    if not there.all() and not _is_gap(there, layout, spatial):
        raise DataError(
            f'{there.size - there.sum()} of {there.size} chunks of "{layout.name}" are absent; fetch the store again, '
            "or write it with write_empty_chunks=True if they are empty on purpose"
        )


def require_coordinate(array: zarr.Array, layout: ArrayLayout) -> None:
    """Refuses a coordinate, of one dimension, on disk with absent chunks, unless it may be a first value of zero.

    Raises:
        DataError: with the number of absent chunks.
    """
    there = _present(array, layout)
    wrong = [place for place in np.flatnonzero(~there) if not may_be_zero(layout, int(place))]
    if wrong and not layout.absent_is_missing:
        raise DataError(
            f'{len(wrong)} of {there.size} chunks of the coordinate "{layout.name}" are absent; fetch the store again'
        )


def may_be_zero(layout: ArrayLayout, place: int) -> bool:
    """Whether an absent chunk of a coordinate may be none that is lost: zarr writes no chunk of zeros alone, and no
    value of a coordinate stands twice. So it is one value; and it comes first, as of hours since the first time."""
    return place == 0 and min(layout.shape[0], layout.inner[0]) == 1


def _is_gap(there: Bool[np.ndarray, "*grid"], layout: ArrayLayout, spatial: tuple[int, int]) -> bool:
    whole = (there.any(axis=spatial) == there.all(axis=spatial)).all()
    return bool(layout.absent_is_missing and there.any() and whole)


def _present(array: zarr.Array, layout: ArrayLayout) -> Bool[np.ndarray, "*grid"]:
    """Which chunks the store holds, in the order of the grid of chunks; of shards, which inner ones."""
    inner = (1,) * len(layout.shape) if layout.index is None else layout.index.grid
    there = np.zeros([count * each for count, each in zip(layout.objects, inner, strict=True)], dtype=bool)
    root = Path(str(getattr(array.store, "root", ""))) / array.path
    for place in np.ndindex(layout.objects):
        path = root / array.metadata.encode_chunk_key(place)
        if path.exists():
            part = tuple(slice(at * each, (at + 1) * each) for at, each in zip(place, inner, strict=True))
            there[part] = True if layout.index is None else _inside(path, layout.index)
    return there[tuple(slice(0, count) for count in layout.chunks)]  # a shard may reach beyond the array


def _inside(path: Path, index: ShardIndex) -> Bool[np.ndarray, "*grid"]:
    size = path.stat().st_size
    with open_regular(path) as shard:
        if not index.at_start:
            shard.seek(max(0, size - index.size))
        return index.present(shard.read(index.size), size)
