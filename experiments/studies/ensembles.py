"""Ensembles of cross-fitted models, beside climatology and the dressed single forecast.

    python -m experiments.studies.ensembles             every case that is not stored yet; ten minutes of training each
    python -m experiments.studies.ensembles era5        only this case
    python -m experiments.studies.ensembles --tables    only write the table

A case is an experiment with several networks, trained with `training.cross_fitting_days`. From its validation time,
`STARTS` initial times are forecast by ensembles of `MEMBERS` members, whose arms differ in what makes members differ:

    analyses   perturbed analyses (`perturbation_scale`), and different networks
    errors a   model errors times a at every step (`model_error_scale`), and different networks

Scores go to experiments/results/ensembles.json, the table to experiments/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

import pinnwx
from experiments.studies.ablations import changed_experiment
from experiments.studies.harness import (
    DATA,
    README,
    RESULTS,
    RUNS,
    StoredFigures,
    markdown_table,
    require_known,
    scoring_of,
    splice,
    study_parser,
    with_bounds,
)
from pinnwx.forecasting.ensemble import PERTURBATION_SCALE, Ensemble
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.evaluate import training_part
from pinnwx.jobs.evaluate_ensembles import probability_baselines, score_ensembles
from pinnwx.verification.pairing import initial_times_between

STORED, FOLDER = RESULTS / "ensembles.json", RUNS / "ensembles"
BLOCKS = {"training.cross_fitting_days": 15.0}
CASES = {  # the experiment, its changes, and the leads that are scored
    "era5": ("era5_hybrid", BLOCKS, (6, 24, 72)),
    "gcm": ("gcm_hybrid", BLOCKS | {"model.networks": 4, "model.closure.blocks": 2}, (24, 72, 120)),
    "europe": ("europe_neural", BLOCKS | {"model.closure.kind": "latent_transport"}, (24, 72)),
}
ARMS = {"analyses": (PERTURBATION_SCALE, 0.0)} | {f"errors {scale}": (0.0, scale) for scale in (0.8, 1.0, 1.25)}
MEMBERS, STARTS = 20, 60
KEYS = ("crps", "spread", "mean_rmse_pooled", "single_rmse_pooled")
RATIOS = tuple(
    f"{name}_crps_ratio{end}" for name in ("dressed", "climatology") for end in ("", "_low", "_high")
)  # of the CRPS


def trained_model(case: str) -> TrainedModel:
    """The model of a case; it is trained once."""
    experiment, changes, _ = CASES[case]
    folder = FOLDER / case
    if not (folder / "live").is_file():
        settings = changed_experiment(experiment, changes) | {"name": f"{case}_ensembles"}
        pinnwx.train(settings, DATA / scoring_of(experiment).folder, folder, force=folder.exists())
    return Run.open(folder).load()


def measure(case: str) -> dict[str, Any]:
    """The scores of every arm."""
    trained, (experiment, _, leads) = trained_model(case), CASES[case]
    scoring = scoring_of(experiment)
    archive = matching_archive(trained, DATA / scoring.folder)
    starts = initial_times_between(archive, scoring.start, scoring.end)
    starts = starts[np.linspace(0, len(starts) - 1, min(STARTS, len(starts))).round().astype(int)]
    training, arms = training_part(trained, archive), {}
    baselines = probability_baselines(trained, training, leads)
    for name, scales in ARMS.items():
        ensemble = Ensemble(trained, leads, MEMBERS, *scales)
        scores = score_ensembles(ensemble, archive, starts, training=training, baselines=baselines)
        keys = ("variable", "lead_hours", "n", *KEYS, *RATIOS)
        arms[name] = [{key: entry.get(key) for key in keys} for entry in scores.scores]
        print(f"  {name}", flush=True)
    errors = trained.model_errors
    return {
        "updates": trained.manifest["updates"], "model_errors": 0 if errors is None else len(errors.times),
        "members": MEMBERS, "starts": len(starts), "arms": arms,
    }  # fmt: skip


def table(figures: Mapping[str, Any]) -> str:
    """Spread over error, and the CRPS over that of the baselines, of each arm."""
    if not figures:
        return "Not run yet.\n"
    rows: list[list[object]] = []
    for case, stored in figures.items():
        for arm, entries in stored["arms"].items():
            for entry in entries:
                ratios = [
                    "-" if entry[name] is None else with_bounds(*(entry[name + end] for end in ("", "_low", "_high")))
                    for name in ("dressed_crps_ratio", "climatology_crps_ratio")
                ]
                spread, mean = entry["spread"] / entry["mean_rmse_pooled"], entry["mean_rmse_pooled"]
                rows.append([
                    f"{case}, {entry['variable']} {entry['lead_hours']} h", arm, f"{spread:.2f}",
                    f"{mean / entry['single_rmse_pooled']:.3f}", *ratios,
                ])  # fmt: skip
    titles = ["field, lead", "members", "spread / RMSE", "RMSE / single", "CRPS / dressed", "CRPS / climatology"]
    return "\n".join([*markdown_table(titles, rows), ""])


def main() -> None:
    parser = study_parser(__doc__)
    parser.add_argument("cases", nargs="*", help="default: all")
    options = parser.parse_args()
    require_known(parser, "case", options.cases, CASES)
    stored = StoredFigures(STORED)
    if not options.tables:
        stored.measure_missing({case: partial(measure, case) for case in options.cases or CASES})
    splice(README, "ensembles", table(stored.figures))


if __name__ == "__main__":
    main()
