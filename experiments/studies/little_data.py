"""What equations are worth by the days of training data: one figure from stored scores.

    python -m experiments.studies.little_data

Each point is a hybrid and the network alone with the same seeds, the same data and 400 updates each
(`experiments.studies.ablations gcm_two_weeks gcm_data`). The hybrid has two coupled levels, and what they missed in the
step before, carried along by the wind. The figure goes to experiments/results/little_data.png, the table to
experiments/README.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from experiments.studies import ablations
from experiments.studies.harness import README, RESULTS, markdown_table, splice, study_parser, with_bounds
from pinnwx.reporting.style import PART_COLOURS, save

FIELDS, LEADS = ("z500", "t850", "q850", "msl"), (24, 72)
COLOURS = dict(zip(FIELDS, (PART_COLOURS[0], PART_COLOURS[5], PART_COLOURS[2], PART_COLOURS[6]), strict=True))
RUNS = {
    7: ("gcm_data", "hybrid_7"),
    14: ("gcm_two_weeks", "levels_and_error"),
    30: ("gcm_data", "hybrid_30"),
    60: ("gcm_data", "hybrid_60"),
    180: ("gcm_data", "hybrid_180"),
}


class Point(NamedTuple):
    """The RMSE of a hybrid over that of the network alone, with its bounds; NaN where they are unknown."""

    days: int
    seeds: int
    field: str
    lead: int
    ratio: float
    low: float
    high: float


def points() -> list[Point]:
    """A point for each number of days, field and lead that is stored."""
    result = []
    for days, (study, name) in RUNS.items():
        stored = ablations.scored(ablations.runs_in(study))
        own = [(run, scores) for run, scores in stored if run.name == name]
        references = [(run, scores) for run, scores in stored if own and run.name == own[0][0].reference]
        seeds = {run.seed for run, _ in own} & {run.seed for run, _ in references}
        for field in FIELDS:
            for lead in LEADS:
                compared = ablations.paired_ratio(own, references, field, lead) if seeds else None
                if compared is not None:
                    result.append(Point(days, len(seeds), field, lead, *compared))
    return result


def table(measured: Sequence[Point]) -> str:
    """A row for each number of days."""
    rows: dict[tuple[int, int], list[str]] = {}
    for point in measured:
        rows.setdefault((point.days, point.seeds), []).append(with_bounds(point.ratio, point.low, point.high))
    titles = ["days", "seeds", *(f"{field} {lead} h" for field in FIELDS for lead in LEADS)]
    lines = markdown_table(titles, [[*key, *cells] for key, cells in rows.items()])
    return "\n".join(
        [*lines, "\n![RMSE of the hybrid over the network alone by days of data](results/little_data.png)\n"]
    )


def figure(measured: Sequence[Point]) -> Figure:
    """A panel for each lead, a line for each field."""
    drawn = Figure(figsize=(9.5, 4.0), layout="constrained")
    panels = drawn.subplots(1, len(LEADS), sharey=True)
    for axes, lead in zip(panels, LEADS, strict=True):
        for place, field in enumerate(FIELDS):
            own = [point for point in measured if (point.field, point.lead) == (field, lead)]
            days = np.array([point.days for point in own]) * 1.02 ** (place - 1.5)  # beside each other
            ratios = np.array([point.ratio for point in own])
            reach = np.abs(np.array([[point.low, point.high] for point in own]).T.reshape(2, -1) - ratios)
            axes.errorbar(days, ratios, reach, fmt="o-", color=COLOURS[field], capsize=2, markersize=4, label=field)
        axes.axhline(1, color="0.7", linewidth=0.8)
        axes.set(xscale="log", title=f"{lead} h", xlabel="days of training data")
        axes.set_xticks(list(RUNS), [str(days) for days in RUNS])
        axes.minorticks_off()
    panels[0].set_ylabel("RMSE, hybrid over network alone")
    panels[0].legend(frameon=False)
    drawn.suptitle("GCM archive, 400 updates each, scored in August and September", fontweight="bold")
    return drawn


def main() -> None:
    study_parser(__doc__).parse_args()
    measured = points()
    save(figure(measured), RESULTS / "little_data.png")
    splice(README, "little_data", table(measured))


if __name__ == "__main__":
    main()
