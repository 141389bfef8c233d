"""Curves of the forecast error against lead time, and of the loss during training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from pinnwx.enclosed import read_own_text
from pinnwx.errors import DataError, MissingInputError
from pinnwx.records import MetricsLine, NotARecord, checked, parsed
from pinnwx.reporting.style import (
    CLIMATOLOGY_COLOUR,
    MODEL_COLOUR,
    PART_COLOURS,
    PERSISTENCE_COLOUR,
    describe_or_guess,
    save,
    shown_units,
)

_MOST_COLUMNS = 4
_MARGIN = 1.1  # the factor above the largest and below the smallest loss
_LEAST, _MOST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
_MOST_DECADES = 4  # with more decades, each decade has one tick

# (key of the scores, legend, colour, line style, marker)
_CURVES = (
    ("rmse", "model", MODEL_COLOUR, "-", "o"),
    ("persistence_rmse", "persistence", PERSISTENCE_COLOUR, "--", "s"),
    ("climatology_rmse", "climatology", CLIMATOLOGY_COLOUR, ":", "^"),
    ("damped_persistence_rmse", "damped persistence", PART_COLOURS[4], "--", "v"),
    ("linear_inverse_rmse", "linear inverse model", PART_COLOURS[6], "-.", "D"),
)
_OPTIONAL = ("damped_persistence_rmse", "linear_inverse_rmse")  # they may not reach every lead


def plot_scores(scores: Mapping[str, Any], path: str | Path) -> Path:
    """Writes `scores_figure` as a PNG and returns its path.

    Raises:
        DataError: as `scores_figure`.
        OutputError: the file cannot be written.
    """
    return save(scores_figure(scores), path)


def scores_figure(scores: Mapping[str, Any]) -> Figure:
    """RMSE of model and baselines against lead time, with one panel for each variable.

    Args:
        scores: the scores JSON, `{"run", "scores": [{"variable", "lead_hours", "n", "rmse", ...}]}` in SI units. If an
            entry has `<key>_low` and `<key>_high`, this confidence interval is shaded.

    Raises:
        DataError: there is no score, or one is missing or not finite.
    """
    entries = [entry for entry in scores.get("scores") or [] if entry.get("n") != 0]
    if not entries:
        raise DataError("no entry of the scores has a forecast; nothing to draw")
    names = list(dict.fromkeys(entry["variable"] for entry in entries))
    columns = min(len(names), _MOST_COLUMNS)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.5 * columns + 0.3, 2.9 * rows + 0.8), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        _error_growth(axes, name, sorted((e for e in entries if e["variable"] == name), key=_lead))
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    counts = [int(entry["n"]) for entry in entries if entry.get("n")]
    pairs = f", {min(counts)}" + (f" to {max(counts)}" if max(counts) > min(counts) else "") if counts else ""
    title = f"Forecast error of {scores.get('run') or 'the model'}{pairs and pairs + ' forecasts'}"
    figure.suptitle(title, fontsize="large", fontweight="bold")
    return figure


def _lead(entry: Mapping[str, Any]) -> float | int:
    return entry["lead_hours"]


def _error_growth(axes: Axes, name: str, entries: Sequence[Mapping[str, Any]]) -> None:
    variable = describe_or_guess(name)
    hours = [_lead(entry) for entry in entries]
    for key, text, colour, line, marker in _CURVES:
        missing = [entry.get(key) is None for entry in entries]
        if all(missing) or (key in _OPTIONAL and any(missing)):
            continue
        values = _numbers(entries, key, name) * variable.display_factor
        axes.plot(hours, values, line, color=colour, marker=marker, markersize=4, label=text)
        if all(entry.get(f"{key}_{side}") is not None for entry in entries for side in ("low", "high")):
            low, high = (_numbers(entries, f"{key}_{side}", name) * variable.display_factor for side in ("low", "high"))
            axes.fill_between(hours, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.set_title(variable.long_name, fontsize="medium")
    axes.set_ylabel(f"RMSE [{shown_units(variable, difference=True)}]".removesuffix(" []"))
    axes.set_xlabel("lead time [h]")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(FixedLocator(_spaced(hours)))
    axes.grid(color="0.85", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _spaced(hours: Sequence[float | int]) -> list[float | int]:
    """The leads with a label: at least a twelfth of the axis apart, so that labels do not overlap."""
    spaced: list[float | int] = []
    for hour in reversed(hours):
        if not spaced or spaced[-1] - hour >= max(hours) / 12:
            spaced.append(hour)
    return spaced[::-1]


def _numbers(entries: Sequence[Mapping[str, Any]], key: str, name: str) -> np.ndarray:
    values = np.array([np.nan if entry.get(key) is None else entry[key] for entry in entries], dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise DataError(f"{key} of {name} at {_lead(entries[bad[0]]):g} h is not a finite number; score it again")
    return values


def plot_training(run_metrics_path: str | Path, path: str | Path, name: str = "") -> Path:
    """Writes `training_figure` of a run's `metrics.jsonl` as a PNG and returns its path.

    Raises:
        MissingInputError: there is no such file.
        DataError: no line contains a loss.
        OutputError: the file cannot be written.
    """
    return save(training_figure(read_metrics(run_metrics_path), name), path)


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """The records of a `metrics.jsonl`; a truncated last line (after a crash) is ignored.

    Raises:
        MissingInputError: there is no such file.
        DataError: another line is not a JSON object.
    """
    path = Path(path)
    text = read_own_text(path.parent, path.name)
    if text is None:
        raise MissingInputError(f"no training metrics {path}")
    lines = [line for line in text.splitlines() if line.strip()]
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(parsed(line))
        except NotARecord as error:
            if number == len(lines):
                break
            raise DataError(f"{path}, line {number}: {error}; the file is damaged") from None
        try:
            checked(records[-1], MetricsLine)
        except NotARecord as error:
            raise DataError(f"{path}, line {number}: {error}; the file is damaged") from None
    return records


def training_figure(records: Sequence[Mapping[str, Any]], name: str = "") -> Figure:
    """Loss against updates and against wall-clock minutes, with marks for the stages of the curriculum.

    Each stage has its own running median, because losses of rollouts of different lengths, and the CRPS of members,
    cannot be compared.

    Args:
        records: with the keys `update`, `wall_seconds`, `loss`, `stage_steps` and sometimes `stage_members` and
            `validation_loss`; all except the loss may be missing. Losses that are not finite are left out, and the
            title counts them.
        name: the name of the model.

    Raises:
        DataError: no record has a finite loss.
    """
    with_loss = [record for record in records if record.get("loss") is not None]
    finite = [record for record in with_loss if _is_positive(record, "loss")]
    if not finite:
        raise DataError(f"none of {len(records)} training records has a finite loss; nothing to draw")
    figure = Figure(figsize=(10.5, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    updates = [index if record.get("update") is None else record["update"] for index, record in enumerate(finite)]
    _loss_curve(left, updates, finite, "update")
    timed = [record for record in finite if record.get("wall_seconds") is not None]
    if timed:
        _loss_curve(right, [record["wall_seconds"] / 60 for record in timed], timed, "wall-clock time [min]")
    else:
        right.set_axis_off()
    losses = np.array([record["loss"] for record in finite])
    validated = [record["validation_loss"] for record in finite if _is_positive(record, "validation_loss")]
    left.set_ylabel("loss [1], of normalised fields")
    _readable(left, [*losses, *validated])
    figure.legend(*left.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=2)
    dropped = len(with_loss) - len(finite)
    note = f"  ·  {dropped} losses not finite or not positive, left out" if dropped else ""
    title = f"Training{name and f' of {name}'}, {len(finite)} records{note}"
    figure.suptitle(title, fontsize="large", fontweight="bold")
    return figure


def _loss_curve(axes: Axes, x: Sequence[float | int], records: Sequence[Mapping[str, Any]], text: str) -> None:
    loss = np.array([record["loss"] for record in records])
    stages = [(record.get("stage_steps"), record.get("stage_members") or 1) for record in records]
    starts = [0, *(index for index, pair in enumerate(pairwise(stages), start=1) if pair[0] != pair[1])]
    axes.plot(x, loss, color=MODEL_COLOUR, linewidth=0.6, alpha=0.35)
    smooth = _medians_of_stages(np.asarray(x, np.float64), loss, [*starts, len(loss)])
    axes.plot(*smooth, color=MODEL_COLOUR, label="training, running median")
    checked = [
        (at, r["validation_loss"]) for at, r in zip(x, records, strict=True) if _is_positive(r, "validation_loss")
    ]
    if checked:
        axes.plot(*zip(*checked, strict=True), "o-", color=PERSISTENCE_COLOUR, markersize=4, label="validation")
    axes.set_xlabel(text)
    axes.set_xlim(left=0)
    axes.grid(color="0.85", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    for index in starts if len(starts) > 1 else ():
        axes.axvline(x[index], color="0.4", linewidth=0.8, linestyle=":")
        steps, members = stages[index]
        text = f"{steps} step{'s' * (steps != 1)}" + (f", {members} members" if members > 1 else "")
        place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        axes.annotate(text, (x[index], 1.0), (0, 2), va="bottom", fontsize="small", color="0.3", **place)


def _readable(axes: Axes, values: Sequence[float]) -> None:
    """Sets a logarithmic axis over the central 99 % of the values, with at least three tick labels."""
    low, high = np.percentile(values, [0.5, 99.5])
    low, high = low / _MARGIN, high * _MARGIN
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    decades = np.log10(high / low)
    subs = (1,) if decades > _MOST_DECADES else (1, 2, 5) if decades > 1 else (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
    axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=12))
    if decades < np.log10(2):  # too narrow for a logarithmic locator
        axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _is_positive(record: Mapping[str, Any], key: str) -> bool:
    """Whether the value is positive and finite in float32, the type of losses."""
    return record.get(key) is not None and _LEAST <= record[key] <= _MOST


def _medians_of_stages(x: np.ndarray, loss: np.ndarray, borders: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The running median of each stage, with a gap between stages."""
    parts = [(x[first:end], _running_median(loss[first:end])) for first, end in pairwise(borders)]
    joined = [np.concatenate([np.append(part[axis], np.nan) for part in parts])[:-1] for axis in (0, 1)]
    return joined[0], joined[1]


def _running_median(values: np.ndarray) -> np.ndarray:
    """The median over a window of a twentieth of the curve; the window is shorter at both ends."""
    half = max(len(values) // 40, 1)
    return np.array([np.median(values[max(i - half, 0) : i + half + 1]) for i in range(len(values))])
