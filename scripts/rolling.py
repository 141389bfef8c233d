"""Whether it is worth retraining every week: ERA5 arrives a week at a time, and three ways to meet it are scored.

    python scripts/rolling.py              all that is not stored yet; may be stopped and started again
    python scripts/rolling.py --tables     only the table and the picture, from what is stored

A model is trained on December 2025. Then, as each of five weeks has arrived,

    frozen       does nothing
    retrained    learns on: `pinnwx retrain --minutes 1`, with its hold-out of four days and its promotion check
    from scratch is trained anew on all that has arrived, for as long as the first model was

and each forecasts from every analysis of the following week. The verbs are given a folder that holds what has arrived,
and no more. Compiled code is kept between commands, as it is where they run on a schedule. Scores, wall-clock and
core-seconds of every week go to experiments/results/rolling.json, the picture to experiments/results/rolling.png, the
table to experiments/README.md. With `--minutes 5` it takes forty minutes; nothing else may run beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import xarray as xr
from matplotlib.figure import Figure
from trial import DATA, EXPERIMENTS, PINNWX, RESULTS, RUNS, splice

from pinnwx.errors import NotPromotedError
from pinnwx.files import write_text
from pinnwx.reporting.style import CLIMATOLOGY_COLOUR, MODEL_COLOUR, PERSISTENCE_COLOUR, save
from pinnwx.verification.comparison import compare_scores
from pinnwx.verification.results import Scores, in_lines

STORED, PICTURE = RESULTS / "rolling.json", RESULTS / "rolling.png"
FOLDER = RUNS / "rolling"
ARCHIVE = DATA / "era5_global"
BASE = EXPERIMENTS / "era5_hybrid.toml"
FIRST = np.datetime64("2026-01-01")  # what is earlier has arrived at the outset
WEEKS, WEEK = 5, np.timedelta64(7, "D")
ARMS = ("frozen", "retrained", "from scratch")
COLOURS = dict(zip(ARMS, (PERSISTENCE_COLOUR, MODEL_COLOUR, CLIMATOLOGY_COLOUR), strict=True))
LEADS = (6, 24, 72)
ERRORS = ("rmse", "persistence_rmse")
RETRAINING_MINUTES = 1.0


def arrive(until: np.datetime64) -> Path:
    """The folder that holds all analyses before this time, and no other."""
    folder = FOLDER / "arrived"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in sorted(ARCHIVE.glob("*.nc")):
        with xr.open_dataset(path) as dataset:
            (name,) = (name for name, values in dataset.coords.items() if np.issubdtype(values.dtype, np.datetime64))
            dataset.isel({name: dataset[name].values < until}).to_netcdf(folder / path.name)
    return folder


def timed(*words: object, expected: tuple[int, ...] = (0,)) -> tuple[int, dict[str, float]]:
    """Runs a verb; its exit code, and the seconds that it took of the clock and of all cores."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = os.environ | {"PINNWX_CACHE": str(FOLDER / "cache")}
    code = subprocess.run([*PINNWX, *map(str, words)], env=environment, stdout=subprocess.DEVNULL).returncode
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if code not in expected:
        raise SystemExit(f"pinnwx {words[0]} ended with {code}")
    cores = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return code, {"wall_seconds": round(seconds, 1), "core_seconds": round(cores, 1)}


def train(run: Path, folder: Path, until: np.datetime64, minutes: float) -> dict[str, float]:
    """The base experiment, trained on all that comes before this time; what it took."""
    settings = tomllib.loads(BASE.read_text())
    settings["data"]["train"]["end"] = str((until - np.timedelta64(1, "h")).astype("datetime64[h]"))
    settings["data"].pop("validate", None)
    config = FOLDER / f"{until}.toml"
    write_text(config, tomli_w.dumps(settings))
    return timed("train", config, "--data", folder, "--out", run, "--minutes", minutes, "--force", "--promote-anyway")[
        1
    ]


def scored(run: Path, first: np.datetime64) -> Scores:
    """Forecasts from every analysis of the week that begins then."""
    last, made = first + WEEK - np.timedelta64(1, "D"), FOLDER / "scores.json"
    leads = ",".join(map(str, LEADS))
    options = ("--start", first, "--end", last, "--leads", leads, "--json", made, "--force")
    timed("evaluate", "--run", run, "--data", ARCHIVE, *options)
    found = Scores.load(made)
    plain = tuple({key: value for key, value in entry.items() if key != "details"} for entry in found.scores)
    return Scores(plain, found.run, found.skipped, found.settings)


def run_all(minutes: float) -> None:
    """Every week that is not stored yet."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    stored = json.loads(STORED.read_text()) if STORED.is_file() else {"minutes": minutes, "first": None, "weeks": []}
    runs = {arm: FOLDER / arm.replace(" ", "_") for arm in ARMS}
    if stored["first"] is None:
        stored["first"] = train(runs["frozen"], arrive(FIRST), FIRST, minutes)
        shutil.rmtree(runs["retrained"], ignore_errors=True)
        shutil.copytree(runs["frozen"], runs["retrained"])
        write_text(STORED, in_lines(stored, "weeks"))
    for number in range(len(stored["weeks"]), WEEKS):
        until = FIRST + (number + 1) * WEEK
        folder = arrive(until)
        words = ("retrain", "--run", runs["retrained"], "--data", folder, "--minutes", RETRAINING_MINUTES)
        code, retraining = timed(*words, expected=(0, NotPromotedError.exit_code))
        anew = train(runs["from scratch"], folder, until, minutes)
        nothing = {"wall_seconds": 0.0, "core_seconds": 0.0}
        costs = dict(zip(ARMS, (nothing, retraining | {"promoted": code == 0}, anew), strict=True))
        found = {arm: scored(runs[arm], until) for arm in ARMS}
        scores = {arm: one.to_dict() for arm, one in found.items()}
        stored["weeks"].append({"arrived_until": str(until), "costs": costs, "scores": scores})
        write_text(STORED, in_lines(stored, "weeks"))
        print(f"{until}: " + ", ".join(f"{arm} {found[arm].entry('msl', 24)['persistence_ratio']:.3f}" for arm in ARMS))


def weekly(stored: dict[str, Any], arm: str) -> list[Scores]:
    """The scores of each week."""
    found = [week["scores"][arm] for week in stored["weeks"]]
    return [Scores(tuple(one["scores"]), arm, one["skipped"], one["settings"]) for one in found]


def whole(weeks: list[Scores]) -> Scores:
    """The scores of all weeks as one."""
    entries = []
    for one in weeks[0].scores:
        parts = [week.entry(one["variable"], one["lead_hours"]) for week in weeks]
        counts = [part["n"] for part in parts]
        means = {key: float(np.average([part[key] for part in parts], weights=counts)) for key in ERRORS}
        entries.append({**one, **means, "n": sum(counts), "daily": [day for part in parts for day in part["daily"]]})
    return Scores(tuple(entries), weeks[0].run, {}, weeks[0].settings)


def table(stored: dict[str, Any]) -> str:
    """Skill over all weeks, and what it cost."""
    arms = {arm: whole(weekly(stored, arm)) for arm in ARMS}
    lines = ["| | " + " | ".join(ARMS) + " | retrained over frozen | retrained over from scratch |", "| --- " * 6 + "|"]
    against = {other: compare_scores(arms["retrained"], arms[other]) for other in ("frozen", "from scratch")}
    for place, one in enumerate(arms["frozen"].scores):
        row = [f"{arms[arm].scores[place]['rmse'] / one['persistence_rmse']:.3f}" for arm in ARMS]
        for found in against.values():
            pair = found.ratios[place]
            row.append(f"{pair['ratio']:.3f} ({pair['ratio_low']:.3f}-{pair['ratio_high']:.3f})")
        lines.append(f"| {one['variable']} {one['lead_hours']:g} h | " + " | ".join(row) + " |")
    for key, label in (("wall_seconds", "wall-clock a week, s"), ("core_seconds", "core-seconds a week")):
        means = [np.mean([week["costs"][arm][key] for week in stored["weeks"]]) for arm in ARMS]
        lines.append(f"| {label} | " + " | ".join(f"{mean:.0f}" for mean in means) + " | | |")
    promoted = [week["costs"]["retrained"]["promoted"] for week in stored["weeks"]]
    return "\n".join(lines) + (
        f"\n\nRMSE over that of persistence in {len(promoted)} weeks; ratios with 95 % bounds, paired by day. The "
        f"first training and those from scratch took {stored['minutes']:g} minutes; {sum(promoted)} of {len(promoted)} "
        "retrained candidates passed the promotion check.\n\n![Errors week by week](results/rolling.png)\n"
    )


def picture(stored: dict[str, Any]) -> Figure:
    """Errors week by week, and the cores' time that each way took."""
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(2, 2, 1))
    weeks = [week["arrived_until"][5:] for week in stored["weeks"]]
    for axes, variable in ((left, "msl"), (middle, "vo850")):
        for arm in ARMS:
            values = [week.entry(variable, 24)["persistence_ratio"] for week in weekly(stored, arm)]
            axes.plot(weeks, values, "o-", color=COLOURS[arm], label=arm, markersize=4)
        axes.set_title(f"{variable}, 24 h: RMSE over persistence", fontsize="medium")
        axes.set_xlabel("first day of the week that is forecast")
    means = [np.mean([week["costs"][arm]["core_seconds"] for week in stored["weeks"]]) for arm in ARMS]
    right.bar(ARMS, means, color=[COLOURS[arm] for arm in ARMS])
    right.set_title("core-seconds a week", fontsize="medium")
    right.tick_params(axis="x", labelrotation=30)
    left.legend(frameon=False, fontsize="small")
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="of the first training and of those from scratch")
    parser.add_argument("--tables", action="store_true", help="only write the table and the picture anew")
    given = parser.parse_args()
    if not given.tables:
        run_all(given.minutes)
    stored = json.loads(STORED.read_text())
    save(picture(stored), PICTURE)
    splice(EXPERIMENTS / "README.md", "rolling", table(stored))


if __name__ == "__main__":
    main()
