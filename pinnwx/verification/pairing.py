"""Pairs of initial and valid times, matched by time stamp: a gap in the data costs pairs and never shifts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time, period_bounds
from pinnwx.data.windows import match_times
from pinnwx.errors import UnavailableError, UsageError

NO_HISTORY = np.zeros(1, "timedelta64[ns]")  # a forecast that starts from the analysis of its initial time alone


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which analyses verify which forecasts.

    `init_indices` are archive indices of the initial times that can be scored; `truth_indices` those of the valid
    times, -1 where there is no truth. `skipped` counts what was asked for and left out.
    """

    lead_hours: tuple[float, ...]
    init_indices: Int[np.ndarray, " init"]
    truth_indices: Int[np.ndarray, "init lead"]
    skipped: dict[str, int]


def lead_deltas(lead_hours: Sequence[float | int]) -> Shaped[np.ndarray, " lead"]:
    """Lead times as `timedelta64[ns]`, to the second."""
    return np.round(np.asarray(lead_hours, np.float64) * 3600).astype("timedelta64[s]").astype("timedelta64[ns]")


def initial_times_between(archive: Archive, start: str | None, end: str | None) -> Shaped[np.ndarray, " init"]:
    """Every initial time of a period at the archive's cadence, held or not, so that gaps are counted as skipped.

    Both ends are included, a bare end date with its whole day; an end that is `None` is that of the archive.
    """
    first, last = period_bounds(start, end)
    first, last = archive.times[0] if first is None else first, archive.times[-1] if last is None else last
    step = np.timedelta64(round(archive.step_hours * 3600), "s").astype("timedelta64[ns]")
    regular = np.arange(-((archive.times[0] - first) // step), (last - archive.times[0]) // step + 1)
    held = archive.times[(archive.times >= first) & (archive.times <= last)]
    return np.union1d(archive.times[0] + regular * step, held)


def pair_by_time(
    archive: Archive,
    initial_times: Shaped[np.ndarray, " init"],
    lead_hours: Sequence[float | int],
    available: Bool[np.ndarray, "init lead"] | None = None,
    inputs: Shaped[np.ndarray, " input"] = NO_HISTORY,
) -> Pairs:
    """Pairs of distinct initial times with their truths.

    Args:
        archive: analyses, which are initial states and truth alike.
        initial_times: `datetime64`; each counts once.
        lead_hours: of the forecasts.
        available: which leads each forecast reaches, where they differ.
        inputs: the analyses that a forecast starts from, as `timedelta64` from its initial time; the last is 0.

    Raises:
        UsageError: no leads, or a lead that is negative or stands twice.
        UnavailableError: there is not one pair.
    """
    leads = tuple(float(lead) for lead in lead_hours)
    if not leads or min(leads) < 0 or len(set(leads)) < len(leads):
        raise UsageError(f"lead times {list(leads)} h: give at least one, none negative, none twice")
    initial_times, order = np.unique(initial_times.astype("datetime64[ns]"), return_index=True)
    reached = np.ones((len(order), len(leads)), bool) if available is None else available[order]
    needed = match_times(archive.times, initial_times[:, None] + inputs)
    held = (needed >= 0).all(axis=1)
    reached = reached[held]
    truth = np.where(reached, match_times(archive.times, initial_times[held, None] + lead_deltas(leads)), -1)
    verified = (truth >= 0).any(axis=1)
    if not verified.any():
        raise UnavailableError(
            f"nothing to score: initial times {_span(initial_times)} asked with leads of {min(leads):g} to "
            f"{max(leads):g} h, the data hold {_span(archive.times)}; choose initial times inside"
        )
    skipped = {
        "initial_times_without_analysis": int((~held).sum()),
        "pairs_without_truth": int((reached & (truth < 0)).sum()),
    }
    return Pairs(leads, needed[held, -1][verified], truth[verified], skipped)


def time_mean(archive: Archive, indices: Int[np.ndarray, " time"]) -> Float[np.ndarray, "field lat lon"]:
    """Mean of the fields at these indices, summed in float64 one time after the other; zero where there is none."""
    total = np.zeros(archive.fields.shape[1:], dtype=np.float64)
    for index in indices:
        total += archive.fields[index]
    return total / max(len(indices), 1)


def _span(times: np.ndarray) -> str:
    return f"{format_time(times[0])} to {format_time(times[-1])}" if len(times) else "no time at all"
