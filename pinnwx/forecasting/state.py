"""Forecasts as differentiable functions from an initial state to the fields of all steps.

    X(t0 + dt), X(t0 + 2 dt), ... = M(X(t0))

M is the whole model (the equation, its closure and the winds) over any number of steps. `jax.grad` of a function of M
runs its adjoint, `jax.jvp` its tangent-linear model. Both are exact derivatives of the compiled code, and the tests
compare them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Shaped

from pinnwx.data.calendar import format_time, parse_time
from pinnwx.data.inputs import Data
from pinnwx.errors import UsageError
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.predictor import require_times
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.model.rollout import rollout
from pinnwx.time_features import TimeFeatures


@partial(jax.tree_util.register_dataclass, data_fields=["fields"], meta_fields=["time", "names"])
@dataclass(frozen=True, eq=False)
class State:
    """The initial state of a forecast, as a pytree with the single leaf `fields`.

    Attributes:
        fields: the input analyses of the model, (input, field, lat, lon), in SI units, one step apart; the last is the
            latest.
        time: the time of the latest analysis, UTC.
        names: the names of the fields, in their order.
    """

    fields: Float[Array, "input field lat lon"]
    time: np.datetime64
    names: tuple[str, ...]


@partial(jax.tree_util.register_dataclass, data_fields=["fields"], meta_fields=["time", "step_hours", "names"])
@dataclass(frozen=True, eq=False)
class Trajectory:
    """The steps of a forecast, as a pytree with the single leaf `fields`.

    Attributes:
        fields: the forecast, (step, field, lat, lon), in SI units; the first is one step after `time`.
        time: the initial time, UTC.
        step_hours: the time step [h].
        names: the names of the fields, in their order.
    """

    fields: Float[Array, "step field lat lon"]
    time: np.datetime64
    step_hours: float
    names: tuple[str, ...]

    @property
    def times(self) -> Shaped[np.ndarray, " step"]:
        """The valid time of each step."""
        return self.time + _duration(self.step_hours) * np.arange(1, len(self.fields) + 1)


def state_of(trained: TrainedModel, data: Data, time: str | np.datetime64) -> State:
    """The state at a time, from files, a dataset or an archive.

    Raises:
        UnavailableError: the data lack an analysis that the model needs; the message names it.
    """
    when = (parse_time(time) if isinstance(time, str) else np.datetime64(time)).astype("datetime64[ns]")
    settings = trained.config.model
    needed = when + _duration(settings.step_hours) * np.arange(1 - settings.input_times, 1)
    archive = matching_archive(trained, data)
    return State(jnp.asarray(archive.fields[require_times(archive.times, needed)]), when, trained.names)


def roll_out(
    trained: TrainedModel,
    state: State,
    steps: int,
    lateral_boundary: Float[Array, "step field lat lon"] | None = None,
    *,
    remember: bool = True,
) -> Trajectory:
    """The forecast from a state; it is compiled once for each number of steps, and differentiable in all its arrays.

    With `remember=False`, the backward pass recomputes each step instead of storing its intermediate values. This takes
    longer, and the memory no longer grows with the network.

    Raises:
        UsageError: `steps` is less than 1, the state is not of this model, or `lateral_boundary` (the fields at the end
            of every step) is missing for a model with a lateral boundary (`model.boundary_width`).
    """
    settings, form = trained.config.model, (len(trained.names), *trained.grid.shape)
    if steps < 1:
        raise UsageError(f"steps is {steps}; give at least 1, which is {settings.step_hours:g} h")
    expected = (settings.input_times, *form)
    if state.fields.shape != expected:
        raise UsageError(
            f"the state at {format_time(state.time)} is {state.fields.shape}, not {expected} (input, field, lat, lon); "
            "make one with this model's state(data, time)"
        )
    if trained.model.has_lateral_boundary != (lateral_boundary is not None):
        use = "needs" if lateral_boundary is None else "has no"
        raise UsageError(f"this model {use} lateral boundary fields; see model.boundary_width")
    if lateral_boundary is not None:
        if lateral_boundary.shape != (steps, *form):
            raise UsageError(f"the lateral boundary is {lateral_boundary.shape}, not {(steps, *form)}")
        lateral_boundary = jnp.asarray(lateral_boundary)[:, None]
    middles = state.time + _duration(settings.step_hours) * np.arange(steps) + _duration(settings.step_hours / 2)
    features = TimeFeatures.of(middles[:, None])
    graph, weights = nnx.split(trained.model)
    fields = _steps(graph, weights, state.fields[None], features, lateral_boundary, remember=remember)
    return Trajectory(fields[:, 0], state.time, settings.step_hours, trained.names)


@partial(jax.jit, static_argnames=("graph", "remember"))
def _steps(graph, weights, analyses, times, lateral_boundary, *, remember):
    return rollout(nnx.merge(graph, weights), analyses, times, None, lateral_boundary, remember=remember)


def _duration(hours: float) -> np.timedelta64:
    return np.timedelta64(round(3600 * hours), "s")
