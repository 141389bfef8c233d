"""Forecast maps: one row for each variable, one column for each lead time, optionally with analysis and error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.figure import Figure

from pinnwx.errors import DataError, GridError, UnavailableError, UsageError
from pinnwx.forecasting.cf import REALIZATION, ensemble_mean, lead_hours
from pinnwx.grid import Grid
from pinnwx.reporting.panel import (
    Panel,
    bar_ticks,
    clock,
    draw_map,
    empty_figure,
    levels_for,
    lines_for,
    rows_on_a_screen,
)
from pinnwx.reporting.style import describe_or_guess, model_name, save, shown_units
from pinnwx.text import three_digits
from pinnwx.variables import Variable

_MOST_LEADS = 3
_ROWS_COMPARED = 3  # of a field: forecast, analysis, difference
_DAY = 24

# All colour maps are colour-blind safe (for the ColorBrewer maps, according to ColorBrewer).
_COLOURS = {
    "air_temperature": "RdYlBu_r",
    "specific_humidity": "YlGnBu",
    "air_pressure_at_mean_sea_level": "YlGnBu_r",
    "geopotential": "viridis",
}
_LINES_APART = {"air_pressure_at_mean_sea_level": 5.0, "geopotential": 8.0}  # hPa and gpdm, as on weather charts


def plot_forecast(
    dataset: xr.Dataset,
    path: str | Path,
    *,
    variables: Sequence[str] | None = None,
    leads: Sequence[float | int] | None = None,
    truth: xr.Dataset | None = None,
) -> Path:
    """Writes `forecast_figure` as a PNG and returns its path.

    Raises:
        OutputError: the file cannot be written.
        DataError, GridError, UnavailableError, UsageError: as `forecast_figure`.
    """
    return save(forecast_figure(dataset, variables=variables, leads=leads, truth=truth), path)


def forecast_figure(
    dataset: xr.Dataset,
    *,
    variables: Sequence[str] | None = None,
    leads: Sequence[float | int] | None = None,
    truth: xr.Dataset | None = None,
    centre: float | int = 0.0,
) -> Figure:
    """Maps of a forecast in display units; all maps of a variable have the same colour scale.

    Args:
        dataset: a forecast: variables (time, latitude, longitude) with a scalar `forecast_reference_time`; for an
            ensemble, the maps show the mean.
        variables: the variables, in order; by default, as many as fit on a screen, and the title gives the total.
        leads: the lead times [h]; by default, up to three, whole days if possible, including the last.
        truth: analyses on the same grid at the valid times; they add, below each variable, a row of the analysis and a
            row of the difference with the area-weighted RMSE.
        centre: the central longitude of a global map.

    Raises:
        DataError: a variable is missing or contains NaN.
        GridError: the analysis is on another grid.
        UnavailableError: the analysis lacks a valid time.
        UsageError: a lead is not in the forecast.
    """
    name = model_name(dataset.attrs)
    title = f"{f'{name}: forecast' if name else 'Forecast'} from {clock(dataset['forecast_reference_time'].values)}"
    if REALIZATION in dataset.dims:
        title += f"  ·  mean of {dataset.sizes[REALIZATION]} members"
        dataset = ensemble_mean(dataset)
    grid = Grid.from_coordinates(dataset["latitude"].values, dataset["longitude"].values)
    available = lead_hours(dataset)
    chosen = default_leads(available) if leads is None else [lead_index(available, lead) for lead in leads]
    names = known = _drawable(dataset) if variables is None else list(variables)
    if variables is None:
        names = known[: max(rows_on_a_screen(grid) // (1 if truth is None else _ROWS_COMPARED), 1)]
    if len(names) < len(known):
        title += f"  ·  {len(names)} of {len(known)} fields"
    if not names or not chosen:
        raise UsageError("nothing to draw: give at least one variable and one lead time")
    rows = [row for name in names for row in _rows(dataset, name, chosen, available, truth, grid)]
    figure = empty_figure(grid, len(rows), len(chosen))
    figure.suptitle(title, fontsize="x-large", fontweight="bold")
    grid_of_axes = figure.subplots(len(rows), len(chosen), squeeze=False)
    for row, (panels, heading, units) in enumerate(rows):
        drawn = [draw_map(axes, panel, grid, centre) for axes, panel in zip(grid_of_axes[row], panels, strict=True)]
        for column, axes in enumerate(grid_of_axes[row]):
            axes.tick_params(labelleft=column == 0, labelbottom=row == len(rows) - 1)
        bar = figure.colorbar(drawn[-1], ax=list(grid_of_axes[row]), fraction=0.04, pad=0.01, aspect=16)
        bar.set_ticks(bar_ticks(panels[-1].levels))
        bar.set_label(units)
        grid_of_axes[row, 0].set_ylabel(heading)
        bar.ax.tick_params(labelsize="small")
    return figure


def _rows(
    dataset: xr.Dataset, name: str, chosen: list[int], available: np.ndarray, truth: xr.Dataset | None, grid: Grid
) -> list[tuple[list[Panel], str, str]]:
    """The rows of one variable: (panels, heading, units of the colour bar)."""
    variable = variable_of(dataset, name)
    times = dataset["time"].values[chosen]
    forecast = variable.display(field_values(dataset, name, times, "forecast"))
    units, apart_units = shown_units(variable), shown_units(variable, difference=True)
    titles = [f"+{available[index]:g} h  ·  {clock(time)}" for index, time in zip(chosen, times, strict=True)]
    if truth is None:
        levels = levels_for(forecast, diverging=variable.diverging)
        return [(field_panels(forecast, titles, variable, levels), variable.long_name, units)]
    if Grid.from_coordinates(truth["latitude"].values, truth["longitude"].values) != grid:
        raise GridError("the analysis is on another grid than the forecast; regrid it first")
    analysis = variable.display(field_values(truth, name, times, "analysis"))
    levels = levels_for(np.stack([forecast, analysis]), diverging=variable.diverging)
    error = forecast - analysis
    size = np.sqrt((grid.area_weights * error**2).mean(axis=(-2, -1)))
    headings = [f"RMSE {three_digits(value)} {apart_units}" for value in size]
    apart = levels_for(error, diverging=True)
    difference = [Panel(v, t, "PuOr_r", apart) for v, t in zip(error, headings, strict=True)]
    analysed = field_panels(analysis, [f"analysis  ·  {clock(time)}" for time in times], variable, levels)
    return [
        (field_panels(forecast, titles, variable, levels), variable.long_name, units),
        (analysed, variable.long_name, units),
        (difference, "forecast minus analysis", apart_units),
    ]


def field_panels(values, titles, variable: Variable, levels) -> list[Panel]:
    """Maps of a variable with its colours, and with lines where charts have them."""
    colours = "RdBu_r" if variable.diverging else _COLOURS.get(variable.standard_name, "viridis")
    apart = _LINES_APART.get(variable.standard_name)
    return [
        Panel(value, title, colours, levels, None if apart is None else lines_for(value, apart))
        for value, title in zip(values, titles, strict=True)
    ]


def variable_of(dataset: xr.Dataset, name: str) -> Variable:
    """What is known of a variable.

    Raises:
        DataError: the forecast lacks it.
    """
    if name not in dataset.data_vars:
        raise DataError(f'no variable "{name}" in the forecast; it has {", ".join(map(str, dataset.data_vars))}')
    return describe_or_guess(name, dataset[name].attrs)


def field_values(
    dataset: xr.Dataset, name: str, times: np.ndarray, source: str
) -> Float[np.ndarray, "*member lead lat lon"]:
    """Values at the requested times in float64.

    Raises:
        DataError: the variable is missing, or a value is not finite.
        UnavailableError: a time is missing.
    """
    if name not in dataset.data_vars:
        raise DataError(f'no variable "{name}" in the {source}')
    missing = np.setdiff1d(times, dataset["time"].values)
    if missing.size:
        raise UnavailableError(f"no {source} for {clock(missing[0])}; give other lead times")
    values = dataset[name].sel(time=times).transpose(..., "time", "latitude", "longitude").values.astype(np.float64)
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise DataError(f"{name} of the {source} holds {bad} values that are not finite; a map would hide them")
    return values


def lead_index(available: np.ndarray, lead: float | int) -> int:
    """The place of a lead.

    Raises:
        UsageError: the forecast lacks it.
    """
    matches = np.flatnonzero(np.abs(available - lead) < 1e-6)
    if not matches.size:
        raise UsageError(f"no lead of {lead:g} h in the forecast; it has {', '.join(f'{h:g}' for h in available)}")
    return int(matches[0])


def default_leads(available: np.ndarray) -> list[int]:
    """Up to three evenly spaced leads including the last; whole days if there are at least two."""
    later = np.flatnonzero(available > 0)
    days = later[available[later] % _DAY == 0]
    pool = days if days.size > 1 else later if later.size else np.arange(available.size)
    picks = np.linspace(-1, pool.size - 1, min(_MOST_LEADS, pool.size) + 1)[1:].round().astype(int)
    return pool[picks].tolist()


def _drawable(dataset: xr.Dataset) -> list[str]:
    """The variables with the dimensions of a map."""
    return [
        str(name) for name, array in dataset.data_vars.items() if {"time", "latitude", "longitude"} <= {*array.dims}
    ]
