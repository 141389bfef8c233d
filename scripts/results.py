"""Trains and scores experiments one after another, and writes the results tables.

    python scripts/results.py                     every experiment below, ten minutes each
    python scripts/results.py era5_hybrid --minutes 4
    python scripts/results.py --tables            only write tables and pictures again, from the scores and runs stored

Each run is two commands of the package, in processes of their own, on data under PINNWX_DATA. Scores go to
experiments/results/NAME.json; the tables, to experiments/README.md and docs/results.md between their markers.
Experiments of one table that are named together are trained in turn, a few seconds each, so that a machine that slows
down slows all of them. Compiled code is not shared between runs: every model pays for its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from trial import DATA, EXPERIMENTS, PINNWX, RESULTS, ROOT, RUNS, Trial, run_trials, scoring_of, splice


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
    """Pictures of the first experiment: a forecast of three days beside what happened, and the growth of the error."""
    if case.picture is None or not (runs / case.names[0]).is_dir():
        return
    (init, variable), name = case.picture, case.names[0]
    archive = DATA / scoring_of(name).folder
    made = runs / name / "forecast.nc"
    forecast = ["forecast", "--run", runs / name, "--data", archive, "--init", init, "--hours", 72, "--out", made]
    maps = ["plot", made, "--data", archive, "--variables", variable, "--leads", "24,72"]
    curves = ["plot", RESULTS / f"{name}.json", "--out", RESULTS / f"{name}_scores.png"]
    for verb in (forecast, [*maps, "--out", RESULTS / f"{name}.png"], curves):
        subprocess.run([*PINNWX, *map(str, verb), "--force"], check=True)


def table(case: Case, variables: tuple[str, ...] | None = None) -> str:
    """RMSE over that of persistence for these variables (default: all) and every lead, a column a model."""
    stored = {name: json.loads(path.read_text()) for name in case.names if (path := RESULTS / f"{name}.json").is_file()}
    if not stored:
        return f"**{case.title}**: not run yet.\n"
    lines = [f"**{case.title}.** RMSE over that of persistence, with 95 % bounds.\n"]
    lines.append("| field, lead | " + " | ".join(stored) + " | climatology |")
    lines.append("| --- |" + " --- |" * (len(stored) + 1))
    rows = {(e["variable"], e["lead_hours"]): e for e in next(iter(stored.values()))["scores"]}
    for (variable, lead), entry in rows.items():
        if variables is not None and variable not in variables:
            continue
        cells = [ratio(find(scores, variable, lead)) for scores in stored.values()]
        climatology = f"{entry['climatology_rmse'] / entry['persistence_rmse']:.2f}"
        lines.append(f"| {variable} {lead:g} h | " + " | ".join([*cells, climatology]) + " |")
    for label, key in (("wall-clock s", "seconds"), ("parameters", "parameters")):
        lines.append(f"| {label} | " + " | ".join(f"{s['training'][key]:,.0f}" for s in stored.values()) + " | |")
    updates = [s["training"]["updates"] for s in stored.values()]
    lines.append("| updates | " + " | ".join(f"{count:,}" for count in updates) + " | |")
    return "\n".join(lines) + "\n"


def find(scores: dict, variable: str, lead: float) -> dict:
    """The entry of a variable and lead."""
    return next(e for e in scores["scores"] if e["variable"] == variable and e["lead_hours"] == lead)


def ratio(entry: dict) -> str:
    """`0.54 (0.50-0.58)`; the bounds are left out where there are too few days for them."""
    text = f"{entry['persistence_ratio']:.2f}"
    if entry.get("persistence_ratio_low") is None:
        return text
    return f"{text} ({entry['persistence_ratio_low']:.2f}-{entry['persistence_ratio_high']:.2f})"


def write_tables() -> None:
    """The headlines go to docs/results.md, every variable to experiments/README.md."""
    splice(ROOT / "docs" / "results.md", "results", "\n".join(table(case, case.headlines) for case in CASES))
    splice(EXPERIMENTS / "README.md", "results", "\n".join(table(case) for case in CASES))


def _trial(name: str, runs: Path) -> Trial:
    return Trial(EXPERIMENTS / f"{name}.toml", runs / name, RESULTS / f"{name}.json", scoring_of(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="experiments to run; all of them, if none is named")
    parser.add_argument("--minutes", type=float, default=10.0, help="wall-clock budget of each training")
    parser.add_argument("--runs", type=Path, default=RUNS, help="where the run folders go")
    parser.add_argument("--tables", action="store_true", help="only write tables and pictures again")
    given = parser.parse_args()
    known = [name for case in CASES for name in case.names]
    for name in given.names:
        if name not in known:
            parser.error(f'no experiment "{name}"; there are {", ".join(known)}')
    if not given.tables:
        for case in CASES:
            chosen = [name for name in case.names if name in (given.names or known)]
            run_trials([_trial(name, given.runs) for name in chosen], given.minutes)
    for case in CASES:
        draw(case, given.runs)
    write_tables()


if __name__ == "__main__":
    main()
