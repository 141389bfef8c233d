"""Prepares a training: checks that settings and data fit each other, and reports all problems."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pinnwx.config import Config, ConfigLike, config_as_read, load_config
from pinnwx.data.archive import Archive
from pinnwx.data.calendar import period_bounds
from pinnwx.data.check import check_times
from pinnwx.data.check_report import CheckReport, Problem
from pinnwx.data.find import Paths
from pinnwx.data.inputs import IN_MEMORY, Data, as_archive
from pinnwx.errors import ConfigError, DataError, PinnwxError, UnavailableError
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.grid import Grid
from pinnwx.jobs.readiness import training_problems
from pinnwx.runtime import memory_limit
from pinnwx.settings import NotJudged

_USED_ANYWAY = " (it is used for training anyway)"
_COPIES = 5  # of the weights: weights, average, gradient, two moments


def prepared(
    settings: Config, text: str, data: Data, change: Callable[[Archive], Archive] = lambda archive: archive
) -> tuple[Archive, TrainedModel]:
    """The archive of the training time, changed, and a model with initial weights.

    Raises:
        PinnwxError: the training is impossible; the message names all problems (`training_report`).
    """
    try:
        refuse_overlap(settings)
        require_memory(settings)
        archive = training_archive(settings, data)
        for problem in training_problems(settings, archive.times):
            raise DataError(problem)
        archive = change(archive)
        return archive, TrainedModel.initialise(settings, archive, text)
    except (ConfigError, DataError, UnavailableError) as error:
        if isinstance(data, IN_MEMORY):
            raise
        problems = [str(one) for one in training_report(settings, data).problems if one.severity == "error"]
        raise (type(error)("; ".join(problems)) if len(problems) > 1 else error) from error


def training_settings(config: ConfigLike, data: Data) -> Config:
    """The settings from a file, a mapping or a `Config`.

    Raises:
        MissingInputError: the file does not exist.
        ConfigError: the settings are invalid; the message names all their problems, and those of the data that can be
            checked.
    """
    try:
        return load_config(config)
    except ConfigError as error:
        if isinstance(data, IN_MEMORY) or not isinstance(config, str | Path):
            raise
        problems = []
        with suppress(NotJudged, PinnwxError):
            report = training_report(config_as_read(config), data)
            problems = [str(one) for one in report.problems if one.severity == "error"]
        raise ConfigError("; ".join([str(error), *problems])) from None


def training_report(settings: Config, data: Paths) -> CheckReport:
    """Every problem of a config and its data, except those that need the model.

    For a config with invalid values (`config_as_read`), checks that need these values are skipped.

    Raises:
        NotJudged: the fields, the grid or the training time are invalid.
    """
    report, times = check_times(data, **training_options(settings), newest=False, remark=_USED_ANYWAY)
    problems: list[Problem] = []
    with suppress(NotJudged):
        problems += [Problem("error", message) for message in training_problems(settings, times)]
    try:
        with suppress(NotJudged):
            refuse_overlap(settings)
    except ConfigError as error:
        problems.insert(0, Problem("error", str(error)))
    return replace(report, problems=(*report.problems, *problems))


def training_archive(settings: Config, data) -> Archive:
    """The fields and static fields of the config on its grid, for its training time."""
    options = training_options(settings)
    return as_archive(data, **options)


def training_options(settings: Config) -> dict[str, Any]:
    """The options of `open_data` and `check_data` for the training data."""
    return {
        "fields": settings.data.fields, "grid": settings.data.grid, "static": settings.data.static,
        "start": settings.data.train.start, "end": settings.data.train.end, **settings.reading_options(),
    }  # fmt: skip


def require_memory(settings: Config) -> None:
    """Refuses, before data are read, a training that needs more memory than this machine has (lower estimate).

    Raises:
        ConfigError: the message names both sizes.
    """
    training, model, available = settings.training, settings.model, memory_limit()
    grid = settings.data.grid
    cells = int(np.prod(Grid.parse(grid).shape)) if grid != "native" else 0
    states = max((stage.steps + model.input_times) * stage.members for stage in training.curriculum)
    needed = _COPIES * 4 * model.weights + 4 * training.batch_size * states * len(settings.data.fields) * cells
    if needed > available:
        raise ConfigError(
            f"training takes at least {needed / 2**30:,.1f} GiB, this machine has {available / 2**30:,.1f}: "
            f"{model.weights:,} weights, {training.batch_size} windows of {states} times (of all members) on {cells:,} "
            "cells; lower model.closure.width, model.networks or training.batch_size"
        )


def refuse_overlap(settings: Config) -> None:
    """Raises:
    ConfigError: the validation time overlaps the training time.
    """
    period = settings.data.validate_
    if period is None:
        return
    begin, end = period_bounds(settings.data.train.start, settings.data.train.end)
    first, last = period_bounds(period.start, period.end)
    assert begin is not None
    assert end is not None
    assert first is not None
    assert last is not None
    if first <= end and last >= begin:
        raise ConfigError(
            f"data.validate ({period.start} to {period.end}) overlaps data.train "
            f"({settings.data.train.start} to {settings.data.train.end}); leave a gap of some days between them"
        )
