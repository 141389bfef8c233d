"""The scores of a series of forecasts, a file beside each forecast, for as far as analyses have arrived."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pinnwx.data.calendar import format_time
from pinnwx.errors import DataError, MissingInputError, UnavailableError, UsageError
from pinnwx.forecasting.cf import read_forecast
from pinnwx.forecasting.form import REALIZATION
from pinnwx.jobs.forecast_job import ForecastJob
from pinnwx.jobs.readiness import doubtful_analyses, without
from pinnwx.jobs.series_files import SCORES, forecasts_in
from pinnwx.verification.results import Scores
from pinnwx.verification.verify import verify_forecasts

_log = logging.getLogger(__name__)


def score_forecasts(folder: Path, job: ForecastJob, accept: Sequence[str]) -> list[Path]:
    """Scores every forecast for which more analyses have come than it was scored on, with the probabilities of the
    thresholds of the job. What was scored to its end is not scored again for other thresholds.

    Analyses that no forecast would start from are no truth either: they are left out, and named.
    """
    config, written = job.trained.config, []
    name, width = config.name, config.model.boundary_width
    files = forecasts_in(folder, name)
    files = {when: file for when, file in files.items() if not _is_scored_to_its_end(file, file.with_suffix(SCORES))}
    if not files:
        return []
    doubtful = doubtful_analyses(job.archive, min(files), accept=accept, variables=config.variable_table())
    for when, reason in doubtful.items():
        _log.warning("warning: not scored with the analysis of %s: %s", format_time(when), reason)
    archive = without(job.archive, doubtful).inside(width)
    climatology = job.trained.climatology.inside(width)
    thresholds = [each.name for each in job.products.thresholds]
    for file in files.values():
        path = file.with_suffix(SCORES)
        try:
            forecast = read_forecast(file)
            arrived = int(np.isin(forecast["time"].values, archive.times).sum())
            if arrived > _scored_leads(path):
                events = thresholds if REALIZATION in forecast.dims else ()
                verify_forecasts([file], archive, climatology, thresholds=events, run=name).save(path)
                written.append(path)
        except (DataError, UnavailableError, UsageError) as error:
            _log.warning("not scored: %s: %s", file.name, error)
    return written


def _is_scored_to_its_end(file: Path, scores: Path) -> bool:
    """Whether nothing is left to score, which spares reading the forecast; not so if it was made anew since."""
    entries = _entries(scores)
    return bool(entries) and all(entry["n"] for entry in entries) and scores.stat().st_mtime >= file.stat().st_mtime


def _scored_leads(path: Path) -> int:
    """On how many lead times a forecast was scored."""
    return len({entry["lead_hours"] for entry in _entries(path) if entry["n"]})


def _entries(path: Path) -> Sequence[Mapping[str, Any]]:
    """What stands in a scores file; nothing where there is none that can be read."""
    try:
        return [{key: entry[key] for key in ("lead_hours", "n")} for entry in Scores.load(path).scores]
    except (MissingInputError, DataError, KeyError):
        return []
