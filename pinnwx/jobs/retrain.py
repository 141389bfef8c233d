"""Retraining: fine-tuning of the live model on fresh analyses; its successor goes live if it is not worse."""

from __future__ import annotations

import dataclasses
import json as json_module
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from pinnwx.config import parse_config
from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time
from pinnwx.data.find import Paths
from pinnwx.errors import NothingLearnedError
from pinnwx.files import check_writable, write_text, writing
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import CONFIG, TrainedModel, error_scale, load_optimiser
from pinnwx.jobs.budget import budget_ends, fine_tuning_ends
from pinnwx.jobs.events import NOTHING_LEARNED, recorded
from pinnwx.jobs.held_out import Periods, comparison_leads, fine_tuning_windows, require_forecasts, split
from pinnwx.jobs.interrupts import Interrupts
from pinnwx.jobs.promotion_check import PromotionReport, compare_candidate
from pinnwx.jobs.readiness import require_credible
from pinnwx.jobs.training_task import lineage
from pinnwx.model.deep_ensemble import give_weights, networks_of
from pinnwx.model.interface import Forecaster
from pinnwx.runtime import prepare
from pinnwx.training.fine_tune import FineTuningWindows, fine_tune
from pinnwx.training.optimiser import from_named_leaves, named_leaves
from pinnwx.training.progress import Progress
from pinnwx.training.trainer import Hooks, TrainingResult
from pinnwx.training.update import initial_state

_log = logging.getLogger(__name__)
FEWEST_UPDATES = 10  # of each member; after fewer, only a clear difference counts as learned
PROMOTED, WORSE, UNDECIDED = "promoted", "worse", "undecided"


@dataclass(frozen=True, eq=False)
class Retrained:
    """The result of a retraining.

    Attributes:
        version: the new version, which is live.
        promotion: the comparison with the version that was live before.
        training: the result of the fine-tuning.
    """

    version: str
    promotion: PromotionReport
    training: TrainingResult


def retrain(
    run: str | Path,
    data: Paths,
    *,
    since: str | None = None,
    minutes: float | None = None,
    accept_suspicious: Sequence[str] = (),
    json: str | Path | None = None,
    force: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
    started: float | None = None,
) -> Retrained:
    """Trains a successor of the live version on `data`; it is stored and made live if it passes the promotion check.

    The newest days are held out, and the promotion check (`jobs.promotion_check`) compares both versions there. These
    are `retraining.hold_out_days`, or more where a long step of the model leaves fewer than `FEWEST_FORECASTS`
    forecasts. The older windows that end after `since` are mixed with still older ones (`retraining.replay`).
    Normalisation and climatology stay those of the live version, which never changes. The promotion report is stored
    in the run folder, under `reports/`. A retraining that is stopped or killed leaves nothing; start it again.

    The settings are those of `[retraining]` in the config.toml of the run folder, which may be edited.

    Args:
        run: the run folder.
        data: files, globs, folders or zarr stores: the fresh analyses, and older ones to replay.
        since: ISO 8601 time after which analyses are fresh; by default the end of the training time of the live
            version.
        minutes: wall-clock budget of the whole call; `retraining.minutes` if None. Ignored where
            `retraining.updates` is set.
        accept_suspicious: suspicious analyses to train on nevertheless, by the names that `forecast` gives them.
        json: another place for the promotion report.
        force: replace the file at `json`.
        progress: is called after every few updates, for a progress bar.
        started: `time.monotonic()` at which the budget began; now, if None.

    Raises:
        NotPromotedError: the successor is worse, or the days held out are too few to decide; the live version stays.
        NothingLearnedError: fine-tuning did not help, or changed the forecasts too little; the live version stays.
        StabilityError: the loss stays non-finite.
        UnavailableError: nothing is fresh, or the live version was trained on the time to hold out.
        LockedError: another job is at work in the run.
        MissingInputError, CheckpointError, DataError, OutputError, UsageError: as their names say.
        Interrupted: a signal asked to stop.
    """
    prepare()
    begun = time.monotonic() if started is None else started
    opened = Run.open(run)
    with recorded(run, "retrain") as event, opened.lock():
        if json is not None:
            check_writable(json, force=force)
        incumbent, live = _incumbent(opened)
        ends = budget_ends(incumbent.config.retraining.minutes if minutes is None else minutes, begun)
        task = _task(incumbent, live, data, since, accept_suspicious)
        model, training = task.fit(load_optimiser(opened.version(live)), ends, progress)
        successor = dataclasses.replace(incumbent, model=model, manifest=task.manifest(training))
        promotion, nothing = task.compare(successor, training)
        report = _report(task, training, promotion, nothing)
        event.details |= {"verdict": report["outcome"]} | {key: report[key] for key in ("updates", "learning_ended")}
        _store(opened, report, f"{format_time(task.periods.learn_to)[:13]}.json", json)
        if nothing:
            fresh = len(task.windows.fresh)
            raise NothingLearnedError(f"nothing learned from {fresh} fresh windows: {nothing}; {live} stays live")
        promotion.require_passed(f"the successor of {live}", live)
        with writing(opened.folder):
            optimiser = named_leaves(training.optimiser)
            name = opened.publish(successor, successor.manifest, optimiser, ends_training=False)
        event.details["version"] = name
    return Retrained(name, promotion, training)


def _incumbent(run: Run) -> tuple[TrainedModel, str]:
    """The live model and its version, with the settings of retraining from the run's own config, which may be edited.

    Raises:
        CheckpointError: there is no live version, or it is damaged.
    """
    live, _ = run.live, run.next_version  # the latter raises if no version can be added
    trained, text = TrainedModel.load(run.version(live)), run.text(CONFIG)
    if text is None:
        return trained, live
    retraining = parse_config(text, str(run.folder / CONFIG)).retraining
    return dataclasses.replace(trained, config=trained.config.model_copy(update={"retraining": retraining})), live


def _task(incumbent: TrainedModel, live: str, data: Paths, since: str | None, accept: Sequence[str]) -> _RetrainingTask:
    """Reads the data and divides them.

    Raises:
        UnavailableError: nothing is fresh, or too little can be held out.
        DataError: analyses are suspicious, and not accepted.
    """
    archive = matching_archive(incumbent, data)
    periods = split(incumbent, archive, since)
    require_forecasts(incumbent, archive, periods)
    accepted = require_credible(
        archive, periods.since, periods.compare_to, accept=accept, variables=incumbent.config.variable_table()
    )
    windows = fine_tuning_windows(incumbent, archive, periods)
    return _RetrainingTask(incumbent, live, archive, periods, windows, {"accepted": accepted} if accepted else {})


@dataclass(frozen=True, eq=False)
class _RetrainingTask:
    """What is retrained on what.

    Attributes:
        incumbent: the live model, which does not change.
        live: its version.
        archive: the fresh analyses and older ones.
        periods: which of them are fresh, and which are held out.
        windows: to train on, and for early stopping.
        notes: further entries of the manifest.
    """

    incumbent: TrainedModel
    live: str
    archive: Archive
    periods: Periods
    windows: FineTuningWindows
    notes: dict[str, Any]

    def fit(
        self, stored: Mapping[str, np.ndarray] | None, ends: float, progress: Callable[[Progress], None]
    ) -> tuple[Forecaster, TrainingResult]:
        """The fine-tuned model. `stored` is the optimiser state of the incumbent; the whole job has time until `ends`.

        Raises:
            Interrupted: a signal asked to stop.
        """
        config, model = self.incumbent.config, nnx.clone(self.incumbent.model)
        like = [initial_state(member, config.training).optimiser for member in networks_of(model)]
        optimiser = None if stored is None else from_named_leaves(stored, like)
        if optimiser is None:
            _log.info("note: the live version has no state of this optimiser; it starts afresh")
        deadline = None if config.retraining.updates is not None else fine_tuning_ends(ends, time.monotonic())
        with Interrupts("stopping") as interrupts:
            training = fine_tune(
                model, self.archive, config, error_scale(self.incumbent), self.windows,
                optimiser=optimiser, deadline=deadline, hooks=Hooks(progress, interrupts.arrived),
            )  # fmt: skip
            if interrupts.arrived():
                interrupts.raise_for("nothing was changed; start it again")
        give_weights(model, training.parameters)
        return model, training

    def compare(self, successor: TrainedModel, training: TrainingResult) -> tuple[PromotionReport, str]:
        """The promotion report, and why nothing was learned, which is empty if something was."""
        if not training.helped:
            before, after = training.early_stopping_errors[0], min(training.early_stopping_errors[1:])
            errors = f"the error of early stopping went from {before:.4g} to {after:.4g}"
            reason = f"fine-tuning did not help: {errors} ({training.ended})"
            return PromotionReport((reason,)), reason
        start, end = format_time(self.periods.compare_from), format_time(self.periods.compare_to)
        leads, both = comparison_leads(self.incumbent), (self.archive, self.archive)
        promotion = compare_candidate(successor, self.incumbent, both, start, end, leads, block_days=1)
        fewest = FEWEST_UPDATES * len(networks_of(successor.model))
        few = training.updates < fewest
        if not (promotion.is_the_same or (few and promotion.is_undecided)):
            return promotion, ""
        largest = max(abs(entry["ratio"] - 1) for entry in promotion.ratios)
        reason = f"after {training.updates} updates its errors are within {100 * largest:.2g} % of the live model's"
        if few:
            reason += f", and {fewest} updates at least are needed to tell; give more --minutes"
        return promotion, f"{reason} ({training.ended})"

    def manifest(self, training: TrainingResult) -> dict[str, Any]:
        """The entries of the manifest of the successor."""
        archive = self.archive.select(None, format_time(self.periods.learn_to))
        before = self.incumbent.manifest.get("trained_on", [])[:1]
        return {
            **lineage(self.incumbent, archive),
            "trained_on": [min([*before, format_time(archive.times[0])]), format_time(self.periods.learn_to)],
            "learned_fresh_to": format_time(self.archive.times[self.windows.fresh[:, -1]].max()),
            "updates": training.updates,
            "source": "pinnwx retrain",
            "successor_of": self.live,
            "fresh_since": format_time(self.periods.since),
            **self.notes,
        }


def _report(
    task: _RetrainingTask, training: TrainingResult, promotion: PromotionReport, nothing: str
) -> dict[str, Any]:
    """The promotion report as a JSON object."""
    word = PROMOTED if promotion.passed else WORSE if promotion.is_worse else UNDECIDED
    return {
        "outcome": NOTHING_LEARNED if nothing else word,
        "nothing_learned": nothing,
        "successor_of": task.live,
        "updates": training.updates,
        "learning_ended": training.ended,
        **promotion.to_dict(),
        "early_stopping_error": list(training.early_stopping_errors),
    }


def _store(run: Run, report: dict[str, Any], name: str, path: str | Path | None) -> None:
    """Writes the report into the run folder, and to another path if one is given."""
    text = json_module.dumps(report, indent=2) + "\n"
    with writing(run.folder):
        write_text(run.reports() / name, text)
    if path is not None:
        write_text(path, text)
