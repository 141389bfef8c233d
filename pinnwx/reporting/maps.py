"""Forecast maps: a row for each variable, a column for each lead time, and on request the analysis and the error."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from pinnwx.errors import DataError, GridError, UnavailableError, UsageError
from pinnwx.forecasting.cf import REALIZATION, ensemble_mean
from pinnwx.grid import Grid
from pinnwx.reporting.style import describe_or_guess, save, shown_units
from pinnwx.variables import Variable

_MOST_ROWS = 9  # what still fits on a wall; more on request
_MOST_LEADS = 3
_DAY = 24

# All of these are safe for the colour-blind, says ColorBrewer of its own.
_COLOURS = {
    "air_temperature": "RdYlBu_r",
    "specific_humidity": "YlGnBu",
    "air_pressure_at_mean_sea_level": "YlGnBu_r",
    "geopotential": "viridis",
}
_LINED = ("air_pressure_at_mean_sea_level", "geopotential")


class _Panel(NamedTuple):
    """What one map shows: values in display units on a grid, the colours for them, and what is written above."""

    values: Float[np.ndarray, "lat lon"]
    title: str
    colours: str
    levels: Float[np.ndarray, " level"]
    lined: bool


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
        OutputError: the place cannot be written.
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
    """Maps of a forecast, in display units; all maps of a variable share their colours.

    Args:
        dataset: a forecast: variables (time, latitude, longitude) with a scalar `forecast_reference_time`; of an
            ensemble, the mean is drawn.
        variables: which, and in which order; otherwise the first that fit on nine rows.
        leads: hours; otherwise up to three, whole days where there are any, the last one included.
        truth: an analysis on the same grid with the valid times in it; adds a row of it and a row of the
            difference, with the area-weighted RMSE, below each variable.
        centre: the longitude in the middle of a global map.

    Raises:
        DataError: a variable is missing or holds NaN.
        GridError: the analysis is on another grid.
        UnavailableError: the analysis does not reach a valid time.
        UsageError: a lead is not in the forecast.
    """
    title = f"Forecast from {_clock(dataset['forecast_reference_time'].values)}"
    if REALIZATION in dataset.dims:
        title += f"  ·  mean of {dataset.sizes[REALIZATION]} members"
        dataset = ensemble_mean(dataset)
    grid = Grid.from_coordinates(dataset["latitude"].values, dataset["longitude"].values)
    available = _lead_hours(dataset)
    chosen = _default_leads(available) if leads is None else [_index(available, lead) for lead in leads]
    names = list(variables) if variables is not None else _default_variables(dataset, with_truth=truth is not None)
    if not names or not chosen:
        raise UsageError("nothing to draw: give at least one variable and one lead time")
    rows = [row for name in names for row in _rows(dataset, name, chosen, available, truth, grid)]
    figure = _empty_figure(grid, len(rows), len(chosen))
    figure.suptitle(title, fontsize="x-large", fontweight="bold")
    grid_of_axes = figure.subplots(len(rows), len(chosen), squeeze=False)
    for row, (panels, heading, units) in enumerate(rows):
        drawn = [_draw(axes, panel, grid, centre) for axes, panel in zip(grid_of_axes[row], panels, strict=True)]
        for column, axes in enumerate(grid_of_axes[row]):
            axes.tick_params(labelleft=column == 0, labelbottom=row == len(rows) - 1)
        bar = figure.colorbar(drawn[-1], ax=list(grid_of_axes[row]), fraction=0.04, pad=0.01, aspect=16)
        bar.set_label(units)
        grid_of_axes[row, 0].set_ylabel(heading)
        bar.ax.tick_params(labelsize="small")
    return figure


def _rows(
    dataset: xr.Dataset, name: str, chosen: list[int], available: np.ndarray, truth: xr.Dataset | None, grid: Grid
) -> list[tuple[list[_Panel], str, str]]:
    """The rows of one variable: its panels, what stands before them, the units of their colours."""
    variable = _variable(dataset, name)
    times = dataset["time"].values[chosen]
    forecast = variable.display(_values(dataset, name, times, "forecast"))
    units, apart_units = shown_units(variable), shown_units(variable, difference=True)
    titles = [f"+{available[index]:g} h  ·  {_clock(time)}" for index, time in zip(chosen, times, strict=True)]
    if truth is None:
        levels = _levels(forecast, diverging=variable.diverging)
        return [(_panels(forecast, titles, variable, levels), variable.long_name, units)]
    if Grid.from_coordinates(truth["latitude"].values, truth["longitude"].values) != grid:
        raise GridError("the analysis is on another grid than the forecast; regrid it first")
    analysis = variable.display(_values(truth, name, times, "analysis"))
    levels = _levels(np.stack([forecast, analysis]), diverging=variable.diverging)
    error = forecast - analysis
    size = np.sqrt((grid.area_weights * error**2).mean(axis=(-2, -1)))
    headings = [f"forecast minus analysis  ·  RMSE {value:.3g} {apart_units}" for value in size]
    apart = _levels(error, diverging=True)
    difference = [_Panel(v, t, "PuOr_r", apart, False) for v, t in zip(error, headings, strict=True)]
    analysed = _panels(analysis, [f"analysis  ·  {_clock(time)}" for time in times], variable, levels)
    return [
        (_panels(forecast, titles, variable, levels), variable.long_name, units),
        (analysed, variable.long_name, units),
        (difference, variable.long_name, apart_units),
    ]


def _panels(values, titles, variable: Variable, levels) -> list[_Panel]:
    colours = "RdBu_r" if variable.diverging else _COLOURS.get(variable.standard_name, "viridis")
    lined = variable.standard_name in _LINED
    return [_Panel(value, title, colours, levels, lined) for value, title in zip(values, titles, strict=True)]


def _variable(dataset: xr.Dataset, name: str) -> Variable:
    if name not in dataset.data_vars:
        raise DataError(f'no variable "{name}" in the forecast; it has {", ".join(map(str, dataset.data_vars))}')
    return describe_or_guess(name, dataset[name].attrs)


def _values(dataset: xr.Dataset, name: str, times: np.ndarray, source: str) -> Float[np.ndarray, "lead lat lon"]:
    """Values at the times asked for, in float64; refuses what is missing."""
    if name not in dataset.data_vars:
        raise DataError(f'no variable "{name}" in the {source}')
    missing = np.setdiff1d(times, dataset["time"].values)
    if missing.size:
        raise UnavailableError(f"no {source} for {_clock(missing[0])}; give other lead times")
    picked = dataset[name].sel(time=times).transpose("time", "latitude", "longitude").values.astype(np.float64)
    bad = int((~np.isfinite(picked)).sum())
    if bad:
        raise DataError(f"{name} of the {source} holds {bad} values that are not finite; a map would hide them")
    return picked


def _lead_hours(dataset: xr.Dataset) -> Float[np.ndarray, " time"]:
    elapsed = dataset["time"].values - dataset["forecast_reference_time"].values
    return elapsed / np.timedelta64(1, "h")


def _index(available: np.ndarray, lead: float | int) -> int:
    matches = np.flatnonzero(np.abs(available - lead) < 1e-6)
    if not matches.size:
        raise UsageError(f"no lead of {lead:g} h in the forecast; it has {', '.join(f'{h:g}' for h in available)}")
    return int(matches[0])


def _default_leads(available: np.ndarray) -> list[int]:
    """Up to three leads, evenly apart and whole days where there are two or more; always the last."""
    later = np.flatnonzero(available > 0)
    days = later[available[later] % _DAY == 0]
    pool = days if days.size > 1 else later if later.size else np.arange(available.size)
    picks = np.linspace(-1, pool.size - 1, min(_MOST_LEADS, pool.size) + 1)[1:].round().astype(int)
    return pool[picks].tolist()


def _default_variables(dataset: xr.Dataset, *, with_truth: bool) -> list[str]:
    maps = [
        str(name) for name, array in dataset.data_vars.items() if {"time", "latitude", "longitude"} <= {*array.dims}
    ]
    return maps[: _MOST_ROWS // (3 if with_truth else 1)]


def _levels(values: np.ndarray, *, diverging: bool) -> Float[np.ndarray, " level"]:
    """Round numbers over all but the outermost hundredth of the values; symmetric about zero where diverging."""
    low, high = np.percentile(values, [0.5, 99.5])
    if diverging:
        high = max(abs(low), abs(high))
        low = -high
    if high - low < 1e-9 * max(abs(high), abs(low), 1e-30):
        low, high = low - 0.5, high + 0.5
    return np.asarray(MaxNLocator(12, steps=[1, 2, 2.5, 5, 10], symmetric=diverging).tick_values(low, high))


def _clock(time) -> str:
    """`2025-12-24 06 UTC`; minutes only where there are any."""
    text = np.datetime_as_string(time.astype("datetime64[m]")).replace("T", " ")
    return f"{text.removesuffix(':00')} UTC"


def _empty_figure(grid: Grid, rows: int, columns: int) -> Figure:
    width = 4.3
    height = width * float(np.clip(_aspect(grid), 0.4, 1.4))
    return Figure(figsize=(width * columns + 1.8, (height + 0.35) * rows + 0.6), layout="constrained")


def _aspect(grid: Grid) -> float:
    """Height of a map over its width."""
    if grid.is_global:
        return 0.5
    rows, columns = grid.shape
    middle = np.cos(np.mean(grid.latitude_radians))
    return rows * grid.latitude_spacing / (columns * grid.longitude_spacing * middle)


def _draw(axes: Axes, panel: _Panel, grid: Grid, centre: float | int):
    """One map; returns what a colour bar needs."""
    values, latitude, longitude = _closed(panel.values, grid, centre)
    filled = axes.contourf(longitude, latitude, values, levels=panel.levels, cmap=panel.colours, extend="both")
    if panel.lined:
        axes.contour(longitude, latitude, values, levels=panel.levels, colors="black", linewidths=0.4, alpha=0.6)
    coast = coastline()
    for turn in (-360, 0, 360):
        axes.plot(coast[:, 0] + turn, coast[:, 1], color="0.1", linewidth=0.6)
    axes.set_title(panel.title, fontsize="medium")
    _frame(axes, grid, centre)
    return filled


def _frame(axes: Axes, grid: Grid, centre: float | int) -> None:
    if grid.is_global:
        axes.set(xlim=(centre - 180, centre + 180), ylim=(-90, 90), aspect="equal")
        axes.xaxis.set_major_locator(MultipleLocator(60))
        axes.yaxis.set_major_locator(MultipleLocator(30))
    else:
        axes.set(xlim=(grid.longitude[0], grid.longitude[-1]), ylim=(grid.latitude[0], grid.latitude[-1]))
        axes.set_aspect(1 / np.cos(np.mean(grid.latitude_radians)))
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _degrees((x + 180) % 360 - 180, "W", "E")))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: _degrees(y, "S", "N")))
    axes.tick_params(labelsize="small")
    axes.grid(color="black", linewidth=0.3, alpha=0.25)


def _degrees(value: float | int, negative: str, positive: str) -> str:
    side = "" if value in (0, -180) else negative if value < 0 else positive
    return f"{abs(value):g}°{side}"


def _closed(values: np.ndarray, grid: Grid, centre: float | int):
    """Values with a global grid's gaps closed: columns repeated on both sides, rows carried on to the poles."""
    latitude, longitude = np.asarray(grid.latitude), np.asarray(grid.longitude)
    if not grid.is_global:
        return values, latitude, longitude
    shifted = (longitude - centre + 180) % 360 + centre - 180
    order = np.argsort(shifted)
    longitude = np.concatenate([[shifted[order[-1]] - 360], shifted[order], [shifted[order[0]] + 360]])
    values = values[:, np.concatenate([order[-1:], order, order[:1]])]
    if not grid.has_pole_rows:
        latitude = np.concatenate([[-90], latitude, [90]])
        values = np.concatenate([values[:1], values, values[-1:]])
    return values, latitude, longitude


@cache
def coastline() -> Float[np.ndarray, "point 2"]:
    """Longitude and latitude [degrees] of the world's coasts, lines apart by NaN; Natural Earth, public domain."""
    with resources.files("pinnwx.reporting").joinpath("coastline.csv").open(encoding="utf-8") as file:
        return np.genfromtxt(file, delimiter=",", skip_header=1)
