"""The figure of a budget: a map of each part in one step, and the time series of all parts at one place."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pinnwx.constants import SECONDS_PER_HOUR
from pinnwx.errors import DataError, UsageError
from pinnwx.explaining.reading import RESIDUAL, TENDENCY, TOTAL, budget_fields, parts_of, require_finite
from pinnwx.forecasting.cf import point
from pinnwx.grid import Grid
from pinnwx.reporting.panel import Panel, bar_ticks, clock, draw_map, empty_figure, levels_for, mark_place, place_text
from pinnwx.reporting.style import PART_COLOURS, describe_or_guess, model_name, save, shown_units

_COLUMNS = 2
_MOST_TICKS = 16


def plot_budget(
    dataset: xr.Dataset,
    path: str | Path,
    *,
    field: str | None = None,
    lead: float | None = None,
    place: tuple[float, float] | None = None,
) -> Path:
    """Writes `budget_figure` as a PNG and returns its path.

    Raises:
        OutputError: the file cannot be written.
        DataError, UsageError: as `budget_figure`.
    """
    return save(budget_figure(dataset, field=field, lead=lead, place=place), path)


def budget_figure(
    dataset: xr.Dataset,
    *,
    field: str | None = None,
    lead: float | None = None,
    place: tuple[float, float] | None = None,
    centre: float = 0.0,
) -> Figure:
    """Maps of the total tendency of a field and of each part, and a bar chart of the parts at one place.

    All maps have the same colour scale. The bars of each step stack the positive parts above zero and the negative
    parts below; a black line shows the total.

    Args:
        dataset: the output of `pinnwx.explain`.
        field: the field; by default, the first with a budget.
        lead: the end of the step in the maps [h]; by default, the last.
        place: latitude and longitude [degrees]; by default, the place with the largest total in that step.
        centre: the central longitude of a global map.

    Raises:
        DataError: there is no budget of the field.
        UsageError: the lead is not in the forecast, or the place is not on its grid.
    """
    fields = budget_fields(dataset)
    if not fields or field not in (None, *fields):
        raise DataError(f"no budget of {field or 'any field'}; the budgets are of {', '.join(fields) or 'no field'}")
    field = field or fields[0]
    if lacking := [one for one in (field, f"{field}{TENDENCY}{RESIDUAL}") if one not in dataset.data_vars]:
        raise DataError(f"the budget lacks {', '.join(lacking)}; compute it again with explain")
    require_finite(dataset)
    hours = (dataset["time"].values - dataset["forecast_reference_time"].values) / np.timedelta64(1, "h")
    step = len(hours) - 1 if lead is None else int(np.argmin(np.abs(hours - lead)))
    if lead is not None and abs(hours[step] - lead) > 1e-6:
        raise UsageError(f"no step ends at {lead:g} h; they end at {', '.join(f'{hour:g}' for hour in hours)} h")
    variable = describe_or_guess(field, dataset[field].attrs)
    scale = variable.display_factor * 6 * SECONDS_PER_HOUR
    parts = {name: scale * values.values.astype(np.float64) for name, values in parts_of(dataset, field).items()}
    total, residual = parts.pop(TOTAL), parts.pop(RESIDUAL)
    units = f"{shown_units(variable, difference=True)} in 6 h"
    grid = Grid.from_coordinates(dataset["latitude"].values, dataset["longitude"].values)

    rows = -(-(1 + len(parts)) // _COLUMNS)
    figure = empty_figure(grid, rows + 1, _COLUMNS)
    axes = figure.add_gridspec(rows + 1, _COLUMNS)
    levels = levels_for(total[step], diverging=True)
    maps, drawn = [], []
    for index, (name, values) in enumerate({"total": total, **parts}.items()):
        panel = Panel(values[step], name.replace("_", " "), "RdBu_r", levels)
        maps.append(figure.add_subplot(axes[index // _COLUMNS, index % _COLUMNS]))
        drawn.append(draw_map(maps[-1], panel, grid, centre))
    bar = figure.colorbar(drawn[-1], ax=maps, fraction=0.04, pad=0.01, aspect=24)
    bar.set_ticks(bar_ticks(levels))
    bar.set_label(units)
    if place is None:
        row, column = np.unravel_index(np.abs(total[step]).argmax(), grid.shape)
        place = grid.latitude[row], grid.longitude[column]
    cell = point(dataset[[f"{field}{TENDENCY}{name}" for name in (*parts, TOTAL)]], *place)
    here = {name: scale * values.values for name, values in parts_of(cell, field).items()}
    latitude, longitude = float(cell["latitude"]), float(cell["longitude"])
    for one in maps:
        mark_place(one, grid, (latitude, latitude), (longitude, longitude), centre)
    stacked = figure.add_subplot(axes[rows, :])
    _stack(stacked, hours, here, here.pop(TOTAL))
    stacked.set(xlabel="end of the step, hours from the analysis", ylabel=units)
    largest = f"largest residual anywhere {np.abs(residual).max():.1g} {units}"
    stacked.set_title(f"at the cross, {place_text(latitude, longitude)}; {largest}", fontsize="medium")
    first = model_name(dataset.attrs)
    title = f"{first and first + ': '}{variable.long_name}, step to {clock(dataset['time'].values[step])}"
    figure.suptitle(title, fontsize="large", fontweight="bold")
    return figure


def _stack(axes: Axes, hours: np.ndarray, parts: dict[str, np.ndarray], total: np.ndarray) -> None:
    """Stacked bars for each step: positive parts above zero, negative parts below, and a line for the sum."""
    width = 0.8 * (hours[1] - hours[0] if len(hours) > 1 else hours[0])
    above, below = np.zeros_like(total), np.zeros_like(total)
    for colour, (name, values) in zip(cycle(PART_COLOURS), parts.items(), strict=False):
        base = np.where(values >= 0, above, below)
        axes.bar(hours, values, width, bottom=base, color=colour, label=name.replace("_", " "))
        above, below = above + np.maximum(values, 0), below + np.minimum(values, 0)
    axes.plot(hours, total, "o-", color="black", markersize=3, linewidth=1, label="total")
    axes.axhline(0, color="0.3", linewidth=0.6)
    if len(hours) <= _MOST_TICKS:
        axes.set_xticks(hours)
    axes.legend(frameon=False, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
    axes.spines[["top", "right"]].set_visible(False)
