"""One optimiser update as one compiled function; the archive is on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from pinnwx.config import TrainingSettings
from pinnwx.data.archive import Archive
from pinnwx.grid import Grid
from pinnwx.model.forecaster import TransportForecaster
from pinnwx.model.interface import Forecaster
from pinnwx.model.noise import MODULATION
from pinnwx.model.rollout import rollout
from pinnwx.model.scores import almost_fair_crps, amplitude_adjusted_error, weighted_square_error
from pinnwx.model.transported_fields import Transported
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
    """The training archive on the device.

    Attributes:
        fields: of each time.
        time: the time features of the step that begins there.
        transported: what transport makes of the fields in that step; None where each update computes it.
    """

    fields: Float[Array, "time field lat lon"]
    time: TimeFeatures
    transported: Transported | None = None


def device_archive(archive: Archive, step_hours: float) -> Source:
    """The archive on the device; each time has the time features of the middle of the step that begins there."""
    return device_archives([archive], step_hours)


def device_archives(archives: Sequence[Archive], step_hours: float) -> Source:
    """As `device_archive`, of several archives end to end."""
    middles = [archive.times + np.timedelta64(round(step_hours * 1800), "s") for archive in archives]
    fields = archives[0].fields if len(archives) == 1 else np.concatenate([archive.fields for archive in archives])
    return Source(jnp.asarray(fields), jax.tree.map(jnp.asarray, TimeFeatures.of(np.concatenate(middles))))


_NOISE = 1  # the seed of its keys, apart from those of perturbations
_TRANSPORTED_AT_ONCE = 32  # analyses; bounds the memory of the solver


def with_transport(source: Source, model: Forecaster) -> Source:
    """The archive with what transport makes of each of its analyses, for updates of one step."""
    assert isinstance(model, TransportForecaster)  # `training.precompute_transport` requires it
    count = len(source.fields)
    transport = jax.jit(model.transport_of)
    parts = []
    for first in range(0, count, _TRANSPORTED_AT_ONCE):
        rows = np.minimum(np.arange(first, first + _TRANSPORTED_AT_ONCE), count - 1)  # one shape, one program
        parts.append(transport(source.fields[rows], source.time.select(rows)))
    return source._replace(transported=jax.tree.map(lambda *each: jnp.concatenate(each)[:count], *parts))


class UpdateMetrics(NamedTuple):
    """The metrics of one update."""

    loss: Float[Array, ""]
    learning_rate: Float[Array, ""]
    gradient_norm: Float[Array, ""]


class Rule(NamedTuple):
    """The settings of training that an update is compiled for."""

    optimiser: str
    learning_rate: float
    weight_decay: float
    clip_norm: float
    ema_decay: float
    warmup_fraction: float
    loss: str
    perturbation_scale: float
    noise_alone: bool

    @classmethod
    def of(cls, settings: TrainingSettings) -> Rule:
        return cls(*(getattr(settings, name) for name in cls._fields))

    def transformation(self) -> optax.GradientTransformation:
        return optimiser(self.optimiser, self.weight_decay, self.clip_norm)


def initial_state(model: Forecaster, settings: TrainingSettings) -> TrainingState:
    """The state before the first update."""
    parameters = nnx.state(model, nnx.Param)
    counts = (jnp.zeros((), jnp.int32) for _ in range(2))  # two arrays, because the state is donated
    return TrainingState(parameters, copied(parameters), _initial_optimiser(Rule.of(settings), parameters), *counts)


@partial(jax.jit, static_argnums=0)  # compiled once, not for every shape
def _initial_optimiser(rule: Rule, parameters: Any) -> Any:
    return rule.transformation().init(parameters)


@jax.jit
def copied(tree: Any) -> Any:
    """A copy of the arrays of a tree; an update takes over the memory of its state."""
    return jax.tree.map(jnp.copy, tree)


ErrorMeasure = Callable[[Array, Array], Float[Array, "steps batch field"]]
Unit = Float[Array | np.ndarray, "field #lat #lon"]


def error_measure(model: Forecaster, grid: Grid, scale: Unit, kind: str = "square") -> ErrorMeasure:
    """The error of forecasts and truth, (steps, batch, field, lat, lon), by `training.loss`; in units of `scale`."""
    unit = jnp.asarray(scale, jnp.float32)
    if kind == "square":
        area = jnp.asarray(grid.area_weights, jnp.float32)
        return lambda forecasts, truth: weighted_square_error(forecasts, truth, unit, area)
    centre = model.inputs.mean[...]
    return lambda forecasts, truth: amplitude_adjusted_error(forecasts, truth, unit, centre, grid)


def ensemble_error(grid: Grid, scale: Unit, members: int) -> ErrorMeasure:
    """The CRPS of ensembles whose members follow one another in the batch; in units of `scale`."""
    unit, area = jnp.asarray(scale, jnp.float32), jnp.asarray(grid.area_weights, jnp.float32)

    def error(forecasts: Array, truth: Array) -> Float[Array, "steps batch field"]:
        steps, _, *form = forecasts.shape
        together = forecasts.reshape(steps, -1, members, *form)
        return almost_fair_crps(together, truth[:, ::members], unit, area)

    return error


def _noise_keys(number: Int[Array, ""], starts: Int[Array, " batch"], members: int) -> Key[Array, " members"]:
    """A key for each member from each window, on however many devices."""
    of_update = jax.random.fold_in(jax.random.key(_NOISE), number)
    keys = jax.vmap(lambda start: jax.random.split(jax.random.fold_in(of_update, start), members))(starts)
    return keys.reshape(-1)


def rollout_loss(
    model: Any,
    windows: Int[Array, "batch times"],
    source: Source,
    error: ErrorMeasure,
    view: View | None = None,
    perturb: Callable[[Array], Array] = lambda batch: batch,
    noise: Key[Array, " batch"] | None = None,
    growth: float = 1.0,
) -> Float[Array, ""]:
    """Mean over steps and fields of an error.

    The error of step n is divided by n^`growth`, because errors of a rollout grow about as fast; so a long rollout does
    not neglect its first step. The truth is the lateral boundary condition of a regional model. `perturb` may
    change the fields of the windows, (batch, times, field, lat, lon). `noise` are the keys of a model with noise.
    """
    batch, inputs = perturb(source.fields[windows]), model.input_times
    times = source.time.select(windows[:, inputs - 1 : -1].T)
    truth = jnp.moveaxis(batch[:, inputs:], 1, 0)
    boundary, transported = truth if model.has_lateral_boundary else None, None
    if source.transported is not None and len(truth) == 1:
        transported = jax.tree.map(lambda values: values[windows[:, :inputs][:, -2:]], source.transported)
    forecasts = rollout(model, batch[:, :inputs], times, view, boundary, transported=transported, noise=noise)
    errors = error(forecasts, truth).mean(axis=(1, 2))
    weights = 1.0 / jnp.arange(1, errors.shape[0] + 1) ** growth
    return jnp.sum(weights * errors) / jnp.sum(weights)


class _StaticOfLoss(NamedTuple):
    """What a loss is compiled for, besides the shapes of arrays; for equal ones it is compiled once.

    The constants of a model, such as its normalisation, are arguments: models of other data share its program.
    """

    graph: Any
    grid: Grid


class _StaticOfUpdate(NamedTuple):
    """The same of an update."""

    graph: Any
    grid: Grid
    devices: Devices
    rule: Rule
    step_hours: float
    members: int = 1


class _Constants(NamedTuple):
    """The arrays of a program that no update changes."""

    fixed: Any
    unit: Unit

    @classmethod
    def split(cls, model: Forecaster, scale: np.ndarray) -> tuple[Any, _Constants]:
        """The graph of a model, and these."""
        graph, _, fixed = nnx.split(model, nnx.Param, ...)
        return graph, cls(fixed, jnp.asarray(scale, jnp.float32))


class CompiledUpdate(NamedTuple):
    """See `make_update`."""

    program: Any
    static: _StaticOfUpdate
    constants: _Constants

    def __call__(
        self,
        state: TrainingState,
        windows: Int[Array, "batch times"],
        source: Source,
        total: Any,
        members: int = 1,
        averaged_from: Any = 0,
    ) -> tuple[TrainingState, UpdateMetrics]:
        return self.program(self._of(members), state, windows, source, self.constants, total, averaged_from)

    def jaxpr(
        self, state: TrainingState, windows: Int[Array, "batch times"], source: Source, total: Any, members: int = 1
    ) -> Any:
        """The operations of a call."""
        return self.program.trace(self._of(members), state, windows, source, self.constants, total, 0).jaxpr

    def _of(self, members: int) -> _StaticOfUpdate:
        return self.static._replace(members=members)


def make_loss(
    model: Forecaster, grid: Grid, scale: np.ndarray, devices: Devices | None = None
) -> Callable[[Any, Int[Array, "batch times"], Source], Float[Array, ""]]:
    """The compiled `loss(parameters, windows, source)`: the `rollout_loss` of the model with these weights.

    `devices` hold the arguments; by default the default device does.
    """
    graph, constants = _Constants.split(model, scale)
    constants = constants if devices is None else devices.on_all(constants)
    program, static = _program(_loss), _StaticOfLoss(graph, grid)
    return lambda parameters, windows, source: program(static, parameters, windows, source, constants)


def make_gradient(
    model: Forecaster, grid: Grid, scale: np.ndarray
) -> Callable[[Any, Int[Array, "batch times"], Source], tuple[Float[Array, ""], Any]]:
    """As `make_loss`, with the gradient of the loss by the parameters."""
    graph, constants = _Constants.split(model, scale)
    program, static = _program(_loss_and_gradient), _StaticOfLoss(graph, grid)
    return lambda parameters, windows, source: program(static, parameters, windows, source, constants)


def make_update(
    model: Forecaster,
    grid: Grid,
    scale: np.ndarray,
    settings: TrainingSettings,
    devices: Devices | None = None,
    step_hours: float = 6.0,
) -> CompiledUpdate:
    """The compiled `update(state, windows, source, total, members, averaged_from)`: one optimiser update on one batch.

    `windows` are indices into the archive, one row of input times + steps for each member of the batch. With `members`
    above 1, the loss is the CRPS of so many members from each window, of a model with noise. With one, the layers of
    the noise stay as they are. With `training.noise_alone`, updates with members change these layers alone; all other
    weights are their running average.

    `total` is the planned number of updates; it is an argument, so that a new plan does not recompile. The running
    average of the weights forgets what was before the update `averaged_from`, where another loss began. An update whose
    loss or gradient is not finite is skipped: it changes the counts of updates and of skipped updates, nothing else.
    Each update uses the next of the model's views. `devices` share the batch, by default all devices. The
    perturbations depend on `step_hours`, the step of the model.
    """
    graph, constants = _Constants.split(model, scale)
    devices = devices or Devices()
    static = _StaticOfUpdate(graph, grid, devices, Rule.of(settings), step_hours)
    program = _program(_update, donated=1)
    constants = devices.on_all(constants)
    return CompiledUpdate(program, static, constants)


@cache
def _program(function: Callable[..., Any], donated: int | None = None) -> Callable[..., Any]:
    """The function, compiled for each value of its first argument; made at its first use, which knows the device."""
    return jax.jit(function, static_argnums=0, donate_argnums=donated, compiler_options=compiler_options())


def _loss(static: _StaticOfLoss, parameters, windows, source, constants: _Constants) -> Float[Array, ""]:
    model = nnx.merge(static.graph, parameters, constants.fixed)
    return rollout_loss(model, windows, source, error_measure(model, static.grid, constants.unit))


def _loss_and_gradient(static: _StaticOfLoss, parameters, *arguments) -> tuple[Float[Array, ""], Any]:
    return jax.value_and_grad(_loss, argnums=1)(static, parameters, *arguments)


def _with_noise_of(first: Any, second: Any) -> Any:
    """The weights of the layers of the noise of the first, and all others of the second."""

    def chosen(path: Any, one: Any, other: Any) -> Any:
        return one if MODULATION in jax.tree_util.keystr(path) else other

    return jax.tree_util.tree_map_with_path(chosen, first, second)


def _update(
    static: _StaticOfUpdate, state: TrainingState, windows, source, constants: _Constants, total, averaged_from
) -> tuple[TrainingState, UpdateMetrics]:
    graph, grid, devices, rule, step_hours, members = static

    def loss_of(parameters, windows, source, constants, number):
        model = nnx.merge(graph, parameters, constants.fixed)
        if members > 1:
            error, keys = ensemble_error(grid, constants.unit, members), _noise_keys(number, windows[:, 0], members)
            windows = jnp.repeat(windows, members, axis=0)
            growth = 0.5  # an absolute error grows as the root of a square one
        else:
            error, keys, growth = error_measure(model, grid, constants.unit, rule.loss), None, 1.0

        def perturb(batch):
            if not rule.perturbation_scale:
                return batch
            size = rule.perturbation_scale * constants.unit
            return perturbed(batch, windows[:, 0], number, model.input_times, size, grid, step_hours)

        return rollout_loss(model, windows, source, error, model.views[number], perturb, keys, growth)

    before, alone, single = state.parameters, rule.noise_alone and members > 1, members == 1
    if alone:
        before = _with_noise_of(before, state.average)
    loss_and_gradient = devices.mean_over_shares(jax.value_and_grad(loss_of))
    loss, gradient = loss_and_gradient(before, windows, source, constants, state.update)
    if alone:
        gradient = _with_noise_of(gradient, jax.tree.map(jnp.zeros_like, gradient))
    norm = optax.global_norm(gradient)
    rate = learning_rate((state.update + 1) / total, rule.learning_rate, rule.warmup_fraction)
    direction, optimiser_state = rule.transformation().update(gradient, state.optimiser, before)
    parameters = jax.tree.map(lambda p, d: p - rate * d, before, direction)
    if alone:
        parameters = _with_noise_of(parameters, state.average)
    if single:  # without noise its layers have no gradient; the momentum of earlier members must not move them
        parameters = _with_noise_of(before, parameters)
    # The decay is smaller at first, so that the average soon loses the random first weights.
    averaged = state.update - averaged_from
    decay = jnp.minimum(rule.ema_decay, (1.0 + averaged) / (10.0 + averaged))
    average = jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, state.average, parameters)
    if alone:
        average = _with_noise_of(average, state.average)  # without rounding
    if single:
        average = _with_noise_of(state.average, average)
    finite = jnp.isfinite(loss) & jnp.isfinite(norm)
    updated = TrainingState(parameters, average, optimiser_state, state.update, state.skipped)
    selected = jax.tree.map(lambda new, old: jnp.where(finite, new, old), updated, state)
    selected = selected._replace(update=state.update + 1, skipped=state.skipped + jnp.where(finite, 0, 1))
    return selected, UpdateMetrics(loss, rate, norm)
