"""Wall-clock budgets: how the minutes of a command are divided. All times are of `time.monotonic()`."""

from __future__ import annotations

from pinnwx.config import MOST_MINUTES
from pinnwx.errors import UsageError

SAVING_SECONDS = 5.0  # of the budget, for the last checkpoint and the version,
SAVING_FRACTION = 0.04  # and for a machine that becomes slower
CHECKING_SECONDS, CHECKING_FRACTION = 6.0, 0.03  # of the rest, for the training check,
MOST_CHECKING_FRACTION = 0.15  # and at most this much
ERRORS_SECONDS, ERRORS_FRACTION = 12.0, 0.03  # the same, for the model errors of a cross-fitted model
FINE_TUNING_FRACTION = 0.6  # of a short budget; the rest is for the promotion check,
COMPARING_SECONDS, COMPARING_FRACTION = 45.0, 0.1  # which takes this much of a long one


def budget_ends(minutes: float, begun: float) -> float:
    """When computing must end, so that a command that began at `begun` ends within its minutes.

    Raises:
        UsageError: the minutes are not positive, or more than a year.
    """
    if not 0 < minutes <= MOST_MINUTES:
        raise UsageError(f"--minutes {minutes:g}: the budget must be positive and at most {MOST_MINUTES:,}, a year")
    return begun + 60.0 * minutes * (1 - SAVING_FRACTION) - SAVING_SECONDS


def training_ends(ends: float, now: float, *, cross_fitted: bool = False) -> float:
    """When the updates of a training must end, so that model errors and the training check end at `ends`."""
    reserved = ERRORS_SECONDS + ERRORS_FRACTION * (ends - now) if cross_fitted else 0.0
    return model_errors_end(ends, now) - min(reserved, MOST_CHECKING_FRACTION * (ends - now))


def model_errors_end(ends: float, now: float) -> float:
    """When model errors must be complete, in a training that began at `now`; the training check follows."""
    left = ends - now
    return ends - min(CHECKING_SECONDS + CHECKING_FRACTION * left, MOST_CHECKING_FRACTION * left)


def fine_tuning_ends(ends: float, now: float) -> float:
    """When the updates of a retraining must end, so that the promotion check ends at `ends`."""
    left = ends - now
    return ends - min((1 - FINE_TUNING_FRACTION) * left, COMPARING_SECONDS + COMPARING_FRACTION * left)
