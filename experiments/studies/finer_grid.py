"""The weights of one grid on a finer one: what a model that was trained at 5.625 degrees forecasts at 2.8125.

    python -m experiments.studies.ablations era5_loss/hybrid era5_loss/neural   first
    python -m experiments.studies.finer_grid                                    what is not stored yet
    python -m experiments.studies.finer_grid --tables                           only write the table

Normalisation and climatology are fitted to the training time on the finer grid; the weights are those of the coarse
one. A network sees its neighbours through 3 x 3 cells, which are half as wide there. Equations know the size of a cell.
The hybrid has twice as many sub-steps. Scores are those of the validation days, on the finer grid.

Figures go to experiments/results/finer_grid.json, the table to experiments/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np

import pinnwx
from experiments.studies import ablations
from experiments.studies.harness import (
    DATA,
    README,
    RESULTS,
    StoredFigures,
    markdown_table,
    scoring_of,
    splice,
    study_parser,
)
from pinnwx.config import Config
from pinnwx.data.archive import Archive
from pinnwx.data.inputs import as_archive
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.initial_weights import take_weights
from pinnwx.runtime import prepare
from pinnwx.verification.results import Scores

STUDY, MODELS, GRID = "era5_loss", ("neural", "hybrid"), "2.8125deg"
SCORING = scoring_of("era5")
VARIABLES, LEADS = ("msl", "vo850"), (6, 24, 72)


def trained_runs() -> list[ablations.AblationRun]:
    runs = ablations.runs_of(STUDY, ablations.read_studies()[STUDY])
    return [run for run in runs if run.name in MODELS and (run.folder / "live").is_file()]


@cache
def fine_archive() -> Archive:
    return as_archive(DATA / SCORING.folder, VARIABLES, grid=GRID)


def measure(run: ablations.AblationRun) -> dict[str, Any]:
    """Scores of the weights of a run on the finer grid."""
    settings = run.config()
    settings["data"]["grid"] = GRID
    if "substeps" in settings["model"].get("physics", {}):
        settings["model"]["physics"]["substeps"] *= 2
    config = Config.model_validate(settings)
    archive = fine_archive()
    trained = TrainedModel.initialise(config, archive.select(config.data.train.start, config.data.train.end))
    take_weights(trained, run.folder)
    scores = pinnwx.evaluate(replace(trained, manifest={}), archive, start=SCORING.start, end=SCORING.end, leads=LEADS)
    keys = ("variable", "lead_hours", "n", "rmse", "persistence_rmse", "daily")
    entries = [{key: entry[key] for key in keys} for entry in scores.scores]
    return {"settings": dict(scores.settings), "scores": entries}


def table(figures: Mapping[str, Any]) -> str:
    """Each model over persistence on both grids, and the hybrid over the network."""
    studies = ablations.read_studies()
    coarse = {
        f"{run.name}, seed {run.seed}": Scores.load(run.scores)
        for run in ablations.runs_of(STUDY, studies[STUDY])
        if run.name in MODELS and run.scores.is_file()
    }
    fine = {name: Scores(tuple(one["scores"]), name, {}, one["settings"]) for name, one in figures.items()}
    rows = []
    for label, stored in (("5.625 degrees", coarse), ("2.8125 degrees, the same weights", fine)):
        by_model = {model: {name: one for name, one in stored.items() if name.startswith(model)} for model in MODELS}
        for model, runs in by_model.items():
            if runs:
                entries = [[one.entry(v, h) for one in runs.values()] for v in VARIABLES for h in LEADS]
                ratios = [np.mean([each["rmse"] / each["persistence_rmse"] for each in of]) for of in entries]
                rows.append([label, model, len(runs), *(f"{ratio:.3f}" for ratio in ratios)])
        networks = {name: name.replace("hybrid", "neural") for name in by_model["hybrid"]}
        pairs = [(stored[own], stored[other]) for own, other in networks.items() if other in stored]
        if pairs:
            own, other = zip(*pairs, strict=True)
            compared = [ablations.entry_ratio(own, other, v, h) for v in VARIABLES for h in LEADS]
            rows.append([label, "hybrid over neural", len(pairs), *map(ablations.ratio_text, compared)])
    if not rows:
        return "Not run yet.\n"
    titles = ["grid", "model", "seeds", *(f"{variable} {lead} h" for variable in VARIABLES for lead in LEADS)]
    note = "RMSE over that of persistence, and that of the hybrid over that of the network, with 95 % bounds.\n"
    return "\n".join([note, *markdown_table(titles, rows), ""])


def main() -> None:
    options = study_parser(__doc__).parse_args()
    stored = StoredFigures(RESULTS / "finer_grid.json")
    if not options.tables:
        prepare()
        stored.measure_missing({f"{run.name}, seed {run.seed}": partial(measure, run) for run in trained_runs()})
    splice(README, "finer_grid", table(stored.figures))


if __name__ == "__main__":
    main()
