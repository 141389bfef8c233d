"""Training windows, which pair times by their timestamps, never by their positions."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Int32, Shaped

from pinnwx.errors import UsageError


def window_indices(
    times: Shaped[np.ndarray, " time"], step_hours: int | float, steps: int
) -> Int32[np.ndarray, "window {steps}+1"]:
    """Rows of indices whose timestamps are exactly t, t + step, ..., t + steps * step.

    A time starts a window only if all its successors are present, so no window spans a gap, whatever the spacing or
    order of `times`. The rows have the order of t in `times`.

    Raises:
        UsageError: `step_hours` or `steps` is not positive, or a time is repeated.
    """
    if step_hours <= 0 or steps < 0:
        raise UsageError(f"windows of {steps} steps of {step_hours:g} h: both must be positive")
    order = np.argsort(times, kind="stable")
    ascending = times[order].astype("datetime64[ns]")
    if np.any(ascending[1:] == ascending[:-1]):
        raise UsageError("a time is repeated; drop the repeated steps first")
    if times.size == 0:
        return np.empty((0, steps + 1), np.int32)
    step = np.timedelta64(round(step_hours * 3.6e12), "ns")
    targets = times.astype("datetime64[ns]")[:, None] + step * np.arange(steps + 1)
    position = match_times(ascending, targets)
    complete = (position >= 0).all(axis=1)
    return order[position[complete]].astype(np.int32)


def match_times(times: Shaped[np.ndarray, " time"], targets: Shaped[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
    """Index of each target instant in sorted `times`, -1 if it is absent."""
    if not len(times):
        return np.full(targets.shape, -1)
    place = np.searchsorted(times, targets).clip(max=len(times) - 1)
    return np.where(times[place] == targets, place, -1)
