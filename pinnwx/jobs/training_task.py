"""A training task: fit a model, check it, and publish it. `train` and `compress` share it."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time
from pinnwx.errors import NotPromotedError
from pinnwx.files import write_text, writing
from pinnwx.forecasting.out_of_fold import CROSS_FITTED, FEWEST_ERRORS, MOST_BYTES, out_of_fold_errors
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import CONFIG, WEIGHTS, TrainedModel, error_scale
from pinnwx.jobs.budget import model_errors_end, training_ends
from pinnwx.jobs.interrupts import Interrupts
from pinnwx.jobs.training_check import TrainingReport, check_training, not_promoted, short_range
from pinnwx.manifest import TRAINING_CHECK
from pinnwx.model.deep_ensemble import give_weights
from pinnwx.model.weights import count_weights
from pinnwx.training.fit import fit
from pinnwx.training.optimiser import named_leaves
from pinnwx.training.progress import Progress
from pinnwx.training.schedule import Plan
from pinnwx.training.trainer import Hooks, TrainingResult

INITIALISED_FROM = "initialised_from"  # in the manifest: the `origin` of the first weights, unless they are random
NOISE_LIKE = "noise_like_sha256"  # in the manifest: the digest of the analyses whose noise the training data got
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TrainingTask:
    """A model to train, its data and its budget.

    Attributes:
        trained: the model, whose weights change.
        archive: the training time.
        validation: the validation time, or why there is none (`jobs.training_check`).
        deadline: `time.monotonic()` at which computing must end, unless the settings fix the number of updates.
        teacher_trajectories: forecasts of a teacher to train on too.
        notes: further entries of the manifest; `INITIALISED_FROM` names the weights that the model has already.
        begun: `time.monotonic()` at which the training begins.
    """

    trained: TrainedModel
    archive: Archive
    validation: Archive | str
    deadline: float
    teacher_trajectories: Sequence[Archive] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    begun: float = field(default_factory=time.monotonic)

    @property
    def is_cross_fitted(self) -> bool:
        """Whether each network leaves out its own part of the training time."""
        return self.trained.config.training.cross_fitting_days > 0

    @property
    def counts_updates(self) -> bool:
        """Whether the settings fix the number of updates."""
        return self.trained.config.training.updates is not None

    def fit(self, hooks: Hooks, folder: Path | None = None, *, resume: bool = False) -> TrainingResult:
        """Trains the model from the weights that it has; with a run folder, with log and checkpoints."""
        deadline = None
        if not self.counts_updates:
            deadline = training_ends(self.deadline, self.begun, cross_fitted=self.is_cross_fitted)
        result = fit(
            self.trained.model, self.archive, self.trained.config, error_scale(self.trained),
            teacher_trajectories=self.teacher_trajectories, deadline=deadline, folder=folder, resume=resume,
            initial_weights=self.notes.get(INITIALISED_FROM, {}).get("weights_sha256"), hooks=hooks,
        )  # fmt: skip
        give_weights(self.trained.model, result.parameters)
        return result

    def with_model_errors(self) -> TrainedModel:
        """The model with its model errors, if it was cross-fitted."""
        if not self.is_cross_fitted:
            return self.trained
        until = math.inf if self.counts_updates else model_errors_end(self.deadline, self.begun)
        errors = out_of_fold_errors(self.trained, self.archive, until)
        if errors is None:
            _log.warning(
                "warning: the model has no model errors for its ensembles: at least %d have to fit into the time and "
                "into %d MB", FEWEST_ERRORS, MOST_BYTES // 2**20,
            )  # fmt: skip
        return replace(self.trained, model_errors=errors)

    def check(self) -> TrainingReport:
        """The training check of the model."""
        until = math.inf if self.counts_updates else self.deadline
        return check_training(self.trained, self.archive, self.validation, until=until)

    def manifest(self, result: TrainingResult, report: TrainingReport, *, promote_anyway: bool = False) -> dict:
        """The entries of the manifest."""
        return {
            **lineage(self.trained, self.archive),
            "updates": result.updates,
            "planned_updates": _by_steps(result.plan),
            "source": "pinnwx train",
            **({CROSS_FITTED: True} if self.is_cross_fitted else {}),
            **self.notes,
            TRAINING_CHECK: report.summary() | {"promoted_anyway": promote_anyway},
        }


def _by_steps(plan: Plan) -> dict[str, int]:
    """The planned updates by the steps of their rollouts; several stages may have the same."""
    updates: dict[str, int] = {}
    for steps, count in zip(plan.steps, plan.updates, strict=True):
        updates[str(steps)] = updates.get(str(steps), 0) + count
    return updates


def train_in_run(
    run: Run,
    task: TrainingTask,
    *,
    resume: bool = False,
    promote_anyway: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
) -> str:
    """Trains a model in its run folder, checks it and publishes it there; returns the name of the version.

    Raises:
        NotPromotedError: the model does not pass the check; the version is stored, and is not live.
        Interrupted: a signal asked to stop; a checkpoint is saved.
    """
    write_text(run.folder / CONFIG, task.trained.config_text)
    with Interrupts() as interrupts:
        with writing(run.folder):
            result = task.fit(Hooks(progress, interrupts.arrived), run.folder, resume=resume)
        if interrupts.arrived():
            interrupts.raise_for(f"go on with --resume --out {run.folder}")
    trained = task.with_model_errors()
    report = task.check()
    live = report.passed or promote_anyway
    with writing(run.folder):
        manifest = task.manifest(result, report, promote_anyway=promote_anyway)
        name = run.publish(trained, manifest, named_leaves(result.optimiser), live=live)
        if not report.passed:
            write_text(run.reports() / f"training_check_{name}.json", json.dumps(report.to_dict(), indent=2) + "\n")
    log_limits(name, report)
    if not live:
        raise NotPromotedError(not_promoted(name, run.folder, report))
    if not report.passed:
        _log.warning("warning: model %s is live because --promote-anyway was given, though %s", name, report.reason)
    return name


def log_limits(name: str, report: TrainingReport) -> None:
    """Logs what the training check could not check, and how long the forecasts of the model may be."""
    if report.not_checked:
        _log.info("note: the skill of model %s was not checked: %s", name, report.not_checked)
    if report.passed and report.usable is None:
        _log.info("note: the usable range of model %s was not checked: no minutes or no analyses are left", name)
    if report.usable is not None and not report.usable.is_whole:
        _log.warning("warning: %s", short_range(name, report.usable))


def lineage(trained: TrainedModel, archive: Archive) -> dict[str, Any]:
    """The entries of a manifest about the model and its training data."""
    return {
        "name": trained.config.name,
        "seed": trained.config.seed,
        "data_sha256": archive.digest(),
        "trained_on": [format_time(archive.times[0]), format_time(archive.times[-1])],
        "analyses": len(archive),
        "parameters": count_weights(trained.model),
    }


def origin(trained: TrainedModel, version: str) -> dict[str, Any]:
    """The entry of a manifest about the live model of another run, from which a model was made."""
    return {
        "name": trained.config.name,
        "version": version,
        "weights_sha256": trained.manifest["files"][WEIGHTS],
        "parameters": count_weights(trained.model),
    }
