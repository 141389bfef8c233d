"""Training that begins with weights from a general circulation model.

    python -m experiments.studies.simulation_prior             seed 1: what is not stored yet; may be interrupted
    python -m experiments.studies.simulation_prior --seeds 5   seeds 1 to 5
    python -m experiments.studies.simulation_prior --tables    only write the table

Pressure and vorticity of the GCM archive (the curl of its wind at 850 hPa) train a model first, with noise that makes
them as irregular in time as ERA5 (`pinnwx.data.analysis_noise`). It is drawn from the training time of a fold, and for
the last 7 to 60 days from the training time of 62 days. Training on ERA5 then begins with these weights, `train
--init-from`. Each model is scored on days that it was not trained on:

    folds    the 76 days of ERA5 in five blocks of whole days. A model is trained on the analyses that are at least
             `GAP` from the first input and the last valid time of the forecasts from a block.
    days     the last 7, 14, 30 or 60 days of the training time; forecasts on the validation days.

The arms differ in the model (network alone or hybrid) and in what precedes the `UPDATES` on ERA5:

    plain     nothing
    longer    `PRIOR_UPDATES` more on ERA5: the same time in all
    prior     `PRIOR_UPDATES` on the simulation
    shuffled  the same on the simulation with its fields in random order. The best forecast there is the mean, so the
              network sees the fields and learns no dynamics.
    smooth    the same on the simulation without noise.

The last two and `plain` are not measured on the folds.

Scores go to experiments/results/simulation_prior.json, the table to experiments/README.md.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

import pinnwx
from experiments.studies.ablations import changed_experiment, ratio_text
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
from experiments.studies.merging import merge_scores
from experiments.studies.plain_scores import plain_scores, scores_of
from pinnwx.data.analysis_noise import AnalysisNoise
from pinnwx.data.archive import Archive
from pinnwx.data.inputs import as_archive
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.evaluate import score_from
from pinnwx.operators.calculus import curl
from pinnwx.verification.comparison import compare_seeds
from pinnwx.verification.pairing import initial_times_between
from pinnwx.verification.results import Scores

STORED, FOLDER = RESULTS / "simulation_prior.json", RUNS / "simulation_prior"
UPDATES, PRIOR_UPDATES, STEP_HOURS = 400, 1600, 6
LAST = "2026-01-31"  # of the training time, unless a fold is left out
FOLDS, GAP, INPUT_SPAN = 5, np.timedelta64(3, "D"), np.timedelta64(18, "h")  # four inputs, six hours apart
TRAINING_DAYS = {f"{count} days": count for count in (7, 14, 30, 60)}
FOLD_NAMES = [f"fold {number + 1}" for number in range(FOLDS)]
ROWS = {name: [name] for name in TRAINING_DAYS} | {"folds": FOLD_NAMES}  # of the table, with their cases
SIMULATED = {"start": "2000-01-01", "end": "2001-06-30"}  # the training time of the simulation
FIELDS, LEADS = ("msl", "vo850"), (6, 24, 72)
ARMS = (
    ("neural", "longer"), ("neural", "prior"), ("hybrid", "prior"), ("hybrid", "longer"), ("neural", "plain"),
    ("neural", "smooth"), ("neural", "shuffled"),
)  # fmt: skip
ON_FOLDS = ("longer", "prior")
PRIORS, REFERENCE = ("prior", "shuffled", "smooth"), "neural longer"


@dataclass(frozen=True)
class Case:
    """What a model may learn from and what it forecasts.

    Attributes:
        name: of the row in the table.
        excluded: first and last time that training leaves out, if it is a fold.
        start: first time of the training, if it is a period before the validation time.
        scored: first and last initial time.
    """

    name: str
    scored: tuple[str, str]
    excluded: tuple[np.datetime64, np.datetime64] | None = None
    start: str | None = None


def settings_of(kind: str, seed: int, updates: int) -> dict[str, Any]:
    """One network of the ERA5 experiment, with a number of updates, on all times of its data."""
    changes = {
        "seed": seed,
        "data.train": {"start": "2000-01-01", "end": "2026-12-31"},
        "model.networks": 1,
        "training.updates": updates,
        "training.curriculum": [{"steps": 1, "fraction": 0.8}, {"steps": 4, "fraction": 0.2}],
    }
    settings = changed_experiment(f"era5_{kind}", changes)
    del settings["data"]["validate"], settings["training"]["minutes"]
    return settings


@cache
def era5() -> Archive:
    return as_archive(DATA / "era5_global", FIELDS, grid="5.625deg")


def simulation_dataset() -> xr.Dataset:
    """The pressure and the vorticity at 850 hPa of the training time of the GCM archive."""
    dataset = pinnwx.open_data(DATA / "gcm_t31", ["msl", "u850", "v850"], **SIMULATED)
    winds = Archive.from_dataset(dataset, ["u850", "v850"])
    vorticity = np.asarray(curl(jnp.asarray(winds.fields[:, 0]), jnp.asarray(winds.fields[:, 1]), winds.grid))
    return dataset[["msl"]].assign(vo850=(("time", "latitude", "longitude"), vorticity, {"units": "s-1"}))


@cache
def simulation() -> Archive:
    return Archive.from_dataset(simulation_dataset(), FIELDS)


def cases() -> list[Case]:
    """Each number of days, then each fold."""
    scoring, last = scoring_of("era5"), np.datetime64(LAST)
    result = [
        Case(name, (scoring.start, scoring.end), start=str(last - np.timedelta64(count - 1, "D")))
        for name, count in TRAINING_DAYS.items()
    ]
    days = np.unique(era5().times.astype("datetime64[D]"))
    for name, block in zip(FOLD_NAMES, np.array_split(days, FOLDS), strict=True):
        first, last = block[0] - INPUT_SPAN, block[-1] + np.timedelta64(1, "D") + np.timedelta64(max(LEADS), "h")
        result.append(Case(name, (str(block[0]), str(block[-1])), excluded=(first - GAP, last + GAP)))
    return result


def training_part(case: Case) -> Archive:
    archive = era5()
    if case.excluded is None:
        return archive.select(case.start, LAST)
    outside = (archive.times < case.excluded[0]) | (archive.times > case.excluded[1])
    return replace(archive, times=archive.times[outside], fields=archive.fields[outside])


def simulation_for(case: Case, history: str, seed: int) -> Archive:
    """What a prior learns from: the simulation with noise, that in random order, or the simulation as it is."""
    if history == "smooth":
        return simulation()
    analyses = era5().select(None, LAST) if case.excluded is None else training_part(case)
    noisy = AnalysisNoise.fit(simulation(), analyses, STEP_HOURS).added_to(simulation(), seed)
    order = np.random.default_rng(seed).permutation(len(noisy)) if history == "shuffled" else slice(None)
    return replace(noisy, fields=noisy.fields[order])


def prior_run(case: Case, kind: str, history: str, seed: int) -> Path:
    """A run folder whose model was trained on the simulation; it is trained if it is not there."""
    label = "days" if case.excluded is None else case.name.replace(" ", "_")
    folder = FOLDER / f"{kind}_{history}_{label}.{seed}"
    if not (folder / "live").is_file():
        archive, settings = simulation_for(case, history, seed), settings_of(kind, seed, PRIOR_UPDATES)
        pinnwx.train(settings, archive, folder, force=folder.exists(), promote_anyway=True, progress=lambda _: None)
    return folder


def measure(case: Case, kind: str, history: str, seed: int) -> dict[str, Any]:
    """Trains an arm for a case; its scores and what the training took."""
    prior = prior_run(case, kind, history, seed) if history in PRIORS else None
    settings = settings_of(kind, seed, UPDATES + (PRIOR_UPDATES if history == "longer" else 0))
    archive, begun = training_part(case), time.monotonic()
    trained = pinnwx.train(settings, archive, init_from=prior, progress=lambda _: None)
    seconds = time.monotonic() - begun
    scores = score(trained, archive, case)
    print(f"{case.name}, {kind} {history}, seed {seed}, {seconds:.0f} s: " + ", ".join(_skill(scores)), flush=True)
    return {"seconds": round(seconds, 1), **plain_scores(scores, "damped_persistence_rmse")}


def score(trained: TrainedModel, training: Archive, case: Case) -> Scores:
    """Scores on the case; the baselines are fitted on what the model was trained on."""
    predictor, archive = Predictor(replace(trained, manifest={}), LEADS), era5()
    starts = initial_times_between(archive, *case.scored)
    return score_from(predictor, archive, starts, predictor.needed_offsets, lambda *_: None, training=training)


def _skill(scores: Scores) -> list[str]:
    return [f"{one['variable']} {one['lead_hours']:g} h {one['persistence_ratio']:.3f}" for one in scores.scores]


def measurements(seeds: Sequence[int]) -> dict[str, Any]:
    """Every training by its name: case, arm and seed."""
    return {
        f"{case.name}, {kind} {history}, seed {seed}": partial(measure, case, kind, history, seed)
        for seed in seeds
        for kind, history in ARMS
        for case in cases()
        if history in ON_FOLDS or case.excluded is None
    }


def stored_scores(figures: Mapping[str, Any], group: Sequence[str], arm: str, seed: int) -> Scores | None:
    """The scores of an arm and seed over all these cases, `None` unless all are there."""
    names = [f"{case}, {arm}, seed {seed}" for case in group]
    if any(name not in figures for name in names):
        return None
    return merge_scores([scores_of(figures[name], arm) for name in names])


def table(figures: Mapping[str, Any]) -> str:
    """The reference over persistence, then every arm over the reference with the same seeds."""
    if not figures:
        return "Not run yet.\n"
    rows = []
    seeds = sorted({int(name.rpartition(" ")[2]) for name in figures})
    arms = [f"{kind} {history}" for kind, history in ARMS]
    for row, group in ROWS.items():
        by_arm = {arm: {s: one for s in seeds if (one := stored_scores(figures, group, arm, s))} for arm in arms}
        reference = by_arm[REFERENCE]
        for arm, own in by_arm.items():
            both = [seed for seed in seeds if seed in own and seed in reference]
            if not both:
                continue
            entries = reference[both[0]].scores
            if arm == REFERENCE:
                cells = [
                    f"{np.mean([reference[s].scores[k]['rmse'] for s in both]) / entry['persistence_rmse']:.3f}"
                    for k, entry in enumerate(entries)
                ]
            else:
                compared = compare_seeds([own[s] for s in both], [reference[s] for s in both])
                cells = [ratio_text(ratio) for ratio in compared.ratios]
            rows.append([row, arm, len(both), *cells])
    columns = [f"{variable} {lead} h" for variable in FIELDS for lead in LEADS]
    return "\n".join(
        [
            f"RMSE of `{REFERENCE}` over persistence, and of the others over `{REFERENCE}`, with 95 % bounds over days "
            f"and seeds (of one seed, over days). {UPDATES} updates of one network on ERA5; {PRIOR_UPDATES} more on "
            "ERA5 (longer) or before on the simulation (prior, shuffled, smooth).\n",
            *markdown_table(["case", "model", "seeds", *columns], rows),
            "",
        ]
    )


def main() -> None:
    parser = study_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="seeds 1 to this number (default 1)")
    options = parser.parse_args()
    stored = StoredFigures(STORED)
    if not options.tables:
        stored.measure_missing(measurements(range(1, options.seeds + 1)))
    splice(README, "simulation_prior", table(stored.figures))


if __name__ == "__main__":
    main()
