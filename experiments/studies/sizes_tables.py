"""The tables and curves of `experiments.studies.sizes`, from its stored results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.studies.ablations import entry_ratio, ratio_text
from experiments.studies.harness import RESULTS, markdown_table
from experiments.studies.sizes_record import (
    BY_CHANCE,
    FIRST,
    HEADLINE,
    LEADS,
    PRUNED,
    STUDY,
    VARIABLES,
    is_stored,
    load_scores,
    load_times,
    median_fact,
    pruned_names,
    training_facts,
)
from pinnwx.forecasting.export import PRECISIONS

SHOWN = [(variable, lead) for variable in VARIABLES for lead in LEADS]
TITLES = [f"{variable} {lead} h" for variable, lead in SHOWN]
PICTURES = {"compression.png": "Error against size", "experts.png": "Where each expert works"}


def table() -> str:
    """All tables of the study, as Markdown."""
    if not load_scores("teacher"):
        return "Not run yet.\n"
    tables = [introduction(), pruned_tables(), budget_table(), distilled_tables(), expert_tables(), export_table()]
    pictures = [f"![{words}](results/{name})" for name, words in PICTURES.items() if (RESULTS / name).is_file()]
    return "\n".join([*(line for lines in (*tables, time_table()) for line in lines), "", *pictures, ""])


def introduction() -> list[str]:
    """What the numbers are, and the errors of the teachers over those of persistence."""
    teachers = load_scores("teacher").values()
    ratios = [np.mean([scores.entry(*shown)["persistence_ratio"] for scores in teachers]) for shown in SHOWN]
    listed = ", ".join(f"{title} {value:.3f}" for title, value in zip(TITLES, ratios, strict=True))
    headline = next(iter(teachers)).entry(*HEADLINE)
    variable, lead = HEADLINE
    return [
        f"{headline['n']} forecasts of {headline['n_days']} validation days. RMSE over that of another model of the "
        f"same seed, mean of the seeds (minimum-maximum); last, the ratio of {variable} at {lead} h "
        "with its 95 % bounds over days and seeds. Seconds are those of training the first seed, where CPU cores did "
        f"it. Teachers over persistence: {listed}.\n"
    ]


def pruned_tables() -> list[str]:
    """Pruning with a fixed number of updates, over the teacher and over random pruning."""
    pruned = [(f"{criterion}, {keep:.0%} of the channels", name) for name, criterion, keep in pruned_names()]
    over_random = [
        [label, *ratio_cells(name, f"random {name.split()[1]}")] for label, name in pruned if "random" not in name
    ]
    return [
        f"**Pruned**, over the teacher, with {STUDY['prune']['updates']:,} updates of all members.\n",
        *model_table([("teacher", "teacher"), *pruned], "teacher"),
        "\nThe criteria over random, at the same size:\n",
        *markdown_table(["", *TITLES], over_random),
    ]


def budget_table() -> list[str]:
    """Pruning with a budget of minutes, and its controls."""
    study = STUDY["prune"]
    half = f"{study['keep']:.0%} of the channels"
    models = [
        (f"{study['criterion']}, {half}", PRUNED),
        (f"random, {half}", BY_CHANCE),
        ("those widths, from scratch, in the time of both", "narrow"),
        ("teacher, twice the updates", "longer"),
    ]
    title = f"\n**Pruned in {study['minutes']} minutes**, over the teacher of {STUDY['minutes']}.\n"
    return [title, *model_table(models, "teacher")]


def distilled_tables() -> list[str]:
    """The student and its twin, over the teacher and over each other."""
    return [
        "\n**Distilled**, over the teacher.\n",
        *model_table([("student", "student"), ("its twin, without a teacher", "twin")], "teacher"),
        "\nThe student over its twin:\n",
        *markdown_table(TITLES, [ratio_cells("student", "twin")]),
    ]


def expert_tables() -> list[str]:
    """Mixtures of experts over a dense network, in equal time and with equal updates."""
    study = STUDY["experts"]
    return [
        "\n**A mixture of experts**, over the dense network with equal computing.\n",
        *model_table([(name, f"experts {name}") for name in study["runs"]], "experts dense"),
        "\nWith equal updates, in any time, over the dense network:\n",
        *model_table([(name, f"experts alike {name}") for name in study["alike"]], "experts dense"),
    ]


def export_table() -> list[str]:
    """The size of the artefact of each precision, and what rounding costs."""
    if not load_scores("export float32"):
        return []
    names = [(precision, f"export {precision}") for precision in PRECISIONS if load_scores(f"export {precision}")]
    rows = [
        [precision, f"{median_fact(name, 'bytes') / 1024:,.0f}", *ratio_cells(name, "export float32")]
        for precision, name in names
    ]
    title = "\n**Exported**: the model pruned in minutes, with rounded weights, over itself.\n"
    return [title, *markdown_table(["weights", "KiB of the artefact", *TITLES], rows)]


def time_table() -> list[str]:
    """Seconds of ten days of the first seed's models."""
    times = load_times()
    if not times:
        return []
    teacher = times["teacher"]["median"]
    rows = [
        [name, f"{t['median']:.3f} ({t['least']:.3f}-{t['most']:.3f})", f"{teacher / t['median']:.2f}"]
        for name, t in times.items()
    ]
    titles = ["model", "seconds: median (minimum-maximum)", "times faster"]
    return ["\n**Ten days**, run in turn.\n", *markdown_table(titles, rows)]


def model_table(models: Sequence[tuple[str, str]], other: str) -> list[str]:
    """A row for each model (label, name): its size and cost, and its errors over those of another model."""
    rows = []
    for label, name in models:
        if scores := load_scores(name):
            size = f"{median_fact(name, 'parameters'):,.0f}", f"{median_fact(name, 'bytes') / 1024:,.0f}"
            ratios = ratio_cells(name, other)
            rows.append([label, len(scores), *size, training_seconds(name), *ratios, paired_ratio(name, other)])
    return markdown_table(["", "seeds", "weights", "KiB", "s", *TITLES, "paired"], rows)


def training_seconds(name: str) -> str:
    """Seconds of making the first seed's model, where CPU cores did it."""
    facts = training_facts(name, FIRST) if is_stored(name, FIRST) else {}
    return f"{facts['seconds']:,.0f}" if facts.get("device") == "cpu" else "-"


def ratio_cells(name: str, other: str) -> list[str]:
    """A model's errors over another's, for each variable and lead shown."""
    return [mean_and_range(seed_ratios(name, other, *shown)) for shown in SHOWN]


def seed_ratios(name: str, other: str, variable: str, lead: int) -> list[float]:
    """RMSE over that of another model of the same seed, for each seed of both."""
    scores, others = load_scores(name), load_scores(other)
    return [
        scores[seed].entry(variable, lead)["rmse"] / others[seed].entry(variable, lead)["rmse"]
        for seed in scores
        if seed in others
    ]


def mean_and_range(values: Sequence[float]) -> str:
    if not values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def paired_ratio(name: str, other: str) -> str:
    """The headline ratio over the seeds of both with its bounds over days and seeds."""
    scores, others = load_scores(name), load_scores(other)
    shared = [seed for seed in scores if seed in others]
    if not shared:
        return "-"
    return ratio_text(entry_ratio([scores[seed] for seed in shared], [others[seed] for seed in shared], *HEADLINE))
