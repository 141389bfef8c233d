"""Scores forecast files against later analyses."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time
from pinnwx.errors import DataError, GridError, UnavailableError, UsageError
from pinnwx.forecasting.cf import ensemble_mean, inside_edge, lead_hours, read_forecast, reference_time
from pinnwx.forecasting.form import FIELD_DIMENSIONS, REALIZATION
from pinnwx.forecasting.products import without_products
from pinnwx.grid import Grid
from pinnwx.verification.baselines import ClimatologyLike
from pinnwx.verification.ensemble_scores import EnsembleAccumulator
from pinnwx.verification.evaluate import score_pairs
from pinnwx.verification.events import events_of
from pinnwx.verification.pairing import pair_by_time
from pinnwx.verification.results import Scores
from pinnwx.verification.significance import BlockBootstrap

Forecast = xr.Dataset | str | Path
_log = logging.getLogger(__name__)


def verify_forecasts(
    forecasts: Sequence[Forecast],
    archive: Archive,
    climatology: ClimatologyLike | None = None,
    *,
    training: Archive | None = None,
    thresholds: Sequence[str] = (),
    bootstrap: BlockBootstrap = BlockBootstrap(),  # noqa: B008
    run: str | None = None,
) -> Scores:
    """Scores of forecasts and of baselines on the same pairs.

    Forecasts without an analysis at their reference time and steps without truth are skipped and counted. For an
    ensemble, the ensemble mean is scored. If all forecasts are ensembles, entries also have `crps`, `spread` and
    `mean_rmse_pooled` (`pinnwx.verification.ensemble_scores`). For a forecast with a lateral boundary, only cells
    inside the boundary are scored. Only a few files are in memory at a time.

    Args:
        forecasts: datasets or files of `pinnwx.forecasting.cf`, with the same variables on one grid.
        archive: the truth; it may have further fields.
        climatology: the climatology of the run of the forecasts; with `None`, `acc` and the scores of climatology are
            `None`.
        training: the analyses of the training time of that run and no others, on which damped persistence and the
            linear inverse model are fitted; with `None`, their scores are `None`.
        thresholds: of probabilities, such as `t2m<273.15` in SI units; those of ensembles are scored.
        bootstrap: the method of the confidence bounds.
        run: the name of the run in the result.

    Raises:
        MissingInputError: there is no such file.
        DataError: a file is damaged, has another grid or other variables than the first, or has a variable that the
            archive lacks; or two forecasts start at one time.
        UnavailableError: there is no pair to score.
        StabilityError: a forecast is not finite.
        UsageError: a threshold is not one, or the forecasts are not ensembles.
    """
    sources = _checked(forecasts, archive)
    leads, sizes = [each.leads for each in sources.values()], [each.size for each in sources.values()]
    names, every_lead = next(iter(sources.values())).names, np.unique(np.concatenate(leads))
    if names != archive.names:
        columns = [archive.names.index(name) for name in names]
        archive = replace(archive, fields=archive.fields[:, columns], names=names, static={})
        if training is not None:
            training = replace(training, fields=training.fields[:, columns], names=names, static={})

    reached = np.array([np.isin(every_lead, own) for own in leads])
    pairs = pair_by_time(archive, np.array(list(sources)), every_lead.tolist(), reached)
    ensembles = None
    if _all_ensembles(sizes):
        events = events_of(thresholds, names, training, climatology)
        same = len(set(sizes)) == 1
        if thresholds and not same:
            raise UsageError(
                f"the probability of a threshold needs ensembles of one size; these have {min(sizes)} to {max(sizes)} "
                "members, verify them separately"
            )
        ensembles = EnsembleAccumulator(archive, pairs, events=events, details=same)
    elif thresholds:
        raise UsageError("the probability of a threshold needs forecasts with members")

    def stored(init_indices: Int[np.ndarray, " init"]) -> Float[np.ndarray, "init lead field lat lon"]:
        forecasts = []
        for index, time in zip(init_indices, archive.times[init_indices], strict=True):
            dataset = _opened(sources[time].forecast)
            if ensembles is not None:
                ensembles.add(int(index), _on_leads(dataset, names, every_lead))
            forecasts.append(_on_leads(ensemble_mean(dataset), names, every_lead))
        return np.stack(forecasts)

    scores = score_pairs(
        archive, stored, climatology, pairs, training=training, batch_size=8, bootstrap=bootstrap, run=run
    )
    if ensembles is None:
        return scores
    return ensembles.added_to(replace(scores, settings={**scores.settings, "members": sorted(set(sizes))}))


class _Source(NamedTuple):
    """A forecast, with what its file says."""

    forecast: Forecast
    names: tuple[str, ...]
    leads: Float[np.ndarray, " lead"]
    size: int  # number of members, 1 for a single forecast


def _checked(forecasts: Sequence[Forecast], archive: Archive) -> dict[np.datetime64, _Source]:
    """The forecasts by their reference times, if they can be compared with each other and with the archive."""
    if not forecasts:
        raise UnavailableError("no forecast to verify; give at least one forecast file")
    sources: dict[np.datetime64, _Source] = {}
    names: tuple[str, ...] = ()
    for forecast in forecasts:
        dataset = _opened(forecast)
        names = names or tuple(map(str, dataset.data_vars))
        _require_comparable(dataset, names, archive)
        start = reference_time(dataset)
        if start in sources:
            raise DataError(f"two forecasts start at {format_time(start)}; give one of them")
        sources[start] = _Source(forecast, names, lead_hours(dataset), dataset.sizes.get(REALIZATION, 1))
    return sources


def _all_ensembles(sizes: Sequence[int]) -> bool:
    """Whether every forecast has members; warns where only some have, because their scores would not compare."""
    ensembles = sum(size > 1 for size in sizes)
    if 0 < ensembles < len(sizes):
        _log.warning(
            "warning: %d of %d forecasts are ensembles; crps and spread are left out, verify the ensembles separately",
            ensembles, len(sizes),
        )  # fmt: skip
    return ensembles == len(sizes)


def _opened(forecast: Forecast) -> xr.Dataset:
    dataset = forecast if isinstance(forecast, xr.Dataset) else read_forecast(forecast)
    return inside_edge(without_products(dataset))


def _require_comparable(dataset: xr.Dataset, names: tuple[str, ...], archive: Archive) -> None:
    """Refuses a forecast of other variables or on another grid."""
    own = tuple(map(str, dataset.data_vars))
    start = format_time(reference_time(dataset))
    if set(own) != set(names):
        raise DataError(f"forecast from {start} has {_list(own)}, the first {_list(names)}; verify them separately")
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
) -> Float[np.ndarray, "*member lead field lat lon"]:
    """The fields at these leads, of an ensemble those of each member; NaN at leads that the forecast lacks.

    No pair uses those leads.
    """
    dimensions = (REALIZATION, *FIELD_DIMENSIONS) if REALIZATION in dataset.dims else FIELD_DIMENSIONS
    fields = np.stack([dataset[name].transpose(*dimensions).values for name in names], axis=-3)
    result = np.full((*fields.shape[:-4], len(leads), *fields.shape[-3:]), np.nan, dtype=np.float32)
    result[..., np.isin(leads, lead_hours(dataset)), :, :, :] = fields
    return result
