"""The figure of an attribution: maps of sensitivity and attribution, one row for each field."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from pinnwx.errors import DataError
from pinnwx.explaining.reading import ATTRIBUTION, SENSITIVITY, require_finite
from pinnwx.grid import Grid
from pinnwx.reporting.panel import Panel, bar_ticks, clock, draw_map, empty_figure, levels_for, mark_place
from pinnwx.reporting.style import describe_or_guess, model_name, pretty_units, save, shown_units
from pinnwx.variables import Variable

_MOST_ROWS = 4
_KINDS = (SENSITIVITY, ATTRIBUTION)
_NUMBER = r"(-?\d{1,9}(?:\.\d{1,20})?(?:e[-+]?\d{1,3})?)"
_PLACE = re.compile(rf" at {_NUMBER}(?: to {_NUMBER})? N, {_NUMBER}(?: to {_NUMBER})? E")


def plot_attribution(dataset: xr.Dataset, path: str | Path) -> Path:
    """Writes `attribution_figure` as a PNG and returns its path.

    Raises:
        DataError: the dataset contains no attribution.
        OutputError: the file cannot be written.
    """
    return save(attribution_figure(dataset), path)


def attribution_figure(dataset: xr.Dataset, *, centre: float = 0.0) -> Figure:
    """Maps for the fields with the largest attribution: sensitivity to the last analysis, attribution to all analyses.

    Args:
        dataset: the output of `pinnwx.explain` with a target.
        centre: the central longitude of a global map.

    Raises:
        DataError: the dataset contains no attribution.
    """
    end = "_attribution"
    attributions = {
        str(name).removesuffix(end): dataset[name].sum("time") for name in dataset.data_vars if str(name).endswith(end)
    }
    if not attributions:
        raise DataError("the dataset contains no attribution; compute one with explain --target")
    if lacking := [f"{name}{SENSITIVITY}" for name in attributions if f"{name}{SENSITIVITY}" not in dataset.data_vars]:
        raise DataError(f"the dataset lacks {', '.join(lacking)}; compute it again with explain --target")
    require_finite(dataset)
    title = str(dataset.attrs["target"])
    target = describe_or_guess(title.partition(" ")[0], {"units": str(dataset.attrs.get("target_units", ""))})
    fields = sorted(attributions, key=lambda name: -float(np.abs(attributions[name]).sum()))[:_MOST_ROWS]
    grid = Grid.from_coordinates(dataset["latitude"].values, dataset["longitude"].values)
    figure = empty_figure(grid, len(fields), 2)
    axes = figure.subplots(len(fields), 2, squeeze=False)
    scale, place = target.display_factor, _place(title)
    shared = levels_for(scale * np.stack([attributions[name].values for name in fields]), diverging=True)
    for row, name in enumerate(fields):
        sensitivity = dataset[f"{name}{SENSITIVITY}"]
        field = describe_or_guess(name, sensitivity.attrs)
        label, per = field.long_name.partition(":")[0], _units(field, sensitivity)
        units = shown_units(target, difference=True), f"{shown_units(target, difference=True)} per {per}"
        columns = scale / field.display_factor * sensitivity.values[-1], scale * attributions[name].values
        for column, values in enumerate(columns):
            levels = shared if column else levels_for(values, diverging=True)
            panel = Panel(values, f"{label}: {_KINDS[column].strip('_')}", "RdBu_r", levels)
            drawn = draw_map(axes[row, column], panel, grid, centre)
            bar = figure.colorbar(drawn, ax=axes[row, column], fraction=0.04, pad=0.01)
            bar.set_ticks(bar_ticks(levels))
            bar.ax.tick_params(labelsize="small")
            bar.set_label(units[0 if column else 1])
            if place is not None:
                mark_place(axes[row, column], grid, *place, centre)
    start, model = clock(dataset["forecast_reference_time"].values), model_name(dataset.attrs)
    figure.suptitle(f"{model and model + ': '}{title}", fontsize="large", fontweight="bold")
    figure.supxlabel(f"from {start}; the target is marked", fontsize="medium")
    return figure


def _place(title: str) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """((south, north), (west, east)) of a target [degrees]; None if its text names no place on Earth."""
    match = _PLACE.search(title)
    if match is None:
        return None
    south, west = float(match[1]), float(match[3])
    north, east = float(match[2] or south), float(match[4] or west)
    on_earth = -90 <= south <= north <= 90 and -360 <= west <= east <= 720 and east - west <= 360
    return ((south, north), (west, east)) if on_earth else None


def _units(field: Variable, sensitivity: xr.DataArray) -> str:
    """The units of a change of the field; for a user-defined field, they come from the units of its sensitivity."""
    if field.standard_name:
        return shown_units(field, difference=True)
    return pretty_units(str(sensitivity.attrs.get("units", "")).partition("(")[2].removesuffix(")-1"))
