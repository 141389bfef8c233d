"""From which analyses a series is to forecast: those of a period, and those that are to be refused aloud."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from jaxtyping import Shaped

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import CLOCKS_DIFFER_BY, format_time, now, period_bounds
from pinnwx.errors import UnavailableError, UsageError
from pinnwx.jobs.forecast_job import ForecastJob
from pinnwx.verification.pairing import initial_times_between

_LENGTH = re.compile(r"P(?:(\d+)D)?(?:T(\d+)H)?")
MOST_DAYS = 36_500  # a hundred years


def newest_analysis(archive: Archive) -> np.datetime64:
    """The newest analysis that is not dated ahead of the clock; the newest of all where all are."""
    present = archive.times[archive.times <= now() + CLOCKS_DIFFER_BY]
    return present[-1] if present.size else archive.times[-1]


def _not_to_be_had(archive: Archive) -> Shaped[np.ndarray, " time"]:
    """Times after the newest of which there is, or may be, an analysis to refuse: dated ahead of the clock, or in a
    file that was left out. So that no schedule takes an older one for the newest without a word.

    Of a file that does not tell its times it is the next at the cadence of the data, if its time has come.
    """
    newest = newest_analysis(archive)
    absent = [archive.times[archive.times > newest]]
    step = np.timedelta64(round(3600 * archive.step_hours), "s") if len(archive) > 1 else None
    due = newest + step if step is not None else None
    for one in archive.damaged:
        if one.first is not None and one.first == one.last:
            absent.append(np.array([one.first]))
        elif due is not None and due <= now() and one.may_hold(due):
            absent.append(np.array([due]))
    times = np.unique(np.concatenate(absent).astype("datetime64[ns]"))
    return times[times > newest]


def initial_times(job: ForecastJob, init: str, keep_days: float | None) -> list[np.datetime64]:
    """The one time, or those of a period at the cadence of the data, whether the analysis is there or lacks.

    A forecast that would be removed again at once is left out, and so is what the data do not reach.
    """
    start, is_period, end = init.partition("/")
    newest, refused = newest_analysis(job.archive), _not_to_be_had(job.archive)
    if not is_period:
        return [newest, *refused] if init == "latest" else [job.initial_time(init)]
    times = job.archive.times[job.archive.times <= newest]
    length = _LENGTH.fullmatch(start)
    if length and any(length.groups()) and end == "latest":
        whole_days, hours = (int(number or 0) for number in length.groups())
        if whole_days + hours / 24 > MOST_DAYS:
            raise UsageError(f"--init {init}: a length of more than {MOST_DAYS:,} days")
        start = format_time(newest - np.timedelta64(24 * whole_days + hours, "h"))
    first, last = period_bounds(start, None if end == "latest" else end)
    assert first is not None
    until = replace(job.archive, times=times, fields=job.archive.fields[: len(times)])
    candidates = times[times >= first] if len(times) == 1 else initial_times_between(until, start, None)
    candidates = np.union1d(
        candidates[candidates >= times[0] - job.predictor.input_offsets[0]], refused[refused >= first]
    )
    if last is not None:
        candidates = candidates[candidates <= last]
    if keep_days is not None:
        candidates = candidates[candidates > newest - days(keep_days)]
    if not len(candidates):
        raise UnavailableError(
            f"--init {init}: nothing to forecast from; the data reach from {format_time(times[0])} to "
            f"{format_time(newest)}" + ("" if keep_days is None else f", and --keep-days {keep_days:g} are kept")
        )
    return list(candidates)


def days(number: float) -> np.timedelta64:
    return np.timedelta64(round(number * 86400), "s")
