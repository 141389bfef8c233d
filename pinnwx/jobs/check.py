"""What data files hold after normalising, every problem found, and whether they would do for a verb."""

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
from pinnwx.jobs.forecast import ForecastJob
from pinnwx.jobs.preparation import prepared, training_report, training_settings
from pinnwx.jobs.readiness import NEWEST, needed_times
from pinnwx.training.slowed import slowed_winds

_ADVICE = re.compile("; `pinnwx check` lists (them|what there is)$")  # of other verbs, to do what is done here


def check(
    data: Sequence[str | Path] | str | Path,
    *,
    config: str | Path | None = None,
    run: str | Path | None = None,
    json: str | Path | None = None,
    force: bool = False,
) -> CheckReport:
    """Reads every file and reports; `report.ok` is the verdict of the verb that `report.verb` names.

    With `config` it is that of `train` with this config; with `run` that of a forecast of its live model from the
    newest analysis. With neither it is that of a forecast of all the fields there are: what is unusable beside them
    is noted.

    Raises:
        ConfigError: `config` is none; what is wrong with the data is named too.
        UsageError: `config` and `run` are both given.
        MissingInputError: there are no such files, or no such run.
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
    """By the steps of `train` up to its first update."""
    settings = training_settings(config, data)
    report = training_report(settings, data)
    if report.ok:
        try:
            archive, trained = prepared(settings, Path(config).read_text(encoding="utf-8-sig"), data)
            slowed = slowed_winds(trained.model, archive, settings.model)
            if slowed is not None and slowed.matters:
                report = replace(report, problems=(*report.problems, Problem("warning", str(slowed))))
        except (ConfigError, DataError, UnavailableError) as error:
            report = replace(report, problems=(*report.problems, Problem("error", str(error))))
    return replace(report, verb=f"`pinnwx train {config}` with these files")


def _for_forecasts(run: str | Path, data: Sequence[str | Path] | str | Path) -> CheckReport:
    """By the steps of `forecast` up to its first step; a boundary is not asked for.

    What is wrong with analyses that this forecast does not need is a warning.
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
