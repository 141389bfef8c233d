"""Small configs, archives and models for the tests: seconds to train, with a known truth."""

import os
import tempfile
from pathlib import Path

import jax
import numpy as np
import xarray as xr
from flax import nnx

from pinnwx.config import Config, parse_config
from pinnwx.data.archive import Archive
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.grid import Grid
from pinnwx.model.build import build_forecaster
from pinnwx.model.inputs import Inputs
from pinnwx.model.rollout import rollout
from pinnwx.model.step_context import StepContext
from pinnwx.runtime import keep_compiled_code
from pinnwx.statistics import Normalisation
from pinnwx.time_features import TimeFeatures

# The tests keep what they compile for the next time they are run, beside the user's own cache and not in it.
_USER = os.getuid() if hasattr(os, "getuid") else "user"
os.environ["PINNWX_CACHE"] = str(Path(tempfile.gettempdir()) / f"pinnwx-tests-{_USER}")
keep_compiled_code()

START = np.datetime64("2026-01-01T00:00", "ns")
TRACER = '[variables.tracer]\nunits = "1"\nminimum = 0.0\nmaximum = 1e9\n'
SCALE = {"z500": (5.5e4, 3e3), "t850": (280.0, 15.0), "msl": (1.012e5, 1e3), "vo850": (0.0, 2e-5), "tracer": (1.0, 1.0)}
_WIND = (0.0, 10.0)


def config_text(
    fields=("msl", "t850"),
    *,
    grid="22.5deg",
    substeps=2,
    physics="",
    closure="width = 16\nblocks = 1",
    training="batch_size = 8",
    model="",
    extra="",
    train=("2026-01-01", "2026-01-15"),
) -> str:
    """A TOML text for a tiny model; each argument is the body of its table."""
    return f"""name = "tiny"
{extra}
[data]
fields = [{", ".join(f'"{name}"' for name in fields)}]
grid = "{grid}"
train = {{ start = "{train[0]}", end = "{train[1]}" }}
[model]
step_hours = 6
{model}
[model.physics]
substeps = {substeps}
{physics}
[model.closure]
{closure}
[training]
{training}
"""


def config(*arguments, **options) -> Config:
    """`config_text` as settings."""
    return parse_config(config_text(*arguments, **options))


def transport(field: str, **keys) -> str:
    """One `[[model.physics.transport]]` table."""
    lines = [f'field = "{field}"']
    for key, value in keys.items():
        lines.append(f"{key} = " + (f'"{value}"' if isinstance(value, str) else str(value).lower()))
    return "[[model.physics.transport]]\n" + "\n".join(lines) + "\n"


def smooth_noise(grid: Grid, count: int, seed: int = 0, waves: int = 3) -> np.ndarray:
    """Random smooth fields of about unit variance, (count, lat, lon): polynomials of the place in space."""
    generator = np.random.default_rng(seed)
    latitude, longitude = grid.latitude_radians[:, None], grid.longitude_radians
    place = np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude) + 0 * longitude]
    )
    directions = generator.standard_normal((count, 8, 3))
    directions *= waves / np.linalg.norm(directions, axis=-1, keepdims=True)
    phases = generator.uniform(0, 2 * np.pi, (count, 8, 1, 1))
    return 0.5 * np.sin(np.tensordot(directions, place, axes=1) + phases).sum(axis=1)


def states(names, grid: Grid, count: int = 2, seed: int = 0) -> np.ndarray:
    """Plausible smooth states, (count, field, lat, lon), float32; a tracer is positive."""
    noise = smooth_noise(grid, count * len(names), seed).reshape(count, len(names), *grid.shape)
    mean, std = np.array([SCALE.get(name, _WIND) for name in names]).T[:, :, None, None]
    fields = mean + std * noise
    for index, name in enumerate(names):
        if name == "tracer":
            fields[:, index] = noise[:, index] ** 2
    return fields.astype(np.float32)


def times(count: int, step_hours: int = 6) -> np.ndarray:
    """`count` times from `START` on."""
    return START + np.arange(count) * np.timedelta64(step_hours, "h")


def step_features(steps: int, batch: int) -> TimeFeatures:
    """The middles of `steps` steps, (steps, batch), the same for the whole batch."""
    middle = times(steps) + np.timedelta64(3, "h")
    return TimeFeatures.of(np.broadcast_to(middle[:, None], (steps, batch)))


def half_a_year_later(time: TimeFeatures) -> TimeFeatures:
    """The same hour in the season of the other hemisphere."""
    opposite = {name: -getattr(time, name) for name in ("sin_year", "cos_year", "solar_declination")}
    return time._replace(**opposite)


def forecaster(settings: Config, grid: Grid | None = None):
    """An untrained model on its grid, with scales of the right size and no data behind them."""
    grid = grid or Grid.parse(settings.data.grid)
    names = settings.data.fields
    mean, std = np.array([SCALE.get(name, _WIND) for name in names]).T
    maps = np.broadcast_to(mean[:, None, None], (len(names), *grid.shape))
    normalisation = Normalisation(names, mean, std, 0.3 * std, maps)
    gradients = settings.model.closure.gradients
    inputs = Inputs(grid, normalisation, {}, settings.variable_table(), gradients=gradients)
    return build_forecaster(inputs, settings.model, settings.seed)


_rollout, _applied = nnx.jit(rollout), nnx.jit(lambda module, *inputs: module(*inputs))


def forecasts(model, analyses, time, view=None, lateral_boundary=None) -> np.ndarray:
    """`rollout`, compiled; without, JAX compiles a program with the weights in it for each call."""
    return np.asarray(_rollout(model, analyses, time, view, lateral_boundary))


def applied(module, *inputs) -> np.ndarray:
    """What a layer or a network makes of its inputs, compiled."""
    return np.asarray(_applied(module, *inputs))


@nnx.jit
def begun(model, analyses, time):
    """What `start` makes; compiled, for step by step JAX compiles each operation."""
    return model.start(analyses, StepContext(time))


@nnx.jit
def advanced(model, carry, time):
    """One step, compiled."""
    return model.advance(carry, StepContext(time))


@nnx.jit
def explained(model, analyses, time):
    """One step from these analyses with its parts, compiled."""
    context = StepContext(time)
    return model.explain(model.start(analyses, context), context)


@nnx.jit
def fields_of(model, carry, time):
    """The forecast fields of a carried state, compiled."""
    return model.to_fields(carry, StepContext(time))


def randomise(model, seed: int, scale: float) -> None:
    """Draws every trained parameter anew, normal with this standard deviation."""
    generator = np.random.default_rng(seed)
    nnx.update(
        model,
        jax.tree.map(
            lambda leaf: jax.device_put((scale * generator.standard_normal(leaf.shape)).astype(leaf.dtype)),
            nnx.state(model, nnx.Param),
        ),
    )


def travelling_wave(grid: Grid, time: np.ndarray, number: int = 2, period_hours: float = 96.0) -> np.ndarray:
    """cos^2(lat) cos(number (lon - turn)) carried once round the globe in `period_hours`, (time, lat, lon)."""
    turn = 2 * np.pi * ((time - START) / np.timedelta64(1, "h")) / period_hours
    angle = number * (grid.longitude_radians - turn[:, None])
    return np.cos(grid.latitude_radians)[:, None] ** 2 * np.cos(angle)[:, None, :]


def wave_archive(count: int = 80, grid: Grid | None = None, names=("msl", "t850")) -> Archive:
    """Fields that are only carried around: solid-body rotation, so tomorrow is known exactly.

    No wave number is a multiple of 4: such a wave would be back after a day, and its climatology would know it exactly.
    """
    grid = grid or Grid.parse("22.5deg")
    when = times(count)
    numbers = [number for number in range(2, 4 + 2 * len(names)) if number % 4]
    waves = [travelling_wave(grid, when, number) for number in numbers[: len(names)]]
    scale = np.array([SCALE.get(name, _WIND) for name in names])
    fields = scale[:, 0, None, None] + scale[:, 1, None, None] * np.stack(waves, axis=1)
    return Archive(when, fields.astype(np.float32), tuple(names), grid)


def wave_dataset(count: int = 80, names=("msl", "t850")) -> xr.Dataset:
    """`wave_archive` as a file would hold it."""
    archive = wave_archive(count, names=names)
    units = {"msl": "Pa", "t850": "K"}
    fields = {
        name: (("time", "latitude", "longitude"), archive.fields[:, index], {"units": units[name]})
        for index, name in enumerate(names)
    }
    coordinates = {
        "time": archive.times,
        "latitude": ("latitude", list(archive.grid.latitude), {"units": "degrees_north"}),
        "longitude": ("longitude", list(archive.grid.longitude), {"units": "degrees_east"}),
    }
    return xr.Dataset(fields, coordinates)


def tiny_trained(text: str | None = None, archive: Archive | None = None):
    """A `TrainedModel` with small random weights, as if trained on `wave_archive`: its forecasts are waves."""
    text = text or config_text()
    trained = TrainedModel.initialise(parse_config(text), archive or wave_archive(60), text)
    randomise(trained.model, 0, 0.02)
    return trained


class ConstantClimatology:
    """A climatology that is the same at all times."""

    def __init__(self, mean: np.ndarray, names: tuple[str, ...] = ("msl", "t850")) -> None:
        self.names = names
        self.mean = mean.astype(np.float32)

    def at(self, times: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self.mean, (len(times), *self.mean.shape))


def silence(weights, group, kept, dead) -> None:
    """Makes the `dead` channels of a group (`compression.channels`) unread, in place.

    Of channels that are normalised together they become copies of as many `kept` ones: mean and variance stay.
    """
    for slot in (*group.writers, *group.scales) if group.scales else ():
        values = np.moveaxis(weights[slot.array], slot.axis, 0)
        values[dead] = values[kept]
    for slot in group.readers:
        values = np.moveaxis(weights[slot.array], slot.axis, 0)
        for copy in range(slot.copies):
            values[dead + copy * group.size] = 0
