"""Seconds of whole scheduled jobs, from prompt to end.

    python -m experiments.studies.job_times              about twelve minutes
    python -m experiments.studies.job_times forecast     only jobs with this word in their name
    python -m experiments.studies.job_times --again      also what is stored
    python -m experiments.studies.job_times --tables     only write the table from the stored figures

The jobs are those of a schedule, on the run of `python -m experiments.studies.results era5_hybrid`: a global forecast
of ten days at 5.625 degrees, and a retraining on one fresh week that passes the promotion check, each with an empty
cache of compiled code and with a full one. `pinnwx --help` is timed too. Jobs take turns for `ROUNDS` rounds, after one
round that does not count. Nothing else may run on the machine. Figures go to experiments/results/job_times.json, the
table to docs/speed.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from experiments.studies.harness import (
    DATA,
    PINNWX,
    RESULTS,
    RUNS,
    SPEED_PAGE,
    StoredFigures,
    markdown_table,
    scoring_of,
    splice,
    study_parser,
)
from experiments.studies.stopwatch import Spread, time_in_turns
from pinnwx.errors import NotPromotedError
from pinnwx.runtime import product_speed

RUN = RUNS / "era5_hybrid"
ARCHIVE = DATA / scoring_of(RUN.name).folder
INIT, SINCE = "2026-02-09T00:00", "2026-02-03T18:00"  # one week lies between the latter and the four days held out
RETRAINING_MINUTES = 1.0
ROUNDS = 5


def run_verb(*words: object, cache: Path | None = None, codes: tuple[int, ...] = (0,)) -> None:
    """Runs a verb with the compiled code of `cache`, or with none."""
    with tempfile.TemporaryDirectory() as empty:
        environment = os.environ | {"PINNWX_CACHE": str(cache or empty)}
        done = subprocess.run([*PINNWX, *map(str, words)], capture_output=True, text=True, env=environment)
    if done.returncode not in codes:
        raise SystemExit(f"pinnwx {words[0]} ended with {done.returncode}: {done.stderr.strip()}")


def forecast(folder: Path, cache: Path | None) -> None:
    """Writes ten days from one analysis into a file."""
    options = ("--data", ARCHIVE, "--init", INIT, "--hours", 240, "--out", folder / "forecast.nc", "--force")
    run_verb("forecast", "--run", RUN, *options, cache=cache)


def retrain(folder: Path, cache: Path | None) -> None:
    """Retrains a copy of the run on one fresh week, with its promotion check."""
    copy = folder / "run"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(RUN, copy)
    options = ("--data", ARCHIVE, "--since", SINCE, "--minutes", RETRAINING_MINUTES)
    run_verb("retrain", "--run", copy, *options, cache=cache, codes=(0, NotPromotedError.exit_code))


def jobs_in(folder: Path) -> dict[str, Callable[[], None]]:
    """The jobs by their names; they write into the folder."""
    cache = folder / "cache"
    return {
        "`pinnwx --help`": lambda: run_verb("--help"),
        "`pinnwx forecast`, nothing compiled": lambda: forecast(folder, None),
        "`pinnwx forecast`": lambda: forecast(folder, cache),
        "`pinnwx retrain --minutes 1`, nothing compiled": lambda: retrain(folder, None),
        "`pinnwx retrain --minutes 1`": lambda: retrain(folder, cache),
    }


def table(figures: Mapping[str, Spread]) -> str:
    """Seconds of each job, as Markdown."""
    rows = [[name, *(f"{spread[key]:.1f}" for key in ("median", "least", "most"))] for name, spread in figures.items()]
    return (
        "\n".join(markdown_table(["from prompt to end, s", f"median of {ROUNDS}", "minimum", "maximum"], rows)) + "\n"
    )


def main() -> None:
    parser = study_parser(__doc__, remeasure=True)
    parser.add_argument("word", nargs="?", default="", help="only jobs with this word in their name")
    options = parser.parse_args()
    stored = StoredFigures(RESULTS / "job_times.json")
    if not options.tables:
        if not RUN.is_dir():
            parser.error(f"no run folder {RUN}; python -m experiments.studies.results {RUN.name} makes it")
        speed_before = product_speed()
        with tempfile.TemporaryDirectory() as folder:
            jobs = {
                name: job
                for name, job in jobs_in(Path(folder)).items()
                if options.word in name and (options.again or name not in stored.figures)
            }
            stored.figures |= time_in_turns(jobs, ROUNDS)
        print(f"products of 1024 x 1024 matrices: {speed_before:.0f} GFLOP/s before, {product_speed():.0f} after")
        stored.save()
    splice(SPEED_PAGE, "jobs", table(stored.figures))


if __name__ == "__main__":
    main()
