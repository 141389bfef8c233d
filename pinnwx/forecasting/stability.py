"""Checks whether a forecast may be issued: it is stable and plausible.

A field is unstable if a value is not finite, or departs from climatology by more than four times the largest departure
of the training time on the whole grid. Neither weather nor a forecast without skill does so. The message names the
time, the place and the responsible part of the model. A stable forecast may still be noise; `forecasting.plausibility`
checks that.
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
from pinnwx.model.step_context import StepContext
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
    """Refuses a forecast from `when` that is unstable or implausible.

    `archive` holds the initial analysis. With `blame`, the message also gives the contribution of each part of the
    model at the place, in the unstable step; this needs the input analyses and boundary fields of the forecast.

    Raises:
        StabilityError: the message names the step, the field, the place, the value and the limit.
    """
    require_bounded(forecast, lead_hours, trained, when, archive if blame else None, lateral_boundary)
    analysis = archive.fields[int(np.searchsorted(archive.times, when))]
    if odd := list(implausibilities(forecast, lead_hours, trained, when, analysis)):
        raise StabilityError(
            f"the forecast is implausible: {'; '.join(odd)}. Nothing was written; go back to an earlier version "
            "(pinnwx models rollback), train again, or check the analysis"
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
    """Refuses an unstable forecast; with an `archive`, the message gives the contribution of each part of the model.

    Raises:
        StabilityError: as `require_stable`.
    """
    hours = np.asarray(lead_hours, np.float64)
    usual, limit, beyond = _beyond(forecast, hours, trained, when)
    if not beyond.any():
        return
    # The worst place of the first unstable step: a value that is not finite, or the largest excess.
    lead = int(beyond.any(axis=(1, 2, 3)).argmax())
    after, ordinary = forecast[lead], usual[lead]
    excess = np.where(np.isfinite(after), np.abs(after - ordinary) / limit, np.inf)
    field, row, column = place = tuple(map(int, np.unravel_index(int(excess.argmax()), excess.shape)))
    units = describe(trained.names[field], trained.config.variable_table()).units
    step = round(hours[lead] / trained.config.model.step_hours)
    fault = f"reaches {after[place]:.4g} {units}" if np.isfinite(after[place]) else "is not finite"
    blame = ""
    if archive is not None:
        parts = parts_of_step(trained, archive, when, step - 1, lateral_boundary)
        blame = f"; {_largest_first(parts, place)}"
    raise StabilityError(
        f"the forecast is unstable: {trained.names[field]} {fault} after {hours[lead]:g} h (step {step}) at "
        f"{trained.grid.latitude[row]:g} N {trained.grid.longitude[column]:g} E, where climatology is "
        f"{ordinary[place]:.4g} and the largest accepted departure {float(limit[field, 0, 0]):.3g}{blame}. Nothing was "
        "written; shorten the forecast, check the analysis, or train with model.climate.bound_margin set"
    )


def is_stable(
    forecast: Float32[np.ndarray, "lead field lat lon"],
    lead_hours: Sequence[float],
    trained: TrainedModel,
    when: np.datetime64,
) -> bool:
    """Whether all leads of a forecast are stable."""
    return stable_steps(forecast, lead_hours, trained, when) == len(forecast)


def stable_steps(
    forecast: Float32[np.ndarray, "lead field lat lon"],
    lead_hours: Sequence[float],
    trained: TrainedModel,
    when: np.datetime64,
) -> int:
    """The number of leads before the first unstable one."""
    beyond = _beyond(forecast, np.asarray(lead_hours, np.float64), trained, when)[-1].any(axis=(1, 2, 3))
    return int(beyond.argmax()) if beyond.any() else len(forecast)


def _beyond(
    forecast: np.ndarray, hours: np.ndarray, trained: TrainedModel, when: np.datetime64
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(climatology, the largest accepted departure from it, where the forecast exceeds it)."""
    usual = trained.climatology.at(when.astype("datetime64[ns]") + duration(hours))
    limit = (
        _BEYOND
        * np.maximum(-trained.climatology.minimum, trained.climatology.maximum).max(axis=(-2, -1))[:, None, None]
    )
    with np.errstate(invalid="ignore", over="ignore"):
        return usual, limit, ~(np.abs(forecast - usual) <= limit)


def _largest_first(parts: Mapping[str, np.ndarray], place: tuple[int, ...]) -> str:
    """The contributions of the parts at a place, the largest first; NaN is last, as it follows from an infinity."""
    changes = {name: float(part[place]) for name, part in parts.items() if part[place] != 0}
    order = sorted(changes, key=lambda name: (np.isnan(changes[name]), -abs(changes[name])))
    return "in this step " + ", ".join(f"{name.replace('_', ' ')} changed it by {changes[name]:.3g}" for name in order)


def parts_of_step(
    trained: TrainedModel, archive: Archive, when: np.datetime64, step: int, lateral_boundary: Archive | None = None
) -> Mapping[str, Float32[np.ndarray, "field lat lon"]]:
    """The contribution of each part of the model to the fields in a step (from 0) of the forecast from `when`."""
    step_hours = trained.config.model.step_hours
    predictor, starts = Predictor(trained, [step_hours * (step + 1)]), np.array([when])
    boundary = predictor.lateral_boundary(archive if lateral_boundary is None else lateral_boundary, starts)
    times = predictor.times(starts)
    graph, state = nnx.split(trained.model)
    contexts = [
        StepContext(times.select(number), None, None if boundary is None else jnp.asarray(boundary[:, number]))
        for number in range(step + 1)
    ]
    carry = _start(graph, state, predictor.analyses(archive, starts), contexts[0])
    for context in contexts[:-1]:
        carry = _advance(graph, state, carry, context)
    parts = _terms(graph, state, carry, contexts[-1])
    return {name: np.asarray(part[0]) for name, part in parts.items()}


@partial(jax.jit, static_argnums=0)
def _start(graph, state, analyses, context):
    return nnx.merge(graph, state).start(analyses, context)


@partial(jax.jit, static_argnums=0)
def _advance(graph, state, carry, context):
    return nnx.merge(graph, state).advance(carry, context)


@partial(jax.jit, static_argnums=0)
def _terms(graph, state, carry, context):
    return nnx.merge(graph, state).explain(carry, context).terms
