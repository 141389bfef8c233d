"""The baselines of a forecast: persistence and climatology."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Int, Shaped

from pinnwx.data.archive import Archive
from pinnwx.errors import DataError


@runtime_checkable
class ClimatologyLike(Protocol):
    """The part of `pinnwx.statistics.Climatology` that baselines use. It is fitted on training time only."""

    @property
    def names(self) -> tuple[str, ...]:
        """The fields, in the order of the arrays of `at`."""
        ...

    def at(self, times: Shaped[np.ndarray, " time"], /) -> Float[np.ndarray, "time field lat lon"]:
        """The climatological fields at these times, in the units of the archive."""
        ...


def persistence(archive: Archive, init_indices: Int[np.ndarray, " pair"]) -> Float32[np.ndarray, "pair field lat lon"]:
    """The persistence forecast at any lead: the analyses of these archive indices."""
    return archive.fields[init_indices]


def climatology_at(
    climatology: ClimatologyLike | None, archive: Archive, times: Shaped[np.ndarray, " pair"]
) -> Float[np.ndarray, "pair field lat lon"] | None:
    """The climatology of the fields of the archive at the valid times, or `None` without a climatology.

    Raises:
        DataError: the climatology lacks a field of the archive, or is on another grid.
    """
    if climatology is None:
        return None
    missing = [name for name in archive.names if name not in climatology.names]
    if missing:
        raise DataError(f"no climatology of {', '.join(missing)}; it contains {', '.join(climatology.names)}")
    fields = climatology.at(times)
    if climatology.names != archive.names:
        fields = fields[:, [climatology.names.index(name) for name in archive.names]]
    expected = (len(times), *archive.fields.shape[1:])
    if fields.shape != expected:
        raise DataError(f"climatology of shape {fields.shape}, the data {expected}; use that of the same run")
    return fields
