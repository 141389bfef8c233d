"""ERA5 by the clock: training that begins with weights from a simulation, beside training that begins at random.

    python -m experiments.studies.prior_minutes            hybrid and network, ten minutes each, on a quiet machine
    python -m experiments.studies.prior_minutes hybrid     only this
    python -m experiments.studies.prior_minutes --tables   only write the table

The prior of each is the same model, trained for as many minutes on pressure and vorticity of the GCM archive, with
noise like that of ERA5 in its training time (`train --noise-like`). It is made before, and it is no part of the ten
minutes. Then all trainings on ERA5 take turns. Scores go to experiments/results/prior_minutes/, the table to
experiments/README.md.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import tomli_w

import pinnwx
from experiments.studies.ablations import changed_experiment, entry_ratio, ratio_text
from experiments.studies.harness import (
    DATA,
    EXPERIMENTS,
    PINNWX,
    README,
    RESULTS,
    RUNS,
    markdown_table,
    require_known,
    scoring_of,
    splice,
    study_parser,
)
from experiments.studies.simulation_prior import FIELDS, SIMULATED, simulation_dataset
from experiments.studies.training_runs import TrainingRun, train_and_score
from pinnwx.verification.results import Scores

STORED, FOLDER = RESULTS / "prior_minutes", RUNS / "prior_minutes"
KINDS, MINUTES = ("hybrid", "neural"), 10
LEADS = (6, 24, 72)


def prior_of(kind: str) -> Path:
    """The run folder of a training on the simulation; it is trained if it is not there."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    folder, config = FOLDER / f"{kind}_prior", FOLDER / f"{kind}_prior.toml"
    if (folder / "live").is_file():
        return folder
    settings = changed_experiment(f"era5_{kind}", {})
    analyses, fields = FOLDER / "era5.nc", FOLDER / "simulation.nc"
    period = settings["data"]["train"]
    pinnwx.open_data(DATA / "era5_global", list(FIELDS), grid="5.625deg", **period).to_netcdf(analyses)
    simulation_dataset().to_netcdf(fields)
    settings["data"]["train"] = SIMULATED
    del settings["data"]["validate"]
    config.write_text(tomli_w.dumps(settings))
    words = ["train", config, "--data", fields, "--noise-like", analyses, "--out", folder, "--minutes", MINUTES]
    subprocess.run([*PINNWX, *map(str, words), "--promote-anyway", "--force"], check=True)
    return folder


def scores_paths(kind: str) -> tuple[Path, Path]:
    """Of the training from random weights, and of that from the prior."""
    return STORED / f"{kind}.json", STORED / f"{kind}_after_prior.json"


def trainings(kind: str) -> list[TrainingRun]:
    """Both trainings of a kind."""
    config, scoring, (plain, after) = EXPERIMENTS / f"era5_{kind}.toml", scoring_of(f"era5_{kind}"), scores_paths(kind)
    options = ("--init-from", prior_of(kind))
    return [
        TrainingRun(config, FOLDER / plain.stem, plain, scoring),
        TrainingRun(config, FOLDER / after.stem, after, scoring, options),
    ]


def table() -> str:
    """The RMSE over persistence, then that after the prior over that without."""
    rows = []
    for kind in KINDS:
        if not all(path.is_file() for path in scores_paths(kind)):
            continue
        plain, after = map(Scores.load, scores_paths(kind))
        columns = [(variable, lead) for variable in FIELDS for lead in LEADS]
        for name, scores in ((kind, plain), (f"{kind} after its prior", after)):
            rows.append([name, *(f"{scores.entry(*column)['persistence_ratio']:.3f}" for column in columns)])
        rows.append(["ratio", *(ratio_text(entry_ratio([after], [plain], *column)) for column in columns)])
    if not rows:
        return "Not run yet.\n"
    titles = ["model", *(f"{variable} {lead} h" for variable in FIELDS for lead in LEADS)]
    return "\n".join(
        [
            f"RMSE over persistence on the validation days of ERA5, {MINUTES} minutes each in turns, one seed, and the "
            f"ratio of both with 95 % bounds over days. Each prior took {MINUTES} further minutes, before.\n",
            *markdown_table(titles, rows),
            "",
        ]
    )


def main() -> None:
    parser = study_parser(__doc__)
    parser.add_argument("kinds", nargs="*", help=f"{' or '.join(KINDS)} (default: both)")
    options = parser.parse_args()
    require_known(parser, "model", options.kinds, KINDS)
    missing = [
        run
        for kind in options.kinds or KINDS
        if not options.tables and not all(path.is_file() for path in scores_paths(kind))
        for run in trainings(kind)
    ]
    if missing:
        train_and_score(missing, MINUTES)
    splice(README, "prior_minutes", table())


if __name__ == "__main__":
    main()
