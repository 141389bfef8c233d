"""Trains and scores the experiments one after another, and writes the tables of results.

    python -m experiments.studies.results                 every experiment below, ten minutes each
    python -m experiments.studies.results era5_hybrid --minutes 4
    python -m experiments.studies.results --tables        only write tables and pictures from stored scores and runs

Training and scoring are two commands of the package, in processes of their own, on the data under PINNWX_DATA. Scores
go to experiments/results/NAME.json, tables to experiments/README.md and docs/results.md between their markers.
Experiments of one table that are named together are trained in turns, a few seconds each, so a slow minute of the
machine slows all of them. Runs do not share compiled code: every model compiles its own.
"""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.studies.harness import (
    DATA,
    EXPERIMENTS,
    PINNWX,
    README,
    RESULTS,
    RESULTS_PAGE,
    RUNS,
    markdown_table,
    require_known,
    scoring_of,
    splice,
    study_parser,
)
from experiments.studies.training_runs import TrainingRun, train_and_score
from pinnwx.verification.significance import BlockBootstrap


@dataclass(frozen=True)
class Case:
    """Experiments on one archive, scored on the same initial times."""

    title: str
    names: tuple[str, ...]
    headlines: tuple[str, ...]  # the variables in the table of docs/results.md; experiments/README.md has them all
    picture: tuple[str, str] | None = None  # initial time and variable of the first experiment's forecast to draw


CASES = (
    Case(
        "ERA5 global, 5.625 degrees, trained on 2025-12-01 to 2026-01-31, scored on 2026-02-04 to 02-11",
        ("era5_hybrid", "era5_neural", "era5_climode", "era5_physics"),
        ("msl", "vo850"),
        picture=("2026-02-09T00:00", "msl"),
    ),
    Case(
        "ERA-Interim Europe, 1.5 degrees, daily, trained on 2000 to 2006, scored on 2007 and 2008",
        ("europe_hybrid", "europe_neural"),
        ("z500", "t850", "msl"),
    ),
    Case(
        "The same, hindcasts: analyses of the valid times are the lateral boundary; boundary cells are not scored",
        ("europe_driven_hybrid", "europe_driven_neural"),
        ("z500", "t850", "msl"),
    ),
    Case(
        "GCM archive, 5.625 degrees, 13 fields, trained on 2000-01 to 2001-06, scored on 2001-08 to 09",
        ("gcm_hybrid", "gcm_neural", "gcm_tracers", "gcm_year"),
        ("z500", "t850", "q850", "u500", "t2m"),
        picture=("2001-08-10T00:00", "z500"),
    ),
)


def draw(case: Case, runs: Path) -> None:
    """Pictures of the first experiment: a forecast of three days beside the analyses, and the growth of the error."""
    if case.picture is None or not (runs / case.names[0]).is_dir():
        return
    (init, variable), name = case.picture, case.names[0]
    archive, path = DATA / scoring_of(name).folder, runs / name / "forecast.nc"
    forecast = ["forecast", "--run", runs / name, "--data", archive, "--init", init, "--hours", 72, "--out", path]
    maps = ["plot", path, "--data", archive, "--variables", variable, "--leads", "24,72"]
    curves = ["plot", RESULTS / f"{name}.json", "--out", RESULTS / f"{name}_scores.png"]
    for verb in (forecast, [*maps, "--out", RESULTS / f"{name}.png"], curves):
        subprocess.run([*PINNWX, *map(str, verb), "--force"], check=True)


def table(case: Case, variables: tuple[str, ...] | None = None) -> str:
    """RMSE over that of persistence for these variables (default: all) and every lead, a column for each model."""
    stored = {name: json.loads(path.read_text()) for name in case.names if (path := RESULTS / f"{name}.json").is_file()}
    if not stored:
        return f"**{case.title}**: not run yet.\n"
    rows = []
    for entry in next(iter(stored.values()))["scores"]:
        variable, lead = entry["variable"], entry["lead_hours"]
        if variables is None or variable in variables:
            cells = [_ratio(_entry(scores, variable, lead)) for scores in stored.values()]
            climatology = f"{entry['climatology_rmse'] / entry['persistence_rmse']:.2f}"
            rows.append([f"{variable} {lead:g} h", *cells, climatology])
    for label, key in (("wall-clock s", "seconds"), ("parameters", "parameters"), ("updates", "updates")):
        rows.append([label, *(f"{scores['training'][key]:,.0f}" for scores in stored.values()), ""])
    title = f"**{case.title}.** RMSE over that of persistence, with 95 % bounds over days, of one seed.\n"
    return "\n".join([title, *markdown_table(["field, lead", *stored, "climatology"], rows)]) + "\n"


def _entry(scores: Mapping[str, Any], variable: str, lead: float) -> dict[str, Any]:
    return next(each for each in scores["scores"] if (each["variable"], each["lead_hours"]) == (variable, lead))


def _ratio(entry: Mapping[str, Any]) -> str:
    """`0.54 (0.50-0.58)`; without the bounds where there are too few days for blocks of the lead."""
    text = f"{entry['persistence_ratio']:.2f}"
    overlap = max(1, math.ceil(entry["lead_hours"] / 24))
    if entry.get("persistence_ratio_low") is None or BlockBootstrap().obstacle(entry["n_days"], overlap):
        return text
    return f"{text} ({entry['persistence_ratio_low']:.2f}-{entry['persistence_ratio_high']:.2f})"


def write_tables() -> None:
    """The headlines go to docs/results.md, every variable to experiments/README.md."""
    splice(RESULTS_PAGE, "results", "\n".join(table(case, case.headlines) for case in CASES))
    splice(README, "results", "\n".join(table(case) for case in CASES))


def main() -> None:
    parser = study_parser(__doc__)
    parser.add_argument("names", nargs="*", help="experiments to run; default: all")
    parser.add_argument("--minutes", type=float, default=10.0, help="wall-clock budget of each training")
    parser.add_argument("--runs", type=Path, default=RUNS, help="where the run folders go")
    options = parser.parse_args()
    known = [name for case in CASES for name in case.names]
    require_known(parser, "experiment", options.names, known)
    for case in () if options.tables else CASES:
        names = [name for name in case.names if name in (options.names or known)]
        trainings = [
            TrainingRun(EXPERIMENTS / f"{name}.toml", options.runs / name, RESULTS / f"{name}.json", scoring_of(name))
            for name in names
        ]
        train_and_score(trainings, options.minutes)
    for case in CASES:
        draw(case, options.runs)
    write_tables()


if __name__ == "__main__":
    main()
