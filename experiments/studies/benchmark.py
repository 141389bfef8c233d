"""Measures how fast pinnwx is on this machine, and writes the tables of docs/speed.md.

    python -m experiments.studies.benchmark                             what is not stored yet
    python -m experiments.studies.benchmark --again                     everything below; about ten minutes
    python -m experiments.studies.benchmark machine operators --again   only these parts; the others keep their figures
    python -m experiments.studies.benchmark --tables                    only write the tables from the stored figures

Parts:
    machine     what a plain copy, a matrix product and a convolution reach here: the roofline
    operators   one flux divergence at 721 x 1440, beside a copy of the same array
    scaling     an operator step and a training step from 32 x 64 to 256 x 512
    models      compilation, training throughput, ten-day forecasts of one and of fifty members, per experiment
    precomputed updates of one step with and without transport that is computed before training
    memory      peak memory of a gradient against the length of the rollout, steps stored or recomputed

Functions that are compared run in turns, for several rounds; medians are quoted, with minimum and maximum. Nothing else
may run on the machine. Figures go to experiments/results/benchmark.json, the tables to docs/speed.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.studies.benchmark_tables import tables
from experiments.studies.harness import (
    DATA,
    EXPERIMENTS,
    RESULTS,
    SPEED_PAGE,
    StoredFigures,
    require_known,
    scoring_of,
    splice,
    study_parser,
)
from experiments.studies.stopwatch import Spread, time_in_turns
from pinnwx.config import Config, load_config
from pinnwx.data.archive import Archive
from pinnwx.data.windows import window_indices
from pinnwx.forecasting.ensemble import Ensemble
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.grid import Grid
from pinnwx.jobs.preparation import training_archive
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.model.rollout import rollout
from pinnwx.operators.advection import SCHEMES, face_velocity, flux_divergence
from pinnwx.runtime import keep_freed_memory
from pinnwx.time_features import TimeFeatures
from pinnwx.training.update import device_archive, initial_state, make_update, with_transport

MODELS = ("era5_hybrid", "era5_neural", "era5_climode", "gcm_hybrid")
GRIDS = ("5.625deg", "2.8125deg", "1.40625deg", "0.703125deg")
TEN_DAYS = 240.0


def normal(*shape: int) -> jax.Array:
    """Standard normal numbers, the same for the same shape."""
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)


def measure_machine() -> dict[str, float]:
    """GB/s of a copy (read and written) and GFLOP/s of dense arithmetic."""
    large, square = normal(64, 1024, 1024), normal(1024, 1024)
    image, kernel = normal(16, 34, 66, 64), normal(3, 3, 64, 64)
    layout = ("NHWC", "HWIO", "NHWC")
    convolve = jax.jit(lambda x, k: jax.lax.conv_general_dilated(x, k, (1, 1), "VALID", dimension_numbers=layout))
    copy, product = jax.jit(lambda x: x + 1), jax.jit(lambda x: x @ x)
    times = time_in_turns(
        {
            "copy": lambda: copy(large),
            "product": lambda: product(square),
            "convolution": lambda: convolve(image, kernel),
        }
    )
    work = {"copy": 2 * large.nbytes, "product": 2 * 1024**3, "convolution": 2 * 16 * 32 * 64 * 9 * 64 * 64}
    return {name: work[name] / 1e9 / times[name]["median"] for name in times} | {"cores": os.cpu_count() or 1}


def measure_operators() -> dict[str, dict[str, float]]:
    """One flux divergence of one field at 721 x 1440 in float32, in units of a copy of the field."""
    grid = Grid.parse("0.25deg+poles")
    field, wind = normal(*grid.shape), face_velocity(10 * normal(*grid.shape), 10 * normal(*grid.shape), grid)
    copy = jax.jit(lambda q: q + 1)
    functions: dict[str, Callable[[], object]] = {"copy": lambda: copy(field)}
    for scheme in SCHEMES:
        tendency = jax.jit(partial(flux_divergence, grid=grid, scheme=scheme))
        functions[scheme] = partial(tendency, field, wind)
    times = time_in_turns(functions, 21)
    arrays = {name: 4 if name != "copy" else 2 for name in times}  # q, u, v read and one written; one and one
    return {
        name: {
            **spread,
            "copies": spread["median"] / times["copy"]["median"],
            "gigabytes_per_second": arrays[name] * field.nbytes / 1e9 / spread["median"],
        }
        for name, spread in times.items()
    }


def count_operations(jaxpr: Any) -> float:
    """Floating-point operations of the matrix products in a jaxpr; the body of a scan counts once for each iteration.

    They are nearly all operations of a network, because convolutions are matrix products here.
    """
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left, result = equation.invars[0].aval, equation.outvars[0].aval
            total += 2 * result.size * float(np.prod([left.shape[axis] for axis in contracted]))
        iterations = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)  # a closed jaxpr holds an open one
            if hasattr(inner, "eqns"):
                total += iterations * count_operations(inner)
    return total


class Update(NamedTuple):
    """One update of a network, to be called repeatedly, and the operations of its matrix products."""

    run: Callable[[], object]
    operations: Callable[[], float]  # counted when called, because it traces the update


def first_update(config: Config, archive: Archive, steps: int) -> Update:
    """One update of the first network on rollouts of `steps` steps."""
    trained = TrainedModel.initialise(config, archive)
    network = networks_of(trained.model)[0]
    scale = trained.normalisation.increment_std[:, None, None]
    hours, size = config.model.step_hours, config.training.batch_size
    update = make_update(network, archive.grid, scale, config.training)
    source = device_archive(archive, hours)
    if config.training.precompute_transport:
        source = with_transport(source, network)
    windows = jnp.asarray(window_indices(archive.times, hours, network.input_times - 1 + steps)[:size])
    state = [initial_state(network, config.training)]

    def run() -> object:
        state[0], progress = update(state[0], windows, source, 1000)
        return progress

    return Update(run, lambda: count_operations(update.jaxpr(state[0], windows, source, 1000)))


def synthetic_archive(config: Config, name: str) -> Archive:
    """Smooth random fields on a grid, six hours apart."""
    grid = Grid.parse(name)
    times = np.datetime64("2020-01-01", "ns") + np.arange(24) * np.timedelta64(6, "h")
    shape = (len(times), len(config.data.fields))
    waves = np.random.default_rng(0).standard_normal((*shape, 3))
    place = np.stack([np.sin(np.add.outer(k * grid.latitude_radians, k * grid.longitude_radians)) for k in (1, 2, 3)])
    scale = np.array([1e3 if field == "msl" else 2e-5 for field in config.data.fields])[:, None, None]
    fields = scale * np.einsum("tfk,kij->tfij", waves, place)
    return Archive(times, fields.astype(np.float32), config.data.fields, grid)


def measure_scaling() -> dict[str, dict[str, Any]]:
    """Seconds of an operator step and of a training step (one window) of the ERA5 hybrid, by grid."""
    config = load_config(EXPERIMENTS / "era5_hybrid.toml")
    one_window = config.model_copy(update={"training": config.training.model_copy(update={"batch_size": 1})})
    by_grid = {}
    for name in GRIDS:
        grid = Grid.parse(name)
        field, wind = normal(16, *grid.shape), face_velocity(10 * normal(*grid.shape), 10 * normal(*grid.shape), grid)
        tendency = jax.jit(partial(flux_divergence, grid=grid, scheme="limited"))
        update = first_update(one_window, synthetic_archive(one_window, name), 1)
        times = time_in_turns({"operator": partial(tendency, field, wind), "training": update.run}, 5)
        by_grid[f"{grid.shape[0]} x {grid.shape[1]}"] = {"cells": int(np.prod(grid.shape))} | times
        print(f"  {grid.shape}: training step {times['training']['median']:.3f} s")
    return by_grid


def measure_stage(name: str, config: Config, archive: Archive, steps: int) -> dict[str, float]:
    """Compilation and throughput of updates on rollouts of `steps` steps."""
    update = first_update(config, archive, steps)
    start = time.perf_counter()
    jax.block_until_ready(update.run())
    compiling = time.perf_counter() - start
    spread = time_in_turns({"update": update.run})["update"]
    rate = config.training.batch_size * steps / spread["median"]
    gigaflops = update.operations() / 1e9 / spread["median"]
    print(f"  {name}, {steps} steps: {rate:.0f} sample-steps/s, {gigaflops:.0f} GFLOP/s in products")
    return {**spread, "compiling": compiling, "sample_steps_per_second": rate, "gigaflops": gigaflops}


def measure_forecasts(name: str, config: Config, archive: Archive) -> dict[str, Spread]:
    """Seconds of ten days, of one forecast and of fifty members."""
    trained, start = TrainedModel.initialise(config, archive), archive.times[-1:]
    one, fifty = Predictor(trained, [TEN_DAYS]), Ensemble(trained, [TEN_DAYS], 50)
    spreads = {
        "ten_days_1": time_in_turns({"forecast": lambda: one.from_archive(archive, start)}, 5)["forecast"],
        "ten_days_50": time_in_turns({"forecast": lambda: fifty.forecast(archive, start[0])}, 3)["forecast"],
    }
    for key, spread in spreads.items():
        print(f"  {name}, {key}: {spread['median']:.2f} s")
    return spreads


def measure_models(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Compilation, throughput by stage and ten-day forecasts of each experiment whose data are there."""
    by_model = {}
    for name in names:
        folder = DATA / scoring_of(name).folder
        if not folder.is_dir():
            print(f"  {name}: no {folder}, left out")
            continue
        config = load_config(EXPERIMENTS / f"{name}.toml")
        archive = training_archive(config, folder)
        lengths = [stage.steps for stage in config.training.curriculum]
        stages = {str(steps): measure_stage(name, config, archive, steps) for steps in lengths}
        by_model[name] = {"stages": stages, **measure_forecasts(name, config, archive)}
    return by_model


def measure_precomputed() -> dict[str, Any]:
    """Seconds of an update of one step: of a network alone, of a hybrid, and with its transport computed before.

    In steps of six hours and of a day with four winds; and the seconds that transport takes before training.
    """
    figures: dict[str, Any] = {}
    for hours, physics in ((6, {}), (24, {"substeps": 12, "wind_updates": 4})):
        neural, hybrid = (
            load_config(EXPERIMENTS / f"{name}.toml").with_model(step_hours=hours)
            for name in ("gcm_neural", "gcm_levels")
        )
        hybrid = hybrid.with_model(physics=hybrid.model.physics.model_copy(update=physics))
        training = hybrid.training.model_copy(update={"precompute_transport": True})
        precomputed = hybrid.model_copy(update={"training": training})
        archive = training_archive(hybrid, DATA / scoring_of("gcm").folder)
        configs = {"gcm_neural": neural, "gcm_levels": hybrid, "gcm_levels, precomputed": precomputed}
        updates = {name: first_update(config, archive, 1).run for name, config in configs.items()}
        start = time.perf_counter()
        source = device_archive(archive, hours)
        jax.block_until_ready(with_transport(source, networks_of(TrainedModel.initialise(hybrid, archive).model)[0]))
        figures[f"{hours}"] = {"before": time.perf_counter() - start} | time_in_turns(updates, 31)
        print(f"  steps of {hours} h: {figures[f'{hours}']}")
    return figures


def measure_memory() -> dict[str, dict[str, float]]:
    """Peak resident memory [MiB] of the gradient of one rollout, each in a process of its own."""
    peaks: dict[str, dict[str, float]] = {}
    for steps in (1, 4, 12, 40):
        for remember in (True, False):
            words = [sys.executable, "-m", "experiments.studies.benchmark", "--peak", str(steps), str(int(remember))]
            peak = float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
            peaks.setdefault("stored" if remember else "anew", {})[str(steps)] = peak
            print(f"  {steps} steps, {'stored' if remember else 'recomputed'}: {peak:.0f} MiB")
    return peaks


def peak_memory(steps: int, remember: bool) -> float:
    """MiB that this process reaches in the gradient of a rollout of the ERA5 hybrid, batch of 4, with compilation."""
    config = load_config(EXPERIMENTS / "era5_hybrid.toml")
    model = networks_of(TrainedModel.initialise(config, synthetic_archive(config, "5.625deg")).model)[0]
    graph, parameters, fixed = nnx.split(model, nnx.Param, ...)
    shape = (4, model.input_times, len(config.data.fields), 32, 64)
    analyses, times = 1e-5 * normal(*shape), TimeFeatures(*normal(5, steps, 4))

    @jax.jit
    def gradient(parameters):
        def loss(parameters):
            forecaster = nnx.merge(graph, parameters, fixed)
            return jnp.mean(rollout(forecaster, analyses, times, forecaster.views[0], remember=remember) ** 2)

        return jax.grad(loss)(parameters)

    jax.block_until_ready(gradient(parameters))
    # Not resource.getrusage: on Linux its peak is the parent's where that was larger when this process began.
    (peak,) = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    return float(peak) / 1024


def main() -> None:
    parser = study_parser(__doc__, remeasure=True)
    parser.add_argument("parts", nargs="*", help="parts to measure; default: all")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="of the part models")
    parser.add_argument("--peak", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    keep_freed_memory()
    if options.peak:
        print(peak_memory(options.peak[0], bool(options.peak[1])))
        return
    stored = StoredFigures(RESULTS / "benchmark.json")
    measurements: dict[str, Callable[[], Any]] = {
        "machine": measure_machine,
        "operators": measure_operators,
        "scaling": measure_scaling,
        "models": lambda: stored.figures.get("models", {}) | measure_models(options.models),
        "precomputed": measure_precomputed,
        "memory": measure_memory,
    }
    require_known(parser, "part", options.parts, measurements)
    if not options.tables:
        chosen = {part: measure for part, measure in measurements.items() if part in (options.parts or measurements)}
        stored.measure_missing(chosen, again=options.again)
    splice(SPEED_PAGE, "benchmark", tables(stored.figures))


if __name__ == "__main__":
    main()
