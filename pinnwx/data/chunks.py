"""Absent chunks of a zarr store: missing time steps, or damage.

zarr does not write a chunk that holds only the fill value, and it reads an absent chunk as the fill value. The same
holds for the inner chunks of a shard. If the fill value is NaN and all chunks of a time step are absent, the step is
missing. In any other case, absent chunks would read as invented values or as a field with holes.
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
    """Refuses an array on disk with absent chunks, unless whole time steps are absent and read as NaN.

    `spatial` are the positions of the two spatial axes.

    Raises:
        DataError: with the number of absent chunks.
    """
    present = _present(array, layout)
    if not present.all() and not _is_gap(present, layout, spatial):
        raise DataError(
            f'{present.size - present.sum()} of {present.size} chunks of "{layout.name}" are absent; fetch the store '
            "again, or write it with write_empty_chunks=True if they are empty on purpose"
        )


def require_coordinate(array: zarr.Array, layout: ArrayLayout) -> None:
    """Refuses a one-dimensional coordinate on disk with absent chunks, unless the chunk may be a first value of zero.

    Raises:
        DataError: with the number of absent chunks.
    """
    present = _present(array, layout)
    wrong = [place for place in np.flatnonzero(~present) if not may_be_zero(layout, int(place))]
    if wrong and not layout.absent_is_missing:
        raise DataError(
            f'{len(wrong)} of {present.size} chunks of the coordinate "{layout.name}" are absent; fetch the store again'
        )


def may_be_zero(layout: ArrayLayout, place: int) -> bool:
    """Whether an absent chunk of a coordinate may be a legitimate zero.

    zarr does not write a chunk of zeros only. The values of a coordinate are unique, so such a chunk holds one value.
    It comes first, as in hours since the first time.
    """
    return place == 0 and min(layout.shape[0], layout.inner[0]) == 1


def _is_gap(present: Bool[np.ndarray, "*grid"], layout: ArrayLayout, spatial: tuple[int, int]) -> bool:
    whole = (present.any(axis=spatial) == present.all(axis=spatial)).all()
    return bool(layout.absent_is_missing and present.any() and whole)


def _present(array: zarr.Array, layout: ArrayLayout) -> Bool[np.ndarray, "*grid"]:
    """True for the chunks (of shards: inner chunks) that the store holds, in the order of the grid of chunks."""
    inner = (1,) * len(layout.shape) if layout.index is None else layout.index.grid
    present = np.zeros([count * each for count, each in zip(layout.objects, inner, strict=True)], dtype=bool)
    root = Path(str(getattr(array.store, "root", ""))) / array.path
    for place in np.ndindex(layout.objects):
        path = root / array.metadata.encode_chunk_key(place)
        if path.exists():
            part = tuple(slice(at * each, (at + 1) * each) for at, each in zip(place, inner, strict=True))
            present[part] = True if layout.index is None else _inside(path, layout.index)
    return present[tuple(slice(0, count) for count in layout.chunks)]  # a shard may reach beyond the array


def _inside(path: Path, index: ShardIndex) -> Bool[np.ndarray, "*grid"]:
    size = path.stat().st_size
    with open_regular(path) as shard:
        if not index.at_start:
            shard.seek(max(0, size - index.size))
        return index.present(shard.read(index.size), size)
