"""Runs the studies of experiments/ablations/studies.toml: what each part of a model is worth.

    python -m experiments.studies.ablations                         every run without stored scores, one after another
    python -m experiments.studies.ablations terms days/hybrid_14    only this study, and this run of another
    python -m experiments.studies.ablations --list                  what there is and what is not stored yet
    python -m experiments.studies.ablations --tables                only write the tables

A run is a base experiment with some settings changed, and a seed. Its scores are stored in
experiments/results/ablations/STUDY/RUN.SEED.json as soon as it is scored, and an interrupted run continues where it
stopped; so a study may take many days and several machines. Runs with a budget of minutes are trained in turns with
those that they are compared with. Each run is compared with the reference of its study on the same forecasts, with
bounds over days and, where there are several, over seeds (`pinnwx.verification.significance`).
"""

from __future__ import annotations

import copy
import itertools
import json
import os
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from experiments.studies import core_picture
from experiments.studies.harness import (
    EXPERIMENTS,
    README,
    RESULTS,
    RUNS,
    markdown_table,
    over_persistence,
    scoring_of,
    splice,
    study_parser,
    with_bounds,
)
from experiments.studies.training_runs import TrainingRun, train_and_score
from pinnwx.extensions import PINNWX_EXTENSIONS
from pinnwx.reporting.style import save
from pinnwx.verification.comparison import compare_seeds
from pinnwx.verification.results import Scores
from pinnwx.verification.significance import FALSE_DISCOVERIES, adjusted, is_significant

STORED = RESULTS / "ablations"
PICTURED = "gcm_core"


@dataclass(frozen=True, eq=False)
class AblationRun:
    """One training of a study."""

    study: str
    name: str
    seed: int
    base: str
    reference: str  # the run of the same study and seed to compare with; the run itself: compare with persistence
    changes: Mapping[str, Any]
    minutes: float | None
    leads: tuple[int, ...] | None  # that are scored; None: those of the archive
    period: tuple[str, str] | None  # first and last initial time that are scored; None: those of the archive

    @property
    def scores(self) -> Path:
        return STORED / self.study / f"{self.name}.{self.seed}.json"

    @property
    def folder(self) -> Path:
        """The run folder."""
        return RUNS / "ablations" / self.study / f"{self.name}.{self.seed}"

    def config(self) -> dict[str, Any]:
        """The settings: those of the base experiment, changed."""
        settings = changed_experiment(self.base, self.changes)
        return settings | {"seed": self.seed, "name": f"{self.study}_{self.name}_{self.seed}"}

    def training(self) -> TrainingRun:
        """The training; its config file is written."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        config = self.folder.with_suffix(f".{self.seed}.toml")
        config.write_text(tomli_w.dumps(self.config()))
        scoring = scoring_of(self.base)
        start, end = self.period or (scoring.start, scoring.end)
        scoring = replace(scoring, leads=self.leads or scoring.leads, start=start, end=end)
        return TrainingRun(config, self.folder, self.scores, scoring)


ScoredRun = tuple[AblationRun, Scores]


def changed_experiment(base: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an experiment, with the entries at dotted paths replaced."""
    settings = tomllib.loads((EXPERIMENTS / f"{base}.toml").read_text())
    for path, value in changes.items():
        change(settings, path, value)
    return settings


def change(settings: Any, path: str, value: Any) -> None:
    """Sets the entry at a dotted path. A number is a position in a list, and `*` means every position."""
    first, _, rest = path.partition(".")
    named: Any = int(first) if first.isdigit() and isinstance(settings, list) else first
    for key in range(len(settings)) if first == "*" else [named]:
        if rest:
            change(settings.setdefault(key, {}) if isinstance(settings, dict) else settings[key], rest, value)
        else:
            settings[key] = copy.deepcopy(value)


def read_studies() -> dict[str, dict[str, Any]]:
    """The studies of experiments/ablations/studies.toml, by name."""
    return tomllib.loads((EXPERIMENTS / "ablations" / "studies.toml").read_text())


def runs_of(name: str, study: Mapping[str, Any]) -> Iterator[AblationRun]:
    """The runs of a study, the reference first, one seed after another."""
    leads = tuple(study["scored"]) if "scored" in study else None
    period = tuple(study["period"]) if "period" in study else None
    for seed in study["seeds"]:
        for run, changes in study["runs"].items():
            own = dict(changes)
            base, reference = own.pop("base", study["base"]), own.pop("against", study["reference"])
            minutes = own.pop("minutes", study.get("minutes"))
            yield AblationRun(name, run, seed, base, reference, study.get("common", {}) | own, minutes, leads, period)


def runs_in(name: str) -> list[AblationRun]:
    """The runs of a study of the file."""
    return list(runs_of(name, read_studies()[name]))


def trained_runs(study: str, names: Collection[str] | None = None, seed: int | None = None) -> list[AblationRun]:
    """The runs of a study that have a live model here, of these names and this seed (None: all).

    Raises:
        SystemExit: there is none.
    """
    wanted = [run for run in runs_in(study) if names is None or run.name in names]
    trained = [run for run in wanted if seed in (None, run.seed) and (run.folder / "live").is_file()]
    if not trained:
        raise SystemExit(f"no such run of {study} is trained here: python -m experiments.studies.ablations {study}")
    return trained


def scored(runs: Iterable[AblationRun]) -> list[ScoredRun]:
    """The runs whose scores are stored, with these."""
    return [(run, Scores.load(run.scores)) for run in runs if run.scores.is_file()]


def table(name: str, study: Mapping[str, Any]) -> str:
    """A row for each run: its RMSE over that of its reference with the same seeds, with bounds over days and seeds."""
    stored = dict(scored(runs_of(name, study)))
    by_name: dict[str, list[ScoredRun]] = {}
    for run, scores in stored.items():
        by_name.setdefault(run.name, []).append((run, scores))
    title = f"**{name}.** {study['question']}\n"
    if not by_name:
        return "\n".join([title, "Not run yet.\n"])
    columns = [(variable, lead) for variable in study["variables"] for lead in study["leads"]]
    variances = [(variable, study["variance"]) for variable in study["variables"] if "variance" in study]
    comparisons = {
        (run_name, *column): _compared_with_reference(scored_runs, stored, *column)
        for run_name, scored_runs in by_name.items()
        for column in columns
    }
    p_values = adjusted([None if each is None else each["p_value"] for each in comparisons.values()])
    significant = {key for key, p in zip(comparisons, p_values, strict=True) if is_significant(p)}
    rows = []
    for run_name, scored_runs in by_name.items():
        cells = []
        for column in columns:
            key = (run_name, *column)
            cells.append(_ratio_cell(scored_runs, comparisons[key], *column, star=key in significant))
        cells += [f"{np.mean([variance(scores, *column) for _, scores in scored_runs]):.3f}" for column in variances]
        rows.append([run_name, len(scored_runs), *cells, *_cost_cells([run for run, _ in scored_runs])])
    first = next(iter(stored.values()))
    for baseline in study.get("baselines", ()):
        ratios = (over_persistence(first.entry(*column), baseline) for column in columns)
        blank = [""] * (len(variances) + 2)
        rows.append([baseline.replace("_", " "), "", *(f"{ratio:.3f}" for ratio in ratios), *blank])
    titles = ["run", "seeds", *(f"{variable} {lead} h" for variable, lead in columns)]
    titles += [*(f"variance {variable} {lead} h" for variable, lead in variances), "updates", "s"]
    tested = sum(p is not None for p in p_values)
    note = (
        f"\n`*`: {len(significant)} of {tested} ratios differ from 1 with a false discovery rate of "
        f"{100 * FALSE_DISCOVERIES:.0f} %."
        + (" Bounds of one seed are over days only.\n" if min(map(len, by_name.values())) == 1 else "\n")
    )
    return "\n".join([title, *markdown_table(titles, rows), note if tested else ""])


def variance(scores: Scores, variable: str, lead: int) -> float:
    """The variance of the forecasts up to zonal wavenumber 16 over that of the analyses."""
    return scores.entry(variable, lead)["details"]["variance_ratio"]


def cost_of(run: AblationRun) -> dict[str, Any]:
    """What its training cost."""
    return json.loads(run.scores.read_text())["training"]


def _cost_cells(runs: Sequence[AblationRun]) -> tuple[str, str]:
    """Median updates and seconds, with the device where that is no CPU; the time of a resumed run is not known."""
    costs = [cost_of(run) for run in runs]
    known_seconds = [cost["seconds"] for cost in costs if not cost["resumed"]]
    seconds = f"{np.median(known_seconds):,.0f}" if known_seconds else "-"
    devices = {cost.get("device", "cpu") for cost in costs} - {"cpu"}
    updates = f"{np.median([cost['updates'] for cost in costs]):,.0f}"
    return updates, seconds + (f" ({', '.join(sorted(devices))})" if devices else "")


def _compared_with_reference(
    runs: Sequence[ScoredRun], stored: Mapping[AblationRun, Scores], variable: str, lead: int
) -> Mapping[str, Any] | None:
    """The comparison of a run with its reference, or `None` for the reference itself."""
    first = runs[0][0]
    if first.name == first.reference:
        return None
    references = [(run, scores) for run, scores in stored.items() if run.name == first.reference]
    return compared(runs, references, variable, lead)


def _ratio_cell(
    runs: Sequence[ScoredRun],
    comparison: Mapping[str, Any] | None,
    variable: str,
    lead: int,
    *,
    star: bool,
) -> str:
    """The error of a reference over that of persistence, or the error of another run over that of its reference."""
    if runs[0][0].name == runs[0][0].reference:
        return f"{np.mean([scores.entry(variable, lead)['persistence_ratio'] for _, scores in runs]):.3f}"
    return "-" if comparison is None else ratio_text(comparison) + ("*" if star else "")


def ratio_text(comparison: Mapping[str, Any]) -> str:
    """`0.954 (0.946-0.963)`; without the bounds where too few days give none."""
    return with_bounds(comparison["ratio"], comparison["ratio_low"], comparison["ratio_high"])


def entry_ratio(scores: Sequence[Scores], references: Sequence[Scores], variable: str, lead: int) -> Mapping[str, Any]:
    """The RMSE of a variable and lead over that of a reference, with bounds over days and seeds."""

    def single(whole: Scores) -> Scores:
        return Scores((whole.entry(variable, lead),), settings=whole.settings)

    return compare_seeds([*map(single, scores)], [*map(single, references)]).ratios[0]


def compared(
    runs: Sequence[ScoredRun],
    references: Sequence[ScoredRun],
    variable: str,
    lead: int,
) -> Mapping[str, Any] | None:
    """The comparison of a run with its reference over the seeds of both, or `None` without a common seed."""
    by_seed = {run.seed: scores for run, scores in references}
    pairs = [(scores, by_seed[run.seed]) for run, scores in runs if run.seed in by_seed]
    if not pairs:
        return None
    return entry_ratio([own for own, _ in pairs], [other for _, other in pairs], variable, lead)


def paired_ratio(
    runs: Sequence[ScoredRun],
    references: Sequence[ScoredRun],
    variable: str,
    lead: int,
) -> tuple[float, float, float] | None:
    """The RMSE of a run over that of its reference with its bounds (NaN without), over days and the seeds of both."""
    comparison = compared(runs, references, variable, lead)
    if comparison is None:
        return None
    value, low, high = (
        np.nan if comparison[key] is None else comparison[key] for key in ("ratio", "ratio_low", "ratio_high")
    )
    return value, low, high


def train_missing(runs: Sequence[AblationRun]) -> None:
    """Trains what is not stored yet: one after another, or with a budget of minutes in turns with its rivals."""

    def group(run: AblationRun) -> tuple:
        return run.study, run.seed, run.reference, run.minutes

    for (study, seed, _, minutes), grouped in itertools.groupby(runs, group):
        members = list(grouped)
        missing = [run for run in members if not run.scores.is_file()]
        if missing:
            rivals = missing if minutes is None else members  # minutes of another machine or day do not compare
            print(f"== {study} seed {seed}: {', '.join(run.name for run in rivals)}", flush=True)
            train_and_score([run.training() for run in rivals], minutes)


def main() -> None:
    studies = read_studies()
    every_run = [run for name, study in studies.items() for run in runs_of(name, study)]
    parser = study_parser(__doc__)
    parser.add_argument("names", nargs="*", help=f"STUDY or STUDY/RUN; studies are {', '.join(studies)}; default: all")
    parser.add_argument("--list", action="store_true", help="only say what is stored and what is not")
    options = parser.parse_args()
    for name in options.names:
        if not any(name in (run.study, f"{run.study}/{run.name}") for run in every_run):
            parser.error(f'no study or run "{name}"; there are {", ".join(studies)}')
    chosen = [
        run for run in every_run if not options.names or {run.study, f"{run.study}/{run.name}"} & set(options.names)
    ]
    if options.list:
        for run in chosen:
            print(f"{run.study} {run.name} seed {run.seed}: {'stored' if run.scores.is_file() else 'to run'}")
        return
    if not options.tables:
        os.environ.setdefault(PINNWX_EXTENSIONS, "experiments.studies.placebo_winds")  # that some runs name
        train_missing(chosen)
    splice(README, "ablations", "\n".join(table(name, study) for name, study in studies.items()))
    core = {run.name: scores for run, scores in scored(runs_in(PICTURED))}
    if core_picture.CORE in core:
        save(core_picture.figure(core), RESULTS / f"{PICTURED}.png")


if __name__ == "__main__":
    main()
