"""The baselines of a forecast: persistence, climatology, and the interface of those that are fitted."""

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


@runtime_checkable
class Baseline(Protocol):
    """A forecast from one analysis with a few numbers that are fitted on training time only."""

    def __call__(
        self,
        departures: Float[np.ndarray, "pair field lat lon"],
        climatology: Float[np.ndarray, "pair field lat lon"],
        lead_hours: float,
        /,
    ) -> Float[np.ndarray, "pair field lat lon"] | None:
        """The forecast of the valid times, or `None` at a lead that the baseline does not reach.

        Args:
            departures: the analyses of the initial times minus the climatology of these times.
            climatology: the climatology of the valid times.
            lead_hours: the lead.
        """
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


def departures(
    climatology: ClimatologyLike, archive: Archive, indices: Int[np.ndarray, " time"]
) -> Float32[np.ndarray, "time field lat lon"]:
    """The analyses of these archive indices minus the climatology of their times.

    Raises:
        DataError: as `climatology_at`.
    """
    expected = climatology_at(climatology, archive, archive.times[indices])
    assert expected is not None
    return (archive.fields[indices] - expected).astype(np.float32)


def damping(
    before: Float[np.ndarray, "pair field lat lon"],
    after: Float[np.ndarray, "pair field lat lon"],
    weights: Float[np.ndarray, "lat 1"],
) -> Float[np.ndarray, " field"]:
    """The factor a of each field that minimises the sum over pairs of A(after - a before)^2; 0 for a field of zeros."""
    product = (weights * before.astype(np.float64) * after).sum((0, 2, 3))
    square = (weights * before.astype(np.float64) ** 2).sum((0, 2, 3))
    return np.divide(product, square, out=np.zeros_like(product), where=square > 0)
