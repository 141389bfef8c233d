"""The pictures of `experiments.studies.sizes`: error against size, and where each expert works."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.studies.harness import Scoring
from experiments.studies.sizes_record import (
    HEADLINE,
    PRUNED,
    STUDY,
    VARIABLES,
    load_scores,
    load_times,
    median_fact,
    pruned_names,
)
from experiments.studies.sizes_tables import seed_ratios
from pinnwx.grid import Grid
from pinnwx.jobs.explain import explain
from pinnwx.reporting.panel import Panel, draw_map, empty_figure
from pinnwx.reporting.style import PART_COLOURS


def expert_maps(run: Path, archive: Path, scoring: Scoring) -> Figure:
    """Where each expert works: the fraction of the blocks and of the validation days, on a map."""
    days = np.arange(np.datetime64(scoring.start), np.datetime64(scoring.end) + 1)
    budgets = [explain(run, archive, init=f"{day}T00:00", hours=24) for day in days]
    grid = Grid.from_coordinates(budgets[0]["latitude"].values, budgets[0]["longitude"].values)
    names = sorted(str(name) for name in budgets[0] if str(name).startswith("expert_"))
    rows = -(-len(names) // 2)
    figure, image = empty_figure(grid, rows, 2), None
    axes = figure.subplots(rows, 2, squeeze=False).ravel()
    for panel, name in zip(axes, names, strict=False):
        percent = 100 * np.mean([budget[name].values for budget in budgets], axis=(0, 1))
        label = name.removesuffix("_use").replace("_", " ")
        title = f"{label}: {percent.min():.0f} to {percent.max():.0f} %"
        image = draw_map(panel, Panel(percent, title, "viridis", np.linspace(0, 100, 11)), grid, 0.0)
    assert image is not None, f"the budget of {run} names no expert"
    figure.colorbar(image, ax=list(axes), fraction=0.04, pad=0.01, aspect=24).set_label("% of blocks and steps")
    figure.suptitle("Where each expert works", fontsize="large", fontweight="bold")
    return figure


def curves() -> Figure:
    """Error of the pruned models by criterion, against their size and against the time of a forecast."""
    figure = Figure(figsize=(9.5, 6.6), layout="constrained")
    panels = figure.subplots(2, len(VARIABLES), sharex="row", sharey="col")
    times = load_times()

    def weights(name: str) -> float | None:
        return median_fact(name, "parameters") if load_scores(name) else None

    def seconds(name: str) -> float | None:
        return times[name]["median"] if name in times and load_scores(name) else None

    measures = (("trained numbers, 4 bytes each", weights), ("seconds of ten days", seconds))
    for row, (label, measure) in zip(panels, measures, strict=True):
        for axes, variable in zip(row, VARIABLES, strict=True):
            _draw_errors(axes, variable, measure)
            axes.set(xlabel=label, ylabel="RMSE over the teacher's")
    panels[0, 0].legend(frameon=False, fontsize="small")
    return figure


def _draw_errors(axes: Axes, variable: str, measure: Callable[[str], float | None]) -> None:
    lead = HEADLINE[1]
    for colour, criterion in zip(PART_COLOURS[::2], STUDY["prune"]["criteria"], strict=False):
        measured = _measured(["teacher", *(name for name, of, _ in pruned_names() if of == criterion)], measure)
        ratios = [seed_ratios(name, "teacher", variable, lead) for name in measured]
        means, low, high = (np.array([of(values) for values in ratios]) for of in (np.mean, min, max))
        style = {"color": colour, "label": criterion, "markersize": 4, "capsize": 3}
        axes.errorbar(list(measured.values()), means, [means - low, high - means], fmt="o-", **style)
    labels = {PRUNED: f"pruned, {STUDY['prune']['minutes']} min", "student": "student", "narrow": "from scratch"}
    markers = {PRUNED: "D", "student": "*", "narrow": "s"}
    for name, x in _measured(labels, measure).items():
        value = np.mean(seed_ratios(name, "teacher", variable, lead))
        axes.plot(x, value, markers[name], color="black", label=labels[name], linestyle="none")
    axes.set_title(f"{variable}, {lead} h", fontsize="medium")
    axes.grid(color="0.85", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _measured(names: Iterable[str], measure: Callable[[str], float | None]) -> dict[str, float]:
    """The measure of each model that has one."""
    values = {name: measure(name) for name in names}
    return {name: value for name, value in values.items() if value is not None}
