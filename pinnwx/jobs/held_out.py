"""Splits the analyses of a retraining into training, early stopping and held-out comparison."""

from __future__ import annotations

import logging
import math
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
from pinnwx.verification.significance import MINIMUM_BLOCKS

_log = logging.getLogger(__name__)
FEWEST_FORECASTS = 8  # the minimum number of held-out forecasts for the promotion check


@dataclass(frozen=True)
class Periods:
    """The periods of a retraining.

    Analyses up to `learn_to` are for training; those of them after `since` are fresh. Analyses from `compare_from` to
    `compare_to` are held out.
    """

    since: np.datetime64
    learn_to: np.datetime64
    compare_from: np.datetime64
    compare_to: np.datetime64


def split(incumbent: TrainedModel, archive: Archive, since: str | None) -> Periods:
    """Determines which analyses are fresh, and which are held out.

    Raises:
        UnavailableError: no analysis is fresh, or the live version was trained on a part of the held-out period.
        UsageError: `since` is not given, and the live version does not state its training time.
    """
    days = _days_held_out(incumbent)
    known = incumbent.manifest.get("trained_on")
    if since is None and known is None:
        raise UsageError("the live version does not state its training time; give --since")
    trained_to = None if known is None else parse_time(known[-1])
    since_when = parse_time(incumbent.manifest.get("learned_fresh_to", known and known[-1]) if since is None else since)
    last = archive.times[-1]
    cut = last - np.timedelta64(round(86400 * days), "s")
    if trained_to is not None and trained_to > cut:
        why = f"the live version was trained on analyses up to {format_time(trained_to)}"
    elif since_when >= cut or archive.times[0] > cut:
        why = f"no analysis after {format_time(since_when)}" + ("" if since is None else " (--since)")
        why += " is older than these"
    else:
        held_out = archive.times[archive.times > cut]
        return Periods(since_when, archive.times[archive.times <= cut][-1], held_out[0], last)
    raise UnavailableError(
        f"no data for training: the data end at {format_time(last)}, their newest {days:g} days are held out, "
        f"and {why}; wait for newer analyses, or lower hold_out_days of [retraining] in the run's config.toml"
    )


def _days_held_out(incumbent: TrainedModel) -> float:
    """The days of the settings, or more if `FEWEST_FORECASTS` forecasts of the longest lead, or its bounds, need them.

    Bounds need `MINIMUM_BLOCKS` blocks of initial times, none shorter than the lead (`significance`).
    """
    days, step = incumbent.config.retraining.hold_out_days, incumbent.config.model.step_hours
    longest, spacing = max(comparison_leads(incumbent)), max(step, 24)
    blocks = MINIMUM_BLOCKS * math.ceil(longest / spacing) * spacing
    needed = (max(FEWEST_FORECASTS * step, blocks) + longest) / 24
    if needed > days:
        _log.info(
            "note: the newest %g days are held out instead of %g: forecasts of %g h need them, with steps of %g h",
            needed, days, longest, step,
        )  # fmt: skip
    return max(days, needed)


def require_forecasts(incumbent: TrainedModel, archive: Archive, periods: Periods) -> None:
    """Raises:
    UnavailableError: the held-out analyses allow too few forecasts for a decision.
    """
    longest = max(comparison_leads(incumbent))
    held_out = archive.times[archive.times >= periods.compare_from]
    count = int((match_times(held_out, held_out[:, None] + lead_deltas([longest])) >= 0).sum())
    if count < FEWEST_FORECASTS:
        raise UnavailableError(
            f"only {count} forecasts of {longest:g} h can be scored from {format_time(held_out[0])} to "
            f"{format_time(held_out[-1])}, and {FEWEST_FORECASTS} are needed; wait for newer analyses, fetch the "
            "missing ones, or raise hold_out_days of [retraining] in the run's config.toml"
        )


def comparison_leads(incumbent: TrainedModel) -> tuple[float, ...]:
    """The leads of the comparison [h]: those of the settings that are multiples of the step of the model."""
    step = incumbent.config.model.step_hours
    leads = tuple(lead for lead in incumbent.config.retraining.leads if lead % step == 0)
    return leads or default_leads(incumbent)


def fine_tuning_windows(incumbent: TrainedModel, archive: Archive, periods: Periods) -> FineTuningWindows:
    """The windows for fine-tuning: fresh ones, those for early stopping, and older ones.

    Windows for early stopping are not used for training: no training window ends after the forecast of an
    early-stopping window begins.

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
            f"{format_time(periods.since)} and by {format_time(periods.learn_to)}, too few for training and "
            "early stopping; wait for newer analyses, or lower steps or "
            "hold_out_days of [retraining] in the run's config.toml"
        )
    return FineTuningWindows(fresh, windows[ends <= periods.since], early_stopping)


def rollout_steps(incumbent: TrainedModel) -> int:
    """The number of steps of the training rollouts: that of the settings, by default one day and at most 4 steps.

    With steps of a day, four steps would leave very few windows in a fresh week.
    """
    retraining = incumbent.config.retraining
    if "steps" in retraining.model_fields_set:
        return retraining.steps
    return max(min(retraining.steps, round(24 / incumbent.config.model.step_hours)), 1)
