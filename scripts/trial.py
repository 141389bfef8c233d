"""One trial, for the other scripts: an experiment is trained by the command line, scored, and its scores are stored.

Also the places where data, runs and results live, and how a table gets into a README.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pinnwx.verification.results import in_lines

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENTS = ROOT / "experiments"
RESULTS = EXPERIMENTS / "results"
RUNS = ROOT / "runs"
DATA = Path(os.environ.get("PINNWX_DATA", ROOT / ".." / "shared" / "data")).resolve()
PINNWX = [sys.executable, "-m", "pinnwx"]


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


def run_trial(config: Path, run: Path, scores: Path, scoring: Scoring, minutes: float | None) -> None:
    """Trains `config` into the folder `run` and writes its scores, with what it cost.

    With a budget of `minutes` a run starts afresh, its compiled code shared with no other, so that every model pays
    for its own. With None the config fixes the number of updates, and a run that was cut short goes on where it stood.
    """
    archive = DATA / scoring.folder
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"PINNWX_CACHE": cache} if minutes is not None else dict(os.environ)
        train = [*PINNWX, "train", config, "--data", archive, "--out", run]
        if minutes is not None:
            train += ["--minutes", minutes]
        interrupted = minutes is None and (run / "training").is_dir()
        train.append("--resume" if interrupted else "--force")
        began = time.monotonic()
        subprocess.run(list(map(str, train)), check=True, env=environment)
        seconds = time.monotonic() - began
        evaluate = [*PINNWX, "evaluate", "--run", run, "--data", archive, "--start", scoring.start]
        evaluate += ["--end", scoring.end, "--leads", ",".join(map(str, scoring.leads)), "--json", scores, "--force"]
        scores.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(list(map(str, evaluate)), check=True, env=environment, stdout=subprocess.DEVNULL)
    live = (run / "live").read_text().strip()
    manifest = json.loads((run / "versions" / live / "manifest.json").read_text())
    stored = json.loads(scores.read_text())
    kept = ("seed", "updates", "parameters", "trained_on", "versions")
    cost = {"minutes": minutes, "seconds": round(seconds, 1), "resumed": interrupted}
    stored["training"] = cost | {key: manifest[key] for key in kept}
    scores.write_text(in_lines(stored, "scores"))


def splice(path: Path, marker: str, text: str) -> None:
    """Replaces what stands between `<!-- marker -->` and `<!-- end of marker -->` in a file."""
    before, _, rest = path.read_text().partition(f"<!-- {marker} -->")
    after = rest.partition(f"<!-- end of {marker} -->")[2]
    path.write_text(f"{before}<!-- {marker} -->\n\n{text}\n<!-- end of {marker} -->{after}")
