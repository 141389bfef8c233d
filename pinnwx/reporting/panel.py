"""One map: values on a grid in colours, coastlines over them, and how large a figure of several is."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from pinnwx.grid import Grid


class Panel(NamedTuple):
    """What one map shows: values in display units on a grid, the colours for them, and what is written above."""

    values: Float[np.ndarray, "lat lon"]
    title: str
    colours: str
    levels: Float[np.ndarray, " level"]
    lined: bool


def levels_for(values: np.ndarray, *, diverging: bool) -> Float[np.ndarray, " level"]:
    """Round numbers over all but the outermost hundredth of the values; symmetric about zero where diverging."""
    low, high = np.percentile(values, [0.5, 99.5])
    if diverging:
        high = max(abs(low), abs(high))
        low = -high
    if high - low < 1e-9 * max(abs(high), abs(low), 1e-30):
        low, high = low - 0.5, high + 0.5
    return np.asarray(MaxNLocator(12, steps=[1, 2, 2.5, 5, 10], symmetric=diverging).tick_values(low, high))


def clock(time) -> str:
    """`2025-12-24 06 UTC`; minutes only where there are any."""
    text = np.datetime_as_string(time.astype("datetime64[m]")).replace("T", " ")
    return f"{text.removesuffix(':00')} UTC"


def empty_figure(grid: Grid, rows: int, columns: int) -> Figure:
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


def draw_map(axes: Axes, panel: Panel, grid: Grid, centre: float | int):
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
