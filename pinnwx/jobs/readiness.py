"""Checks whether analyses are suitable for training and as initial states: contiguous, recent, and not suspicious.

Impossible values (missing values, wrong units) are refused when data are read. This module handles values that are
possible but unlikely, which would give a wrong forecast that looks plausible.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Shaped

from pinnwx.config import Config
from pinnwx.data.archive import Archive
from pinnwx.data.calendar import ahead_of_the_clock, format_time, now, parse_time, period_bounds
from pinnwx.data.suspicion import KINDS, Suspicion, around, names_of, summary, suspicions, suspicions_of
from pinnwx.data.windows import window_indices
from pinnwx.errors import DataError, UnavailableError, UsageError
from pinnwx.forecasting.forecasts import NEWEST
from pinnwx.forecasting.predictor import require_times
from pinnwx.variables import VARIABLES, Variable, describe

_log = logging.getLogger(__name__)
_HOUR = np.timedelta64(1, "h")


def require_an_age(max_age: float | None) -> None:
    """Raises:
    UsageError: `max_age` is not a positive number of hours.
    """
    if max_age is not None and not 0 < max_age < np.inf:
        raise UsageError(f"--max-age {max_age:g}: the hours must be positive and finite")


def require_timely(
    when: np.datetime64, max_age: float | None, times: Shaped[np.ndarray, " time"] | None = None
) -> None:
    """Refuses an analysis that is older than `max_age` hours or dated in the future.

    `times` are the times of the analyses; the message says if their spacing is too large for `max_age`.

    Raises:
        UnavailableError: the analysis is too old; the message gives its age.
        DataError: the analysis is dated more than an hour ahead of the clock.
        UsageError: `max_age` is not a positive number.
    """
    require_an_age(max_age)
    if problem := ahead_of_the_clock(when):
        raise DataError(problem)
    age = (now() - when.astype("datetime64[ns]")) / _HOUR
    if max_age is not None and age > max_age:
        raise UnavailableError(
            f"the analysis of {format_time(when)} is {age:.1f} h old, more than --max-age {max_age:g} h; "
            f"fetch newer data, or raise --max-age{_suitable_age(when, max_age, times)}"
        )


def _suitable_age(when: np.datetime64, max_age: float, times: np.ndarray | None) -> str:
    """A hint at the smallest suitable `max_age` for the spacing of the analyses; empty if `max_age` suffices."""
    earlier = [] if times is None else times[times < when]
    if not len(earlier):
        return ""
    apart = float((when - earlier[-1]) / _HOUR)
    return f": analyses {apart:g} h apart need {2 * apart:g}" if max_age < 2 * apart else ""


@dataclass(frozen=True)
class Acceptance:
    """A suspicion that the user accepts: field, kind and time; None stands for any.

    It is written as `FIELD`, `FIELD:KIND` or `KIND`, each with or without `@TIME`; a bare date is its whole day.
    """

    field: str | None
    kind: str | None
    first: np.datetime64 | None
    last: np.datetime64 | None

    @classmethod
    def parse(cls, text: str, fields: Sequence[str]) -> Acceptance:
        """Raises:
        UsageError: the field, the kind or the time is invalid.
        """
        subject, _, when = text.partition("@")
        field, _, kind = (None, "", subject) if subject in KINDS and subject not in fields else subject.partition(":")
        if (field is not None and field not in fields) or kind not in ("", *KINDS) or text.endswith(("@", ":")):
            raise UsageError(
                f"--accept-suspicious {text}: write FIELD:KIND@TIME, or a part of it; fields are {', '.join(fields)}, "
                f"kinds {', '.join(KINDS)}"
            )
        return cls(field, kind or None, *(period_bounds(when, when) if when else (None, None)))

    def covers(self, field: str, suspicion: Suspicion) -> bool:
        """Whether it includes this suspicion."""
        return bool(
            self.field in (None, field)
            and self.kind in (None, suspicion.kind)
            and (self.first is None or self.first <= suspicion.time.astype("datetime64[m]"))
            and (self.last is None or suspicion.time.astype("datetime64[m]") <= self.last)
        )


def needed_times(
    init: str,
    input_offsets: Shaped[np.ndarray, " input"],
    all_before: bool,
    times: Shaped[np.ndarray, " time"],
) -> Shaped[np.ndarray, " needed"]:
    """The times of the analyses that a forecast from `init` needs.

    These are its input analyses and the earlier ones that define what is usual (`pinnwx.data.suspicion`); with
    `all_before`, as for the perturbations of an ensemble, all earlier ones.

    Raises:
        UnavailableError: an input analysis is missing.
    """
    when = times[-1] if init == NEWEST else parse_time(init)
    require_times(times, when + input_offsets)
    used = around(times, when + input_offsets[0], when)
    return times[slice(0 if all_before else used.start, used.stop)]


def training_problems(settings: Config, times: Shaped[np.ndarray, " time"]) -> list[str]:
    """The reason why these training times are unsuitable: a stage of the curriculum has no window."""
    step, problems = settings.model.step_hours, []
    for steps in sorted({stage.steps for stage in settings.training.curriculum}):
        analyses = settings.model.input_times + steps
        if times.size and not len(window_indices(times, step, analyses - 1)):
            spacings, counts = np.unique(np.diff(times), return_counts=True)
            apart = f", {spacings[counts.argmax()] / _HOUR:g} h apart" if spacings.size else ""
            problems.append(
                f"the training time holds no {analyses} analyses in a row {step:g} h apart, which rollouts of {steps} "
                f"step(s) need; it holds {times.size}{apart}; set model.step_hours to the spacing of the data, lower "
                "training.curriculum.steps, or use a longer training time"
            )
    return problems[:1]  # longer rollouts lack windows for the same reason


def training_doubts(archive: Archive, variables: Mapping[str, Variable]) -> str:
    """The suspicions about training analyses, in a line; empty if there are none.

    This is the quick search (`pinnwx.data.suspicion.suspicions`) on the grid of the archive.
    """
    by_field: dict[str, list[Suspicion]] = {}
    for index, name in enumerate(archive.names):
        own = suspicions(archive.fields[:, index], archive.times, archive.grid, describe(name, variables), quick=True)
        if own:
            by_field[name] = own
    if not by_field:
        return ""
    count = sum(map(len, by_field.values()))
    field, first = min(((name, min(own, key=lambda one: one.time)) for name, own in by_field.items()), key=_when)
    more = f" ({count - 1} more, in {', '.join(by_field)})" if count > 1 else ""
    return f"{field}: {first.text}{more}"


def _when(entry: tuple[str, Suspicion]) -> np.datetime64:
    return entry[1].time


def require_credible(
    archive: Archive,
    first: np.datetime64,
    last: np.datetime64,
    *,
    accept: Sequence[str] = (),
    variables: Mapping[str, Variable] = VARIABLES,
) -> list[str]:
    """Refuses suspicious analyses from `first` to `last`: repetitions, jumps and implausible shapes.

    Suspicions in `accept` (see `Acceptance`) are logged and returned instead.

    Raises:
        DataError: the message names field, time, place, and the option that accepts the suspicion.
        UsageError: `accept` is invalid.
    """
    acceptances = [Acceptance.parse(text, archive.names) for text in ([accept] if isinstance(accept, str) else accept)]
    accepted, refused, options = [], [], []
    for name, of_field in suspicious_fields(archive, first, last, variables):
        covered = [one for one in of_field if any(acceptance.covers(name, one) for acceptance in acceptances)]
        others = [one for one in of_field if one not in covered]
        accepted += [f"{name}: {line}" for line in summary(covered)]
        refused += [f"{name}: {line}" for line in summary(others)]
        options += [f"--accept-suspicious {text}" for text in names_of(name, others)]
    if refused:
        raise DataError(f"{'; '.join(refused)}; fetch the analysis again, or give {' '.join(options)}")
    for message in accepted:
        _log.warning("accepted: %s", message)
    return accepted


def suspicious_fields(
    archive: Archive, first: np.datetime64, last: np.datetime64, variables: Mapping[str, Variable]
) -> Iterator[tuple[str, list[Suspicion]]]:
    """The suspicions of each field from `first` to `last`."""
    for index, name in enumerate(archive.names):
        entry = describe(name, variables)
        yield name, suspicions_of(archive.fields[:, index], archive.times, archive.grid, entry, first, last)


def doubtful_analyses(
    archive: Archive,
    first: np.datetime64,
    *,
    accept: Sequence[str] = (),
    variables: Mapping[str, Variable] = VARIABLES,
) -> dict[np.datetime64, str]:
    """The analyses since `first` that a forecast would refuse, with reasons; suspicions in `accept` are ignored."""
    acceptances = [Acceptance.parse(text, archive.names) for text in accept]
    reasons: dict[np.datetime64, str] = {}
    for name, of_field in suspicious_fields(archive, first, archive.times[-1], variables):
        for one in of_field:
            if not any(acceptance.covers(name, one) for acceptance in acceptances):
                reasons.setdefault(one.time, f"{name}: {one.text}")
    for when in archive.times[archive.times >= first]:
        if problem := ahead_of_the_clock(when):
            reasons[when] = problem
    return dict(sorted(reasons.items()))


def without(archive: Archive, doubtful: Iterable[np.datetime64]) -> Archive:
    """The archive without the doubtful analyses."""
    remaining = ~np.isin(archive.times, np.array([*doubtful], "datetime64[ns]"))
    return (
        archive
        if remaining.all()
        else replace(archive, times=archive.times[remaining], fields=archive.fields[remaining])
    )
