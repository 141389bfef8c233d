"""Scores forecast files against later analyses."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from pinnwx.config import Period
from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time
from pinnwx.data.open import open_data
from pinnwx.errors import UsageError
from pinnwx.files import check_writable
from pinnwx.forecasting.cf import inside_edge, lead_hours, read_forecast, reading_options, reference_time
from pinnwx.forecasting.form import FIELD_DIMENSIONS, REALIZATION
from pinnwx.forecasting.products import without_products
from pinnwx.forecasting.runs import Run
from pinnwx.grid import Grid
from pinnwx.jobs.readiness import doubtful_analyses
from pinnwx.jobs.scored_area import training_part
from pinnwx.variables import VARIABLES
from pinnwx.verification.baselines import ClimatologyLike
from pinnwx.verification.drift import Drift, measure_drift
from pinnwx.verification.results import Scores
from pinnwx.verification.verify import verify_forecasts

_log = logging.getLogger(__name__)


def verify(
    forecasts: Sequence[str | Path] | str | Path,
    data: Sequence[str | Path] | str | Path,
    *,
    run: str | Path | None = None,
    json: str | Path | None = None,
    drift: str | Path | None = None,
    thresholds: Sequence[str] = (),
    force: bool = False,
) -> Scores:
    """Scores forecast files against truth at their valid times.

    The climatology is that of `run`; without `run`, its columns are empty. Damped persistence and the linear inverse
    model are fitted on the training time of `run`, as far as the data contain it. Suspicious analyses (stuck, with a
    spike, in the future) are used with a warning. Entries of ensembles also have
    `crps`, `spread` and `probabilities`.

    Args:
        forecasts: forecast files.
        data: the analyses for the truth.
        run: the run whose climatology is a baseline.
        json: a file for the scores.
        drift: a PNG of the drift of one forecast (`pinnwx.verification.drift`), for an ensemble of its first member. It
            needs `run`, and `data` with analyses of its training time.
        thresholds: such as `t2m<273.15` in SI units; the probabilities of ensembles are scored.
        force: replaces existing files.

    Raises:
        MissingInputError, DataError, UnavailableError, CheckpointError, OutputError, UsageError: see `pinnwx.errors`.
        GridError: the drift of a regional forecast is requested.
    """
    paths = [forecasts] if isinstance(forecasts, str | Path) else list(forecasts)
    if not paths:
        raise UsageError("no forecast to verify; give at least one forecast file")
    if json is not None:
        check_writable(json, force=force)
    if drift is not None:
        _require_drift(drift, paths, run, force=force)
    first = inside_edge(without_products(read_forecast(paths[0])))
    names = tuple(str(name) for name in first.data_vars)
    grid = Grid.from_coordinates(first["latitude"].values, first["longitude"].values)
    trained = None if run is None else Run.open(run).load()
    archive = Archive.from_dataset(open_data(data, names, grid=grid, **reading_options(first)), names)
    table = reading_options(first).get("variables", VARIABLES)
    for when, reason in doubtful_analyses(archive, reference_time(first), variables=table).items():
        _log.warning("warning: a forecast from the analysis of %s would be refused: %s", format_time(when), reason)
    climatology = None if trained is None else trained.climatology.inside(trained.config.model.boundary_width)
    scores = verify_forecasts(
        paths,
        archive,
        climatology=climatology,
        training=None if trained is None else training_part(trained, archive),
        thresholds=thresholds,
        run=first.attrs.get("model") if trained is None else trained.config.name,
    )
    if json is not None:
        scores.save(json)
    if drift is not None and trained is not None and climatology is not None:
        _draw(_measure_drift(first, archive, trained.config.data.train, climatology), drift)
    return scores


def _require_drift(drift: str | Path, paths: Sequence[str | Path], run: str | Path | None, *, force: bool) -> None:
    """Refuses a picture of the drift that could not be drawn or written."""
    from pinnwx.jobs.plot import check_picture  # matplotlib takes half a second, and most verifications draw nothing

    if len(paths) > 1:
        raise UsageError(f"--drift draws one forecast, and {len(paths)} are given; give one of them")
    if run is None:
        raise UsageError("--drift compares with the climatology and the training time of a run; give --run")
    check_picture(drift, force=force)


def _measure_drift(forecast: xr.Dataset, archive: Archive, training: Period, climatology: ClimatologyLike) -> Drift:
    """The drift of a forecast, or of the first member of an ensemble."""
    if REALIZATION in forecast.dims:
        forecast = forecast.isel({REALIZATION: 0})
    fields = np.stack([forecast[name].transpose(*FIELD_DIMENSIONS).values for name in archive.names], axis=1)
    analyses = archive.select(training.start, training.end)
    return measure_drift(fields, reference_time(forecast), lead_hours(forecast), analyses, climatology)


def _draw(drift: Drift, out: str | Path) -> None:
    from pinnwx.reporting.drift import drift_figure
    from pinnwx.reporting.style import save

    save(drift_figure(drift), out)
