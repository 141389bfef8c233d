"""The training job: data in, run folder out, within a wall-clock budget."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

from pinnwx.config import MOST_MINUTES, Config, ConfigLike, load_config, parse_config, text_of
from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time
from pinnwx.data.inputs import Data
from pinnwx.errors import ConfigError, NotPromotedError, UsageError
from pinnwx.files import kept_if_used, write_text, writing
from pinnwx.forecasting.runs import Run, new_run
from pinnwx.forecasting.trained_model import CONFIG, TrainedModel, error_scale
from pinnwx.jobs.events import NOTHING_TO_DO, recorded
from pinnwx.jobs.interrupts import Interrupts
from pinnwx.jobs.preparation import prepared, require_memory, training_settings
from pinnwx.jobs.readiness import training_doubts
from pinnwx.jobs.training_check import (
    check_training,
    not_promoted,
    require_promoted,
    short_range,
    validation_archive,
)
from pinnwx.manifest import PROMOTION_CHECK
from pinnwx.model.deep_ensemble import give_weights
from pinnwx.model.weights import count_weights
from pinnwx.runtime import prepare
from pinnwx.training.fit import Progress, Training, training_digest
from pinnwx.training.optimiser import named_leaves
from pinnwx.training.progress import shown, training_text
from pinnwx.training.slowed import slowed_winds

_log = logging.getLogger(__name__)
SAVING_SECONDS = 5.0  # kept back from the budget for the last checkpoint and the version
SAVING_FRACTION = 0.04  # and for a machine that slows down
# Of the rest of the budget, for the training check:
CHECKING_SECONDS, CHECKING_FRACTION = 6.0, 0.03
MOST_CHECKING_FRACTION = 0.15


@overload
def train(
    config: ConfigLike,
    data: Data,
    out: None = None,
    *,
    minutes: float | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> TrainedModel: ...


@overload
def train(
    config: ConfigLike,
    data: Data,
    out: str | Path,
    *,
    minutes: float | None = None,
    resume: bool = False,
    force: bool = False,
    promote_anyway: bool = False,
    progress: Callable[[Progress], None] | None = None,
    started: float | None = None,
) -> Run: ...


def train(
    config: ConfigLike,
    data: Data,
    out: str | Path | None = None,
    *,
    minutes: float | None = None,
    resume: bool = False,
    force: bool = False,
    promote_anyway: bool = False,
    progress: Callable[[Progress], None] | None = None,
    started: float | None = None,
) -> Run | TrainedModel:
    """Trains a model and returns it; with `out`, in a run folder, which is returned.

    Without `out` nothing is written, but for compiled code in the cache: `TrainedModel.save` makes a run folder. A
    model that does not pass `jobs.training_check` is returned with a warning; with `out` it is kept as a version that
    is not live, and `NotPromotedError` is raised. Either way its manifest says what was found.

    Args:
        config: TOML file (see `pinnwx config template`), a packaged experiment by its name, such as `quick`, a mapping
            of the same keys, or a `Config`.
        data: files, globs, folders, zarr stores; a dataset as `open_data` gives it; an archive.
        out: the run folder to make.
        minutes: wall-clock budget of the whole call; the config's `training.minutes` if None. Ignored where the
            config fixes `training.updates`.
        resume: go on with an interrupted training in `out`.
        force: start afresh in an existing run folder, keeping its versions.
        promote_anyway: make the model live whatever the check says.
        progress: called after each dispatch, for a progress bar; by default a line on a terminal or in a notebook.
        started: `time.monotonic()` at which the budget began; now, if None.

    Raises:
        NotPromotedError: the model is worse than persistence; it is kept as a version that is not live.
        UsageError: `resume`, `force` or `promote_anyway` without `out`.
        ConfigError, DataError, OutputError, LockedError, StabilityError: as their names say.
        Interrupted: a signal asked to stop; a checkpoint is saved and `resume` goes on from it.
    """
    prepare()
    begun = time.monotonic() if started is None else started
    settings = training_settings(config, data)
    deadline = budget_ends(settings.training.minutes if minutes is None else minutes, begun)
    require_memory(settings)
    if out is None:
        if resume or force or promote_anyway:
            raise UsageError("resume, force and promote_anyway are of a run folder; give out")
        with shown(progress, training_text) as show:
            return _train_in_memory(settings, text_of(config), data, deadline, show)
    with kept_if_used(out), shown(progress, training_text) as show:
        run = Run.open(out) if resume else new_run(out, force=force)
        _train_in(
            run, settings, config, data, deadline, resume=resume, promote_anyway=promote_anyway, progress=show
        )  # fmt: skip
    return run


def _train_in(
    run: Run,
    settings: Config,
    config: ConfigLike,
    data: Data,
    deadline: float,
    *,
    resume: bool,
    promote_anyway: bool,
    progress: Callable[[Progress], None],
) -> None:
    """Trains in this folder, which is as it was before until everything has been found fit to begin."""
    text = text_of(config)
    with recorded(run.folder, "train") as event, run.lock():
        if resume:
            stored = run.text(CONFIG)
            if stored is not None and not _trains_alike(stored, settings):
                own = run.folder / CONFIG
                raise ConfigError(
                    f"{_named(config)} differs from the config of {run.folder}; resume with {own}, or train afresh "
                    "with --force"
                )
            if run.is_finished():
                event.outcome = NOTHING_TO_DO
                require_promoted(run, anyway=promote_anyway)
                return
            resume = not run.may_begin()
            if not resume:
                _log.info("nothing was saved in %s; beginning with update 0", run.folder)
        archive, trained = prepared(settings, text, data)
        notes = _warned(trained, archive, _named(config))
        validation = validation_archive(trained, data)
        if not resume:
            run.begin()
        event.details["version"] = learn(
            run, trained, archive, deadline, validation, notes=notes, resume=resume, promote_anyway=promote_anyway,
            progress=progress,
        )  # fmt: skip


def _train_in_memory(
    settings: Config, text: str, data: Data, deadline: float, progress: Callable[[Progress], None]
) -> TrainedModel:
    archive, trained = prepared(settings, text, data)
    notes = _warned(trained, archive, settings.name)
    validation = validation_archive(trained, data)
    training = Training(
        trained.model, archive, settings, error_scale(trained), None,
        deadline=_updates_end(settings, deadline), progress=progress,
    )  # fmt: skip
    give_weights(trained.model, training.run())
    report = check_training(
        trained, archive, validation, until=deadline if settings.training.updates is None else math.inf
    )
    if not report.passed:
        remedy = f"; {report.remedy}" if report.remedy else ""
        _log.warning("warning: the model did not pass its training check: %s%s", report.reason, remedy)
    if report.usable is not None and not report.usable.is_whole:
        _log.warning("warning: %s", short_range(settings.name, report.usable))
    manifest = _manifest(training, trained, archive, notes)
    manifest[PROMOTION_CHECK] = report.summary() | {"promoted_anyway": not report.passed}
    return replace(trained, manifest=manifest, optimiser=named_leaves(training.optimiser))


def _warned(trained: TrainedModel, archive: Archive, config: str) -> dict[str, Any]:
    """Warns of suspicious analyses and slowed winds; what the manifest says of the latter."""
    settings = trained.config
    if doubts := training_doubts(archive, settings.variable_table()):
        _log.warning(
            "warning: training learns from analyses that are suspicious: %s; pinnwx check --config %s names them "
            "all: remove them from the data if they are wrong", doubts, config,
        )  # fmt: skip
    slowed = slowed_winds(trained.model, archive, settings.model)
    if slowed is not None and slowed.matters:
        _log.warning("warning: %s", slowed)
    return {} if slowed is None else {"slowed_winds": slowed.to_dict()}


def _named(config: ConfigLike) -> str:
    return str(config) if isinstance(config, str | Path) else load_config(config).name


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
    until = _updates_end(settings, deadline)
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
            deadline=until,
            progress=progress,
            stop=interrupts.arrived,
        )
        with writing(run.folder):
            parameters = training.run(resume=resume)
        if interrupts.arrived():
            interrupts.raise_for(f"go on with --resume --out {run.folder}")
    give_weights(trained.model, parameters)
    manifest = _manifest(training, trained, archive, notes or {})
    report = check_training(
        trained, archive, validation, until=deadline if settings.training.updates is None else math.inf
    )
    live = report.passed or promote_anyway
    with writing(run.folder):
        manifest[PROMOTION_CHECK] = report.summary() | {"promoted_anyway": promote_anyway}
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


def _updates_end(settings: Config, deadline: float) -> float | None:
    """When the updates must be done, so that the check keeps its part of the budget; None where they are counted."""
    if settings.training.updates is not None:
        return None
    left = deadline - time.monotonic()
    return deadline - min(CHECKING_SECONDS + CHECKING_FRACTION * left, MOST_CHECKING_FRACTION * left)


def _manifest(training: Training, trained: TrainedModel, archive: Archive, notes: Mapping[str, Any]) -> dict[str, Any]:
    plan = training.plan
    assert plan is not None
    return {
        **lineage(trained, archive),
        "updates": training.updates,
        "planned_updates": dict(zip(map(str, plan.steps), plan.updates, strict=True)),
        "source": "pinnwx train",
        **notes,
    }


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
