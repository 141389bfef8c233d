"""The training check: whether a newly trained model may go live.

It may if its weights are finite and, at its first leads, no field is significantly worse than persistence on the
validation time (`data.validate`): the lower bound of the error ratio is at most 1. If the validation time is missing or
too short, the loss on the training time must be at most that of persistence. This detects a diverged training without
later days, and the report says that the skill is unknown.

Forecasts of ten days by a model that passes may still be implausible, and are then refused. The report gives the usable
range (`forecasting.usable_range`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Shaped

from pinnwx.data.archive import Archive
from pinnwx.data.inputs import Data
from pinnwx.enclosed import is_there
from pinnwx.errors import DataError, NotPromotedError, StabilityError, UnavailableError
from pinnwx.files import writing
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.predictor import Predictor, spread_starts
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import TrainedModel, error_scale
from pinnwx.forecasting.usable_range import UsableRange, usable_range
from pinnwx.jobs.evaluate import default_leads, score_from
from pinnwx.manifest import MANIFEST, TRAINING_CHECK, read_manifest
from pinnwx.verification.pairing import lead_deltas
from pinnwx.verification.results import Scores

LEADS = 3  # the number of leads in the check
MOST_FORECASTS = 64  # evenly spread over a period, so that a check takes seconds
FEWEST_FORECASTS = 8  # in the validation time; with fewer, the skill is too uncertain


@dataclass(frozen=True, eq=False)
class TrainingReport:
    """The result of the training check.

    Attributes:
        objections: the reasons why the model may not go live; empty if it may.
        not_checked: the reason why its skill on the validation time is unknown; empty if it was checked.
        remedy: advice, if there are objections.
        scores: the scores of the forecasts in the check.
        usable: the longest lead before its forecasts are refused; None if unknown.
    """

    objections: tuple[str, ...]
    not_checked: str = ""
    remedy: str = ""
    scores: Scores | None = None
    usable: UsableRange | None = None

    @property
    def passed(self) -> bool:
        return not self.objections

    @property
    def reason(self) -> str:
        """The first objection, and the number of further ones."""
        first, *others = self.objections
        return first + (f" (and {len(others)} more)" if others else "")

    def summary(self) -> dict[str, Any]:
        """The part that the manifest of the version stores."""
        return {
            "passed": self.passed,
            "objections": list(self.objections),
            "not_checked": self.not_checked,
            "remedy": self.remedy,
            "usable_hours": None if self.usable is None else self.usable.hours,
        }

    def to_dict(self) -> dict[str, Any]:
        """A JSON object."""
        return {**self.summary(), "scores": [] if self.scores is None else list(self.scores.scores)}


def validation_archive(trained: TrainedModel, data: Data) -> Archive | str:
    """The fields of the model in the validation time of its config, or the reason why there are none."""
    period = trained.config.data.validate_
    if period is None:
        return "the config has no data.validate"
    try:
        return matching_archive(trained, data, period.start, period.end)
    except (DataError, UnavailableError) as error:
        return f"data.validate cannot be read: {error}"


def check_training(
    trained: TrainedModel, training: Archive, validation: Archive | str, until: float = math.inf
) -> TrainingReport:
    """Checks a model on the validation time, or on its training time if there is none.

    `validation` may be the reason why there is no validation time. The analyses provide lateral boundary fields, as in
    `evaluate`. The usable range is not computed after `until`, a value of `time.monotonic()`.
    """
    report = _first_leads(trained, training, validation)
    if not report.passed or time.monotonic() > until:
        return report
    return replace(report, usable=usable_range(trained, validation if isinstance(validation, Archive) else training))


def _first_leads(trained: TrainedModel, training: Archive, validation: Archive | str) -> TrainingReport:
    """Checks for divergence, and compares with persistence at the first leads."""
    not_checked = validation if isinstance(validation, str) else ""
    if not all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(nnx.state(trained.model, nnx.Param))):
        return TrainingReport(("its weights are not finite",), not_checked, _remedy(trained))
    scores = None
    try:
        if isinstance(validation, Archive):
            predictor = Predictor(trained, default_leads(trained)[:LEADS])
            starts = initial_times(predictor, validation)
            if len(starts) >= FEWEST_FORECASTS:
                scores = _scores(predictor, validation, starts)
                return _report(trained, _worse_than_persistence(scores), "", scores)
            not_checked = f"data.validate holds {len(starts)} forecasts of {max(predictor.lead_hours):g} h to score, "
            not_checked += f"fewer than {FEWEST_FORECASTS}"
        predictor = Predictor(trained, _trained_leads(trained))
        starts = initial_times(predictor, training)
        if len(starts):
            scores = _scores(predictor, training, starts)
            return _report(trained, _diverged(trained, scores), not_checked, scores)
    except StabilityError as error:
        return _report(trained, [str(error).partition(";")[0]], not_checked, scores)
    return _report(trained, [], not_checked, scores)


def initial_times(predictor: Predictor, archive: Archive) -> Shaped[np.ndarray, " init"]:
    """At most `MOST_FORECASTS` evenly spread initial times whose forecasts can be computed and scored."""
    needed = np.concatenate([predictor.needed_offsets, lead_deltas(predictor.lead_hours)])
    return spread_starts(archive.times, needed, MOST_FORECASTS)


def require_promoted(run: Run, *, anyway: bool = False) -> None:
    """Checks that the version of a finished training is live; with `anyway`, makes it live.

    Raises:
        NotPromotedError: the version did not pass the training check, and was not promoted since.
    """
    # A foreign folder may have a name such as 2024; a version has a manifest.
    complete = [name for name in run.versions if is_there(run.version(name) / MANIFEST)]
    newest = (complete or run.versions)[-1]
    check = read_manifest(run.version(newest)).get(TRAINING_CHECK, {})
    if check.get("passed", True) or (run.has_live and run.live == newest):
        return
    if not anyway:
        report = TrainingReport(tuple(check["objections"]), remedy=check.get("remedy", ""))
        raise NotPromotedError(not_promoted(newest, run.folder, report))
    with writing(run.folder):
        run.point_to(newest)


def not_promoted(version: str, folder: Path, report: TrainingReport) -> str:
    """The error message for a version that is not promoted."""
    remedy = f"; {report.remedy}" if report.remedy else ""
    return (
        f"model {version} in {folder} is stored, but not made live: {report.reason}{remedy}; "
        f"pinnwx models promote {version} --run {folder} makes it live anyway"
    )


def short_range(version: str, usable: UsableRange) -> str:
    """The warning that long forecasts of a version are refused."""
    reach = f"up to {usable.hours:g} h are accepted, longer ones" if usable.hours else "of any length"
    return (
        f"forecasts of model {version} {reach} are refused: {usable.refusal}; choose shorter forecasts, or train on "
        "longer rollouts (training.curriculum) or with model.climate.smoothing_hours set"
    )


def _report(
    trained: TrainedModel, objections: Sequence[str], not_checked: str, scores: Scores | None
) -> TrainingReport:
    return TrainingReport(tuple(objections), not_checked, _remedy(trained) if objections else "", scores)


def _trained_leads(trained: TrainedModel) -> tuple[float, ...]:
    """The first leads within the rollouts of its training."""
    step = trained.config.model.step_hours
    reach = step * max(stage.steps for stage in trained.config.training.curriculum)
    return tuple(lead for lead in default_leads(trained)[:LEADS] if lead <= reach) or (step,)


def _scores(predictor: Predictor, archive: Archive, starts: Shaped[np.ndarray, " init"]) -> Scores:
    """Raises:
    StabilityError: a forecast is not finite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return score_from(predictor, archive, starts, predictor.needed_offsets)


def _worse_than_persistence(scores: Scores) -> list[str]:
    """Objections for fields that are significantly worse than persistence, the worst first."""
    objections = []
    for entry in scores.scores:
        ratio, low = entry["persistence_ratio"], entry["persistence_ratio_low"]
        where = f"{entry['variable']} at {entry['lead_hours']:g} h"
        if entry["rmse"] is None:
            objections.append((np.inf, f"the error of {where} in data.validate is not finite"))
        elif ratio is not None and (ratio if low is None else low) > 1:
            objections.append((ratio, f"the error of {where} in data.validate is {_times(ratio)} that of persistence"))
    return [text for _, text in sorted(objections, key=lambda one: one[0], reverse=True)]


def _diverged(trained: TrainedModel, scores: Scores) -> list[str]:
    """The objection if the loss on the training time exceeds that of persistence; weights are those of rollouts."""
    unit = dict(zip(trained.names, error_scale(trained)[:, 0, 0], strict=True))

    def loss(name: str) -> float:
        errors = [(entry[name], unit[entry["variable"]], entry["lead_hours"]) for entry in scores.scores]
        return sum(np.inf if error is None else (error / one) ** 2 / lead for error, one, lead in errors)

    ratio = loss("rmse") / max(loss("persistence_rmse"), 1e-12)
    return [f"its loss in the training time is {_times(ratio)} that of persistence"] if not ratio <= 1 else []


def _times(ratio: float) -> str:
    return f"{ratio:.4f} times" if ratio < 10 else f"{ratio:.4g} times"


def _remedy(trained: TrainedModel) -> str:
    training = trained.config.training
    longest = max(stage.steps for stage in training.curriculum)
    shorter = f", or shorten the curriculum (rollouts of {longest} steps)" if longest > 1 else ""
    return (
        f"lower training.learning_rate ({training.learning_rate:g}){shorter}, train for more minutes, or on more data"
    )
