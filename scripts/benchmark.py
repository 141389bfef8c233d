"""Measures how fast pinnwx is on this machine, and writes the table of it.

    python scripts/benchmark.py                      everything below; about ten minutes
    python scripts/benchmark.py machine operators    only these parts; the others keep their stored figures
    python scripts/benchmark.py --tables             only write the table again, from the figures stored

Parts:
    machine     what a plain copy, a matrix product and a convolution reach here: the roofline
    operators   one flux divergence at 721 x 1440, beside a copy of the same array
    scaling     an operator step and a training step from 32 x 64 to 256 x 512
    models      compilation, training throughput, ten-day forecasts of one and of fifty members, per experiment
    memory      peak memory of a gradient against the length of the rollout, steps stored or recomputed

What is compared is timed in turn within one run, several rounds; medians are quoted, with minimum and maximum.
Nothing else may run beside it. Figures go to experiments/results/benchmark.json, the table to docs/speed.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from stopwatch import in_turn
from trial import DATA, EXPERIMENTS, RESULTS, ROOT, scoring_of, splice

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
from pinnwx.training.fit import device_archive
from pinnwx.training.update import initial_state, make_update

STORED = RESULTS / "benchmark.json"
PARTS = ("machine", "operators", "scaling", "models", "memory")
MODELS = ("era5_hybrid", "era5_neural", "era5_climode", "gcm_hybrid")


def normal(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)


def machine() -> dict:
    """GB/s of a copy (read and written) and GFLOP/s of dense arithmetic."""
    large, square = normal(64, 1024, 1024), normal(1024, 1024)
    image, kernel = normal(16, 34, 66, 64), normal(3, 3, 64, 64)
    layout = ("NHWC", "HWIO", "NHWC")
    convolve = jax.jit(lambda x, k: jax.lax.conv_general_dilated(x, k, (1, 1), "VALID", dimension_numbers=layout))
    copy, product = jax.jit(lambda x: x + 1), jax.jit(lambda x: x @ x)
    times = in_turn(
        {
            "copy": lambda: copy(large),
            "product": lambda: product(square),
            "convolution": lambda: convolve(image, kernel),
        }
    )
    work = {"copy": 2 * large.nbytes, "product": 2 * 1024**3, "convolution": 2 * 16 * 32 * 64 * 9 * 64 * 64}
    return {name: work[name] / 1e9 / times[name]["median"] for name in times} | {"cores": os.cpu_count()}


def operators() -> dict:
    """One flux divergence of one field at 721 x 1440 in float32, in units of a copy of the field."""
    grid = Grid.parse("0.25deg+poles")
    field, wind = normal(*grid.shape), face_velocity(10 * normal(*grid.shape), 10 * normal(*grid.shape), grid)
    copy = jax.jit(lambda q: q + 1)
    functions: dict[str, Callable[[], object]] = {"copy": lambda: copy(field)}
    for scheme in SCHEMES:
        tendency = jax.jit(lambda q, v, scheme=scheme: flux_divergence(q, v, grid, scheme))
        functions[scheme] = lambda tendency=tendency: tendency(field, wind)
    times = in_turn(functions, 21)
    moved = {name: (4 if name != "copy" else 2) * field.nbytes / 1e9 for name in times}  # q, u, v read, one written
    return {
        name: spread
        | {
            "copies": spread["median"] / times["copy"]["median"],
            "gigabytes_per_second": moved[name] / spread["median"],
        }
        for name, spread in times.items()
    }


def products(jaxpr: Any) -> float:
    """Floating-point operations of the matrix products in a jaxpr, those of a scan once a turn.

    They are nearly all of a network's, for convolutions are matrix products here.
    """
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left, result = equation.invars[0].aval, equation.outvars[0].aval
            total += 2 * result.size * float(np.prod([left.shape[axis] for axis in contracted]))
        turns = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)  # a closed one holds an open one
            if hasattr(inner, "eqns"):
                total += turns * products(inner)
    return total


class Trainer(NamedTuple):
    """One update of a member, to be called again and again, and the operations of its matrix products."""

    run: Callable[[], object]
    operations: Callable[[], float]  # counted when asked, for it traces the update


def trainer(config: Config, archive: Archive, steps: int) -> Trainer:
    """One update of the first member on rollouts of `steps` steps."""
    trained = TrainedModel.initialise(config, archive)
    member = networks_of(trained.model)[0]
    scale = trained.normalisation.increment_std[:, None, None]
    hours, size = config.model.step_hours, config.training.batch_size
    update, source = make_update(member, archive.grid, scale, config.training), device_archive(archive, hours)
    windows = window_indices(archive.times, hours, member.input_times - 1 + steps)[:size]
    state = [initial_state(member, config.training)]

    def run():
        state[0], progress = update(state[0], windows, source, 1000)
        return progress

    return Trainer(run, lambda: products(update.trace(state[0], windows, source, 1000).jaxpr))


def synthetic(config: Config, name: str) -> Archive:
    """Smooth random fields on a grid, six hours apart."""
    grid = Grid.parse(name)
    times = np.datetime64("2020-01-01", "ns") + np.arange(24) * np.timedelta64(6, "h")
    shape = (len(times), len(config.data.fields))
    waves = np.random.default_rng(0).standard_normal((*shape, 3))
    place = np.stack([np.sin(np.add.outer(k * grid.latitude_radians, k * grid.longitude_radians)) for k in (1, 2, 3)])
    scale = np.array([1e3 if field == "msl" else 2e-5 for field in config.data.fields])[:, None, None]
    fields = scale * np.einsum("tfk,kij->tfij", waves, place)
    return Archive(times, fields.astype(np.float32), config.data.fields, grid)


def scaling() -> dict:
    """Seconds of an operator step and of a training step (one window) of the ERA5 hybrid, by grid."""
    config = load_config(EXPERIMENTS / "era5_hybrid.toml")
    alone = config.model_copy(update={"training": config.training.model_copy(update={"batch_size": 1})})
    found: dict = {}
    for name in ("5.625deg", "2.8125deg", "1.40625deg", "0.703125deg"):
        grid = Grid.parse(name)
        field, wind = normal(16, *grid.shape), face_velocity(10 * normal(*grid.shape), 10 * normal(*grid.shape), grid)
        tendency = jax.jit(lambda q, v, grid=grid: flux_divergence(q, v, grid, "limited"))
        train = trainer(alone, synthetic(alone, name), 1).run
        times = in_turn({"operator": lambda t=tendency, q=field, v=wind: t(q, v), "training": train}, 5)
        found[f"{grid.shape[0]} x {grid.shape[1]}"] = {"cells": int(np.prod(grid.shape))} | times
        print(f"  {grid.shape}: training step {times['training']['median']:.3f} s")
    return found


def models(names: Sequence[str]) -> dict:
    """Per experiment whose data are there: compilation, throughput by stage, and ten-day forecasts."""
    found = {}
    for name in names:
        folder = DATA / scoring_of(name).folder
        if not folder.is_dir():
            print(f"  {name}: no {folder}, left out")
            continue
        config = load_config(EXPERIMENTS / f"{name}.toml")
        archive = training_archive(config, folder)
        entry: dict = {"stages": {}}
        for stage in config.training.curriculum:
            run, operations = trainer(config, archive, stage.steps)
            start = time.perf_counter()
            jax.block_until_ready(run())
            compiling = time.perf_counter() - start
            spread = in_turn({"update": run})["update"]
            rate = config.training.batch_size * stage.steps / spread["median"]
            gigaflops = operations() / 1e9 / spread["median"]
            found_here = {"compiling": compiling, "sample_steps_per_second": rate, "gigaflops": gigaflops}
            entry["stages"][stage.steps] = spread | found_here
            print(f"  {name}, {stage.steps} steps: {rate:.0f} sample-steps/s, {gigaflops:.0f} GFLOP/s in products")
        trained, start = TrainedModel.initialise(config, archive), archive.times[-1:]
        one, fifty = Predictor(trained, [240.0]), Ensemble(trained, [240.0], 50)
        for members, forecast, rounds in (
            (1, lambda f=one, a=archive, t=start: f.from_archive(a, t), 5),
            (50, lambda f=fifty, a=archive, t=start: f.forecast(a, t[0]), 3),
        ):
            entry[f"ten_days_{members}"] = spread = in_turn({"forecast": forecast}, rounds)["forecast"]
            print(f"  {name}, ten days, {members} members: {spread['median']:.2f} s")
        found[name] = entry
    return found


def memory() -> dict:
    """Peak resident memory [MiB] of the gradient of one rollout, each in a process of its own."""
    found: dict = {}
    for steps in (1, 4, 12, 40):
        for remember in (True, False):
            command = [sys.executable, __file__, "--peak", str(steps), str(int(remember))]
            peak = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            found.setdefault("stored" if remember else "anew", {})[str(steps)] = peak
            print(f"  {steps} steps, {'stored' if remember else 'recomputed'}: {peak:.0f} MiB")
    return found


def peak_memory(steps: int, remember: bool) -> float:
    """MiB that this process reaches in the gradient of a rollout of the ERA5 hybrid, batch of 4, compiling included."""
    config = load_config(EXPERIMENTS / "era5_hybrid.toml")
    model = networks_of(TrainedModel.initialise(config, synthetic(config, "5.625deg")).model)[0]
    graph, parameters, fixed = nnx.split(model, nnx.Param, ...)
    shape = (4, model.input_times, len(config.data.fields), 32, 64)
    analyses, times = 1e-5 * normal(*shape), normal(steps, 4, 5)

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


def table(stored: Mapping) -> str:
    """What was measured, as Markdown."""
    lines: list[str] = []
    if machine := stored.get("machine"):
        lines += [
            f"Measured on {machine['cores']} CPU cores that reach {machine['copy']:.0f} GB/s in a plain copy, "
            f"{machine['convolution']:.0f} GFLOP/s in a 3 x 3 convolution of 64 channels and {machine['product']:.0f} "
            "GFLOP/s in a product of 1024 x 1024 matrices.\n"
        ]
    if found := stored.get("models"):
        lines += [
            "| model | training, sample-steps/s by rollout length | GFLOP/s in products | compiling s | ten days s | "
            "of 50 members s |"
        ]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        for name, entry in found.items():
            stages = entry["stages"]
            rates = ", ".join(f"{steps}: {s['sample_steps_per_second']:.0f}" for steps, s in stages.items())
            compiling = sum(stage["compiling"] for stage in stages.values())
            one, fifty = entry["ten_days_1"]["median"], entry["ten_days_50"]["median"]
            products = ", ".join(f"{s['gigaflops']:.0f}" for s in stages.values())
            lines += [f"| {name} | {rates} | {products} | {compiling:.0f} | {one:.2f} | {fifty:.1f} |"]
        lines += [""]
    if found := stored.get("operators"):
        parts = [
            f"{name} {entry['copies']:.1f} ({entry['gigabytes_per_second']:.1f} GB/s)"
            for name, entry in found.items()
            if name != "copy"
        ]
        lines += [
            "One flux divergence at 721 x 1440, float32, in copies of the array, and the bytes of its field, winds and "
            f"result a second, where the copy moves {found['copy']['gigabytes_per_second']:.1f} GB/s: "
            f"{', '.join(parts)}.\n"
        ]
    if found := stored.get("scaling"):
        base = found["64 x 128"]
        lines += ["| grid | operator step, per cell | training step, per cell |", "| --- | --- | --- |"]
        for name, entry in found.items():
            relative = [
                entry[kind]["median"] / entry["cells"] * base["cells"] / base[kind]["median"]
                for kind in ("operator", "training")
            ]
            lines += [f"| {name} | {relative[0]:.2f} | {relative[1]:.2f} |"]
        lines += ["", "Relative to 64 x 128.\n"]
    if found := stored.get("memory"):
        lines += ["| steps of the rollout | " + " | ".join(found["stored"]) + " |"]
        lines += ["| --- |" + " --- |" * len(found["stored"])]
        for label, row in (("steps stored", found["stored"]), ("steps recomputed", found["anew"])):
            lines += [f"| {label}, MiB | " + " | ".join(f"{peak:,.0f}" for peak in row.values()) + " |"]
        lines += ["", "Peak memory of a process that computes the gradient of a batch of 4, compiling included.\n"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="parts to measure; all of them, if none is named")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="of the part models")
    parser.add_argument("--tables", action="store_true", help="only write the table again")
    parser.add_argument("--peak", nargs=2, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    keep_freed_memory()
    if given.peak:
        print(peak_memory(given.peak[0], bool(given.peak[1])))
        return
    for name in given.parts:
        if name not in PARTS:
            parser.error(f'no part "{name}"; there are {", ".join(PARTS)}')
    sys.stdout.reconfigure(line_buffering=True)
    stored = json.loads(STORED.read_text()) if STORED.is_file() else {}
    measures: dict[str, Callable[[], dict]] = {
        "machine": machine,
        "operators": operators,
        "scaling": scaling,
        "models": lambda: models(given.models),
        "memory": memory,
    }
    for name in [] if given.tables else given.parts or PARTS:
        print(name)
        found = measures[name]()
        stored[name] = (stored.get(name) or {}) | found if name == "models" else found
        STORED.write_text(json.dumps(stored, indent=1) + "\n")
    splice(ROOT / "docs" / "speed.md", "benchmark", table(stored))


if __name__ == "__main__":
    main()
