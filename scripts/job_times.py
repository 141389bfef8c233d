"""How long whole jobs take, from the shell prompt to the finished file, and writes the table of it.

    python scripts/job_times.py              about twelve minutes
    python scripts/job_times.py forecast     only jobs with this word in their name; the others keep their figures
    python scripts/job_times.py --tables     only write the table again, from the figures stored

The jobs are those of a schedule, on the run that `python scripts/results.py era5_hybrid` has left: a global forecast of
ten days at 5.625 degrees, and a retraining that takes in one fresh week and passes the promotion check, each with no
compiled code kept and with all of it; and how soon the command line answers. They take turns, `ROUNDS` of them after
one that does not count. Nothing else may run beside it. Figures go to experiments/results/job_times.json, the table
to docs/speed.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from stopwatch import Spread, in_turn
from trial import DATA, PINNWX, RESULTS, ROOT, RUNS, scoring_of, splice

from pinnwx.errors import NotPromotedError
from pinnwx.runtime import product_speed

STORED = RESULTS / "job_times.json"
RUN = RUNS / "era5_hybrid"
ARCHIVE = DATA / scoring_of(RUN.name).folder
INIT, SINCE = "2026-02-09T00:00", "2026-02-03T18:00"  # one week lies between the latter and the four days held out
RETRAINING_MINUTES = 1.0
ROUNDS = 5


def command(*words: object, cache: Path | None = None, codes: tuple[int, ...] = (0,)) -> None:
    """Runs a verb with the compiled code of `cache`, or in a new one."""
    with tempfile.TemporaryDirectory() as empty:
        environment = os.environ | {"PINNWX_CACHE": str(cache or empty)}
        done = subprocess.run([*PINNWX, *map(str, words)], capture_output=True, text=True, env=environment)
    if done.returncode not in codes:
        raise SystemExit(f"pinnwx {words[0]} ended with {done.returncode}: {done.stderr.strip()}")


def forecast(folder: Path, cache: Path | None) -> None:
    """Ten days from one analysis into a file."""
    made = folder / "made.nc"
    options = ("--data", ARCHIVE, "--init", INIT, "--hours", 240, "--out", made, "--force")
    command("forecast", "--run", RUN, *options, cache=cache)


def retrain(folder: Path, cache: Path | None) -> None:
    """One fresh week taken in by a copy of the run, and judged."""
    copy = folder / "run"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(RUN, copy)
    options = ("--data", ARCHIVE, "--since", SINCE, "--minutes", RETRAINING_MINUTES)
    command("retrain", "--run", copy, *options, cache=cache, codes=(0, NotPromotedError.exit_code))


def measure(word: str) -> dict[str, Spread]:
    """Seconds of each job that has the word in its name."""
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name), Path(name) / "cache"
        jobs: dict[str, Callable[[], None]] = {
            "`pinnwx --help`": lambda: command("--help"),
            "`pinnwx forecast`, nothing compiled": lambda: forecast(folder, None),
            "`pinnwx forecast`": lambda: forecast(folder, cache),
            "`pinnwx retrain --minutes 1`, nothing compiled": lambda: retrain(folder, None),
            "`pinnwx retrain --minutes 1`": lambda: retrain(folder, cache),
        }
        return in_turn({name: job for name, job in jobs.items() if word in name}, ROUNDS)


def table(stored: Mapping[str, Spread]) -> str:
    """Seconds of each job, as Markdown."""
    lines = [
        f"| from prompt to end, s | median of {ROUNDS} | minimum | maximum |",
        "| --- | --- | --- | --- |",
    ]
    for name, spread in stored.items():
        lines.append(f"| {name} | " + " | ".join(f"{spread[key]:.1f}" for key in ("median", "least", "most")) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("word", nargs="?", default="", help="only jobs with this word in their name")
    parser.add_argument("--tables", action="store_true", help="only write the table again")
    given = parser.parse_args()
    if not given.tables:
        if not RUN.is_dir():
            parser.error(f"no run folder {RUN}; python scripts/results.py {RUN.name} makes it")
        before = product_speed()
        stored = json.loads(STORED.read_text()) if STORED.is_file() else {}
        found = stored | measure(given.word)
        print(f"products of 1024 x 1024 matrices: {before:.0f} GFLOP/s before, {product_speed():.0f} after")
        STORED.write_text(json.dumps(found, indent=1) + "\n")
    splice(ROOT / "docs" / "speed.md", "jobs", table(json.loads(STORED.read_text())))


if __name__ == "__main__":
    main()
