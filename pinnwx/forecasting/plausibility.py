"""Whether a forecast can be weather: judged by numbers of its fields that the training time bounds.

A model that was spoilt, or trained badly, need not blow up: it may go on with stripes of two cells, with fronts that no
grid holds, or with an atmosphere that gains mass. Each number of `data.field_statistics` may be up to `LARGEST_RATIO`
times the largest of the training time, or of the analysis that the forecast starts from, if that is larger: so a
season or a storm that the training time did not hold is let pass. The area mean may move by up to `LARGEST_MOVE` times
the range that it has in the training time, and in any case by half the field's standard deviation, as that of a model
which is promoted may in thirty days. Pressure at the ground is the mass of the atmosphere, which hardly changes: a
quarter.

The ratios leave room for weather. Analyses that a climatology of two months or more has not seen reach 1.1 (departure,
noise) and 1.4 (largest noise), those of ten days after an analysis 1.4 and 2.2 where the training time is one month.
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
    "departure": "departs from climatology by {value} (root of the area mean of squares)",
    "zonal_noise": "has noise of {value} from cell to cell along its rows",
    "meridional_noise": "has noise of {value} from cell to cell along its columns",
    "largest_zonal_noise": "has a place with noise of {value} from cell to cell along its rows",
    "largest_meridional_noise": "has a place with noise of {value} from cell to cell along its columns",
    "gradient": "has a place where it changes by {value} from cell to cell",
    "area_mean": "has an area mean that moved by {value}",
}


def implausibilities(
    forecast: Float32[np.ndarray, "lead field lat lon"],
    lead_hours: Sequence[float],
    trained: TrainedModel,
    when: np.datetime64,
    analysis: Float32[np.ndarray, "field lat lon"],
) -> Iterator[str]:
    """What no weather would do, one sentence for each field that does it first; nothing for a good forecast.

    `analysis` is the one that the forecast starts from, at `when`. The forecast is finite.
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
    """Each number of the forecast, (lead, field), over its limit."""
    numbers, limits = _numbers(forecast, leads, trained, when, analysis), _limits(trained, when, analysis)
    return {kind: numbers[kind] / limits[kind] for kind in numbers}


def plausible_steps(
    forecast: Float32[np.ndarray, "lead field lat lon"],
    leads: np.ndarray,
    trained: TrainedModel,
    when: np.datetime64,
    analysis: Float32[np.ndarray, "field lat lon"],
) -> int:
    """How many of its leads come before the first that no weather would make."""
    return _steps_within(excess(forecast, leads, trained, when, analysis))


def _steps_within(ratios: Mapping[str, np.ndarray]) -> int:
    """How many leads come before the first with a number, (lead, field), over its limit."""
    beyond = np.any([ratio.max(axis=1) > 1 for ratio in ratios.values()], axis=0)
    return int(beyond.argmax()) if beyond.any() else len(beyond)


def _numbers(
    forecast: np.ndarray, leads: np.ndarray, trained: TrainedModel, when: np.datetime64, analysis: np.ndarray
) -> Mapping[str, np.ndarray]:
    """(lead, field) of each number; of the area mean, how far it has moved from that of the analysis."""
    departure, grid = _judged(trained, forecast - trained.climatology.at(_instant(when) + duration(leads)))
    statistics = dict(field_statistics(departure, grid))
    statistics["area_mean"] = np.abs(area_mean(departure, grid) - area_mean(_departure(trained, when, analysis), grid))
    return statistics


def _limits(trained: TrainedModel, when: np.datetime64, analysis: np.ndarray) -> Mapping[str, np.ndarray]:
    """(field,) of each number."""
    climatology = trained.climatology
    own = field_statistics(_departure(trained, when, analysis), _judged(trained, analysis)[1])
    limits = {
        kind: LARGEST_RATIO[kind] * np.maximum(largest, own[kind])
        for kind, largest in zip(STATISTICS, climatology.largest, strict=True)
    }
    tiny = 1e-3 * trained.normalisation.std  # a number that never moved must not refuse rounding
    limits = {kind: np.maximum(most, tiny) for kind, most in limits.items()}
    table = trained.config.variable_table()
    is_mass = np.array([describe(name, table).standard_name in _MASS for name in trained.names])
    least = np.where(is_mass, _LEAST_MOVE_OF_MASS, _LEAST_MOVE) * trained.normalisation.std
    moves = np.maximum(LARGEST_MOVE * climatology.mean_range, least)
    return limits | {"area_mean": moves}


def _departure(trained: TrainedModel, when: np.datetime64, analysis: np.ndarray) -> np.ndarray:
    return _judged(trained, analysis - trained.climatology.at(np.array([_instant(when)]))[0])[0]


def _judged(trained: TrainedModel, fields: np.ndarray) -> tuple[np.ndarray, Grid]:
    """Fields and grid without the outer cells that the model is given from outside, for those are not its own."""
    width, grid = trained.config.model.boundary_width or 0, trained.grid
    if not width:
        return fields, grid
    part = slice(width, -width)
    return fields[..., part, part], Grid(grid.latitude[part], grid.longitude[part])


def _instant(when: np.datetime64) -> np.datetime64:
    return when.astype("datetime64[ns]")
