"""Forecast files scored against later analyses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time
from pinnwx.errors import DataError, GridError, UnavailableError
from pinnwx.forecasting.cf import ensemble_mean, inside_edge, lead_hours, read_forecast, reference_time
from pinnwx.grid import Grid
from pinnwx.verification.baselines import Climatology
from pinnwx.verification.evaluate import score_pairs
from pinnwx.verification.pairing import pair_by_time
from pinnwx.verification.results import Scores
from pinnwx.verification.significance import BlockBootstrap

Forecast = xr.Dataset | str | Path


def verify_forecasts(
    forecasts: Sequence[Forecast],
    archive: Archive,
    climatology: Climatology | None = None,
    *,
    bootstrap: BlockBootstrap = BlockBootstrap(),  # noqa: B008
    run: str | None = None,
) -> Scores:
    """Scores of forecasts and, on the same pairs, of persistence from their reference times and of climatology.

    Forecasts without an analysis at their reference time and steps without truth are skipped and counted. An ensemble
    is scored by the mean of its members, a forecast with a lateral boundary inside its edge. Files are read a few at a
    time, so that a season of them need not fit into memory.

    Args:
        forecasts: datasets or files as `pinnwx.forecasting.cf` makes them, of the same variables on one grid.
        archive: the truth; its other fields are left alone.
        climatology: of the run that made them; without it `acc` and the climatology's scores are `None`.
        bootstrap: how confidence bounds are drawn.
        run: the name of the run, for the result.

    Raises:
        MissingInputError: there is no such file.
        DataError: a file is damaged, on another grid, of other variables than the first, or holds a variable that
            the archive lacks; two forecasts start at one time.
        UnavailableError: there is nothing to score.
        StabilityError: a forecast is not finite.
    """
    if not forecasts:
        raise UnavailableError("no forecast to verify; give at least one forecast file")
    sources: dict[np.datetime64, Forecast] = {}
    names: tuple[str, ...] = ()
    leads = []
    for forecast in forecasts:
        dataset = _opened(forecast)
        names = names or tuple(map(str, dataset.data_vars))
        _require_comparable(dataset, names, archive)
        start = reference_time(dataset)
        if start in sources:
            raise DataError(f"two forecasts start at {format_time(start)}; give one of them")
        sources[start] = forecast
        leads.append(lead_hours(dataset))
    every_lead = np.unique(np.concatenate(leads))
    if names != archive.names:
        columns = [archive.names.index(name) for name in names]
        archive = replace(archive, fields=archive.fields[:, columns], names=names, static={})

    def stored(init_indices: Int[np.ndarray, " init"]) -> Float[np.ndarray, "init lead field lat lon"]:
        opened = (_opened(sources[time]) for time in archive.times[init_indices])
        return np.stack([_on_leads(dataset, names, every_lead) for dataset in opened])

    reached = np.array([np.isin(every_lead, own) for own in leads])
    pairs = pair_by_time(archive, np.array(list(sources)), every_lead.tolist(), reached)
    return score_pairs(archive, stored, climatology, pairs, batch_size=8, bootstrap=bootstrap, run=run)


def _opened(forecast: Forecast) -> xr.Dataset:
    return inside_edge(ensemble_mean(forecast if isinstance(forecast, xr.Dataset) else read_forecast(forecast)))


def _require_comparable(dataset: xr.Dataset, names: tuple[str, ...], archive: Archive) -> None:
    """Refuses a forecast of other variables or on another grid."""
    own = tuple(map(str, dataset.data_vars))
    start = format_time(reference_time(dataset))
    if set(own) != set(names):
        raise DataError(f"forecast from {start} holds {_list(own)}, the first {_list(names)}; verify them apart")
    unknown = [name for name in own if name not in archive.names]
    if unknown:
        raise DataError(f"no truth for {_list(unknown)} of the forecast from {start}; found: {_list(archive.names)}")
    grid = Grid.from_coordinates(dataset["latitude"].values, dataset["longitude"].values)
    if grid != archive.grid:
        raise GridError(f"forecast from {start} is {grid}, the data {archive.grid}; regrid the data to it")


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)


def _on_leads(
    dataset: xr.Dataset, names: tuple[str, ...], leads: Float[np.ndarray, " lead"]
) -> Float[np.ndarray, "lead field lat lon"]:
    """The fields at these leads; NaN where the forecast does not reach, which no pair refers to."""
    fields = [dataset[name].transpose("time", "latitude", "longitude").values for name in names]
    result = np.full((len(leads), len(names), *fields[0].shape[1:]), np.nan, dtype=np.float32)
    result[np.isin(leads, lead_hours(dataset))] = np.stack(fields, axis=1)
    return result
