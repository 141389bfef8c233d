"""Ten-day forecasts of trained models and of damaged copies of them: which are refused, and by which check.

    python -m experiments.studies.spoilt                    for the runs of `python -m experiments.studies.results`
    python -m experiments.studies.spoilt --runs FOLDER      for those in another folder
    python -m experiments.studies.spoilt --tables           only write the table

A copy is damaged by noise on its weights (a multiple of the standard deviation of each array), by one factor for all
weights, or by setting a fraction of the weights to zero. Forecasts start within the time on which the experiment is
scored; no limit was chosen on it. `forecasting.stability` refuses a forecast that has blown up,
`forecasting.plausibility` one that is no possible weather; `jobs.training_check` refuses the model itself, on its
validation time. Whether a copy that is not refused is still a forecaster is seen in its errors: those of the training
check at the first step, and those of the ten-day forecasts at their end, both over persistence, in the worst field.

Figures go to experiments/results/spoilt.json after each copy, the table to experiments/README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from experiments.studies.harness import (
    DATA,
    README,
    RESULTS,
    RUNS,
    StoredFigures,
    markdown_table,
    scoring_of,
    splice,
    study_parser,
)
from pinnwx.data.archive import Archive
from pinnwx.errors import StabilityError
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.plausibility import excess
from pinnwx.forecasting.predictor import Predictor, spread_starts
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.stability import is_stable
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.evaluate import score_from
from pinnwx.jobs.training_check import check_training, validation_archive
from pinnwx.runtime import prepare
from pinnwx.verification.results import Scores

MODELS = ("era5_hybrid", "europe_hybrid", "gcm_hybrid", "gcm_year")
DAYS, STARTS, SEED = 10, 6, 1


@dataclass(frozen=True)
class Damage:
    """One way to damage the weights of a model; the seed is 0 where nothing is random."""

    kind: str = "good"
    amount: float = 0.0
    seed: int = 0

    @property
    def key(self) -> str:
        return f"{self.kind} {self.amount:g}, seed {self.seed}"

    @property
    def label(self) -> str:
        return self.kind if self.kind == "good" else f"{self.kind} {self.amount:g}"

    def apply(self, weights: nnx.State) -> nnx.State:
        """A damaged copy of the weights."""
        random = np.random.default_rng(self.seed)

        def damaged(leaf: jax.Array) -> jax.Array:
            values = np.asarray(leaf)
            if self.kind == "factor":
                values = values * np.float32(self.amount)
            elif self.kind == "zeros":
                values = np.where(random.random(values.shape) < self.amount, 0, values)
            elif self.kind == "noise":
                values = values + self.amount * values.std() * random.standard_normal(values.shape)
            return jax.numpy.asarray(values, leaf.dtype)

        return weights if self.kind == "good" else jax.tree.map(damaged, weights)


COPIES = (
    Damage(),
    *(Damage("noise", amount, SEED) for amount in (0.05, 0.1, 0.2, 0.4, 0.8)),
    *(Damage("factor", amount) for amount in (1.05, 1.1, 1.2, 1.4, 2.0)),
    *(Damage("zeros", amount, SEED) for amount in (0.02, 0.1, 0.3)),
)


def initial_times(predictor: Predictor, archive: Archive, name: str) -> np.ndarray:
    """Initial times spread evenly over the time on which the experiment is scored."""
    scoring = scoring_of(name)
    within = archive.select(scoring.start, scoring.end).times
    return spread_starts(archive.times, predictor.input_offsets, STARTS, within)


def count_refusals(trained: TrainedModel, archive: Archive, starts: np.ndarray, leads: list[float]) -> dict[str, Any]:
    """How many forecasts from `starts` each check refuses, and how near to its limits the others come."""
    forecasts = Predictor(trained, leads).from_archive(archive, starts)
    blown_up = implausible = 0
    largest: dict[str, float] = {}
    for forecast, start in zip(forecasts, starts, strict=True):
        if not is_stable(forecast, leads, trained, start):
            blown_up += 1
            continue
        analysis = archive.fields[int(np.searchsorted(archive.times, start))]
        ratios = excess(forecast, np.asarray(leads), trained, start, analysis)
        implausible += any(bool((ratio > 1).any()) for ratio in ratios.values())
        largest = {kind: max(largest.get(kind, 0.0), round(float(ratio.max()), 3)) for kind, ratio in ratios.items()}
    return {"starts": len(starts), "blown_up": blown_up, "implausible": implausible, "largest_over_limit": largest}


def worst_ratio(scores: Scores | None, lead: float) -> float | None:
    """The error of the field that is worst against persistence at a lead; None if one is not finite."""
    ratios = [] if scores is None else [one["persistence_ratio"] for one in scores.scores if one["lead_hours"] == lead]
    return None if not ratios or None in ratios else round(max(ratios), 4)


def scores_of(trained: TrainedModel, archive: Archive, starts: np.ndarray, lead: float) -> Scores | None:
    """Scores of the forecasts from `starts` at one lead; None if one of them is not finite."""
    predictor = Predictor(trained, [lead])
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return score_from(predictor, archive, starts, predictor.needed_offsets)
    except StabilityError:
        return None


def measurements_of(name: str, trained: TrainedModel) -> dict[str, Callable[[], dict[str, Any]]]:
    """The measurement of each copy of one experiment's model, by the key of its damage."""
    folder, step, period = DATA / scoring_of(name).folder, trained.config.model.step_hours, trained.config.data.train
    archive, validation = matching_archive(trained, folder), validation_archive(trained, folder)
    leads = [step * (k + 1) for k in range(round(24 * DAYS / step))]
    starts = initial_times(Predictor(trained, leads[:1]), archive, name)
    training = archive.select(period.start, period.end)
    weights = nnx.state(trained.model, nnx.Param)

    def measure(damage: Damage) -> dict[str, Any]:
        nnx.update(trained.model, damage.apply(weights))
        row = count_refusals(trained, archive, starts, leads)
        report = check_training(trained, training, validation)
        row["objections"] = len(report.objections)
        row["first_step_over_persistence"] = worst_ratio(report.scores, leads[0])
        row["ten_days_over_persistence"] = worst_ratio(scores_of(trained, archive, starts, leads[-1]), leads[-1])
        return row

    return {damage.key: partial(measure, damage) for damage in COPIES}


def table(figures: Mapping[str, dict[str, Any]]) -> str:
    """A row for each copy of each model."""
    rows = []
    for name in filter(figures.__contains__, MODELS):
        for damage in COPIES:
            if (row := figures[name]["copies"].get(damage.key)) is None:
                continue
            nearest = max(row["largest_over_limit"].items(), key=lambda each: each[1], default=None)
            text = "" if nearest is None else f"{nearest[0].replace('_', ' ')} {nearest[1]:.2f}"
            check = "refuses it" if row["objections"] else "passes"
            errors = (row.get(f"{time}_over_persistence") for time in ("first_step", "ten_days"))
            errors = ["" if error is None else f"{error:.2f}" if error < 100 else "> 100" for error in errors]
            rows.append([name, damage.label, row["starts"], row["blown_up"], row["implausible"], text, check, *errors])
    titles = ["model", "copy", "forecasts", "blew up", "no weather", "nearest to a limit", "training check"]
    titles += ["error, first step", "error, ten days"]
    return "\n".join(markdown_table(titles, rows)) + "\n"


def main() -> None:
    parser = study_parser(__doc__, remeasure=True)
    parser.add_argument("--runs", type=Path, default=RUNS, help="the folder of the run folders")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="default: all")
    options = parser.parse_args()
    stored = StoredFigures(RESULTS / "spoilt.json")
    prepare()
    for name in () if options.tables else options.models:
        if (options.runs / name).is_dir():
            print(f"== {name}")
            trained = Run.open(options.runs / name).load()
            entry = stored.figures.setdefault(name, {"updates": trained.manifest.get("updates"), "copies": {}})
            stored.measure_missing(measurements_of(name, trained), section=entry["copies"], again=options.again)
    splice(README, "spoilt", table(stored.figures))


if __name__ == "__main__":
    main()
