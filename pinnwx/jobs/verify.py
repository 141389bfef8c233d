"""Finished forecast files, scored against the analyses that have arrived since."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time
from pinnwx.data.open import open_data
from pinnwx.errors import UsageError
from pinnwx.files import check_writable
from pinnwx.forecasting.cf import inside_edge, read_forecast, reading_options, reference_time
from pinnwx.forecasting.runs import Run
from pinnwx.grid import Grid
from pinnwx.jobs.readiness import doubtful_analyses
from pinnwx.variables import VARIABLES
from pinnwx.verification.results import Scores
from pinnwx.verification.verify import verify_forecasts

_log = logging.getLogger(__name__)


def verify(
    forecasts: Sequence[str | Path] | str | Path,
    data: Sequence[str | Path] | str | Path,
    *,
    run: str | Path | None = None,
    json: str | Path | None = None,
    force: bool = False,
) -> Scores:
    """Scores forecast files against truth at their valid times.

    The climatology is that of `run`, where it is given; without it those columns are empty. Analyses since the first
    forecast that no forecast would start from (stuck, with a spike, of the future) are used, with a warning.

    Raises:
        MissingInputError, DataError, UnavailableError, CheckpointError, OutputError: as their names say.
    """
    if json is not None:
        check_writable(json, force=force)
    paths = [forecasts] if isinstance(forecasts, str | Path) else list(forecasts)
    if not paths:
        raise UsageError("no forecast to verify; give at least one forecast file")
    first = inside_edge(read_forecast(paths[0]))
    names = tuple(str(name) for name in first.data_vars)
    grid = Grid.from_coordinates(first["latitude"].values, first["longitude"].values)
    trained = None if run is None else Run.open(run).load()
    archive = Archive.from_dataset(open_data(data, names, grid=grid, **reading_options(first)), names)
    table = reading_options(first).get("variables", VARIABLES)
    for when, reason in doubtful_analyses(archive, reference_time(first), variables=table).items():
        _log.warning("warning: no forecast would start from the analysis of %s: %s", format_time(when), reason)
    scores = verify_forecasts(
        paths,
        archive,
        climatology=None if trained is None else trained.climatology.inside(trained.config.model.boundary_width),
        run=first.attrs.get("model") if trained is None else trained.config.name,
    )
    if json is not None:
        scores.save(json)
    return scores
