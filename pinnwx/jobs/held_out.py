"""Which analyses a retraining learns from, which stop it early, and which it holds out to compare on."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time, parse_time
from pinnwx.data.windows import match_times, window_indices
from pinnwx.errors import UnavailableError, UsageError
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.evaluate import default_leads
from pinnwx.training.fine_tune import FineTuningWindows, set_aside
from pinnwx.verification.pairing import lead_deltas

_log = logging.getLogger(__name__)
FEWEST_FORECASTS = 8  # held out, below which the promotion check can say nothing


@dataclass(frozen=True)
class Periods:
    """Who sees which analyses: those up to `learn_to` are learned from, of which those after `since` are fresh; those
    from `compare_from` to `compare_to` are held out."""

    since: np.datetime64
    learn_to: np.datetime64
    compare_from: np.datetime64
    compare_to: np.datetime64


def split(incumbent: TrainedModel, archive: Archive, since: str | None) -> Periods:
    """Which analyses are fresh, and which are held out.

    Raises:
        UnavailableError: no analysis is fresh, or the live version has learned from some of those to hold out.
        UsageError: `since` is not given, and the live version does not say what it learned from.
    """
    days = _days_held_out(incumbent)
    known = incumbent.manifest.get("trained_on")
    if since is None and known is None:
        raise UsageError("the live version does not say what it was trained on; give --since")
    learned_to = None if known is None else parse_time(known[-1])
    since_when = parse_time(incumbent.manifest.get("learned_fresh_to", known and known[-1]) if since is None else since)
    last = archive.times[-1]
    cut = last - np.timedelta64(round(86400 * days), "s")
    if learned_to is not None and learned_to > cut:
        why = f"the live version learned from analyses up to {format_time(learned_to)}"
    elif since_when >= cut or archive.times[0] > cut:
        why = f"no analysis after {format_time(since_when)}" + ("" if since is None else " (--since)")
        why += " is older than those"
    else:
        judged = archive.times[archive.times > cut]
        return Periods(since_when, archive.times[archive.times <= cut][-1], judged[0], last)
    raise UnavailableError(
        f"nothing to learn from: the data end at {format_time(last)}, the newest {days:g} days of them are held out, "
        f"and {why}; wait for newer analyses, or lower hold_out_days of [retraining] in the run's config.toml"
    )


def _days_held_out(incumbent: TrainedModel) -> float:
    """Those of the settings, or as many as hold `FEWEST_FORECASTS` forecasts of the longest lead."""
    days, step = incumbent.config.retraining.hold_out_days, incumbent.config.model.step_hours
    needed = (FEWEST_FORECASTS * step + max(comparison_leads(incumbent))) / 24
    if needed > days:
        _log.info(
            "note: the newest %g days are held out, not %g: with steps of %g h fewer hold no %d forecasts to judge",
            needed, days, step, FEWEST_FORECASTS,
        )  # fmt: skip
    return max(days, needed)


def require_forecasts(incumbent: TrainedModel, archive: Archive, periods: Periods) -> None:
    """Raises:
    UnavailableError: the analyses held out allow too few forecasts for a verdict.
    """
    longest = max(comparison_leads(incumbent))
    judged = archive.times[archive.times >= periods.compare_from]
    can_be = int((match_times(judged, judged[:, None] + lead_deltas([longest])) >= 0).sum())
    if can_be < FEWEST_FORECASTS:
        raise UnavailableError(
            f"only {can_be} forecasts of {longest:g} h can be judged from {format_time(judged[0])} to "
            f"{format_time(judged[-1])}, and {FEWEST_FORECASTS} are needed; wait for newer analyses, fetch the missing "
            "ones, or raise hold_out_days of [retraining] in the run's config.toml"
        )


def comparison_leads(incumbent: TrainedModel) -> tuple[float, ...]:
    """The leads that both are judged at, in hours: those of the settings that the model's step divides."""
    step = incumbent.config.model.step_hours
    leads = tuple(lead for lead in incumbent.config.retraining.leads if lead % step == 0)
    return leads or default_leads(incumbent)


def fine_tuning_windows(incumbent: TrainedModel, archive: Archive, periods: Periods) -> FineTuningWindows:
    """The windows that end in the fresh time, those for early stopping among them, and older ones.

    What early stopping sees is not learned from: no window to learn from ends after the forecast of one of early
    stopping begins.

    Raises:
        UnavailableError: there are too few fresh windows.
    """
    config = incumbent.config
    inputs, steps = config.model.input_times, rollout_steps(incumbent)
    windows = window_indices(archive.times, config.model.step_hours, inputs - 1 + steps)
    ends = archive.times[windows[:, -1]]
    windows, ends = windows[ends <= periods.learn_to], ends[ends <= periods.learn_to]
    newest = windows[ends > periods.since]
    fresh, early_stopping = set_aside(newest, archive.times, inputs)
    if not len(fresh):
        raise UnavailableError(
            f"only {len(newest)} windows of {inputs + steps} analyses end after "
            f"{format_time(periods.since)} and by {format_time(periods.learn_to)}, too few to learn from and to "
            "stop early by; wait for newer analyses, or lower steps or "
            "hold_out_days of [retraining] in the run's config.toml"
        )
    return FineTuningWindows(fresh, windows[ends <= periods.since], early_stopping)


def rollout_steps(incumbent: TrainedModel) -> int:
    """The steps of the rollouts to learn from: those of the settings, by default of a day and at most 4.

    Four steps of a day would leave next to nothing of a fresh week to learn from.
    """
    retraining = incumbent.config.retraining
    if "steps" in retraining.model_fields_set:
        return retraining.steps
    return max(min(retraining.steps, round(24 / incumbent.config.model.step_hours)), 1)
