"""One optimiser update as one compiled function; the archive is on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from pinnwx.config import TrainingSettings
from pinnwx.data.archive import Archive
from pinnwx.grid import Grid
from pinnwx.model.interface import Forecaster
from pinnwx.model.rollout import rollout
from pinnwx.model.scores import amplitude_adjusted_error, weighted_square_error
from pinnwx.model.views import View
from pinnwx.runtime import compiler_options
from pinnwx.time_features import TimeFeatures
from pinnwx.training.devices import Devices
from pinnwx.training.optimiser import optimiser
from pinnwx.training.perturbation import perturbed
from pinnwx.training.schedule import learning_rate


class TrainingState(NamedTuple):
    """All that an interrupted training needs to be resumed bit for bit."""

    parameters: Any
    average: Any
    optimiser: Any
    update: Int[Array, ""]
    skipped: Int[Array, ""]


class Source(NamedTuple):
    """The training archive on the device: fields and, for the step that begins at each time, its time features."""

    fields: Float[Array, "time field lat lon"]
    time: TimeFeatures


def device_archive(archive: Archive, step_hours: float) -> Source:
    """The archive on the device; each time has the time features of the middle of the step that begins there."""
    return device_archives([archive], step_hours)


def device_archives(archives: Sequence[Archive], step_hours: float) -> Source:
    """As `device_archive`, of several archives end to end."""
    middles = [archive.times + np.timedelta64(round(step_hours * 1800), "s") for archive in archives]
    fields = archives[0].fields if len(archives) == 1 else np.concatenate([archive.fields for archive in archives])
    return Source(jnp.asarray(fields), jax.tree.map(jnp.asarray, TimeFeatures.of(np.concatenate(middles))))


class UpdateMetrics(NamedTuple):
    """The metrics of one update."""

    loss: Float[Array, ""]
    learning_rate: Float[Array, ""]
    gradient_norm: Float[Array, ""]


def initial_state(model: Forecaster, settings: TrainingSettings) -> TrainingState:
    """The state before the first update."""
    parameters = nnx.state(model, nnx.Param)
    counts = (jnp.zeros((), jnp.int32) for _ in range(2))  # two arrays, because the state is donated
    first = jax.jit(optimiser(settings).init)(parameters)  # compiled once, not for every shape
    return TrainingState(parameters, copied(parameters), first, *counts)


@jax.jit
def copied(tree: Any) -> Any:
    """A copy of the arrays of a tree; an update takes over the memory of its state."""
    return jax.tree.map(jnp.copy, tree)


ErrorMeasure = Callable[[Array, Array], Float[Array, "steps batch field"]]


def error_measure(model: Forecaster, grid: Grid, scale: np.ndarray, kind: str = "square") -> ErrorMeasure:
    """The error of forecasts and truth, (steps, batch, field, lat, lon), by `training.loss`; in units of `scale`."""
    unit = jnp.asarray(scale, jnp.float32)
    if kind == "square":
        area = jnp.asarray(grid.area_weights, jnp.float32)
        return lambda forecasts, truth: weighted_square_error(forecasts, truth, unit, area)
    centre = model.inputs.mean[...]
    return lambda forecasts, truth: amplitude_adjusted_error(forecasts, truth, unit, centre, grid)


def rollout_loss(
    model: Any,
    windows: Int[Array, "batch times"],
    source: Source,
    error: ErrorMeasure,
    view: View | None = None,
    perturb: Callable[[Array], Array] = lambda batch: batch,
) -> Float[Array, ""]:
    """Mean over steps and fields of an error.

    The error of a step is divided by its number, because errors of a rollout grow about as fast; so a long rollout
    does not neglect its first step. The truth is the lateral boundary condition of a regional model. `perturb` may
    change the fields of the windows, (batch, times, field, lat, lon).
    """
    batch, inputs = perturb(source.fields[windows]), model.input_times
    times = source.time.select(windows[:, inputs - 1 : -1].T)
    truth = jnp.moveaxis(batch[:, inputs:], 1, 0)
    forecasts = rollout(model, batch[:, :inputs], times, view, truth if model.has_lateral_boundary else None)
    errors = error(forecasts, truth).mean(axis=(1, 2))
    weights = 1.0 / jnp.arange(1, errors.shape[0] + 1)
    return jnp.sum(weights * errors) / jnp.sum(weights)


def make_loss(
    model: Forecaster, grid: Grid, scale: np.ndarray
) -> Callable[[Any, Int[Array, "batch times"], Source], Float[Array, ""]]:
    """The jitted `loss(parameters, windows, source)`: the `rollout_loss` of the model with these weights."""
    return jax.jit(_loss_of(model, grid, scale), compiler_options=compiler_options())


def make_gradient(
    model: Forecaster, grid: Grid, scale: np.ndarray
) -> Callable[[Any, Int[Array, "batch times"], Source], tuple[Float[Array, ""], Any]]:
    """As `make_loss`, with the gradient of the loss by the parameters."""
    return jax.jit(jax.value_and_grad(_loss_of(model, grid, scale)), compiler_options=compiler_options())


def _loss_of(model: Forecaster, grid: Grid, scale: np.ndarray) -> Callable[..., Float[Array, ""]]:
    graph, _, fixed = nnx.split(model, nnx.Param, ...)
    error = error_measure(model, grid, scale)

    def loss(parameters, windows, source):
        return rollout_loss(nnx.merge(graph, parameters, fixed), windows, source, error)

    return loss


def make_update(
    model: Forecaster,
    grid: Grid,
    scale: np.ndarray,
    settings: TrainingSettings,
    devices: Devices | None = None,
    step_hours: float = 6.0,
) -> Callable[[TrainingState, Int[Array, "batch times"], Source, Any], tuple[TrainingState, UpdateMetrics]]:
    """The jitted `update(state, windows, source, total)`: one optimiser update on one batch of windows.

    `windows` are indices into the archive, one row of input times + steps for each member of the batch.

    `total` is the planned number of updates; it is an argument, so that a new plan does not recompile. An update whose
    loss or gradient is not finite is skipped: it changes the counts of updates and of skipped updates, nothing else.
    Each update uses the next of the model's views. `devices` share the batch, by default all devices. The
    perturbations depend on `step_hours`, the step of the model.
    """
    graph, _, fixed = nnx.split(model, nnx.Param, ...)
    optimise = optimiser(settings)
    error = error_measure(model, grid, scale, settings.loss)
    unit = jnp.asarray(scale, jnp.float32)

    def loss_of(parameters, windows, source, view, number):
        def perturb(batch):
            if not settings.perturbation_scale:
                return batch
            size = settings.perturbation_scale * unit
            return perturbed(batch, windows[:, 0], number, model.input_times, size, grid, step_hours)

        return rollout_loss(nnx.merge(graph, parameters, fixed), windows, source, error, view, perturb)

    loss_and_gradient = (devices or Devices()).mean_over_shares(jax.value_and_grad(loss_of))

    def one(state: TrainingState, windows, source, total):
        loss, gradient = loss_and_gradient(state.parameters, windows, source, model.views[state.update], state.update)
        norm = optax.global_norm(gradient)
        rate = learning_rate((state.update + 1) / total, settings.learning_rate, settings.warmup_fraction)
        direction, optimiser_state = optimise.update(gradient, state.optimiser, state.parameters)
        parameters = jax.tree.map(lambda p, d: p - rate * d, state.parameters, direction)
        # The decay is smaller at first, so that the average soon loses the random first weights.
        decay = jnp.minimum(settings.ema_decay, (1.0 + state.update) / (10.0 + state.update))
        average = jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, state.average, parameters)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        updated = TrainingState(parameters, average, optimiser_state, state.update, state.skipped)
        selected = jax.tree.map(lambda new, old: jnp.where(finite, new, old), updated, state)
        selected = selected._replace(update=state.update + 1, skipped=state.skipped + jnp.where(finite, 0, 1))
        return selected, UpdateMetrics(loss, rate, norm)

    return jax.jit(one, donate_argnums=0, compiler_options=compiler_options())
