"""The gate: whether a candidate may take the place of the live model.

It may if, on days that neither was trained on, it is not worse (the upper 95 % bound of the ratio of the errors is at
most 1.02 for every variable and lead), beats persistence at every lead, and forecasts thirty days without blowing up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import parse_time
from pinnwx.errors import StabilityError, UnavailableError, UsageError
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.stability import require_stable
from pinnwx.forecasting.trained import Trained
from pinnwx.jobs.evaluate import default_leads, matching_archive, score_on, score_period, shared_inputs
from pinnwx.verification.comparison import Comparison, compare_scores
from pinnwx.verification.results import Scores

LARGEST_RATIO = 1.02
LONG_DAYS = 30


@dataclass(frozen=True, eq=False)
class Verdict:
    """What the gate found; `objections` are why the candidate may not pass, empty if it may."""

    objections: tuple[str, ...]
    comparison: Comparison | None = None  # None where either blew up
    scores: Scores | None = None  # the candidate's

    @property
    def passed(self) -> bool:
        return not self.objections

    def to_dict(self) -> dict[str, Any]:
        """A JSON object."""
        found = {"passed": self.passed, "objections": list(self.objections), "largest_ratio": LARGEST_RATIO}
        if self.comparison is not None:
            found |= self.comparison.to_dict()
        return found | {"candidate_scores": [] if self.scores is None else list(self.scores.scores)}


def judge(
    candidate: Trained,
    incumbent: Trained,
    data: Sequence[str | Path] | str | Path,
    start: str,
    end: str,
    leads: Sequence[float] | None = None,
) -> Verdict:
    """Scores both on every analysis between `start` and `end`, both included.

    Raises:
        UsageError: one of them was trained on these days.
        DataError, UnavailableError: as `evaluate`.
    """
    for one in (candidate, incumbent):
        trained_to = one.manifest.get("trained_on", ("", ""))[-1]
        if trained_to and parse_time(start) <= parse_time(trained_to):
            raise UsageError(
                f"--start {start}: a model here was trained on data up to {trained_to}; judge it on later days"
            )
    predictors = [Predictor(one, leads or default_leads(incumbent)) for one in (candidate, incumbent)]
    inputs, archive = shared_inputs(predictors), matching_archive(candidate, data)
    try:
        scores = score_on(predictors[0], archive, start, end, inputs)
    except StabilityError as error:
        return Verdict((str(error),))
    objections = [
        f"{entry['variable']} at {entry['lead_hours']:g} h: no better than persistence"
        for entry in scores.scores
        if not entry["rmse"] < entry["persistence_rmse"]
    ]
    objections.append(_of_a_long_forecast(candidate, archive, start))
    comparison = None
    with contextlib.suppress(StabilityError):  # a live model that blows up has nothing to be compared with
        comparison = compare_scores(scores, score_period(predictors[1], data, start, end, inputs))
        objections = [*map(_of_ratio, comparison.ratios), *objections]
    return Verdict(tuple(text for text in objections if text), comparison, scores)


def _of_ratio(entry: Mapping[str, Any]) -> str:
    where = f"{entry['variable']} at {entry['lead_hours']:g} h"
    if entry["ratio_high"] is None:
        return f"{where}: too few days to be sure ({entry['bounds_missing']})"
    if entry["ratio_high"] > LARGEST_RATIO:
        return f"{where}: error {entry['ratio']:.3f} of the live model's, up to {entry['ratio_high']:.3f}"
    return ""


def _of_a_long_forecast(candidate: Trained, archive: Archive, start: str) -> str:
    """A driven model is left out: nothing tells its edge that far ahead."""
    if candidate.model.is_driven:
        return ""
    step = candidate.config.model.step_hours
    leads = [step * k for k in range(1, round(24 * LONG_DAYS / step) + 1)]
    predictor = Predictor(candidate, leads)
    for when in archive.select(start).times:
        try:
            forecast = predictor.from_archive(archive, np.array([when]))[0]
            require_stable(forecast, leads, candidate, when)
        except UnavailableError:
            continue  # an analysis before it is missing
        except StabilityError as error:
            return str(error).partition(" (")[0]
        return ""
    return "no analysis to start a long forecast from"
