"""The promotion check: whether a candidate may take the place of the live model.

It may if, on days that neither was trained on, it is not worse (the upper 95 % bound of the ratio of the errors is at
most 1.02 for every variable and lead), beats persistence and climatology at every lead, and forecasts thirty days
without blowing up and without a drift of its area means that the live model does not have.
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
SAME = 5e-4  # of a ratio that is 1.000 when it is printed
DRIFT_ALLOWED = 0.5  # of an area mean over the long forecast, in standard deviations of the field


@dataclass(frozen=True, eq=False)
class PromotionReport:
    """What the promotion check found; `objections` are why the candidate may not pass, empty if it may."""

    objections: tuple[str, ...]
    comparison: Comparison | None = None  # None where either blew up
    scores: Scores | None = None  # the candidate's

    @property
    def passed(self) -> bool:
        return not self.objections

    @property
    def is_undecided(self) -> bool:
        """Whether at no variable and lead the one errs surely less, or more, than the other."""
        bounds = [(entry["ratio_low"], entry["ratio_high"]) for entry in self.ratios]
        return bool(bounds) and all(low is None or low <= 1 <= high for low, high in bounds)

    @property
    def is_worse(self) -> bool:
        """Whether it does not pass for what it forecast, and not for want of days to be sure."""
        unsure = [_of_ratio(one) for one in self.ratios if one["ratio_high"] is None or one["ratio"] <= 1]
        return any(text not in unsure for text in self.objections)

    @property
    def is_the_same(self) -> bool:
        """Whether the errors of both are the same, within `SAME`."""
        return bool(self.ratios) and all(
            entry["ratio"] is not None and abs(entry["ratio"] - 1) < SAME for entry in self.ratios
        )

    @property
    def ratios(self) -> tuple[Mapping[str, Any], ...]:
        """Of each variable and lead, as `Comparison.ratios`; none where either blew up."""
        return () if self.comparison is None else self.comparison.ratios

    def require_passed(self, name: str, live: str) -> None:
        """Raises:
        NotPromotedError: it did not pass, with the first objection.
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
    """Scores both on every analysis between `start` and `end`, both included.

    `archives` hold the analyses, of the fields and on the grid of the one and the other. `block_days` is the length of
    the blocks of the bootstrap; a few days alone have bounds only with blocks of one day, which takes days for
    independent of each other.

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
    with contextlib.suppress(StabilityError):  # a live model that blows up has nothing to be compared with
        of_the_live = replace(score_on(predictors[1], archives[1], start, end, inputs), run="live model")
        comparison = compare_scores(scores, of_the_live, BlockBootstrap(block_days=block_days))
        objections = [*map(_of_ratio, comparison.ratios), *objections]
    return PromotionReport(tuple(text for text in objections if text), comparison, scores)


def _of_ratio(entry: Mapping[str, Any]) -> str:
    where = f"{entry['variable']} at {entry['lead_hours']:g} h"
    if entry["ratio_high"] is None:
        return f"{where}: too few days to be sure ({entry['bounds_missing']})"
    if entry["ratio_high"] > LARGEST_RATIO:
        surely = f"{where}: error {entry['ratio']:.3f} of the live model's, up to {entry['ratio_high']:.3f}"
        return surely if entry["ratio"] > 1 else f"{surely} by chance, as {entry['n_days']} days are too few to tell"
    return ""


def _of_a_long_forecast(candidate: TrainedModel, incumbent: TrainedModel, archive: Archive, start: str) -> str:
    """A model with a lateral boundary is left out: nothing tells its edge that far ahead."""
    if candidate.model.has_lateral_boundary:
        return ""
    forecast = _long_forecast(candidate, archive, start)
    if isinstance(forecast, str):
        return forecast
    drift, allowed = _drift(forecast, archive), DRIFT_ALLOWED * candidate.normalisation.std
    if (drift > allowed).any():
        of_the_live = _long_forecast(incumbent, archive, start)
        if not isinstance(of_the_live, str):
            allowed = np.maximum(allowed, _drift(of_the_live, archive))
    for name, by, most in zip(archive.names, drift, allowed, strict=True):
        if by > most:
            return f"{name}: its area mean drifts by {by:.3g} in {LONG_DAYS} days, more than {most:.3g}"
    return ""


def _long_forecast(
    model: TrainedModel, archive: Archive, start: str
) -> Float32[np.ndarray, "lead field lat lon"] | str:
    """Thirty days from the first analysis that one can start from, or why there are none."""
    step = model.config.model.step_hours
    leads = [step * k for k in range(1, round(24 * LONG_DAYS / step) + 1)]
    predictor = Predictor(model, leads)
    for when in archive.select(start).times:
        try:
            forecast = predictor.from_archive(archive, np.array([when]))[0]
            require_bounded(forecast, leads, model, when)
        except UnavailableError:
            continue  # an analysis before it is missing
        except StabilityError as error:
            return str(error).partition(" (")[0]
        return forecast
    return "no analysis to start a long forecast from"


def _drift(forecast: Float32[np.ndarray, "lead field lat lon"], archive: Archive) -> np.ndarray:
    """By how much the area mean of each field, mass and the like, changes from its first step to its last."""
    means = (archive.grid.area_weights * forecast[[0, -1]].astype(np.float64)).mean((-2, -1))
    return np.abs(means[1] - means[0])
