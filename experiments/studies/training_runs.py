"""Experiments that the command line trains and scores: each run folder with its scores and what the training cost."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.studies.harness import DATA, PINNWX, Scoring
from experiments.studies.turns import run_in_turns
from pinnwx.runtime import product_speed
from pinnwx.verification.results import in_lines


@dataclass(frozen=True)
class TrainingRun:
    """One training: the experiment, where its run folder and its scores go, and what it is scored on.

    `options` are further ones of `pinnwx train`.
    """

    config: Path
    run: Path
    scores: Path
    scoring: Scoring
    options: tuple[object, ...] = ()


def train_and_score(runs: Sequence[TrainingRun], minutes: float | None) -> None:
    """Trains each into its run folder and stores its scores with what it cost.

    With a budget of `minutes` each starts from scratch. The trainings take turns, and each compiles its own code. With
    None the configs fix the number of updates, and an interrupted run continues where it stopped.
    """
    if minutes is None:
        for run in runs:
            resumed = (run.run / "training").is_dir()
            command = _train_command(run, "--resume" if resumed else "--force")
            seconds = run_in_turns([["pinnwx", *command]], [{}])
            _score(run, {"minutes": None, "seconds": seconds[0], "resumed": resumed})
        return
    speeds = [product_speed()]
    seconds = compete([_train_command(run, "--minutes", minutes, "--force") for run in runs])
    speeds.append(product_speed())
    for run, seconds_used in zip(runs, seconds, strict=True):
        cost = {"minutes": minutes, "seconds": seconds_used, "resumed": False, "in_turn_with": len(runs) - 1}
        _score(run, cost | {"gflops": [round(speed, 1) for speed in speeds]})  # of the machine, before and after


def compete(commands: Sequence[Sequence[str]]) -> list[float]:
    """Runs verbs of pinnwx in turns, each with an empty cache of compiled code; the seconds that each ran."""
    with ExitStack() as stack:
        caches = [{"PINNWX_CACHE": stack.enter_context(tempfile.TemporaryDirectory())} for _ in commands]
        return run_in_turns([["pinnwx", *command] for command in commands], caches)


def _train_command(run: TrainingRun, *options: object) -> list[str]:
    """`--promote-anyway`, because every model that is compared is scored, whatever the promotion check says."""
    words = ["train", run.config, "--data", DATA / run.scoring.folder, "--out", run.run, "--promote-anyway"]
    words += [*run.options, *options]
    return list(map(str, words))


def _score(run: TrainingRun, cost: Mapping[str, Any]) -> None:
    """Evaluates a trained run and stores its scores with what it cost."""
    scoring, leads = run.scoring, ",".join(map(str, run.scoring.leads))
    words = ["evaluate", "--run", run.run, "--data", DATA / scoring.folder, "--start", scoring.start]
    words += ["--end", scoring.end, "--leads", leads, "--json", run.scores, "--force"]
    run.scores.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([*PINNWX, *map(str, words)], check=True, stdout=subprocess.DEVNULL)
    live = (run.run / "live").read_text().split()[0]
    manifest = json.loads((run.run / "versions" / live / "manifest.json").read_text())
    scores = json.loads(run.scores.read_text())
    keys = ("seed", "updates", "parameters", "trained_on", "device", "versions")
    scores["training"] = {**cost, **{key: manifest[key] for key in keys}}
    run.scores.write_text(in_lines(scores, "scores"))
