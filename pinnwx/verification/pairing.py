"""Pairs of initial and valid times, matched by time stamps; a gap in the data removes pairs and never shifts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time, period_bounds
from pinnwx.data.windows import match_times
from pinnwx.errors import UnavailableError, UsageError

NO_HISTORY = np.zeros(1, "timedelta64[ns]")  # the only input is the analysis of the initial time


@dataclass(frozen=True, eq=False)
class Pairs:
    """The analyses that verify each forecast.

    `init_indices` are the archive indices of the initial times with at least one truth. `truth_indices` are the archive
    indices of the valid times, -1 without truth. `skipped` counts the requested times and pairs that are left out.
    """

    lead_hours: tuple[float, ...]
    init_indices: Int[np.ndarray, " init"]
    truth_indices: Int[np.ndarray, "init lead"]
    skipped: dict[str, int]


def lead_deltas(lead_hours: Sequence[float | int]) -> Shaped[np.ndarray, " lead"]:
    """Lead times as `timedelta64[ns]`, rounded to seconds."""
    return np.round(np.asarray(lead_hours, np.float64) * 3600).astype("timedelta64[s]").astype("timedelta64[ns]")


class LaggedPairs(NamedTuple):
    """Indices of the analyses of an archive that are a lead apart."""

    now: Int[np.ndarray, " pair"]
    later: Int[np.ndarray, " pair"]

    @classmethod
    def of(cls, archive: Archive, lead_hours: float) -> LaggedPairs:
        """Every pair of the archive."""
        later = match_times(archive.times, archive.times + lead_deltas([lead_hours]))
        now = np.flatnonzero(later >= 0)
        return cls(now, later[now])

    def before(self, index: int) -> LaggedPairs:
        """The pairs that end before an index."""
        return LaggedPairs(self.now[self.later < index], self.later[self.later < index])

    def since(self, index: int) -> LaggedPairs:
        """The pairs that start at an index or later."""
        return LaggedPairs(self.now[self.now >= index], self.later[self.now >= index])

    def at_most(self, count: int) -> LaggedPairs:
        """At most `count` of the pairs, spread evenly."""
        stride = max(1, -(-len(self.now) // count))
        return LaggedPairs(self.now[::stride], self.later[::stride])


def initial_times_between(archive: Archive, start: str | None, end: str | None) -> Shaped[np.ndarray, " init"]:
    """Every initial time of a period at the time step of the archive, so that gaps are counted as skipped.

    Both ends are included; a bare end date includes its whole day. `None` stands for the end of the archive.
    """
    first, last = period_bounds(start, end)
    first, last = archive.times[0] if first is None else first, archive.times[-1] if last is None else last
    step = np.timedelta64(round(archive.step_hours * 3600), "s").astype("timedelta64[ns]")
    regular = np.arange(-((archive.times[0] - first) // step), (last - archive.times[0]) // step + 1)
    own = archive.times[(archive.times >= first) & (archive.times <= last)]
    return np.union1d(archive.times[0] + regular * step, own)


def pair_by_time(
    archive: Archive,
    initial_times: Shaped[np.ndarray, " init"],
    lead_hours: Sequence[float | int],
    available: Bool[np.ndarray, "init lead"] | None = None,
    inputs: Shaped[np.ndarray, " input"] = NO_HISTORY,
) -> Pairs:
    """Matches distinct initial times with their truths.

    Args:
        archive: the analyses, which provide initial states and truth.
        initial_times: as `datetime64`; duplicates count once.
        lead_hours: the leads of the forecasts.
        available: true for the leads that each forecast contains; by default all.
        inputs: the times of the input analyses of a forecast, as `timedelta64` from its initial time; the last is 0.

    Raises:
        UsageError: there is no lead, or a lead is negative or repeated.
        UnavailableError: there is no pair.
    """
    leads = tuple(float(lead) for lead in lead_hours)
    if not leads or min(leads) < 0 or len(set(leads)) < len(leads):
        raise UsageError(f"lead times {list(leads)} h: give at least one, none negative, none twice")
    initial_times, order = np.unique(initial_times.astype("datetime64[ns]"), return_index=True)
    reached = np.ones((len(order), len(leads)), bool) if available is None else available[order]
    needed = match_times(archive.times, initial_times[:, None] + inputs)
    has_inputs = (needed >= 0).all(axis=1)
    reached = reached[has_inputs]
    truth = np.where(reached, match_times(archive.times, initial_times[has_inputs, None] + lead_deltas(leads)), -1)
    verified = (truth >= 0).any(axis=1)
    if not verified.any():
        raise UnavailableError(
            f"nothing to score: the initial times are {_span(initial_times)} with leads of {min(leads):g} to "
            f"{max(leads):g} h, the data hold {_span(archive.times)}; choose initial times inside"
        )
    skipped = {
        "initial_times_without_analysis": int((~has_inputs).sum()),
        "pairs_without_truth": int((reached & (truth < 0)).sum()),
    }
    return Pairs(leads, needed[has_inputs, -1][verified], truth[verified], skipped)


def time_mean(archive: Archive, indices: Int[np.ndarray, " time"]) -> Float[np.ndarray, "field lat lon"]:
    """Mean of the fields at these indices, summed in float64 in the order of the indices; zero without indices."""
    total = np.zeros(archive.fields.shape[1:], dtype=np.float64)
    for index in indices:
        total += archive.fields[index]
    return total / max(len(indices), 1)


def _span(times: np.ndarray) -> str:
    return f"{format_time(times[0])} to {format_time(times[-1])}" if len(times) else "no times"
