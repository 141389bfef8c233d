"""What weekly retraining is worth: ERA5 arrives one week at a time, and three models are scored on the week after.

    python -m experiments.studies.rolling              what is not stored yet; may be interrupted and started again
    python -m experiments.studies.rolling --tables     only the table and the picture, from what is stored

A model is trained on December 2025. Then, when each of five weeks has arrived,

    frozen       stays as it is
    retrained    is retrained: `pinnwx retrain --minutes 1`, with its hold-out of four days and its promotion check
    from scratch is trained from scratch on everything that has arrived, for as long as the first model was

and each forecasts from every analysis of the following week. The verbs read a folder that holds only what has arrived.
Compiled code is kept between commands, as on a schedule. Scores, wall-clock and core-seconds of every week go to
experiments/results/rolling.json, the picture to experiments/results/rolling.png, the table to experiments/README.md.
With `--minutes 5` it takes forty minutes. Nothing else may run on the machine.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import xarray as xr
from matplotlib.figure import Figure

from experiments.studies.harness import (
    DATA,
    EXPERIMENTS,
    PINNWX,
    README,
    RESULTS,
    RUNS,
    StoredFigures,
    markdown_table,
    splice,
    study_parser,
)
from experiments.studies.merging import merge_scores
from pinnwx.errors import NotPromotedError
from pinnwx.files import write_text
from pinnwx.reporting.style import CLIMATOLOGY_COLOUR, MODEL_COLOUR, PERSISTENCE_COLOUR, save
from pinnwx.verification.comparison import compare_scores
from pinnwx.verification.results import Scores

STORED, PICTURE = RESULTS / "rolling.json", RESULTS / "rolling.png"
FOLDER = RUNS / "rolling"
ARCHIVE = DATA / "era5_global"
BASE = EXPERIMENTS / "era5_hybrid.toml"
FIRST = np.datetime64("2026-01-01")  # analyses before this time have arrived at the start
WEEKS, WEEK = 5, np.timedelta64(7, "D")
ARMS = ("frozen", "retrained", "from scratch")
COLOURS = dict(zip(ARMS, (PERSISTENCE_COLOUR, MODEL_COLOUR, CLIMATOLOGY_COLOUR), strict=True))
LEADS = (6, 24, 72)
RETRAINING_MINUTES = 1.0
NO_COST = {"wall_seconds": 0.0, "core_seconds": 0.0}


def run_folder(arm: str) -> Path:
    return FOLDER / arm.replace(" ", "_")


def write_arrived(until: np.datetime64) -> Path:
    """A folder that holds all analyses before this time and no other."""
    folder = FOLDER / "arrived"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in sorted(ARCHIVE.glob("*.nc")):
        with xr.open_dataset(path) as dataset:
            (name,) = (name for name, values in dataset.coords.items() if np.issubdtype(values.dtype, np.datetime64))
            dataset.isel({name: dataset[name].values < until}).to_netcdf(folder / path.name)
    return folder


def run_timed(*words: object, codes: tuple[int, ...] = (0,)) -> tuple[int, dict[str, float]]:
    """Runs a verb; its exit code, and its wall-clock seconds and seconds of all cores."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = os.environ | {"PINNWX_CACHE": str(FOLDER / "cache")}
    code = subprocess.run([*PINNWX, *map(str, words)], env=environment, stdout=subprocess.DEVNULL).returncode
    seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if code not in codes:
        raise SystemExit(f"pinnwx {words[0]} ended with {code}")
    cores = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return code, {"wall_seconds": round(seconds, 1), "core_seconds": round(cores, 1)}


def train(run: Path, folder: Path, until: np.datetime64, minutes: float) -> dict[str, float]:
    """Trains the base experiment on all analyses before this time; what it cost."""
    settings = tomllib.loads(BASE.read_text())
    settings["data"]["train"]["end"] = str((until - np.timedelta64(1, "h")).astype("datetime64[h]"))
    settings["data"].pop("validate", None)
    config = FOLDER / f"{until}.toml"
    write_text(config, tomli_w.dumps(settings))
    options = ("--data", folder, "--out", run, "--minutes", minutes, "--force", "--promote-anyway")
    return run_timed("train", config, *options)[1]


def score_week(run: Path, first: np.datetime64) -> Scores:
    """Scores of forecasts from every analysis of the week that begins then."""
    last, path = first + WEEK - np.timedelta64(1, "D"), FOLDER / "scores.json"
    leads = ",".join(map(str, LEADS))
    options = ("--start", first, "--end", last, "--leads", leads, "--json", path, "--force")
    run_timed("evaluate", "--run", run, "--data", ARCHIVE, *options)
    scores = Scores.load(path)
    plain = tuple({key: value for key, value in entry.items() if key != "details"} for entry in scores.scores)
    return Scores(plain, scores.run, scores.skipped, scores.settings)


def start_models(minutes: float) -> dict[str, float]:
    """Trains the first model, and copies it for the weekly retraining; what it cost."""
    cost = train(run_folder("frozen"), write_arrived(FIRST), FIRST, minutes)
    shutil.rmtree(run_folder("retrained"), ignore_errors=True)
    shutil.copytree(run_folder("frozen"), run_folder("retrained"))
    return cost


def measure_week(until: np.datetime64, minutes: float) -> dict[str, Any]:
    """Retrains, trains from scratch and scores all three, when everything before `until` has arrived."""
    folder = write_arrived(until)
    words = ("retrain", "--run", run_folder("retrained"), "--data", folder, "--minutes", RETRAINING_MINUTES)
    code, retraining = run_timed(*words, codes=(0, NotPromotedError.exit_code))
    from_scratch = train(run_folder("from scratch"), folder, until, minutes)
    costs = dict(zip(ARMS, (NO_COST, retraining | {"promoted": code == 0}, from_scratch), strict=True))
    scores = {arm: score_week(run_folder(arm), until) for arm in ARMS}
    print(f"{until}: " + ", ".join(f"{arm} {scores[arm].entry('msl', 24)['persistence_ratio']:.3f}" for arm in ARMS))
    return {"arrived_until": str(until), "costs": costs, "scores": {arm: s.to_dict() for arm, s in scores.items()}}


def measure(stored: StoredFigures, minutes: float) -> None:
    """Measures every week that is not stored yet."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    figures = stored.figures
    if not figures:
        figures |= {"minutes": minutes, "first": None, "weeks": []}
    if figures["first"] is None:
        figures["first"] = start_models(minutes)
        stored.save()
    for number in range(len(figures["weeks"]), WEEKS):
        figures["weeks"].append(measure_week(FIRST + (number + 1) * WEEK, minutes))
        stored.save()


def weekly_scores(figures: Mapping[str, Any], arm: str) -> list[Scores]:
    """The scores of each week."""
    weeks = [week["scores"][arm] for week in figures["weeks"]]
    return [Scores(tuple(week["scores"]), arm, week["skipped"], week["settings"]) for week in weeks]


def table(figures: Mapping[str, Any]) -> str:
    """Skill over all weeks, and what it cost."""
    scores = {arm: merge_scores(weekly_scores(figures, arm)) for arm in ARMS}
    comparisons = [compare_scores(scores["retrained"], scores[other]) for other in ("frozen", "from scratch")]
    rows = []
    for index, entry in enumerate(scores["frozen"].scores):
        row = [f"{scores[arm].scores[index]['rmse'] / entry['persistence_rmse']:.3f}" for arm in ARMS]
        pairs = [comparison.ratios[index] for comparison in comparisons]
        row += [f"{pair['ratio']:.3f} ({pair['ratio_low']:.3f}-{pair['ratio_high']:.3f})" for pair in pairs]
        rows.append([f"{entry['variable']} {entry['lead_hours']:g} h", *row])
    for key, label in (("wall_seconds", "wall-clock a week, s"), ("core_seconds", "core-seconds a week")):
        rows.append([label, *(f"{_mean_cost(figures, arm, key):.0f}" for arm in ARMS), "", ""])
    promoted = [week["costs"]["retrained"]["promoted"] for week in figures["weeks"]]
    lines = markdown_table(["", *ARMS, "retrained over frozen", "retrained over from scratch"], rows)
    return "\n".join(lines) + (
        f"\n\nRMSE over that of persistence in {len(promoted)} weeks; ratios with 95 % bounds over days, of one seed. "
        f"The first training and those from scratch took {figures['minutes']:g} minutes; {sum(promoted)} of "
        f"{len(promoted)} retrained candidates passed the promotion check.\n\n"
        "![Errors week by week](results/rolling.png)\n"
    )


def _mean_cost(figures: Mapping[str, Any], arm: str, key: str) -> float:
    return float(np.mean([week["costs"][arm][key] for week in figures["weeks"]]))


def picture(figures: Mapping[str, Any]) -> Figure:
    """Errors week by week, and the core-seconds of each arm."""
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(2, 2, 1))
    weeks = [week["arrived_until"][5:] for week in figures["weeks"]]
    for axes, variable in ((left, "msl"), (middle, "vo850")):
        for arm in ARMS:
            values = [scores.entry(variable, 24)["persistence_ratio"] for scores in weekly_scores(figures, arm)]
            axes.plot(weeks, values, "o-", color=COLOURS[arm], label=arm, markersize=4)
        axes.set_title(f"{variable}, 24 h: RMSE over persistence", fontsize="medium")
        axes.set_xlabel("first day of the week that is forecast")
    means = [_mean_cost(figures, arm, "core_seconds") for arm in ARMS]
    right.bar(ARMS, means, color=[COLOURS[arm] for arm in ARMS])
    right.set_title("core-seconds a week", fontsize="medium")
    right.tick_params(axis="x", labelrotation=30)
    left.legend(frameon=False, fontsize="small")
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    parser = study_parser(__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="of the first training and of those from scratch")
    options = parser.parse_args()
    stored = StoredFigures(STORED, rows="weeks")
    if not options.tables:
        measure(stored, options.minutes)
    save(picture(stored.figures), PICTURE)
    splice(README, "rolling", table(stored.figures))


if __name__ == "__main__":
    main()
