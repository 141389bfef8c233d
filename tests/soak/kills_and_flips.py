"""Kills writers and flips bits by the hundred, and counts what was lost, silent or partial: all three must be 0.

    python tests/soak/kills_and_flips.py             200 kills of each writer, 1,000 bit flips: about half an hour
    python tests/soak/kills_and_flips.py --kills 5 --flips 50

Three writers are killed with SIGKILL at random moments: one trains (`pinnwx train`, with a checkpoint twice a second,
resumed after each kill), one saves checkpoints, one writes forecasts over each other while a reader polls the file.

    lost      what a writer had acknowledged was not there afterwards
    partial   a reader found a file that was neither the old one nor the new
    silent    a flipped bit was read back as something else without an error

Prints a line a stage and exits with 1 if any count is not 0. A seed makes the same moments and bits.
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

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from pinnwx.data.open import sample_path
from pinnwx.errors import CheckpointError, PinnwxError
from pinnwx.forecasting.cf import read_forecast
from pinnwx.forecasting.runs import Run
from pinnwx.jobs.forecast import forecast
from pinnwx.manifest import read_manifest
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.training.checkpoint import Checkpoints
from pinnwx.training.update import initial_state

WRITERS = Path(__file__).resolve().parents[1] / "faults" / "writers.py"
# The verb, but for a checkpoint twice a second instead of every minute.
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


@contextmanager
def started(*words: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def promised(process: subprocess.Popen[str], first: str) -> int:
    """The last number that a writer acknowledged before it was killed."""
    assert process.stdout is not None
    process.kill()
    return [int(first), *map(int, process.stdout.read().split())][-1]


def kill_checkpoints(place: Path, kills: int, dice: random.Random, counts: Counter) -> None:
    folder = place / "training"
    for _ in range(kills):
        with started(sys.executable, WRITERS, "checkpoints", folder) as process:
            first = process.stdout.readline()
            time.sleep(dice.uniform(0, 0.6))
            last = promised(process, first)
        saved = Checkpoints(folder)
        (state,), notes = saved.load([jnp.zeros((64, 1024))])
        saved.close()
        counts["lost"] += notes["number"] < last
        counts["partial"] += not (np.asarray(state) == notes["number"]).all()


def kill_forecasts(place: Path, kills: int, dice: random.Random, counts: Counter) -> None:
    path = place / "f.nc"
    for _ in range(kills):
        with started(sys.executable, WRITERS, "forecasts", path) as process:
            first = process.stdout.readline()
            until = time.monotonic() + dice.uniform(0, 0.6)
            while time.monotonic() < until:
                counts["reads"] += 1
                counts["partial"] += not uniform(path)
            last = promised(process, first)
        counts["partial"] += not uniform(path)
        found = round(float(read_forecast(path)["t850"].to_numpy()[0, 0, 0])) - 280
        counts["lost"] += found not in (last % 50, (last + 1) % 50)


def uniform(path: Path) -> bool:
    values = read_forecast(path)["t850"].to_numpy()
    return bool((values == values[0, 0, 0]).all())


def kill_training(place: Path, kills: int, dice: random.Random, counts: Counter) -> None:
    """The newest whole checkpoint is never older than it was before the kill."""
    (place / "soak.toml").write_text(CONFIG)
    words = ["train", place / "soak.toml", "--data", sample_path(), "--out", place / "run", "--promote-anyway"]
    for _ in range(kills):
        resume = ["--resume"] if (place / "run" / "config.toml").exists() else []
        before = whole_updates(place / "run")
        with started(sys.executable, "-c", HASTY, *words, *resume) as process:
            time.sleep(dice.uniform(3, 9))
            counts["lost"] += process.poll() is not None  # it could not go on
        counts["lost"] += whole_updates(place / "run") < before
    counts["lost"] += whole_updates(place / "run") == 0


def whole_updates(run: Path) -> int:
    """The updates behind the newest whole checkpoint of a run."""
    for update in sorted(int(path.name) for path in (run / "training").glob("[0-9]*") if path.name.isdigit())[::-1]:
        with suppress(CheckpointError):
            read_manifest(run / "training" / str(update))
            return update
    return 0


def flip_bits(place: Path, flips: int, dice: random.Random, counts: Counter) -> None:
    """One bit of one of our artefacts at a time: it is refused, or means nothing and everything reads as before."""
    config = place / "soak.toml"
    config.write_text(CONFIG.replace("1000000", "16"))
    run, made = place / "run", place / "f.nc"
    subprocess.run(
        [sys.executable, "-m", "pinnwx", "train", config, "--data", sample_path(), "--out", run, "--promote-anyway"],
        check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    forecast(run, sample_path(), hours=24, out=made)
    intact_forecast, intact_model = read_forecast(made), state_of(Run(run).load())
    newest = max((run / "training").glob("[0-9]*"), key=lambda path: int(path.name))
    for older in (run / "training").glob("[0-9]*"):
        if older != newest:
            shutil.rmtree(older)
    trained = Run(run).load()
    like = [initial_state(member, trained.config.training) for member in networks_of(trained.model)]
    checkpoint = [path for path in newest.rglob("*") if path.is_file()]

    def read_checkpoint() -> tuple[bytes, dict]:
        """By the way that a resumed training takes; the one before it is not there to go back to."""
        saved = Checkpoints(run / "training")
        try:
            leaves, notes = saved.load(like)
        finally:
            saved.close()
        return bytes_of(leaves), notes

    intact_checkpoint = read_checkpoint()

    def load_model() -> bool:
        return state_of(Run(run).load()) == intact_model

    def load_forecast() -> bool:
        return read_forecast(made).identical(intact_forecast)

    def load_checkpoint() -> bool:
        return read_checkpoint() == intact_checkpoint

    readers: dict[Path, Callable[[], bool]] = {made: load_forecast, run / "live": load_model}
    readers |= dict.fromkeys((run / "versions" / "0001").iterdir(), load_model)
    readers |= dict.fromkeys(checkpoint, load_checkpoint)
    places = sorted(path for path in readers if path.stat().st_size)
    for _ in range(flips):
        path = dice.choice(places)
        content = path.read_bytes()
        damaged = bytearray(content)
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        try:
            harmless = readers[path]()
            counts["harmless" if harmless else "silent"] += 1
        except PinnwxError:
            counts["refused"] += 1
        path.write_bytes(content)


def bytes_of(tree) -> bytes:
    return b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree))


def state_of(trained) -> bytes:
    """All that a forecast depends on: weights, scales, climatology, config, and where they come from."""
    notes = repr(sorted(trained.manifest.items(), key=str)) + trained.config_text
    return bytes_of([nnx.state(trained.model), trained.climatology.coefficients]) + notes.encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="of each of the three writers")
    parser.add_argument("--flips", type=int, default=1000, help="of single bits")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    bad = 0
    for stage in (kill_checkpoints, kill_forecasts, kill_training, flip_bits):
        name, count = stage.__name__.replace("_", " "), given.flips if stage is flip_bits else given.kills
        counts, place, began = Counter(lost=0, silent=0, partial=0), Path(tempfile.mkdtemp()), time.monotonic()
        try:
            stage(place, count, random.Random(f"{given.seed} {name}"), counts)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        found = ", ".join(f"{number} {what}" for what, number in counts.items())
        print(f"{name}: {count} in {time.monotonic() - began:.0f} s: {found}", flush=True)
        bad += counts["lost"] + counts["silent"] + counts["partial"]
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
