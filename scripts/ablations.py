"""Runs the studies of experiments/ablations/studies.toml and writes their tables: which part is worth what.

    python scripts/ablations.py                   every run that has no stored scores yet, one after another
    python scripts/ablations.py terms days/hybrid_14    only this study, and this run of another
    python scripts/ablations.py --list            what there is and what is still to run
    python scripts/ablations.py --tables          only write the tables anew

A run is a base experiment with some settings changed, and a seed. Each is stored under
experiments/results/ablations/STUDY/RUN.SEED.json as soon as it is scored, and one that was cut short goes on where it
stood; so the whole can be spread over many days and machines. What has a budget of minutes is trained in turn with
what it is compared with. Each is compared with the reference of its study on the same forecasts (`pinnwx compare`),
days drawn in blocks.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from trial import EXPERIMENTS, RESULTS, RUNS, run_trials, scoring_of, splice
from trial import Trial as Training

from pinnwx.verification.comparison import compare_scores
from pinnwx.verification.results import Scores

STORED = RESULTS / "ablations"


@dataclass(frozen=True, eq=False)
class Trial:
    """One training of a study."""

    study: str
    name: str
    seed: int
    base: str
    against: str  # the run of the same study and seed that it is compared with; itself: none, but persistence
    changes: Mapping[str, Any]
    minutes: float | None

    @property
    def scores(self) -> Path:
        return STORED / self.study / f"{self.name}.{self.seed}.json"

    def config(self) -> dict[str, Any]:
        """The base experiment with the changes made."""
        settings = tomllib.loads((EXPERIMENTS / f"{self.base}.toml").read_text())
        for path, value in self.changes.items():
            change(settings, path, value)
        settings |= {"seed": self.seed, "name": f"{self.study}_{self.name}_{self.seed}"}
        return settings

    def training(self) -> Training:
        """What there is to run; its config is written."""
        folder = RUNS / "ablations" / self.study / f"{self.name}.{self.seed}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        config = folder.with_suffix(f".{self.seed}.toml")
        config.write_text(tomli_w.dumps(self.config()))
        return Training(config, folder, self.scores, scoring_of(self.base))


def change(settings: Any, path: str, value: Any) -> None:
    """Sets the entry at a dotted path; a number counts in a list, and `*` means every entry of one."""
    first, _, rest = path.partition(".")
    keys = range(len(settings)) if first == "*" else [int(first) if isinstance(settings, list) else first]
    for key in keys:
        if rest:
            change(settings.setdefault(key, {}) if isinstance(settings, dict) else settings[key], rest, value)
        else:
            settings[key] = copy.deepcopy(value)


def studies() -> dict[str, dict[str, Any]]:
    """What experiments/ablations/studies.toml says, by the name of the study."""
    return tomllib.loads((EXPERIMENTS / "ablations" / "studies.toml").read_text())


def trials(name: str, study: Mapping[str, Any]) -> Iterator[Trial]:
    """The runs of a study, the reference first, one seed after another."""
    for seed in study["seeds"]:
        for run, changes in study["runs"].items():
            own = dict(changes)
            base, against = own.pop("base", study["base"]), own.pop("against", study["reference"])
            minutes = own.pop("minutes", study.get("minutes"))
            yield Trial(name, run, seed, base, against, study.get("common", {}) | own, minutes)


def table(name: str, study: Mapping[str, Any]) -> str:
    """A row a run: the RMSE over that of its reference with the same seed, mean over seeds, with paired bounds."""
    stored = {trial: Scores.load(trial.scores) for trial in trials(name, study) if trial.scores.is_file()}
    by_run: dict[str, list[tuple[Trial, Scores]]] = {}
    for trial, scores in stored.items():
        by_run.setdefault(trial.name, []).append((trial, scores))
    lines = [f"**{name}.** {study['question']}\n"]
    if not by_run:
        return "\n".join([*lines, "Not run yet.\n"])
    shown = [(variable, lead) for variable in study["variables"] for lead in study["leads"]]
    lines.append("| run | seeds | " + " | ".join(f"{v} {lead} h" for v, lead in shown) + " | updates | s |")
    lines.append("| --- | --- |" + " --- |" * (len(shown) + 2))
    for run, found in by_run.items():
        cells = [_cell(found, stored, variable, lead) for variable, lead in shown]
        costs = [cost_of(trial) for trial, _ in found]
        updates = f"{np.median([cost['updates'] for cost in costs]):,.0f}"
        whole = [cost["seconds"] for cost in costs if not cost["resumed"]]  # of the others nobody knows
        seconds = f"{np.median(whole):,.0f}" if whole else "-"
        devices = {cost.get("device", "cpu") for cost in costs} - {"cpu"}
        seconds += f" ({', '.join(sorted(devices))})" if devices else ""
        lines.append(f"| {run} | {len(found)} | " + " | ".join([*cells, updates, seconds]) + " |")
    return "\n".join(lines) + "\n"


def cost_of(trial: Trial) -> dict[str, Any]:
    """What its training cost."""
    return json.loads(trial.scores.read_text())["training"]


def _cell(found: list[tuple[Trial, Scores]], stored: Mapping[Trial, Scores], variable: str, lead: int) -> str:
    """The error of a reference over that of persistence, or another run's error over its reference's."""
    first = found[0][0]
    if first.name == first.against:
        return f"{np.mean([scores.entry(variable, lead)['persistence_ratio'] for _, scores in found]):.3f}"
    references = [(trial, scores) for trial, scores in stored.items() if trial.name == first.against]
    ratio = paired_ratio(found, references, variable, lead)
    if ratio is None:
        return "-"
    value, low, high = ratio
    return f"{value:.3f}" + ("" if np.isnan(low) else f" ({low:.3f}-{high:.3f})")


def entry_ratio(scores: Scores, reference: Scores, variable: str, lead: int) -> Mapping[str, Any]:
    """The RMSE of a variable and lead over that of a reference, with its bounds, paired by day."""
    both = [Scores((one.entry(variable, lead),), settings=one.settings) for one in (scores, reference)]
    return compare_scores(*both).ratios[0]


def paired_ratio(
    found: list[tuple[Trial, Scores]], references: list[tuple[Trial, Scores]], variable: str, lead: int
) -> tuple[float, float, float] | None:
    """The RMSE of a run over that of its reference with its bounds (NaN without), mean of the seeds that both have."""
    by_seed = {trial.seed: scores for trial, scores in references}
    ratios = []
    for trial, scores in found:
        if trial.seed in by_seed:
            ratios.append(entry_ratio(scores, by_seed[trial.seed], variable, lead))
    if not ratios:
        return None
    value, low, high = (
        float(np.mean([np.nan if ratio[key] is None else ratio[key] for ratio in ratios]))
        for key in ("ratio", "ratio_low", "ratio_high")
    )
    return value, low, high


def run(chosen: Sequence[Trial]) -> None:
    """What is not stored yet: one after another, or with a budget of minutes in turn with what it is compared with."""

    def group(trial: Trial) -> tuple:
        return trial.study, trial.seed, trial.against, trial.minutes

    for (study, seed, _, minutes), found in itertools.groupby(chosen, group):
        trials = list(found)
        missing = [trial for trial in trials if not trial.scores.is_file()]
        if missing:
            rivals = missing if minutes is None else trials  # rivals on another machine, or another day, are none
            print(f"== {study} seed {seed}: {', '.join(trial.name for trial in rivals)}", flush=True)
            run_trials([trial.training() for trial in rivals], minutes)


def main() -> None:
    known = studies()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = [trial for name, study in known.items() for trial in trials(name, study)]
    parser.add_argument("names", nargs="*", help=f"STUDY or STUDY/RUN; studies are {', '.join(known)}; default: all")
    parser.add_argument("--list", action="store_true", help="only say what is stored and what is still to run")
    parser.add_argument("--tables", action="store_true", help="only write the tables anew")
    given = parser.parse_args()
    for name in given.names:
        if not any(name in (trial.study, f"{trial.study}/{trial.name}") for trial in everything):
            parser.error(f'no study or run "{name}"; there are {", ".join(known)}')
    chosen = [
        trial
        for trial in everything
        if not given.names or {trial.study, f"{trial.study}/{trial.name}"} & set(given.names)
    ]
    for trial in chosen if given.list else ():
        print(f"{trial.study} {trial.name} seed {trial.seed}: {'stored' if trial.scores.is_file() else 'to run'}")
    if not given.list and not given.tables:
        run(chosen)
    if not given.list:
        splice(EXPERIMENTS / "README.md", "ablations", "\n".join(table(name, study) for name, study in known.items()))


if __name__ == "__main__":
    main()
