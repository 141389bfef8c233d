"""The training job: from data to a run folder, or to a model in memory, within a wall-clock budget."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

from pinnwx.config import Config, ConfigLike, load_config, parse_config, text_of
from pinnwx.data.analysis_noise import AnalysisNoise
from pinnwx.data.archive import Archive
from pinnwx.data.inputs import Data, as_archive
from pinnwx.errors import ConfigError, PinnwxError, UsageError
from pinnwx.files import kept_if_used
from pinnwx.forecasting.runs import Run, new_run
from pinnwx.forecasting.trained_model import CONFIG, TrainedModel
from pinnwx.jobs.budget import budget_ends
from pinnwx.jobs.events import NOTHING_TO_DO, recorded
from pinnwx.jobs.initial_weights import take_weights
from pinnwx.jobs.preparation import prepared, require_memory, training_settings
from pinnwx.jobs.readiness import training_doubts
from pinnwx.jobs.training_check import require_promoted, validation_archive
from pinnwx.jobs.training_task import INITIALISED_FROM, NOISE_LIKE, TrainingTask, log_limits, train_in_run
from pinnwx.runtime import prepare
from pinnwx.training.optimiser import named_leaves
from pinnwx.training.progress import Progress, shown, training_text
from pinnwx.training.recording import training_digest
from pinnwx.training.slowed import slowed_winds
from pinnwx.training.trainer import Hooks

_log = logging.getLogger(__name__)


@overload
def train(
    config: ConfigLike,
    data: Data,
    out: None = None,
    *,
    minutes: float | None = None,
    init_from: str | Path | None = None,
    noise_like: Data | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> TrainedModel: ...


@overload
def train(
    config: ConfigLike,
    data: Data,
    out: str | Path,
    *,
    minutes: float | None = None,
    init_from: str | Path | None = None,
    noise_like: Data | None = None,
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
    init_from: str | Path | None = None,
    noise_like: Data | None = None,
    resume: bool = False,
    force: bool = False,
    promote_anyway: bool = False,
    progress: Callable[[Progress], None] | None = None,
    started: float | None = None,
) -> Run | TrainedModel:
    """Trains a model and returns it; with `out`, in a run folder, which is returned.

    Without `out` nothing is written, except compiled code in the cache; `TrainedModel.save` makes a run folder. The
    training check (`jobs.training_check`) decides whether the model may be live, and its result is in the manifest.
    Without `out`, a model that does not pass is returned with a warning. With `out`, it is stored as a version that is
    not live, and `NotPromotedError` is raised.

    Args:
        config: TOML file (see `pinnwx config template`), a packaged experiment by its name, such as `quick`, a mapping
            of the same keys, or a `Config`.
        data: files, globs, folders, zarr stores; a dataset as `open_data` gives it; an archive.
        out: the run folder to make.
        minutes: wall-clock budget of the whole call; the config's `training.minutes` if None. Ignored where the
            config fixes `training.updates`.
        init_from: a run folder: training begins with the weights of its live version (`jobs.initial_weights`). With
            `resume`, give the same.
        noise_like: analyses, for a training on a simulation: noise is added to `data` until it is as irregular in time
            (`data.analysis_noise`). With `resume`, give the same.
        resume: go on with an interrupted training in `out`.
        force: start afresh in an existing run folder; its versions stay.
        promote_anyway: make the model live whatever the check says.
        progress: is called after every few updates; by default a line on a terminal or in a notebook.
        started: `time.monotonic()` at which the budget began; now, if None.

    Raises:
        NotPromotedError: the model is worse than persistence; it is stored as a version that is not live.
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
            return _train_in_memory(settings, text_of(config), data, deadline, init_from, noise_like, show)
    with kept_if_used(out), shown(progress, training_text) as show:
        run = Run.open(out) if resume else new_run(out, force=force)
        _train_in(
            run, settings, config, data, deadline,
            init_from=init_from, noise_like=noise_like, resume=resume, promote_anyway=promote_anyway, progress=show,
        )  # fmt: skip
    return run


def _train_in(
    run: Run,
    settings: Config,
    config: ConfigLike,
    data: Data,
    deadline: float,
    *,
    init_from: str | Path | None,
    noise_like: Data | None,
    resume: bool,
    promote_anyway: bool,
    progress: Callable[[Progress], None],
) -> None:
    """Trains in a run folder, which changes only once the settings and the data are found to be right."""
    with recorded(run.folder, "train") as event, run.lock():
        if resume:
            _require_same_config(run, settings, config)
            if run.is_finished():
                event.outcome = NOTHING_TO_DO
                require_promoted(run, anyway=promote_anyway)
                return
            resume = not run.may_begin()
            if not resume:
                _log.info("nothing was saved in %s; beginning with update 0", run.folder)
        task = _task(settings, text_of(config), data, deadline, _named(config), init_from, noise_like)
        if not resume:
            run.begin()
        event.details["version"] = train_in_run(
            run, task, resume=resume, promote_anyway=promote_anyway, progress=progress
        )


def _train_in_memory(
    settings: Config,
    text: str,
    data: Data,
    deadline: float,
    init_from: str | Path | None,
    noise_like: Data | None,
    progress: Callable[[Progress], None],
) -> TrainedModel:
    task = _task(settings, text, data, deadline, settings.name, init_from, noise_like)
    result = task.fit(Hooks(progress))
    trained, report = task.with_model_errors(), task.check()
    log_limits(settings.name, report)
    if not report.passed:
        remedy = f"; {report.remedy}" if report.remedy else ""
        _log.warning("warning: the model did not pass its training check: %s%s", report.reason, remedy)
    return replace(trained, manifest=task.manifest(result, report), optimiser=named_leaves(result.optimiser))


def _task(
    settings: Config,
    text: str,
    data: Data,
    deadline: float,
    config: str,
    init_from: str | Path | None,
    noise_like: Data | None,
) -> TrainingTask:
    """Prepares a training; warns of suspicious analyses and of slowed winds. `config` names the settings."""
    notes: dict[str, Any] = {}
    noise: AnalysisNoise | None = None

    def changed(archive: Archive) -> Archive:
        nonlocal noise
        _warn_of_doubts(archive, settings, config)
        if noise_like is None:
            return archive
        noise = _fitted_noise(settings, archive, noise_like)
        _warn_of_doubts(noise.analyses, settings, config)
        notes[NOISE_LIKE] = noise.analyses.digest()
        return noise.added_to(archive, settings.seed)

    archive, trained = prepared(settings, text, data, changed)
    if init_from is not None:
        unknown = archive if settings.training.cross_fitting_days else None
        notes[INITIALISED_FROM] = take_weights(trained, init_from, unknown)
    slowed = slowed_winds(trained.config.model, archive)
    if slowed is not None:
        _log.info("note: %s", slowed.summary())
        if slowed.matters:
            _log.warning("warning: %s", slowed)
        notes["slowed_winds"] = slowed.to_dict()
    validation = validation_archive(trained, data)
    if noise is not None and isinstance(validation, Archive):
        validation = noise.added_to(validation, settings.seed + 1)
    return TrainingTask(trained, archive, validation, deadline, notes=notes)


def _fitted_noise(settings: Config, simulation: Archive, noise_like: Data) -> AnalysisNoise:
    """The noise that the simulation lacks beside the analyses, of which all times are read.

    Raises:
        PinnwxError: as `open_data` and `AnalysisNoise.fit`; the message names the option.
    """
    try:
        analyses = as_archive(noise_like, settings.data.fields, grid=simulation.grid, **settings.reading_options())
        return AnalysisNoise.fit(simulation, analyses, settings.model.step_hours)
    except PinnwxError as error:
        raise type(error)(f"--noise-like: {error}") from None


def _warn_of_doubts(archive: Archive, settings: Config, config: str) -> None:
    if doubts := training_doubts(archive, settings.variable_table()):
        _log.warning(
            "warning: training learns from analyses that are suspicious: %s; pinnwx check --config %s names them "
            "all: remove them from the data if they are wrong", doubts, config,
        )  # fmt: skip


def _require_same_config(run: Run, settings: Config, config: ConfigLike) -> None:
    """Raises:
    ConfigError: the training in the run has other settings. Comments and the output of forecasts may differ.
    """
    stored = run.text(CONFIG)
    if stored is None:
        return
    try:
        same = training_digest(parse_config(stored)) == training_digest(settings)
    except (ConfigError, UsageError):
        same = False
    if not same:
        own = run.folder / CONFIG
        raise ConfigError(
            f"{_named(config)} differs from the config of {run.folder}; resume with {own}, or train afresh with --force"
        )


def _named(config: ConfigLike) -> str:
    return str(config) if isinstance(config, str | Path) else load_config(config).name
