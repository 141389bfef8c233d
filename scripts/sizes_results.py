"""What the study of `scripts/sizes.py` found: its settings, its stored scores, the tables and the curves of them."""

from __future__ import annotations

import json
import statistics
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from ablations import entry_ratio
from matplotlib.figure import Figure
from trial import EXPERIMENTS, RESULTS

from pinnwx.forecasting.export import PRECISIONS
from pinnwx.reporting.style import PART_COLOURS
from pinnwx.verification.results import Scores

STUDY = tomllib.loads((EXPERIMENTS / "ablations" / "compression.toml").read_text())
FIRST = STUDY["seeds"][0]  # trained by the clock
STORED = RESULTS / "compression"
LEADS = (6, 24, 72)
VARIABLES = ("msl", "vo850")
HEADLINE = ("msl", 24)
SHOWN = [(variable, lead) for variable in VARIABLES for lead in LEADS]
TITLES = [f"{variable} {lead} h" for variable, lead in SHOWN]
PRUNED, BY_CHANCE = "pruned", "pruned by chance"  # in minutes


def stored(name: str, seed: int) -> Path:
    return STORED / f"{name.replace(' ', '_')}.{seed}.json"


def pruned_names() -> Iterator[tuple[str, str, float]]:
    """Name, order and share of the channels of each pruning of the same number of updates."""
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


def missing(part: str, seed: int) -> bool:
    """Whether any result of it is not stored."""
    return not all(stored(name, seed).is_file() for name in results_of(part, seed))


def scores(name: str) -> dict[int, Scores]:
    """By seed, of those stored."""
    return {seed: Scores.load(stored(name, seed)) for seed in STUDY["seeds"] if stored(name, seed).is_file()}


def typical(name: str, key: str) -> float:
    """What making it cost, the median of the seeds."""
    return statistics.median(json.loads(stored(name, seed).read_text())["made"][key] for seed in scores(name))


def seconds_of(name: str) -> str:
    """Of making the first seed's, where that was made on this kind of machine."""
    path = stored(name, FIRST)
    made = json.loads(path.read_text())["made"] if path.is_file() else {}
    return f"{made['seconds']:,.0f}" if made.get("device") == "cpu" else "-"


def ratios(name: str, other: str, variable: str, lead: int) -> list[float]:
    """RMSE over that of another model of the same seed."""
    found, against = scores(name), scores(other)
    return [found[s].entry(variable, lead)["rmse"] / against[s].entry(variable, lead)["rmse"]
            for s in found if s in against]  # fmt: skip


def spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def paired(name: str, other: str) -> str:
    """The headline ratio of the first seed with its bounds."""
    if not all(stored(one, FIRST).is_file() for one in (name, other)):
        return "-"
    ratio = entry_ratio(*(Scores.load(stored(one, FIRST)) for one in (name, other)), *HEADLINE)
    return f"{ratio['ratio']:.3f} ({ratio['ratio_low']:.3f}-{ratio['ratio_high']:.3f})"


def rows(names: Sequence[tuple[str, str]], other: str) -> list[str]:
    """A row a model: what it weighs, and its errors over another's, mean and spread over seeds."""
    lines = head("", "seeds", "weights", "KiB", "s", *TITLES, "paired")
    for label, name in names:
        if not scores(name):
            continue
        facts = [f"{len(scores(name))}", f"{typical(name, 'parameters'):,.0f}", f"{typical(name, 'bytes') / 1024:,.0f}"]
        lines.append(
            f"| {label} | " + " | ".join([*facts, seconds_of(name), over(name, other), paired(name, other)]) + " |"
        )
    return lines


def over(name: str, other: str) -> str:
    """Cells of a row: a model's errors over another's."""
    return " | ".join(spread(ratios(name, other, *shown)) for shown in SHOWN)


def head(*titles: str) -> list[str]:
    return ["| " + " | ".join(titles) + " |", "|" + " --- |" * len(titles)]


def table() -> str:
    """All of it, as text for a README."""
    if not scores("teacher"):
        return "Not run yet.\n"
    of_persistence = [
        np.mean([one.entry(*shown)["persistence_ratio"] for one in scores("teacher").values()]) for shown in SHOWN
    ]
    told = ", ".join(f"{title} {value:.3f}" for title, value in zip(TITLES, of_persistence, strict=True))
    one = next(iter(scores("teacher").values())).entry(*HEADLINE)
    variable, lead = HEADLINE
    lines = [
        f"{one['n']} forecasts of {one['n_days']} validation days. RMSE over that of another model of the same seed, "
        f"mean of the seeds (minimum-maximum); last, the ratio of {variable} at {lead} h of the first seed with "
        "its 95 % bounds, paired by day. Seconds are those of training the first seed, where CPU cores did it. "
        f"Teachers over persistence: {told}.\n"
    ]
    study = STUDY["prune"]
    pruned = [(f"{criterion}, {keep:.0%} of the channels", name) for name, criterion, keep in pruned_names()]
    lines += [f"**Pruned**, over the teacher, with {study['updates']:,} updates of all members.\n"]
    lines += rows([("teacher", "teacher"), *pruned], "teacher")
    lines += ["\nThe criteria over random, at the same size:\n", *head("", *TITLES)]
    lines += [
        f"| {label} | {over(name, f'random {name.split()[1]}')} |" for label, name in pruned if "random" not in name
    ]
    lines += [f"\n**Pruned in {study['minutes']} minutes**, over the teacher of {STUDY['minutes']}.\n"]
    half = f"{study['keep']:.0%} of the channels"
    longer = [(f"{study['criterion']}, {half}", PRUNED), (f"random, {half}", BY_CHANCE)]
    controls = [
        ("those widths, from scratch, in the time of both", "narrow"),
        ("teacher, twice the updates", "longer"),
    ]
    lines += rows([*longer, *controls], "teacher")
    lines += ["\n**Distilled**, over the teacher.\n"]
    lines += rows([("student", "student"), ("its twin, without a teacher", "twin")], "teacher")
    lines += ["\nThe student over its twin:\n", *head(*TITLES), f"| {over('student', 'twin')} |"]
    lines += ["\n**A mixture of experts**, over the dense network with equal computing.\n"]
    lines += rows([(name, f"experts {name}") for name in STUDY["experts"]["runs"]], "experts dense")
    lines += ["\nWith equal updates, in any time, over the dense network:\n"]
    lines += rows([(name, f"experts alike {name}") for name in STUDY["experts"]["alike"]], "experts dense")
    if scores("export float32"):
        lines += ["\n**Exported**: the model pruned in minutes, with rounded weights, over itself.\n"]
        lines += head("weights", "KiB of the artefact", *TITLES)
    for precision in PRECISIONS:
        if scores(name := f"export {precision}"):
            lines.append(f"| {precision} | {typical(name, 'bytes') / 1024:,.0f} | {over(name, 'export float32')} |")
    lines += speeds()
    pictures = {"compression.png": "Error against size", "experts.png": "Where each expert works"}
    there = [f"![{words}](results/{name})" for name, words in pictures.items() if (RESULTS / name).is_file()]
    return "\n".join([*lines, "", *there, ""])


def speeds() -> list[str]:
    """Seconds of ten days of the first seed's models."""
    path = stored("times", FIRST)
    if not path.is_file():
        return []
    found = json.loads(path.read_text())
    whole = found["teacher"]["median"]
    lines = ["\n**Ten days**, run in turn.\n", *head("model", "seconds: median (minimum-maximum)", "times faster")]
    for name, took in found.items():
        seconds = f"{took['median']:.3f} ({took['least']:.3f}-{took['most']:.3f})"
        lines.append(f"| {name} | {seconds} | {whole / took['median']:.2f} |")
    return lines


def curves() -> Figure:
    """Error of the pruned models by order, against their size and against the time of a forecast."""
    figure = Figure(figsize=(9.5, 6.6), layout="constrained")
    panels = figure.subplots(2, len(VARIABLES), sharex="row", sharey="col")
    path = stored("times", FIRST)
    times = json.loads(path.read_text()) if path.is_file() else {}
    measures = (
        (
            "trained numbers, 4 bytes each",
            lambda name: typical(name, "parameters") if scores(name) else None,
        ),
        ("seconds of ten days", lambda name: times[name]["median"] if name in times and scores(name) else None),
    )
    for row, (what, measure) in zip(panels, measures, strict=True):
        for axes, variable in zip(row, VARIABLES, strict=True):
            for colour, criterion in zip(PART_COLOURS[::2], STUDY["prune"]["criteria"], strict=False):
                names = ["teacher", *(name for name, of, _ in pruned_names() if of == criterion)]
                names = [name for name in names if measure(name) is not None]
                values = [ratios(name, "teacher", variable, HEADLINE[1]) for name in names]
                means, low, high = (np.array([of(one) for one in values]) for of in (np.mean, min, max))
                look = {"color": colour, "label": criterion, "markersize": 4, "capsize": 3}
                axes.errorbar([measure(name) for name in names], means, [means - low, high - means], fmt="o-", **look)
            others = (
                (f"pruned, {STUDY['prune']['minutes']} min", PRUNED, "D"),
                ("student", "student", "*"),
                ("from scratch", "narrow", "s"),
            )
            for label, name, marker in others:
                if (x := measure(name)) is not None:
                    value = np.mean(ratios(name, "teacher", variable, HEADLINE[1]))
                    axes.plot(x, value, marker, color="black", label=label, linestyle="none")
            axes.set_title(f"{variable}, {HEADLINE[1]} h", fontsize="medium")
            axes.set(xlabel=what, ylabel="RMSE over the teacher's")
            axes.grid(color="0.85", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
    panels[0, 0].legend(frameon=False, fontsize="small")
    return figure
