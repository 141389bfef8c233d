"""Forecasts in another climate: the weather of a general circulation model whose sea is warmer.

    python -m experiments.studies.simulate_climate --warming 0   first, and
    python -m experiments.studies.simulate_climate --warming 4
    python -m experiments.studies.warmed_climate                 the runs of `gcm_divergence` that are not measured yet
    python -m experiments.studies.warmed_climate --tables        only write the table

Only the sea surface is warmer: the surface of the land, sea ice and carbon dioxide are those of today. Each run was
trained on the GCM archive. It forecasts August and September of the control, which is a simulation with the sea of the
archive, and of the warmer climate. If the control gives the ratios of the archive, the simulation is like it. Figures
go to experiments/results/warmed_climate.json, the table to experiments/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import pinnwx
from experiments.studies import ablations
from experiments.studies.harness import README, RESULTS, RUNS, StoredFigures, markdown_table, splice, study_parser
from experiments.studies.plain_scores import plain_scores, scores_of
from pinnwx.verification.results import Scores

STUDY, REFERENCE, MODELS = "gcm_divergence", "neural", ("neural", "advective_and_radius")
CLIMATES = {"sst+0": "control", "sst+4": "sea 4 K warmer"}
VARIABLES, LEADS = ("z500", "t850", "q850", "msl"), (24, 72, 120)
START, END = "2001-08-01", "2001-09-27"


def climate_folder(climate: str) -> Path:
    return RUNS / "climate" / climate


def measure(run: ablations.AblationRun, climate: str) -> dict[str, Any]:
    scores = pinnwx.evaluate(run.folder, climate_folder(climate), start=START, end=END, leads=LEADS)
    chosen = tuple(entry for entry in scores.scores if entry["variable"] in VARIABLES)
    return plain_scores(replace(scores, scores=chosen), "bias")


def stored_scores(figures: Mapping[str, Any], climate: str, model: str) -> dict[int, Scores]:
    """The scores of a model by seed."""
    start = f"{climate}, {model}, seed "
    return {
        int(name.removeprefix(start)): scores_of(one, model) for name, one in figures.items() if name.startswith(start)
    }


def table(figures: Mapping[str, Any]) -> str:
    """The reference over persistence, and the others over the reference, in each climate."""
    rows = []
    for climate, label in CLIMATES.items():
        reference = stored_scores(figures, climate, REFERENCE)
        for model in MODELS:
            own = stored_scores(figures, climate, model)
            seeds = sorted(own.keys() & reference.keys())
            if not seeds:
                continue
            cells = []
            for variable in VARIABLES:
                for lead in LEADS:
                    if model == REFERENCE:
                        entries = [reference[seed].entry(variable, lead) for seed in seeds]
                        cells.append(f"{np.mean([one['rmse'] / one['persistence_rmse'] for one in entries]):.3f}")
                    else:
                        compared = ablations.entry_ratio(
                            [own[seed] for seed in seeds], [reference[seed] for seed in seeds], variable, lead
                        )
                        cells.append(ablations.ratio_text(compared))
            rows.append([label, model, len(seeds), *cells])
    if not rows:
        return "Not run yet.\n"
    titles = ["climate", "run", "seeds", *(f"{variable} {lead} h" for variable in VARIABLES for lead in LEADS)]
    note = (
        f"RMSE of `{REFERENCE}` over persistence, and of the other over `{REFERENCE}`, with 95 % bounds over days and, "
        f"where there are several, seeds. Initial times from {START} to {END}.\n"
    )
    return "\n".join([note, *markdown_table(titles, rows), ""])


def main() -> None:
    options = study_parser(__doc__).parse_args()
    stored = StoredFigures(RESULTS / "warmed_climate.json")
    if not options.tables:
        missing = [climate for climate in CLIMATES if not climate_folder(climate).is_dir()]
        if missing:
            raise SystemExit(f"{', '.join(missing)} is not simulated: python -m experiments.studies.simulate_climate")
        stored.measure_missing(
            {
                f"{climate}, {run.name}, seed {run.seed}": partial(measure, run, climate)
                for climate in CLIMATES
                for run in ablations.trained_runs(STUDY, MODELS)
            }
        )
    splice(README, "warmed_climate", table(stored.figures))


if __name__ == "__main__":
    main()
