"""The settings and the stored results of `experiments.studies.sizes`."""

from __future__ import annotations

import json
import statistics
import tomllib
from collections.abc import Iterator
from pathlib import Path

from experiments.studies.harness import EXPERIMENTS, RESULTS
from pinnwx.forecasting.export import PRECISIONS
from pinnwx.verification.results import Scores

STUDY = tomllib.loads((EXPERIMENTS / "ablations" / "compression.toml").read_text())
FIRST = STUDY["seeds"][0]  # trained with a budget of minutes
STORED = RESULTS / "compression"
LEADS = (6, 24, 72)
VARIABLES = ("msl", "vo850")
HEADLINE = ("msl", 24)
PRUNED, BY_CHANCE = "pruned", "pruned by chance"  # with a budget of minutes


def result_path(name: str, seed: int) -> Path:
    """Where the result of a model of the study is stored."""
    return STORED / f"{name.replace(' ', '_')}.{seed}.json"


def is_stored(name: str, seed: int) -> bool:
    return result_path(name, seed).is_file()


def pruned_names() -> Iterator[tuple[str, str, float]]:
    """Name, criterion and fraction of the channels of each pruning with a fixed number of updates."""
    for keep in STUDY["prune"]["keeps"]:
        for criterion in STUDY["prune"]["criteria"]:
            yield f"{criterion} {keep}", criterion, keep


def results_of(part: str, seed: int) -> list[str]:
    """The names of all results of a part of the study."""
    experts = STUDY["experts"]
    return {
        "prune": [*(name for name, _, _ in pruned_names()), PRUNED, BY_CHANCE, "narrow", "longer"],
        "distill": ["student", "twin"],
        "experts": [f"experts {name}" for name in (*experts["runs"], *(f"alike {name}" for name in experts["alike"]))],
        "export": [f"export {precision}" for precision in PRECISIONS],
        "times": ["times"] if seed == FIRST else [],
    }[part]


def is_missing(part: str, seed: int) -> bool:
    """Whether any result of a part is not stored."""
    return not all(is_stored(name, seed) for name in results_of(part, seed))


def load_scores(name: str) -> dict[int, Scores]:
    """The stored scores of a model by seed."""
    return {seed: Scores.load(result_path(name, seed)) for seed in STUDY["seeds"] if is_stored(name, seed)}


def training_facts(name: str, seed: int) -> dict:
    """What making a stored model cost: seconds, updates, parameters, bytes, device."""
    return json.loads(result_path(name, seed).read_text())["made"]


def median_fact(name: str, key: str) -> float:
    """The median over seeds of what making a model cost."""
    return statistics.median(training_facts(name, seed)[key] for seed in load_scores(name))


def load_times() -> dict[str, dict[str, float]]:
    """Seconds of ten days of the first seed's models; empty if they are not stored."""
    return json.loads(result_path("times", FIRST).read_text()) if is_stored("times", FIRST) else {}
