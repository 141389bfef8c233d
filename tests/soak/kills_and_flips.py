"""Kills writers and flips bits, and counts what was lost, partial or silent: all three counts must be 0.

    python tests/soak/kills_and_flips.py             200 kills of each writer, 1,000 bit flips: about half an hour
    python tests/soak/kills_and_flips.py --kills 5 --flips 50

Three writers are killed with SIGKILL at random moments: one trains (`pinnwx train`, with a checkpoint twice a second,
resumed after each kill), one saves checkpoints, one writes forecasts over each other while a reader polls the file.

    lost      what a writer had acknowledged was not there afterwards
    partial   a reader found a file that was neither the old one nor the new one
    silent    a flipped bit was read as another value without an error

Prints a line for each stage, and exits with 1 if any count is not 0. The same seed gives the same moments and bits.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from pinnwx.data.open import sample_path
from pinnwx.errors import CheckpointError, PinnwxError
from pinnwx.forecasting.cf import read_forecast
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.forecast import forecast
from pinnwx.manifest import read_manifest
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.training.checkpoint import Checkpoints
from pinnwx.training.update import initial_state

WRITERS = Path(__file__).resolve().parents[1] / "faults" / "writers.py"
# The command line, with a checkpoint twice a second instead of every minute.
HASTY = "import pinnwx.training.recording as f, pinnwx.commands.main as c; f.CHECKPOINT_SECONDS = 0.5; c.main()"
CONFIG = """name = "soak"
[data]
fields = ["z500", "t850"]
grid = "22.5deg"
train = { start = "2009-12-01", end = "2010-01-20" }
[model.closure]
width = 16
blocks = 1
[training]
batch_size = 8
updates = 1000000
"""


def first_line(process: subprocess.Popen[str]) -> str:
    """The first number that a writer acknowledges."""
    assert process.stdout is not None
    return process.stdout.readline()


@contextmanager
def started(*words: object) -> Iterator[subprocess.Popen[str]]:
    """A process that is killed at the end of the block."""
    process = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def last_acknowledged(process: subprocess.Popen[str], first: str) -> int:
    """Kills a writer; the last number that it acknowledged."""
    assert process.stdout is not None
    process.kill()
    return [int(first), *map(int, process.stdout.read().split())][-1]


def kill_checkpoints(folder: Path, kills: int, generator: random.Random, counts: Counter) -> None:
    """Kills a process that saves checkpoint after checkpoint; checkpoint k holds the number k everywhere."""
    training = folder / "training"
    for _ in range(kills):
        with started(sys.executable, WRITERS, "checkpoints", training) as process:
            first = first_line(process)
            time.sleep(generator.uniform(0, 0.6))
            last = last_acknowledged(process, first)
        checkpoints = Checkpoints(training)
        (state,), notes = checkpoints.load([jnp.zeros((64, 1024))])
        checkpoints.close()
        counts["lost"] += notes["number"] < last
        counts["partial"] += not (np.asarray(state) == notes["number"]).all()


def kill_forecasts(folder: Path, kills: int, generator: random.Random, counts: Counter) -> None:
    """Kills a process that writes forecasts over each other, and reads them meanwhile; each is uniform."""
    path = folder / "f.nc"
    for _ in range(kills):
        with started(sys.executable, WRITERS, "forecasts", path) as process:
            first = first_line(process)
            end = time.monotonic() + generator.uniform(0, 0.6)
            while time.monotonic() < end:
                counts["reads"] += 1
                counts["partial"] += not is_uniform(path)
            last = last_acknowledged(process, first)
        counts["partial"] += not is_uniform(path)
        number = round(float(read_forecast(path)["t850"].to_numpy()[0, 0, 0])) - 280
        counts["lost"] += number not in (last % 50, (last + 1) % 50)


def is_uniform(path: Path) -> bool:
    values = read_forecast(path)["t850"].to_numpy()
    return bool((values == values[0, 0, 0]).all())


def kill_training(folder: Path, kills: int, generator: random.Random, counts: Counter) -> None:
    """Kills a training; its newest complete checkpoint is never older than before the kill."""
    config, run = folder / "soak.toml", folder / "run"
    config.write_text(CONFIG)
    words = ["train", config, "--data", sample_path(), "--out", run, "--promote-anyway"]
    for _ in range(kills):
        resume = ["--resume"] if (run / "config.toml").exists() else []
        before = checkpointed_updates(run)
        with started(sys.executable, "-c", HASTY, *words, *resume) as process:
            time.sleep(generator.uniform(3, 9))
            counts["lost"] += process.poll() is not None  # it could not continue
        counts["lost"] += checkpointed_updates(run) < before
    counts["lost"] += checkpointed_updates(run) == 0


def checkpointed_updates(run: Path) -> int:
    """The updates before the newest complete checkpoint of a run."""
    numbers = sorted(int(path.name) for path in (run / "training").glob("[0-9]*") if path.name.isdigit())
    for number in reversed(numbers):
        with suppress(CheckpointError):
            read_manifest(run / "training" / str(number))
            return number
    return 0


def flip_bits(folder: Path, flips: int, generator: random.Random, counts: Counter) -> None:
    """Flips one bit of one file at a time: the file is refused, or everything is read as before."""
    readers = artefacts_in(folder)
    paths = sorted(path for path in readers if path.stat().st_size)
    for _ in range(flips):
        path = generator.choice(paths)
        content = path.read_bytes()
        damaged = bytearray(content)
        damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        try:
            counts["harmless" if readers[path]() else "silent"] += 1
        except PinnwxError:
            counts["refused"] += 1
        path.write_bytes(content)


def artefacts_in(folder: Path) -> dict[Path, Callable[[], bool]]:
    """A new run and a forecast of it: for each file a function that reads it and says whether all is as at first."""
    config, run, path = folder / "soak.toml", folder / "run", folder / "f.nc"
    config.write_text(CONFIG.replace("1000000", "16"))
    subprocess.run(
        [sys.executable, "-m", "pinnwx", "train", config, "--data", sample_path(), "--out", run, "--promote-anyway"],
        check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    forecast(run, sample_path(), hours=24, out=path)
    newest = max((run / "training").glob("[0-9]*"), key=lambda checkpoint: int(checkpoint.name))
    for older in (run / "training").glob("[0-9]*"):
        if older != newest:  # a damaged checkpoint is refused, not replaced by the one before
            shutil.rmtree(older)
    trained = Run(run).load()
    template = [initial_state(network, trained.config.training) for network in networks_of(trained.model)]
    intact_forecast, intact_model = read_forecast(path), model_content(trained)
    intact_checkpoint = checkpoint_content(run, template)

    def load_model() -> bool:
        return model_content(Run(run).load()) == intact_model

    def load_forecast() -> bool:
        return read_forecast(path).identical(intact_forecast)

    def load_checkpoint() -> bool:
        return checkpoint_content(run, template) == intact_checkpoint

    readers: dict[Path, Callable[[], bool]] = {path: load_forecast, run / "live": load_model}
    readers |= dict.fromkeys((run / "versions" / "0001").iterdir(), load_model)
    return readers | dict.fromkeys((file for file in newest.rglob("*") if file.is_file()), load_checkpoint)


def tree_bytes(tree: Any) -> bytes:
    return b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree))


def checkpoint_content(run: Path, template: Any) -> tuple[bytes, dict]:
    """The newest checkpoint, read as a resumed training reads it."""
    checkpoints = Checkpoints(run / "training")
    try:
        leaves, notes = checkpoints.load(template)
    finally:
        checkpoints.close()
    return tree_bytes(leaves), notes


def model_content(trained: TrainedModel) -> bytes:
    """Everything that a forecast depends on: weights, normalisation, climatology, config, and their origin."""
    notes = repr(sorted(trained.manifest.items(), key=str)) + trained.config_text
    return tree_bytes([nnx.state(trained.model), trained.climatology.coefficients]) + notes.encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="of each of the three writers")
    parser.add_argument("--flips", type=int, default=1000, help="of single bits")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failures = 0
    for stage in (kill_checkpoints, kill_forecasts, kill_training, flip_bits):
        name, count = stage.__name__.replace("_", " "), options.flips if stage is flip_bits else options.kills
        counts, start = Counter(lost=0, silent=0, partial=0), time.monotonic()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            stage(Path(folder), count, random.Random(f"{options.seed} {name}"), counts)
        text = ", ".join(f"{number} {what}" for what, number in counts.items())
        print(f"{name}: {count} in {time.monotonic() - start:.0f} s: {text}", flush=True)
        failures += counts["lost"] + counts["silent"] + counts["partial"]
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
