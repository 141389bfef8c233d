"""Whether an ensemble is reliable: rank histograms, spread against error, and reliability diagrams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pinnwx.errors import DataError, UsageError
from pinnwx.reporting.style import CLIMATOLOGY_COLOUR, MODEL_COLOUR, PART_COLOURS, describe_or_guess, save, shown_units

_MOST_ROWS = 6
_LINES = {"(solid)": "-", "(dashed)": "--", "(dotted)": ":", "(dash-dotted)": "-."}
_SMALLEST_AREA = 1e-3  # of a probability that a reliability diagram draws


def plot_probabilities(
    scores: Mapping[str, Any],
    path: str | Path,
    variables: Sequence[str] | None = None,
    leads: Sequence[float] | None = None,
) -> Path:
    """Writes `probability_figure` as a PNG and returns its path."""
    return save(probability_figure(scores, variables, leads), path)


def probability_figure(
    scores: Mapping[str, Any], variables: Sequence[str] | None = None, leads: Sequence[float] | None = None
) -> Figure:
    """A row for each variable: ranks of the truth, error against spread, frequencies against probabilities.

    Args:
        scores: the scores JSON of ensembles (`pinnwx.verification.ensemble_details`).
        variables: by default all, at most the first 6.
        leads: in hours, each with a colour; by default all, at most the first 4.

    Raises:
        DataError: the scores are not those of ensembles of one size.
        UsageError: there is no such variable or lead.
    """
    entries = [entry for entry in scores.get("scores") or [] if entry.get("probabilities")]
    if not entries:
        raise DataError("the scores are not those of ensembles of one size; make them with evaluate --members")
    names = _chosen([entry["variable"] for entry in entries], variables, _MOST_ROWS, "variable")
    hours = _chosen([entry["lead_hours"] for entry in entries], leads, 4, "lead")
    figure = Figure(figsize=(10.5, 2.9 * len(names) + 0.9), layout="constrained")
    panels = figure.subplots(len(names), 3, squeeze=False)
    for row, name in zip(panels, names, strict=True):
        own = {entry["lead_hours"]: entry["probabilities"] for entry in entries if entry["variable"] == name}
        shown = [(lead, own[lead], colour) for lead, colour in zip(hours, _colours(), strict=False) if lead in own]
        _ranks(row[0], name, shown)
        _spread(row[1], name, shown)
        _reliability(row[2], shown)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    title = f"Reliability of the ensembles of {scores.get('run') or 'the model'}"
    figure.suptitle(title, fontsize="large", fontweight="bold")
    return figure


def _colours() -> tuple[str, ...]:
    return (MODEL_COLOUR, PART_COLOURS[4], CLIMATOLOGY_COLOUR, PART_COLOURS[6])


def _chosen(known: Sequence[Any], chosen: Sequence[Any] | None, most: int, kind: str) -> list[Any]:
    unique = list(dict.fromkeys(known))
    if chosen is None:
        return unique[:most]
    for one in chosen:
        if one not in unique:
            raise UsageError(f"the scores have no {kind} {one}; they have {', '.join(map(str, unique))}")
    if len(chosen) > most:
        raise UsageError(f"{len(chosen)} of {kind}s are more than {most}, which fit into a picture; give fewer")
    return list(chosen)


def _ranks(axes: Axes, name: str, shown: Sequence[tuple[float, Mapping[str, Any], str]]) -> None:
    for lead, own, colour in shown:
        ranks = np.array(own["ranks"])
        edges = np.linspace(0, 1, len(ranks) + 1)
        axes.stairs(ranks * len(ranks), edges, color=colour, linewidth=1.5, label=f"{lead:g} h")
    axes.axhline(1, color="0.4", linewidth=0.8, linestyle=":")
    axes.set_ylim(bottom=0)
    axes.set_title(f"{describe_or_guess(name).long_name}: rank of the truth", fontsize="medium")
    _labelled(axes, "rank among the members, relative", "frequency over that of a flat histogram")


def _spread(axes: Axes, name: str, shown: Sequence[tuple[float, Mapping[str, Any], str]]) -> None:
    variable, largest = describe_or_guess(name), 0.0
    for _, own, colour in shown:
        bins = zip(own["spread_bins"]["spread"], own["spread_bins"]["error"], strict=True)
        filled = [pair for pair in bins if None not in pair]
        spread, error = variable.display_factor * np.array(filled).reshape(-1, 2).T
        axes.plot(spread, error, "-o", color=colour, markersize=3)
        largest = max(largest, *spread, *error)
    axes.axline((0, 0), slope=1, color="0.4", linewidth=0.8, linestyle=":")
    axes.set_xlim(0, 1.05 * largest or 1)
    axes.set_ylim(0, 1.05 * largest or 1)
    units = f"[{shown_units(variable, difference=True)}]".removesuffix("[]")
    axes.set_title("error where the spread is small and large", fontsize="medium")
    _labelled(axes, f"spread {units}", f"RMSE of the mean {units}")


def _reliability(axes: Axes, shown: Sequence[tuple[float, Mapping[str, Any], str]]) -> None:
    for _, own, colour in shown:
        for event, line in zip(own.get("events", ()), _LINES.values(), strict=False):
            points = [
                (p, frequency)
                for p, frequency, area in zip(event["probabilities"], event["frequencies"], event["areas"], strict=True)
                if frequency is not None and area >= _SMALLEST_AREA
            ]
            if points:
                axes.plot(*zip(*points, strict=True), line, color=colour, marker="o", markersize=2.5, linewidth=1.2)
    axes.axline((0, 0), slope=1, color="0.4", linewidth=0.8, linestyle=":")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    events = shown[0][1].get("events", ()) if shown else ()
    named = [f"{event['event']} {line}" for event, line in zip(events, _LINES, strict=False)]
    text = "\n".join(", ".join(named[first : first + 2]) for first in range(0, len(named), 2)) or "no events"
    left_out = len(events) - len(named)
    text += f", and {left_out} more" if left_out > 0 else ""
    axes.set_title(text.replace(" percentile", ""), fontsize="small")
    _labelled(axes, "probability", "frequency")


def _labelled(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize="small")
    axes.set_ylabel(y, fontsize="small")
    axes.tick_params(labelsize="small")
    axes.grid(color="0.85", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
