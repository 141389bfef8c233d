"""The budget of a forecast: the contribution of each named part of the model to the tendency of each field.

    (X(t + dt) - X(t)) / dt = advection_by_physical_wind + advection_by_learned_wind + planetary_vorticity + diffusion
                              + polar_structure + equation_error + network + climate + boundary + polar_mean + residual

The settings decide which parts a model has. The first four are terms of the equations (`physics.terms`), integrated
along with the fields and scaled by the gate. Where vorticity is transported, they are its effects on the wind and the
geopotential (`model.transported_fields`). `equation_error` is what they missed in the step before
(`model.equation_error`). `network` is the source. `climate` and `boundary` are the corrections towards
climatology and at the lateral boundary. `polar_structure` is the transport of what the cells of a polar group hold
beside its mean (`physics.polar_structure`). `polar_mean` is the change of a conserved field by averaging over groups of
narrow cells near the poles, before its transport. The residual is the difference between the change of the forecast and
the sum of the parts. It is reported separately.

Two notes on interpretation. The effect of the network on the gate of an equation belongs to that equation. The part of
one wind is computed from its flux, with face values upwind of the total wind; it differs from the effect of this wind
alone. With `wind_time = "midpoint"`, the physical wind includes half a step of the learned wind.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from flax import nnx

from pinnwx.constants import SECONDS_PER_HOUR
from pinnwx.data.archive import Archive
from pinnwx.data.calendar import duration
from pinnwx.explaining.reading import RESIDUAL, TENDENCY, TOTAL
from pinnwx.forecasting.cf import forecast_dataset
from pinnwx.forecasting.predictor import Predictor, whole_steps
from pinnwx.forecasting.stability import require_bounded
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.model.step_context import StepContext
from pinnwx.variables import Variable, describe

_UNITS = {"wind": "m s-1", "diffusivity": "m2 s-1", "gate": "1", "use": "1"}


def budget(
    trained: TrainedModel,
    archive: Archive,
    when: np.datetime64,
    hours: float,
    *,
    lateral_boundary: Archive | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """The forecast from `when` to `hours`, the tendencies of its fields by part, and the learned fields.

    The variables have the dimensions (time, latitude, longitude); `time` is the end of a step, `time_bnds` both ends:

        <field>                     the forecast at the end of the step
        <field>_tendency_<part>     mean over the step [units of the field per second]
        <field>_tendency_total      total tendency; the sum of the parts and of `<field>_tendency_residual`
        <field>_gate, <field>_learned_eastward_wind, ..._northward_wind, <field>_diffusivity
                                    of the equation of that field, if it has one, at the start of the step
        expert_<number>_use         fraction of the blocks of a mixture of experts that use this expert

    Raises:
        UsageError: the hours are not a multiple of the step of the model.
        UnavailableError: the archive lacks an input analysis of the forecast.
        StabilityError: the forecast is unstable.
    """
    step = trained.config.model.step_hours
    leads = [step * number for number in range(1, whole_steps("lead", hours, step) + 1)]
    predictor, starts = Predictor(trained, leads), np.array([when])
    boundary = predictor.lateral_boundary(archive if lateral_boundary is None else lateral_boundary, starts)
    boundary_steps = None if boundary is None else jnp.asarray(np.moveaxis(boundary, 0, 1))
    graph, state = nnx.split(trained.model)
    analyses, times = jnp.asarray(predictor.analyses(archive, starts)), predictor.times(starts)
    forecast, change, parts, learned = jax.tree.map(
        np.asarray, _explained(graph, state, analyses, times, boundary_steps)
    )
    require_bounded(forecast[:, 0], leads, trained, when, archive, lateral_boundary)
    seconds = step * SECONDS_PER_HOUR
    known = trained.config.variable_table()
    variables: dict[str, Variable] = {}  # in addition to the fields
    values = list(np.moveaxis(forecast[:, 0], 1, 0))

    def add(variable: Variable, array: np.ndarray) -> None:
        variables[variable.name] = variable
        values.append(array)

    sums = sum(parts.values())
    for place, name in enumerate(trained.names):
        field = describe(name, known)
        tendencies = {part: values_of[:, 0, place] for part, values_of in parts.items()}
        tendencies |= {TOTAL: change[:, 0, place], RESIDUAL: (change - sums)[:, 0, place]}
        for part, tendency in tendencies.items():
            add(_tendency(field, part), tendency / seconds)
    for name, array in learned.items():
        add(_learned(name), array[:, 0])
    dataset = forecast_dataset(
        np.stack(values, axis=1), [*trained.names, *variables], trained.grid, when, leads,
        provenance={"title": "Budget of a forecast", **(provenance or {})}, variables={**known, **variables},
    )  # fmt: skip
    return _with_bounds(dataset, step)


def _tendency(field: Variable, part: str) -> Variable:
    long_name = f"{field.long_name}: tendency, {part.replace('_', ' ')}"
    return _described(f"{field.name}{TENDENCY}{part}", long_name, f"{field.units} s-1", field.diverging)


def _learned(name: str) -> Variable:
    return _described(name, name.replace("_", " "), _UNITS[name.rpartition("_")[2]], "wind" in name)


def _described(name: str, long_name: str, units: str, diverging: bool) -> Variable:
    return Variable(name, "", long_name, units, -np.inf, np.inf, diverging=diverging)


def _with_bounds(dataset: xr.Dataset, step_hours: float) -> xr.Dataset:
    """Adds the two ends of each step, and marks tendencies as means over the step."""
    end = dataset["time"].values
    bounds = np.stack([end - duration(np.array([step_hours])), end], axis=1)
    dataset = dataset.assign_coords(time_bnds=(("time", "bnds"), bounds))
    dataset["time"].attrs["bounds"] = "time_bnds"
    for name, values in dataset.data_vars.items():
        if TENDENCY in str(name):
            values.attrs["cell_methods"] = "time: mean"
    return dataset


@partial(jax.jit, static_argnums=0)
def _explained(graph, state, analyses, times, boundary_steps):
    """For every step: the fields at its end, their change, the contribution of each part, and the learned fields."""
    model = nnx.merge(graph, state)

    def step(state, inputs):
        (carry, before), (time, boundary) = state, inputs
        context = StepContext(time, lateral_boundary=boundary)
        explained = model.explain(carry, context)
        parts, after = dict(explained.terms), model.to_fields(explained.carry, context)
        if "network" in parts:  # a `second_order` model also reads out the fields by a network, at the time of the step
            parts["network"] += model.to_fields(carry, context) - before
        return (explained.carry, after), (after, after - before, parts, dict(explained.learned))

    start = model.start(analyses, StepContext(times.select(0)))
    return jax.lax.scan(step, (start, analyses[:, -1]), (times, boundary_steps))[1]
