"""Ten-day forecasts of good models and of spoilt copies of them: which ones are refused, and by which check.

    python scripts/spoilt.py                    for the runs that `python scripts/results.py` has left
    python scripts/spoilt.py --runs FOLDER      for those in another folder
    python scripts/spoilt.py --tables           only write the table anew

A copy is spoilt by noise on its weights (in parts of the standard deviation of each array), by all weights times a
factor, or by a part of the weights set to zero. Forecasts start within the time that the experiment is scored on, on
which no limit was chosen. `forecasting.stability` refuses a forecast that has blown up, `forecasting.plausibility` one
that no weather would make; `jobs.training_check` refuses the model itself, on its validation time.

Figures go to experiments/results/spoilt.json after each copy, the table to experiments/README.md. A copy that is
stored already is passed over, so a study that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from trial import DATA, EXPERIMENTS, RESULTS, RUNS, scoring_of, splice

from pinnwx.data.archive import Archive
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.plausibility import excess
from pinnwx.forecasting.predictor import Predictor, spread_starts
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.stability import is_stable
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.training_check import check_training, validation_archive
from pinnwx.runtime import prepare

STORED = RESULTS / "spoilt.json"
MODELS = ("era5_hybrid", "europe_hybrid", "gcm_hybrid", "gcm_year")
DAYS, STARTS, SEEDS = 10, 6, (1,)
SPOILINGS = (
    *(("noise", amount) for amount in (0.05, 0.1, 0.2, 0.4, 0.8)),
    *(("factor", amount) for amount in (1.05, 1.1, 1.2, 1.4, 2.0)),
    *(("zeros", amount) for amount in (0.02, 0.1, 0.3)),
)


def spoilt(weights: nnx.State, kind: str, amount: float, seed: int) -> nnx.State:
    """A copy of the weights, spoilt."""
    dice = np.random.default_rng(seed)

    def changed(leaf: jax.Array) -> jax.Array:
        values = np.asarray(leaf)
        if kind == "factor":
            values = values * np.float32(amount)
        elif kind == "zeros":
            values = np.where(dice.random(values.shape) < amount, 0, values)
        else:
            values = values + amount * values.std() * dice.standard_normal(values.shape)
        return jax.numpy.asarray(values, leaf.dtype)

    return jax.tree.map(changed, weights)


def copies() -> list[tuple[str, float, int]]:
    """The good model and each spoiling, with each seed where it has chance in it."""
    found = [("good", 0.0, 0)]
    return found + [(*each, seed) for each in SPOILINGS for seed in (SEEDS if each[0] != "factor" else (0,))]


def key_of(kind: str, amount: float, seed: int) -> str:
    return f"{kind} {amount:g}, seed {seed}"


def chosen_starts(predictor: Predictor, archive: Archive, name: str) -> np.ndarray:
    """Initial times spread evenly over the time that the experiment is scored on."""
    scoring = scoring_of(name)
    within = archive.select(scoring.start, scoring.end).times
    return spread_starts(archive.times, predictor.input_offsets, STARTS, within)


def judged(trained: TrainedModel, archive: Archive, starts: np.ndarray, leads: list[float]) -> dict:
    """Of the forecasts from `starts`: how many each check refuses, and how near its limits the others come."""
    made = Predictor(trained, leads).from_archive(archive, starts)
    blown_up = implausible = 0
    largest: dict[str, float] = {}
    for forecast, when in zip(made, starts, strict=True):
        if not is_stable(forecast, leads, trained, when):
            blown_up += 1
            continue
        analysis = archive.fields[int(np.searchsorted(archive.times, when))]
        ratios = excess(forecast, np.asarray(leads), trained, when, analysis)
        implausible += any(bool((ratio > 1).any()) for ratio in ratios.values())
        largest = {kind: max(largest.get(kind, 0.0), round(float(ratio.max()), 3)) for kind, ratio in ratios.items()}
    return {"starts": len(starts), "blown_up": blown_up, "implausible": implausible, "largest_over_limit": largest}


def study(name: str, folder: Path, stored: dict) -> None:
    """Every copy of one experiment's model."""
    trained = Run.open(folder / name).load()
    archive = matching_archive(trained, DATA / scoring_of(name).folder)
    step = trained.config.model.step_hours
    leads = [step * (k + 1) for k in range(round(24 * DAYS / step))]
    starts = chosen_starts(Predictor(trained, leads[:1]), archive, name)
    period = trained.config.data.train
    training = archive.select(period.start, period.end)
    validation = validation_archive(trained, DATA / scoring_of(name).folder)
    weights = nnx.state(trained.model, nnx.Param)
    rows = stored.setdefault(name, {"updates": trained.manifest.get("updates"), "copies": {}})["copies"]
    for kind, amount, seed in copies():
        key = key_of(kind, amount, seed)
        if key not in rows:
            nnx.update(trained.model, weights if kind == "good" else spoilt(weights, kind, amount, seed))
            row = judged(trained, archive, starts, leads)
            row["objections"] = len(check_training(trained, training, validation).objections)
            rows[key] = row
            STORED.write_text(json.dumps(stored, indent=1) + "\n")
            print(name, key, row, flush=True)


def table(stored: Mapping[str, dict]) -> str:
    """What was found, as Markdown."""
    lines = [
        "| model | copy | forecasts | blew up | no weather | nearest to a limit | promotion check |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in filter(stored.__contains__, MODELS):
        found = stored[name]["copies"]
        for kind, amount, seed in copies():
            if (row := found.get(key_of(kind, amount, seed))) is None:
                continue
            copy = kind if kind == "good" else f"{kind} {amount:g}"
            near = max(row["largest_over_limit"].items(), key=lambda each: each[1], default=("", None))
            nearest = "" if near[1] is None else f"{near[0].replace('_', ' ')} {near[1]:.2f}"
            check = "refuses it" if row["objections"] else "passes"
            cells = [name, copy, row["starts"], row["blown_up"], row["implausible"], nearest, check]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=RUNS, help="the folder of the run folders")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="all, if none is named")
    parser.add_argument("--tables", action="store_true", help="only write the table anew")
    given = parser.parse_args()
    prepare()
    stored = json.loads(STORED.read_text()) if STORED.is_file() else {}
    for name in given.models:
        if not given.tables and (given.runs / name).is_dir():
            study(name, given.runs, stored)
    splice(EXPERIMENTS / "README.md", "spoilt", table(stored))


if __name__ == "__main__":
    main()
