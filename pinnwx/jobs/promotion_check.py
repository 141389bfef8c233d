"""The promotion check: whether a candidate may replace the live model.

The candidate passes if, on days outside the training time of both models,

- it is not worse: the upper 95 % bound of the error ratio is at most 1.02 for every variable and lead;
- it is better than persistence and climatology at every lead;
- its forecast of thirty days is stable, and its area means do not drift more than those of the live model.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float32

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import parse_time
from pinnwx.errors import NotPromotedError, StabilityError, UnavailableError, UsageError
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.stability import require_bounded
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.evaluate import default_leads, score_on, shared_inputs
from pinnwx.verification.comparison import Comparison, compare_scores
from pinnwx.verification.results import Scores
from pinnwx.verification.significance import BlockBootstrap

LARGEST_RATIO = 1.02
LONG_DAYS = 30
SAME = 5e-4  # a ratio within this distance of 1 prints as 1.000
DRIFT_ALLOWED = 0.5  # drift of an area mean over the long forecast, in standard deviations of the field


@dataclass(frozen=True, eq=False)
class PromotionReport:
    """The result of the promotion check; `objections` are the reasons against the candidate, empty if it passes."""

    objections: tuple[str, ...]
    comparison: Comparison | None = None  # None if either model is unstable
    scores: Scores | None = None  # of the candidate

    @property
    def passed(self) -> bool:
        return not self.objections

    @property
    def is_undecided(self) -> bool:
        """Whether the error ratio is not significantly different from 1 for any variable and lead."""
        bounds = [(entry["ratio_low"], entry["ratio_high"]) for entry in self.ratios]
        return bool(bounds) and all(low is None or low <= 1 <= high for low, high in bounds)

    @property
    def is_worse(self) -> bool:
        """Whether it fails because of its forecasts, and not only because there are too few days."""
        unsure = [_of_ratio(one) for one in self.ratios if one["ratio_high"] is None or one["ratio"] <= 1]
        return any(text not in unsure for text in self.objections)

    @property
    def is_the_same(self) -> bool:
        """Whether the errors of both are equal within `SAME`."""
        return bool(self.ratios) and all(
            entry["ratio"] is not None and abs(entry["ratio"] - 1) < SAME for entry in self.ratios
        )

    @property
    def ratios(self) -> tuple[Mapping[str, Any], ...]:
        """The `Comparison.ratios` of each variable and lead; empty if either model is unstable."""
        return () if self.comparison is None else self.comparison.ratios

    def require_passed(self, name: str, live: str) -> None:
        """Raises:
        NotPromotedError: the candidate did not pass; the message names the first objection.
        """
        if self.objections:
            first, *others = self.objections
            more = f" (and {len(others)} more)" if others else ""
            raise NotPromotedError(f"{name} is not promoted: {first}{more}; {live} stays live")

    def to_dict(self) -> dict[str, Any]:
        """A JSON object."""
        summary = {"passed": self.passed, "objections": list(self.objections), "largest_ratio": LARGEST_RATIO}
        if self.comparison is not None:
            summary |= self.comparison.to_dict()
        return summary | {"candidate_scores": [] if self.scores is None else list(self.scores.scores)}


def compare_candidate(
    candidate: TrainedModel,
    incumbent: TrainedModel,
    archives: tuple[Archive, Archive],
    start: str,
    end: str,
    leads: Sequence[float] | None = None,
    *,
    block_days: int | None = None,
) -> PromotionReport:
    """Scores both models on every analysis between `start` and `end`, both included.

    `archives` are the analyses with the fields and grid of the candidate and of the incumbent. `block_days` is the
    block length of the bootstrap, unless the lead is longer. A few days have bounds only with blocks of one day, which
    assumes independent days. Every variable and lead has to pass, so no p-value is adjusted for their number.

    Raises:
        UsageError: one of the models was trained on these days.
        DataError, UnavailableError: as `evaluate`.
    """
    for one in (candidate, incumbent):
        trained_to = one.manifest.get("trained_on", ("", ""))[-1]
        if trained_to and parse_time(start) <= parse_time(trained_to):
            raise UsageError(f"--start {start}: a model was trained on data up to {trained_to}; compare on later days")
    predictors = [Predictor(one, leads or default_leads(incumbent)) for one in (candidate, incumbent)]
    inputs = shared_inputs(predictors)
    try:
        scores = replace(score_on(predictors[0], archives[0], start, end, inputs), run="candidate")
    except StabilityError as error:
        return PromotionReport((str(error),))
    objections = [
        f"{entry['variable']} at {entry['lead_hours']:g} h: no better than {baseline}"
        for entry in scores.scores
        for baseline in ("persistence", "climatology")
        if not entry["rmse"] < entry[f"{baseline}_rmse"]
    ]
    objections.append(_of_a_long_forecast(candidate, incumbent, archives[0], start))
    comparison = None
    with contextlib.suppress(StabilityError):  # an unstable live model has no scores for a comparison
        live_scores = replace(score_on(predictors[1], archives[1], start, end, inputs), run="live model")
        comparison = compare_scores(scores, live_scores, BlockBootstrap(block_days=block_days))
        objections = [*map(_of_ratio, comparison.ratios), *objections]
    return PromotionReport(tuple(text for text in objections if text), comparison, scores)


def _of_ratio(entry: Mapping[str, Any]) -> str:
    where = f"{entry['variable']} at {entry['lead_hours']:g} h"
    if entry["ratio_high"] is None:
        return f"{where}: too few days for a decision ({entry['bounds_missing']})"
    if entry["ratio_high"] > LARGEST_RATIO:
        text = f"{where}: error {entry['ratio']:.3f} of the live model's, up to {entry['ratio_high']:.3f}"
        return text if entry["ratio"] > 1 else f"{text} by chance, because {entry['n_days']} days are too few"
    return ""


def _of_a_long_forecast(candidate: TrainedModel, incumbent: TrainedModel, archive: Archive, start: str) -> str:
    """The objection of the long forecast, or empty. It needs no lateral boundary, which does not reach thirty days."""
    if candidate.model.has_lateral_boundary:
        return ""
    forecast = _long_forecast(candidate, archive, start)
    if isinstance(forecast, str):
        return forecast
    drift, allowed = _drift(forecast, archive), DRIFT_ALLOWED * candidate.normalisation.std
    if (drift > allowed).any():
        live_forecast = _long_forecast(incumbent, archive, start)
        if not isinstance(live_forecast, str):
            allowed = np.maximum(allowed, _drift(live_forecast, archive))
    for name, by, most in zip(archive.names, drift, allowed, strict=True):
        if by > most:
            return f"{name}: its area mean drifts by {by:.3g} in {LONG_DAYS} days, more than {most:.3g}"
    return ""


def _long_forecast(
    model: TrainedModel, archive: Archive, start: str
) -> Float32[np.ndarray, "lead field lat lon"] | str:
    """A forecast of thirty days from the first possible analysis, or the reason why there is none."""
    step = model.config.model.step_hours
    leads = [step * k for k in range(1, round(24 * LONG_DAYS / step) + 1)]
    predictor = Predictor(model, leads)
    for when in archive.select(start).times:
        try:
            forecast = predictor.from_archive(archive, np.array([when]))[0]
            require_bounded(forecast, leads, model, when)
        except UnavailableError:
            continue  # an earlier input analysis is missing
        except StabilityError as error:
            return str(error).partition(" (")[0]
        return forecast
    return "no analysis to start a long forecast from"


def _drift(forecast: Float32[np.ndarray, "lead field lat lon"], archive: Archive) -> np.ndarray:
    """The absolute change of the area mean of each field (such as mass) from the first step to the last."""
    means = (archive.grid.area_weights * forecast[[0, -1]].astype(np.float64)).mean((-2, -1))
    return np.abs(means[1] - means[0])
