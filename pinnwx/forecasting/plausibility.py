"""Checks whether a forecast is plausible, by statistics of its fields that the training time bounds.

The forecast of a damaged or badly trained model may be stable and still wrong: it may have stripes of two cells, fronts
that the grid does not resolve, or a growing mass of the atmosphere. Each statistic of `data.field_statistics` may be up
to `LARGEST_RATIO` times its maximum over the training time, or its value in the initial analysis if that is larger.
Therefore a season or a storm that the training time lacks is accepted. The area mean may change by up to `LARGEST_MOVE`
times its range in the training time, and in any case by half the standard deviation of the field, the limit of the
promotion check for thirty days. Surface pressure is the mass of the atmosphere, which is nearly constant; its minimum
limit is a quarter of the standard deviation.

The limits leave room for rare weather. Analyses outside a training time of at least two months reach ratios of 1.1
(departure, noise) and 1.4 (largest noise). Analyses up to ten days after a training time of one month reach 1.4 and
2.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float32

from pinnwx.data.calendar import duration
from pinnwx.data.field_statistics import STATISTICS, area_mean, field_statistics
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.grid import Grid
from pinnwx.variables import describe, difference_units

LARGEST_RATIO: Mapping[str, float] = {
    "departure": 2.0, "zonal_noise": 2.0, "meridional_noise": 2.0,
    "largest_zonal_noise": 2.5, "largest_meridional_noise": 2.5, "gradient": 2.5,
}  # fmt: skip
LARGEST_MOVE = 3.0
_LEAST_MOVE, _LEAST_MOVE_OF_MASS = 0.5, 0.25  # standard deviations
_MASS = ("air_pressure_at_mean_sea_level", "surface_air_pressure")

_WORDS: Mapping[str, str] = {
    "departure": "departs from climatology by {value} (root mean square)",
    "zonal_noise": "has noise of {value} from cell to cell along its rows",
    "meridional_noise": "has noise of {value} from cell to cell along its columns",
    "largest_zonal_noise": "has a place with noise of {value} from cell to cell along its rows",
    "largest_meridional_noise": "has a place with noise of {value} from cell to cell along its columns",
    "gradient": "has a place where it changes by {value} from cell to cell",
    "area_mean": "has an area mean that changed by {value}",
}


def implausibilities(
    forecast: Float32[np.ndarray, "lead field lat lon"],
    lead_hours: Sequence[float],
    trained: TrainedModel,
    when: np.datetime64,
    analysis: Float32[np.ndarray, "field lat lon"],
) -> Iterator[str]:
    """Yields a sentence for each field that is implausible at the first implausible lead; none for a good forecast.

    `analysis` is the initial analysis, at `when`. The forecast must be finite.
    """
    leads = np.asarray(lead_hours, np.float64)
    numbers, limits = _numbers(forecast, leads, trained, when, analysis), _limits(trained, when, analysis)
    ratios = {kind: numbers[kind] / limits[kind] for kind in numbers}
    lead = _steps_within(ratios)
    if lead == len(leads):
        return
    table = trained.config.variable_table()
    for field, name in enumerate(trained.names):
        kind = max(ratios, key=lambda each, field=field: ratios[each][lead, field])
        if ratios[kind][lead, field] > 1:
            factor, units = difference_units(name, table)
            units = describe(name, table).units if units == "SI" else units
            pair = numbers[kind][lead, field], limits[kind][field]
            value, most = (f"{number * factor:.3g} {units}" for number in pair)
            yield f"{name} {_WORDS[kind].format(value=value)} after {leads[lead]:g} h, more than {most}"


def excess(
    forecast: Float32[np.ndarray, "lead field lat lon"],
    leads: np.ndarray,
    trained: TrainedModel,
    when: np.datetime64,
    analysis: Float32[np.ndarray, "field lat lon"],
) -> Mapping[str, np.ndarray]:
    """The ratio of each statistic of the forecast, (lead, field), to its limit."""
    numbers, limits = _numbers(forecast, leads, trained, when, analysis), _limits(trained, when, analysis)
    return {kind: numbers[kind] / limits[kind] for kind in numbers}


def plausible_steps(
    forecast: Float32[np.ndarray, "lead field lat lon"],
    leads: np.ndarray,
    trained: TrainedModel,
    when: np.datetime64,
    analysis: Float32[np.ndarray, "field lat lon"],
) -> int:
    """The number of leads before the first implausible one."""
    return _steps_within(excess(forecast, leads, trained, when, analysis))


def _steps_within(ratios: Mapping[str, np.ndarray]) -> int:
    """The number of leads before the first with a ratio, (lead, field), above 1."""
    beyond = np.any([ratio.max(axis=1) > 1 for ratio in ratios.values()], axis=0)
    return int(beyond.argmax()) if beyond.any() else len(beyond)


def _numbers(
    forecast: np.ndarray, leads: np.ndarray, trained: TrainedModel, when: np.datetime64, analysis: np.ndarray
) -> Mapping[str, np.ndarray]:
    """Each statistic, (lead, field); for the area mean, its change since the analysis."""
    departure, grid = _without_boundary(trained, forecast - trained.climatology.at(_instant(when) + duration(leads)))
    statistics = dict(field_statistics(departure, grid))
    statistics["area_mean"] = np.abs(area_mean(departure, grid) - area_mean(_departure(trained, when, analysis), grid))
    return statistics


def _limits(trained: TrainedModel, when: np.datetime64, analysis: np.ndarray) -> Mapping[str, np.ndarray]:
    """The limit of each statistic, (field,)."""
    climatology = trained.climatology
    own = field_statistics(_departure(trained, when, analysis), _without_boundary(trained, analysis)[1])
    limits = {
        kind: LARGEST_RATIO[kind] * np.maximum(largest, own[kind])
        for kind, largest in zip(STATISTICS, climatology.largest, strict=True)
    }
    tiny = 1e-3 * trained.normalisation.std  # rounding errors of a constant statistic must pass
    limits = {kind: np.maximum(most, tiny) for kind, most in limits.items()}
    table = trained.config.variable_table()
    is_mass = np.array([describe(name, table).standard_name in _MASS for name in trained.names])
    least = np.where(is_mass, _LEAST_MOVE_OF_MASS, _LEAST_MOVE) * trained.normalisation.std
    moves = np.maximum(LARGEST_MOVE * climatology.mean_range, least)
    return limits | {"area_mean": moves}


def _departure(trained: TrainedModel, when: np.datetime64, analysis: np.ndarray) -> np.ndarray:
    return _without_boundary(trained, analysis - trained.climatology.at(np.array([_instant(when)]))[0])[0]


def _without_boundary(trained: TrainedModel, fields: np.ndarray) -> tuple[np.ndarray, Grid]:
    """Fields and grid without the lateral boundary cells, whose values are prescribed."""
    width, grid = trained.config.model.boundary_width or 0, trained.grid
    if not width:
        return fields, grid
    part = slice(width, -width)
    return fields[..., part, part], Grid(grid.latitude[part], grid.longitude[part])


def _instant(when: np.datetime64) -> np.datetime64:
    return when.astype("datetime64[ns]")
