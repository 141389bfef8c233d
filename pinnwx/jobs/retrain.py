"""Retraining: the live model learns on from fresh analyses, and its successor takes its place if it is not worse."""

from __future__ import annotations

import dataclasses
import json as json_module
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flax import nnx

from pinnwx.config import parse_config
from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time
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
from pinnwx.runtime import prepare
from pinnwx.training.fine_tune import FineTuningWindows, fine_tune
from pinnwx.training.optimiser import from_named_leaves, named_leaves
from pinnwx.training.progress import Progress
from pinnwx.training.trainer import Hooks, TrainingResult
from pinnwx.training.update import initial_state

_log = logging.getLogger(__name__)
FEWEST_UPDATES = 10  # of each member, below which only a clear difference counts as learned
PROMOTED, WORSE, UNDECIDED = "promoted", "worse", "undecided"


@dataclass(frozen=True, eq=False)
class Retrained:
    """What became of a retraining: the version that was made, its promotion report, and how learning went."""

    version: str
    promotion: PromotionReport
    fine_tuned: TrainingResult


def retrain(
    run: str | Path,
    data: Sequence[str | Path] | str | Path,
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

    The newest days (`retraining.hold_out_days`, and more where the steps of the model are so long that these hold fewer
    than `FEWEST_FORECASTS` forecasts) are held out: the promotion check (`jobs.promotion_check`) compares both there.
    From what is older, windows that end after `since` are mixed with a share of older ones (`retraining.replay`).
    Normalisation and climatology stay those of the live version, which is never touched. The promotion report is kept
    in the run folder, under `reports/`. A retraining that is stopped or killed leaves nothing; start it again.

    The settings are those of `[retraining]` in the run folder's config.toml, which may be changed for it.

    Args:
        run: the run folder.
        data: files, globs, folders or zarr stores: the fresh analyses, and older ones to replay.
        since: ISO 8601 time after which analyses are fresh; by default the end of what the live version learned from.
        minutes: wall-clock budget of the whole call; `retraining.minutes` if None. Ignored where
            `retraining.updates` is set.
        accept_suspicious: suspicious analyses to learn from all the same, as `forecast` names them.
        json: another place for the promotion report.
        force: replace what is at `json`.
        progress: called as learning goes on, for a progress bar.
        started: `time.monotonic()` at which the budget began; now, if None.

    Raises:
        NotPromotedError: the successor is worse, or the days held out are too few to tell; the live version stays.
        NothingLearnedError: learning on did not help, or changed nothing that can be told; the live version stays.
        UnavailableError: nothing is fresh, or what is to be held out was learned from already.
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
        live, _ = opened.live, opened.next_version
        incumbent = _with_settings_of(opened, TrainedModel.load(opened.version(live)))
        successor = dataclasses.replace(incumbent, model=nnx.clone(incumbent.model))
        ends = budget_ends(incumbent.config.retraining.minutes if minutes is None else minutes, begun)
        archive = matching_archive(incumbent, data)
        periods = split(incumbent, archive, since)
        require_forecasts(incumbent, archive, periods)
        accepted = require_credible(
            archive, periods.since, periods.compare_to,
            accept=accept_suspicious, variables=incumbent.config.variable_table(),
        )  # fmt: skip
        windows = fine_tuning_windows(incumbent, archive, periods)
        fine_tuned = _learn(successor, archive, windows, load_optimiser(opened.version(live)), ends, progress)
        successor = dataclasses.replace(
            successor,
            manifest=_notes(incumbent, live, archive, periods, windows, fine_tuned)
            | ({"accepted": accepted} if accepted else {}),
        )
        promotion, nothing = _compared(successor, incumbent, archive, periods, fine_tuned)
        outcome = NOTHING_LEARNED if nothing else _in_a_word(promotion)
        learning = {"updates": fine_tuned.updates, "learning_ended": fine_tuned.ended}
        event.details |= {"verdict": outcome, **learning}
        summary = {
            "outcome": outcome,
            "nothing_learned": nothing,
            "successor_of": live,
            **learning,
            **promotion.to_dict(),
        }
        summary["early_stopping_error"] = list(fine_tuned.early_stopping_errors)
        text = json_module.dumps(summary, indent=2) + "\n"
        with writing(opened.folder):
            write_text(opened.reports() / f"{format_time(periods.learn_to)[:13]}.json", text)
        if json is not None:
            write_text(json, text)
        if nothing:
            fresh = len(windows.fresh)
            raise NothingLearnedError(f"nothing learned from {fresh} fresh windows: {nothing}; {live} stays live")
        promotion.require_passed(f"the successor of {live}", live)
        with writing(opened.folder):
            optimiser = named_leaves(fine_tuned.optimiser)
            name = opened.publish(successor, successor.manifest, optimiser, ends_training=False)
        event.details["version"] = name
    return Retrained(name, promotion, fine_tuned)


def _with_settings_of(run: Run, trained: TrainedModel) -> TrainedModel:
    """With the settings of retraining from the run's own config, which may be edited as that of a version may not."""
    text = run.text(CONFIG)
    if text is None:
        return trained
    retraining = parse_config(text, str(run.folder / CONFIG)).retraining
    return dataclasses.replace(trained, config=trained.config.model_copy(update={"retraining": retraining}))


def _learn(
    successor: TrainedModel, archive: Archive, windows: FineTuningWindows, stored, ends: float, progress
) -> TrainingResult:
    """Teaches the successor, whose weights are changed; the whole job has time until `ends`."""
    config, members = successor.config, networks_of(successor.model)
    like = [initial_state(member, config.training).optimiser for member in members]
    optimiser = None if stored is None else from_named_leaves(stored, like)
    if optimiser is None:
        _log.info("note: the live version keeps no state of this optimiser; it starts afresh")
    deadline = None if config.retraining.updates is not None else fine_tuning_ends(ends, time.monotonic())
    with Interrupts("stopping") as interrupts:
        fine_tuned = fine_tune(
            successor.model, archive, config, error_scale(successor), windows,
            optimiser=optimiser, deadline=deadline, hooks=Hooks(progress, interrupts.arrived),
        )  # fmt: skip
        if interrupts.arrived():
            interrupts.raise_for("nothing was changed; start it again")
    give_weights(successor.model, fine_tuned.parameters)
    return fine_tuned


def _compared(
    successor: TrainedModel, incumbent: TrainedModel, archive: Archive, periods: Periods, fine_tuned: TrainingResult
) -> tuple[PromotionReport, str]:
    """The promotion report, and why nothing was learned, empty where something was."""
    if not fine_tuned.helped:
        before, after = fine_tuned.early_stopping_errors[0], min(fine_tuned.early_stopping_errors[1:])
        errors = f"the error of early stopping went from {before:.4g} to {after:.4g}"
        why = f"learning on did not help: {errors} ({fine_tuned.ended})"
        return PromotionReport((why,)), why
    start, end = format_time(periods.compare_from), format_time(periods.compare_to)
    leads = comparison_leads(incumbent)
    promotion = compare_candidate(successor, incumbent, (archive, archive), start, end, leads, block_days=1)
    members = len(networks_of(successor.model))
    few = fine_tuned.updates < FEWEST_UPDATES * members
    if promotion.is_the_same or (few and promotion.is_undecided):
        largest = max(abs(entry["ratio"] - 1) for entry in promotion.ratios)
        why = f"after {fine_tuned.updates} updates its errors are within {100 * largest:.2g} % of the live model's"
        if few:
            why += f", and {FEWEST_UPDATES * members} updates at least are needed to tell; give more --minutes"
        return promotion, f"{why} ({fine_tuned.ended})"
    return promotion, ""


def _in_a_word(promotion: PromotionReport) -> str:
    return PROMOTED if promotion.passed else WORSE if promotion.is_worse else UNDECIDED


def _notes(
    incumbent: TrainedModel,
    live: str,
    archive: Archive,
    periods: Periods,
    windows: FineTuningWindows,
    fine_tuned: TrainingResult,
) -> dict[str, Any]:
    learned = archive.select(None, format_time(periods.learn_to))
    before = incumbent.manifest.get("trained_on", [])[:1]
    return {
        **lineage(incumbent, learned),
        "trained_on": [min([*before, format_time(learned.times[0])]), format_time(periods.learn_to)],
        "learned_fresh_to": format_time(archive.times[windows.fresh[:, -1]].max()),
        "updates": fine_tuned.updates,
        "source": "pinnwx retrain",
        "successor_of": live,
        "fresh_since": format_time(periods.since),
    }
