"""Checks data files: their content after normalisation, every problem, and whether a command would accept them."""

from __future__ import annotations

import json as json_module
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pinnwx.data.check import check_data
from pinnwx.data.check_report import CheckReport, Problem
from pinnwx.errors import ConfigError, DataError, UnavailableError, UsageError
from pinnwx.files import check_writable, write_text
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.forecast_job import ForecastJob
from pinnwx.jobs.preparation import prepared, training_report, training_settings
from pinnwx.jobs.readiness import NEWEST, needed_times
from pinnwx.training.slowed import slowed_winds

_ADVICE = re.compile("; `pinnwx check` lists (them|the times per file)$")  # superfluous in the output of `check`


def check(
    data: Sequence[str | Path] | str | Path,
    *,
    config: str | Path | None = None,
    run: str | Path | None = None,
    json: str | Path | None = None,
    force: bool = False,
) -> CheckReport:
    """Reads and checks every file; `report.ok` says whether the command in `report.verb` accepts the data.

    With `config`, the command is `train` with this config. With `run`, it is a forecast of the live model from the
    newest analysis. With neither, it is a forecast of all fields of the data; unusable variables are noted.

    Raises:
        ConfigError: `config` is invalid; the message also names the problems of the data.
        UsageError: `config` and `run` are both given.
        MissingInputError: a file or the run does not exist.
        CheckpointError: the live model is damaged.
        OutputError: `json` cannot be written.
    """
    if json is not None:
        check_writable(json, force=force)
    if config is not None and run is not None:
        raise UsageError("--config and --run: give one of them, for training or for a forecast")
    if config is not None:
        report = _for_training(config, data)
    elif run is not None:
        report = _for_forecasts(run, data)
    else:
        report = check_data(data)
    problems = [replace(one, message=_ADVICE.sub("", one.message)) for one in report.problems]
    report = replace(report, problems=tuple(problems))
    if json is not None:
        write_text(json, json_module.dumps(report.to_dict(), indent=2) + "\n")
    return report


def _for_training(config: str | Path, data: Sequence[str | Path] | str | Path) -> CheckReport:
    """Performs the steps of `train` before its first update."""
    settings = training_settings(config, data)
    report = training_report(settings, data)
    if report.ok:
        try:
            archive, trained = prepared(settings, Path(config).read_text(encoding="utf-8-sig"), data)
            slowed = slowed_winds(trained.config.model, archive)
            if slowed is not None and slowed.matters:
                report = replace(report, problems=(*report.problems, Problem("warning", str(slowed))))
        except (ConfigError, DataError, UnavailableError) as error:
            report = replace(report, problems=(*report.problems, Problem("error", str(error))))
    return replace(report, verb=f"`pinnwx train {config}` with these files")


def _for_forecasts(run: str | Path, data: Sequence[str | Path] | str | Path) -> CheckReport:
    """Performs the steps of `forecast` before its first step; a lateral boundary is not needed.

    Problems of analyses that this forecast does not need are warnings.
    """
    opened = Run.open(run)
    version = opened.live
    trained = TrainedModel.load(opened.version(version))
    settings = trained.config
    report = check_data(data, settings.data.fields, grid=trained.grid, newest=False, **settings.reading_options())
    predictor = Predictor(trained, (settings.model.step_hours,))
    try:
        select = partial(needed_times, NEWEST, predictor.input_offsets, False)
        job = ForecastJob(version, trained, matching_archive(trained, data, select=select), None, predictor, {})
        job.require_fit(job.initial_time(NEWEST), max_age=None, accept_suspicious=())
        problems = tuple(
            replace(one, severity="warning") if one.severity == "error" else one for one in report.problems
        )
    except (DataError, UnavailableError) as error:
        refusal = Problem("error", str(error)) if report.ok else None
        problems = (*report.problems, *([refusal] if refusal else []))
    return replace(report, problems=problems, verb=f"a forecast of {run} from these files")
