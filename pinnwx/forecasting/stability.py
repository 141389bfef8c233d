"""Whether a forecast may be given out: it has not blown up, and it can be weather.

A field has blown up where it is not finite, or departs from climatology by more than four times the largest departure
that the training time holds anywhere. Weather does not do that, nor does a forecast that has merely lost its skill;
the message says when and where it happened, and which part of the model did it. What has not blown up may still be
noise: `forecasting.plausibility`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float32

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import duration
from pinnwx.errors import StabilityError
from pinnwx.forecasting.plausibility import implausibilities
from pinnwx.forecasting.predictor import ForecastPredictor, Predictor
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.variables import describe

_BEYOND = 4.0


def require_stable(
    forecast: Float32[np.ndarray, "lead field lat lon"],
    lead_hours: Sequence[float],
    trained: TrainedModel,
    when: np.datetime64,
    archive: Archive,
    lateral_boundary: Archive | None = None,
    *,
    blame: bool = True,
) -> None:
    """Refuses a forecast from `when` that has blown up, or that no weather would make.

    `archive` holds the analysis that it started from. With `blame` the message also says what each part of the model
    did at the place in the step that blew up; that needs the analyses and the edge values of the very forecast.

    Raises:
        StabilityError: with the step, the field, the place, the value and the limit.
    """
    require_bounded(forecast, lead_hours, trained, when, archive if blame else None, lateral_boundary)
    analysis = archive.fields[int(np.searchsorted(archive.times, when))]
    if odd := list(implausibilities(forecast, lead_hours, trained, when, analysis)):
        raise StabilityError(
            f"the forecast is no weather: {'; '.join(odd)}. Nothing was written; go back to an earlier version (pinnwx "
            "models rollback), train again, or check the analysis"
        )


def require_stable_forecast(
    predictor: ForecastPredictor,
    fields: Float32[np.ndarray, "*member lead field lat lon"],
    when: np.datetime64,
    archive: Archive,
    lateral_boundary: Archive | None = None,
) -> None:
    """`require_stable` of a forecast, or of each member of an ensemble.

    Raises:
        StabilityError: as `require_stable`.
    """
    for member in fields.reshape(-1, *fields.shape[-4:]):
        require_stable(
            member,
            predictor.lead_hours,
            predictor.trained,
            when,
            archive,
            lateral_boundary,
            blame=predictor.size is None,
        )


def require_bounded(
    forecast: Float32[np.ndarray, "lead field lat lon"],
    lead_hours: Sequence[float],
    trained: TrainedModel,
    when: np.datetime64,
    archive: Archive | None = None,
    lateral_boundary: Archive | None = None,
) -> None:
    """Refuses a forecast that has blown up, as `require_stable`; with an `archive` the message says what did it.

    Raises:
        StabilityError: as `require_stable`.
    """
    hours = np.asarray(lead_hours, np.float64)
    usual, limit, beyond = _beyond(forecast, hours, trained, when)
    if not beyond.any():
        return
    # Of the first step, the worst place: a value that is not finite, or the largest excess.
    lead = int(beyond.any(axis=(1, 2, 3)).argmax())
    after, usually = forecast[lead], usual[lead]
    excess = np.where(np.isfinite(after), np.abs(after - usually) / limit, np.inf)
    field, row, column = place = tuple(map(int, np.unravel_index(int(excess.argmax()), excess.shape)))
    units = describe(trained.names[field], trained.config.variable_table()).units
    step = round(hours[lead] / trained.config.model.step_hours)
    what = f"reaches {after[place]:.4g} {units}" if np.isfinite(after[place]) else "is not finite"
    blame = ""
    if archive is not None:
        parts = parts_of_step(trained, archive, when, step - 1, lateral_boundary)
        blame = f"; {_largest_first(parts, place)}"
    raise StabilityError(
        f"the forecast blew up: {trained.names[field]} {what} after {hours[lead]:g} h (step {step}) at "
        f"{trained.grid.latitude[row]:g} N {trained.grid.longitude[column]:g} E, where it is usually "
        f"{usually[place]:.4g} and up to {float(limit[field, 0, 0]):.3g} off is let pass{blame}. Nothing was written; "
        "shorten the forecast, check the analysis, or train with model.climate.bound_margin set"
    )


def is_stable(
    forecast: Float32[np.ndarray, "lead field lat lon"],
    lead_hours: Sequence[float],
    trained: TrainedModel,
    when: np.datetime64,
) -> bool:
    """Whether it has not blown up."""
    return stable_steps(forecast, lead_hours, trained, when) == len(forecast)


def stable_steps(
    forecast: Float32[np.ndarray, "lead field lat lon"],
    lead_hours: Sequence[float],
    trained: TrainedModel,
    when: np.datetime64,
) -> int:
    """How many of its leads come before the first that has blown up."""
    beyond = _beyond(forecast, np.asarray(lead_hours, np.float64), trained, when)[-1].any(axis=(1, 2, 3))
    return int(beyond.argmax()) if beyond.any() else len(forecast)


def _beyond(
    forecast: np.ndarray, hours: np.ndarray, trained: TrainedModel, when: np.datetime64
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is usual, how far from it is let pass, and where the forecast is farther."""
    usual = trained.climatology.at(when.astype("datetime64[ns]") + duration(hours))
    limit = (
        _BEYOND
        * np.maximum(-trained.climatology.minimum, trained.climatology.maximum).max(axis=(-2, -1))[:, None, None]
    )
    with np.errstate(invalid="ignore", over="ignore"):
        return usual, limit, ~(np.abs(forecast - usual) <= limit)


def _largest_first(parts: Mapping[str, np.ndarray], place: tuple[int, ...]) -> str:
    """What each part did at a place, the one that grew most first; NaN is what came of another's infinity."""
    changes = {name: float(part[place]) for name, part in parts.items() if part[place] != 0}
    order = sorted(changes, key=lambda name: (np.isnan(changes[name]), -abs(changes[name])))
    return "in this step " + ", ".join(f"{name.replace('_', ' ')} changed it by {changes[name]:.3g}" for name in order)


def parts_of_step(
    trained: TrainedModel, archive: Archive, when: np.datetime64, step: int, lateral_boundary: Archive | None = None
) -> Mapping[str, Float32[np.ndarray, "field lat lon"]]:
    """What each part of the model adds to the fields in a step (counted from 0) of the forecast from `when`."""
    step_hours = trained.config.model.step_hours
    predictor, starts = Predictor(trained, [step_hours * (step + 1)]), np.array([when])
    boundary = predictor.lateral_boundary(archive if lateral_boundary is None else lateral_boundary, starts)
    times = jnp.asarray(predictor.times(starts))
    graph, state = nnx.split(trained.model)
    carry = nnx.merge(graph, state).start(jnp.asarray(predictor.analyses(archive, starts)), times[0])
    for number in range(step):
        carry = _advance(
            graph, state, carry, times[number], None if boundary is None else jnp.asarray(boundary[:, number])
        )
    parts = trained.model.tendency_terms(
        carry, times[step], None, None if boundary is None else jnp.asarray(boundary[:, step])
    )
    return {name: np.asarray(part[0]) for name, part in parts.items()}


@partial(jax.jit, static_argnums=0)
def _advance(graph, state, carry, time, boundary):
    return nnx.merge(graph, state).advance(carry, time, None, boundary)
