"""One trial, for the other scripts: an experiment is trained by the command line, scored, and its scores are stored.

Also the places where data, runs and results live, and how a table gets into a README.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from pinnwx.runtime import product_speed
from pinnwx.verification.results import in_lines

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENTS = ROOT / "experiments"
RESULTS = EXPERIMENTS / "results"
RUNS = ROOT / "runs"
DATA = Path(os.environ.get("PINNWX_DATA", ROOT / ".." / "shared" / "data")).resolve()
PINNWX = [sys.executable, "-m", "pinnwx"]
AT_WORK = Path(__file__).with_name("at_work.py")
TURN_SECONDS = 5.0


@dataclass(frozen=True)
class Scoring:
    """The forecasts that experiments on one archive are scored on."""

    folder: str
    start: str
    end: str
    leads: tuple[int, ...]


SCORINGS = {
    "era5": Scoring("era5_global", "2026-02-04", "2026-02-11", (6, 12, 24, 48, 72)),
    "europe": Scoring("erainterim_europe", "2007-01-04", "2008-12-30", (24, 48, 72)),
    "gcm": Scoring("gcm_t31", "2001-08-01", "2001-09-30", (6, 24, 72, 120)),
}


def scoring_of(experiment: str) -> Scoring:
    """That of the archive which an experiment's name begins with."""
    return SCORINGS[experiment.partition("_")[0]]


@dataclass(frozen=True)
class Trial:
    """One training: the experiment, where its run folder and its scores go, and what it is scored on."""

    config: Path
    run: Path
    scores: Path
    scoring: Scoring


def run_trials(trials: Sequence[Trial], minutes: float | None) -> None:
    """Trains each into its run folder and writes its scores, with what it cost.

    With a budget of `minutes` each starts afresh, its compiled code shared with no other, so that every model pays for
    its own; and they are trained in turn, a few seconds of one, a few seconds of the next, because the speed of a
    shared machine swings from minute to minute by more than what is compared. With None the configs fix the number of
    updates, and a run that was cut short goes on where it stood.
    """
    if minutes is None:
        for trial in trials:
            resumed = (trial.run / "training").is_dir()
            seconds = train_in_turn([_training(trial, "--resume" if resumed else "--force")], [{}])
            _score(trial, {"minutes": None, "seconds": seconds[0], "resumed": resumed})
        return
    speed = [product_speed()]
    with contextlib.ExitStack() as held:
        caches = [{"PINNWX_CACHE": held.enter_context(tempfile.TemporaryDirectory())} for _ in trials]
        seconds = train_in_turn([_training(trial, "--minutes", minutes, "--force") for trial in trials], caches)
    speed.append(product_speed())
    for trial, took in zip(trials, seconds, strict=True):
        cost = {"minutes": minutes, "seconds": took, "resumed": False, "in_turn_with": len(trials) - 1}
        _score(trial, cost | {"gflops": [round(one, 1) for one in speed]})  # of the machine, before and after


def _training(trial: Trial, *options: object) -> list[str]:
    train = ["train", trial.config, "--data", DATA / trial.scoring.folder, "--out", trial.run]
    return list(map(str, [*train, "--promote-anyway", *options]))  # a rival is scored, however it does


def train_in_turn(verbs: Sequence[Sequence[str]], environments: Sequence[Mapping[str, str]]) -> list[float]:
    """Runs verbs of pinnwx, one at work at a time; the seconds that each was at work, by which it keeps its budget.

    Raises:
        subprocess.CalledProcessError: one failed; the others were let through.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nobody is left standing
    with contextlib.ExitStack() as held:
        places = [held.enter_context(tempfile.NamedTemporaryFile()) for _ in verbs]
        for place in places:
            place.write(struct.pack("d", 0.0))
            place.flush()
        workers = [
            held.enter_context(_Worker([sys.executable, str(AT_WORK), place.name, *verb], environment, place))
            for verb, environment, place in zip(verbs, environments, places, strict=True)
        ]
        while any(worker.process.returncode is None for worker in workers):
            for worker in workers:
                worker.work(TURN_SECONDS)
    for worker in workers:
        if worker.process.returncode:
            raise subprocess.CalledProcessError(worker.process.returncode, worker.process.args)
    return [round(worker.seconds, 1) for worker in workers]


class _Worker:
    """A process that stands still but for its turns, and is told how long it stood."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], place: IO[bytes]):
        self.process = subprocess.Popen(words, env=os.environ | dict(environment), start_new_session=True)
        self.seconds, self._stopped, self._place = 0.0, 0.0, place
        self._since = self._stand()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _stand(self) -> float:
        os.killpg(self.process.pid, signal.SIGSTOP)
        return time.monotonic()

    def work(self, seconds: float) -> None:
        """Lets it work for so long, or to its end."""
        if self.process.returncode is not None:
            return
        began = time.monotonic()
        self._stopped += began - self._since
        os.pwrite(self._place.fileno(), struct.pack("d", self._stopped), 0)
        os.killpg(self.process.pid, signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        if self.process.returncode is None:
            self._since = self._stand()
        self.seconds += time.monotonic() - began


def _score(trial: Trial, cost: dict[str, Any]) -> None:
    """Evaluates a trained run and stores its scores with what it cost."""
    scoring = trial.scoring
    evaluate = [*PINNWX, "evaluate", "--run", trial.run, "--data", DATA / scoring.folder, "--start", scoring.start]
    evaluate += ["--end", scoring.end, "--leads", ",".join(map(str, scoring.leads)), "--json", trial.scores, "--force"]
    trial.scores.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(list(map(str, evaluate)), check=True, stdout=subprocess.DEVNULL)
    live = (trial.run / "live").read_text().split()[0]
    manifest = json.loads((trial.run / "versions" / live / "manifest.json").read_text())
    stored = json.loads(trial.scores.read_text())
    kept = ("seed", "updates", "parameters", "trained_on", "device", "versions")
    stored["training"] = cost | {key: manifest[key] for key in kept}
    trial.scores.write_text(in_lines(stored, "scores"))


def splice(path: Path, marker: str, text: str) -> None:
    """Replaces what stands between `<!-- marker -->` and `<!-- end of marker -->` in a file."""
    before, _, rest = path.read_text().partition(f"<!-- {marker} -->")
    after = rest.partition(f"<!-- end of {marker} -->")[2]
    path.write_text(f"{before}<!-- {marker} -->\n\n{text}\n<!-- end of {marker} -->{after}")
