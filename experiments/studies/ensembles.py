"""Ensembles of cross-fitted models, beside climatology and the dressed single forecast.

    python -m experiments.studies.ensembles             every case that is not stored yet; ten minutes of training each
    python -m experiments.studies.ensembles era5        only this case
    python -m experiments.studies.ensembles --tables    only write the table

A case is an experiment with several networks, trained with `training.cross_fitting_days`; `_noise` has noise too, and
stages that train it on the CRPS of two members, `_noise_alone` with nothing else. From its validation time, `STARTS`
initial times are forecast by ensembles of `MEMBERS` members, whose arms differ in what makes members differ:

    analyses            perturbed analyses (`perturbation_scale`), and different networks
    errors a            model errors times a at every step (`model_error_scale`), and different networks
    noise               noise (`model.noise`), and different networks
    noise, calibrated   the same, with the calibration of `forecasting.calibration`
    fitted              what `pinnwx calibrate` fits: the scales of both, with noise if there is any, and a calibration

Scores go to experiments/results/ensembles.json, the table to experiments/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

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
from pinnwx.data.archive import Archive
from pinnwx.forecasting.ensemble import PERTURBATION_SCALE, Ensemble
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.calibrate import fitted_calibration, fitted_leads
from pinnwx.jobs.evaluate_ensembles import calibrated_ensemble, probability_baselines, score_ensembles
from pinnwx.jobs.scored_area import training_part
from pinnwx.verification.pairing import initial_times_between

STORED, FOLDER = RESULTS / "ensembles.json", RUNS / "ensembles"
BLOCKS = {"training.cross_fitting_days": 15.0}
NOISE = {"model.noise": {"numbers": 8, "fields": 8, "length_km": 1000.0}}
ALONE = {"training.noise_alone": True}
SMALL = {"model.networks": 4, "model.closure.blocks": 2}
LATENT = {"model.closure.kind": "latent_transport"}


class Case(NamedTuple):
    """A model and what is scored of it."""

    experiment: str
    changes: Mapping[str, Any]
    leads: tuple[float, ...]
    arms: Mapping[str, Arm]


class Arm(NamedTuple):
    """What makes members differ; `fitted`, as `pinnwx calibrate` finds it."""

    perturbation_scale: float = 0.0
    model_error_scale: float = 0.0
    noise: bool = False
    calibrated: bool = False
    fitted: bool = False


def curriculum(*stages: tuple[int, float, int]) -> dict[str, Any]:
    """Stages of (steps, fraction, members)."""
    return {
        "training.curriculum": [dict(zip(("steps", "fraction", "members"), stage, strict=True)) for stage in stages]
    }


FITTED = {"fitted": Arm(fitted=True)}
SAMPLED = {"analyses": Arm(PERTURBATION_SCALE), "errors 1.0": Arm(model_error_scale=1.0)} | FITTED
TRAINED = {"noise": Arm(noise=True), "noise, calibrated": Arm(noise=True, calibrated=True)}
GLOBAL_STAGES = curriculum((1, 0.4, 1), (4, 0.15, 1), (12, 0.1, 1), (4, 0.35, 2))
EUROPE_STAGES = curriculum((1, 0.5, 1), (3, 0.2, 1), (3, 0.3, 2))
CASES = {
    "era5": Case("era5_hybrid", BLOCKS, (6, 24, 72, 120), SAMPLED),
    "era5_noise": Case("era5_hybrid", BLOCKS | NOISE | GLOBAL_STAGES, (6, 24, 72, 120), TRAINED),
    "era5_noise_alone": Case(
        "era5_hybrid",
        BLOCKS | NOISE | ALONE | curriculum((1, 0.45, 1), (4, 0.15, 1), (12, 0.2, 1), (4, 0.2, 2)),
        (6, 24, 72, 120),
        TRAINED | FITTED,
    ),
    "gcm": Case("gcm_hybrid", BLOCKS | SMALL, (24, 72, 120), SAMPLED),
    "gcm_noise": Case("gcm_hybrid", BLOCKS | SMALL | NOISE | GLOBAL_STAGES, (24, 72, 120), TRAINED),
    "europe": Case("europe_neural", BLOCKS | LATENT, (24, 72), SAMPLED),
    "europe_noise": Case("europe_neural", BLOCKS | LATENT | NOISE | EUROPE_STAGES, (24, 72), TRAINED),
}
MEMBERS, STARTS = 20, 60
KEYS = ("crps", "spread", "mean_rmse_pooled", "single_rmse_pooled")
RATIOS = tuple(
    f"{name}_crps_ratio{end}" for name in ("dressed", "climatology") for end in ("", "_low", "_high")
)  # of the CRPS
DETAILS = ("outer_ranks", "variance_ratio", "energy_score", "variogram_score")
SLOPES = ("event", "frequency", "slope", "slope_low", "slope_high")


def trained_model(case: str) -> TrainedModel:
    """The model of a case; it is trained once."""
    experiment, changes, *_ = CASES[case]
    folder = FOLDER / case
    if not (folder / "live").is_file():
        settings = changed_experiment(experiment, dict(changes)) | {"name": f"{case}_ensembles"}
        pinnwx.train(settings, DATA / scoring_of(experiment).folder, folder, force=folder.exists())
    return Run.open(folder).load()


def measure(case: str) -> dict[str, Any]:
    """The scores of every arm."""
    trained, (experiment, _, leads, arms_of_case) = trained_model(case), CASES[case]
    scoring = scoring_of(experiment)
    archive = matching_archive(trained, DATA / scoring.folder)
    starts = initial_times_between(archive, scoring.start, scoring.end)
    starts = starts[np.linspace(0, len(starts) - 1, min(STARTS, len(starts))).round().astype(int)]
    training, arms = training_part(trained, archive), {}
    assert training is not None
    baselines = probability_baselines(trained, training, leads)
    scales = {}
    for name, arm in arms_of_case.items():
        ensemble = _ensemble(trained, leads, arm, training)
        scores = score_ensembles(ensemble, archive, starts, training=training, baselines=baselines)
        arms[name] = [_stored(entry) for entry in scores.scores]
        scales[name] = (ensemble.perturbation_scale, ensemble.model_error_scale)
        print(f"  {name}", flush=True)
    errors = trained.model_errors
    return {
        "updates": trained.manifest["updates"], "model_errors": 0 if errors is None else len(errors.times),
        "members": MEMBERS, "starts": len(starts), "scales": scales, "arms": arms,
    }  # fmt: skip


def _ensemble(trained: TrainedModel, leads: tuple[float, ...], arm: Arm, training: Archive) -> Ensemble:
    """The ensembles of an arm."""
    if arm.fitted:
        calibration = fitted_calibration(trained, training, fitted_leads(trained, leads))
        assert calibration is not None, "the cases are cross-fitted"
        return Ensemble(trained, leads, MEMBERS, calibration=calibration)
    ensemble = Ensemble(trained, leads, MEMBERS, arm.perturbation_scale, arm.model_error_scale, noise=arm.noise)
    return calibrated_ensemble(ensemble, training) if arm.calibrated else ensemble


def _stored(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored of an entry."""
    own = entry.get("probabilities") or {}
    slopes = [{key: event[key] for key in SLOPES} for event in own.get("events", ())]
    numbers = {key: entry.get(key) for key in ("variable", "lead_hours", "n", *KEYS, *RATIOS)}
    return numbers | {key: own.get(key) for key in DETAILS} | {"events": slopes}


def table(figures: Mapping[str, Any]) -> str:
    """Spread over error, the CRPS over that of the baselines, ranks, variance and slopes of each arm."""
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
                slopes = " / ".join(
                    "-" if event["slope"] is None else f"{event['slope']:.2f}" for event in entry["events"]
                )
                rows.append([
                    f"{case}, {entry['variable']} {entry['lead_hours']} h", arm, f"{spread:.2f}",
                    f"{mean / entry['single_rmse_pooled']:.3f}", *ratios, f"{entry['outer_ranks']:.2f}",
                    "-" if entry["variance_ratio"] is None else f"{entry['variance_ratio']:.2f}", slopes,
                ])  # fmt: skip
    titles = [
        "field, lead", "members", "spread / RMSE", "RMSE / single", "CRPS / dressed", "CRPS / climatology",
        "outer ranks", "variance", "slopes below 10th / above 90th percentile",
    ]  # fmt: skip
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
