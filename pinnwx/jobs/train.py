"""The training job: data in, run folder out, within a wall-clock budget."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pinnwx.config import MOST_MINUTES, Config, parse_config, read_text
from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time
from pinnwx.errors import ConfigError, NotPromotedError, UsageError
from pinnwx.files import kept_if_used, write_text, writing
from pinnwx.forecasting.runs import Run, new_run
from pinnwx.forecasting.trained_model import CONFIG, TrainedModel, error_scale
from pinnwx.jobs.events import NOTHING_TO_DO, recorded
from pinnwx.jobs.interrupts import Interrupts
from pinnwx.jobs.preparation import prepared, require_memory, training_settings
from pinnwx.jobs.readiness import training_doubts
from pinnwx.jobs.training_check import (
    KEY,
    check_training,
    not_promoted,
    require_promoted,
    short_range,
    validation_archive,
)
from pinnwx.model.deep_ensemble import give_weights
from pinnwx.model.weights import count_weights
from pinnwx.runtime import prepare
from pinnwx.training.fit import Progress, Training, training_digest
from pinnwx.training.optimiser import named_leaves
from pinnwx.training.slowed import slowed_winds

_log = logging.getLogger(__name__)
SAVING_SECONDS = 5.0  # kept back from the budget for the last checkpoint and the version
SAVING_FRACTION = 0.04  # and for a machine that slows down
# Of the rest of the budget, for the training check:
CHECKING_SECONDS, CHECKING_FRACTION = 6.0, 0.03
MOST_CHECKING_FRACTION = 0.15


def train(
    config: str | Path,
    data: Sequence[str | Path] | str | Path,
    out: str | Path,
    *,
    minutes: float | None = None,
    resume: bool = False,
    force: bool = False,
    promote_anyway: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
    started: float | None = None,
) -> Run:
    """Trains a model, makes it live if it passes `jobs.training_check`, and returns its run folder.

    Args:
        config: TOML file (see `pinnwx config template`), or a packaged experiment by its name, such as `quick`.
        data: files, globs, folders or zarr stores.
        out: the run folder to make.
        minutes: wall-clock budget of the whole call; the config's `training.minutes` if None. Ignored where the
            config fixes `training.updates`.
        resume: go on with an interrupted training in `out`.
        force: start afresh in an existing run folder, keeping its versions.
        promote_anyway: make the model live whatever the check says.
        progress: called after each dispatch, for a progress bar.
        started: `time.monotonic()` at which the budget began; now, if None.

    Raises:
        NotPromotedError: the model is worse than persistence; it is kept as a version that is not live.
        ConfigError, DataError, OutputError, LockedError, StabilityError: as their names say.
        Interrupted: a signal asked to stop; a checkpoint is saved and `resume` goes on from it.
    """
    prepare()
    begun = time.monotonic() if started is None else started
    settings = training_settings(config, data)
    deadline = budget_ends(settings.training.minutes if minutes is None else minutes, begun)
    require_memory(settings)
    with kept_if_used(out):
        run = Run.open(out) if resume else new_run(out, force=force)
        _train_in(
            run, settings, config, data, deadline, resume=resume, promote_anyway=promote_anyway, progress=progress
        )  # fmt: skip
    return run


def _train_in(
    run: Run,
    settings: Config,
    config: str | Path,
    data: Sequence[str | Path] | str | Path,
    deadline: float,
    *,
    resume: bool,
    promote_anyway: bool,
    progress: Callable[[Progress], None],
) -> None:
    """Trains in this folder, which is as it was before until everything has been found fit to begin."""
    text = read_text(config)
    with recorded(run.folder, "train") as event, run.lock():
        if resume:
            stored = run.text(CONFIG)
            if stored is not None and not _trains_alike(stored, settings):
                own = run.folder / CONFIG
                raise ConfigError(
                    f"{config} differs from the config of {run.folder}; resume with {own}, or train afresh with --force"
                )
            if run.is_finished():
                event.outcome = NOTHING_TO_DO
                require_promoted(run, anyway=promote_anyway)
                return
            resume = not run.may_begin()
            if not resume:
                _log.info("nothing was saved in %s; beginning with update 0", run.folder)
        archive, trained = prepared(settings, text, data)
        if doubts := training_doubts(archive, settings.variable_table()):
            _log.warning(
                "warning: training learns from analyses that are suspicious: %s; pinnwx check --config %s names them "
                "all: remove them from the data if they are wrong", doubts, config,
            )  # fmt: skip
        validation = validation_archive(trained, data)
        slowed = slowed_winds(trained.model, archive, settings.model)
        if slowed is not None and slowed.matters:
            _log.warning("warning: %s", slowed)
        notes = {} if slowed is None else {"slowed_winds": slowed.to_dict()}
        if not resume:
            run.begin()
        event.details["version"] = learn(
            run, trained, archive, deadline, validation, notes=notes, resume=resume, promote_anyway=promote_anyway,
            progress=progress,
        )  # fmt: skip


def _trains_alike(text: str, settings: Config) -> bool:
    """Whether the config of this text trains as these settings do; its comments, and what forecasts say, may differ."""
    try:
        return training_digest(parse_config(text)) == training_digest(settings)
    except (ConfigError, UsageError):
        return False


def learn(
    run: Run,
    trained: TrainedModel,
    archive: Archive,
    deadline: float,
    validation: Archive | str,
    *,
    teacher_trajectories: Sequence[Archive] = (),
    notes: Mapping[str, Any] | None = None,
    resume: bool = False,
    promote_anyway: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
) -> str:
    """Trains a model in its run folder, from the weights that it has, checks it, and publishes it there.

    `deadline` counts where the settings do not fix the number of updates; `validation` is what the model is checked on
    (`jobs.training_check`); `teacher_trajectories` are forecasts of a teacher to learn from too
    (`compression.teacher_fraction`); `notes` go into the manifest.

    Returns the name of the version, which is live.

    Raises:
        NotPromotedError: the version is not live, for it did not pass the check.
        Interrupted: a signal asked to stop; a checkpoint is saved.
    """
    settings = trained.config
    now = time.monotonic()
    checking = min(CHECKING_SECONDS + CHECKING_FRACTION * (deadline - now), MOST_CHECKING_FRACTION * (deadline - now))
    write_text(run.folder / CONFIG, trained.config_text)
    with Interrupts() as interrupts:
        training = Training(
            trained.model,
            archive,
            settings,
            error_scale(trained),
            run.folder,
            teacher_trajectories=teacher_trajectories,
            teacher_fraction=settings.compression.teacher_fraction,
            deadline=deadline - checking if settings.training.updates is None else None,
            progress=progress,
            stop=interrupts.arrived,
        )
        with writing(run.folder):
            parameters = training.run(resume=resume)
        if interrupts.arrived():
            interrupts.raise_for(f"go on with --resume --out {run.folder}")
    give_weights(trained.model, parameters)
    plan = training.plan
    assert plan is not None
    manifest = {
        **lineage(trained, archive),
        "updates": training.updates,
        "planned_updates": dict(zip(map(str, plan.steps), plan.updates, strict=True)),
        "source": "pinnwx train",
        **(notes or {}),
    }
    report = check_training(
        trained, archive, validation, until=deadline if settings.training.updates is None else math.inf
    )
    live = report.passed or promote_anyway
    with writing(run.folder):
        manifest[KEY] = report.summary() | {"promoted_anyway": promote_anyway}
        name = run.publish(trained, manifest, named_leaves(training.optimiser), live=live)
        if not report.passed:
            write_text(run.reports() / f"promotion_{name}.json", json.dumps(report.to_dict(), indent=2) + "\n")
    if report.not_checked:
        _log.info("note: the skill of model %s was not checked: %s", name, report.not_checked)
    if report.passed and report.usable is None:
        _log.info("note: how far forecasts of model %s can go was not tried: no minutes or no analyses are left", name)
    if report.usable is not None and not report.usable.is_whole:
        _log.warning("warning: %s", short_range(name, report.usable))
    if not live:
        raise NotPromotedError(not_promoted(name, run.folder, report))
    if not report.passed:
        _log.warning("warning: model %s is made live as asked, though %s", name, report.reason)
    return name


def lineage(trained: TrainedModel, archive: Archive) -> dict[str, Any]:
    """What the manifest of a model says of it and of what it has learned from."""
    return {
        "name": trained.config.name,
        "seed": trained.config.seed,
        "data_sha256": archive.digest(),
        "trained_on": [format_time(archive.times[0]), format_time(archive.times[-1])],
        "analyses": len(archive),
        "parameters": count_weights(trained.model),
    }


def budget_ends(minutes: float, begun: float) -> float:
    """The `time.monotonic()` at which computing must end, so that a command begun at `begun` keeps to its minutes.

    Raises:
        UsageError: the minutes are no positive number, or more than a year.
    """
    if not 0 < minutes <= MOST_MINUTES:
        raise UsageError(f"--minutes {minutes:g}: the budget must be positive and at most {MOST_MINUTES:,}, a year")
    return begun + 60.0 * minutes * (1 - SAVING_FRACTION) - SAVING_SECONDS
