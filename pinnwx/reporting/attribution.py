"""What a number in a forecast comes from, as a picture: sensitivity and attribution, a row for each field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from pinnwx.errors import DataError
from pinnwx.explaining.reading import ATTRIBUTION, SENSITIVITY
from pinnwx.grid import Grid
from pinnwx.reporting.panel import Panel, clock, draw_map, empty_figure, levels_for
from pinnwx.reporting.style import describe_or_guess, pretty_units, save

_MOST_ROWS = 4
_KINDS = (SENSITIVITY, ATTRIBUTION)


def plot_attribution(dataset: xr.Dataset, path: str | Path) -> Path:
    """Writes `attribution_figure` as a PNG and returns its path.

    Raises:
        DataError: the dataset holds no attribution.
        OutputError: the place cannot be written.
    """
    return save(attribution_figure(dataset), path)


def attribution_figure(dataset: xr.Dataset, *, centre: float = 0.0) -> Figure:
    """Of the fields that gave the target most: its sensitivity to the last analysis, and what all analyses gave it.

    Args:
        dataset: of `pinnwx.explain` with a target.
        centre: the longitude in the middle of a global map.

    Raises:
        DataError: the dataset holds no attribution.
    """
    end = "_attribution"
    given = {
        str(name).removesuffix(end): dataset[name].sum("time") for name in dataset.data_vars if str(name).endswith(end)
    }
    if not given:
        raise DataError("the dataset holds no attribution; make one with explain --target")
    fields = sorted(given, key=lambda name: -float(np.abs(given[name]).sum()))[:_MOST_ROWS]
    grid = Grid.from_coordinates(dataset["latitude"].values, dataset["longitude"].values)
    figure = empty_figure(grid, len(fields), 2)
    axes = figure.subplots(len(fields), 2, squeeze=False)
    shared = levels_for(np.stack([given[name].values for name in fields]), diverging=True)
    for row, name in enumerate(fields):
        sensitivity = dataset[f"{name}{SENSITIVITY}"]
        label = describe_or_guess(name, sensitivity.attrs).long_name.partition(":")[0]
        for column, values in enumerate((sensitivity.values[-1], given[name].values)):
            levels = shared if column else levels_for(values, diverging=True)
            panel = Panel(values, f"{label}: {_KINDS[column].strip('_')}", "RdBu_r", levels, False)
            drawn = draw_map(axes[row, column], panel, grid, centre)
            units = dataset[f"{name}{_KINDS[column]}"].attrs["units"]
            figure.colorbar(drawn, ax=axes[row, column], fraction=0.04, pad=0.01).set_label(pretty_units(units))
    start = clock(dataset["forecast_reference_time"].values)
    figure.suptitle(f"{dataset.attrs['target']} from {start}", fontsize="large", fontweight="bold")
    return figure
