"""A single map (filled contours, coastlines, labels), and the size of a figure with several maps."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from pinnwx.grid import Grid
from pinnwx.reporting.centres import HIGH, LOW, centres

# Sizes on paper [inch], at `style.DOTS_PER_INCH`.
_SCREEN = 9.6  # the height of a common screen (1080 dots) without the window frame
_WIDEST_MAP, _NARROWEST_MAP, _LOWEST_MAP = 4.3, 2.6, 1.9
_ABOVE, _BETWEEN = 0.6, 0.35  # the heights of the figure title and of each row title
_FEWEST_LINES = 3
_APART_ON_A_GLOBE, _APART_IN_A_BOX = 2.0e6, 1.2e6  # m, between two highs, or two lows
_RIM = 0.08  # fraction of the width and height of a map without labels near the frame
_COVERED = np.array([0.06, 0.12])  # fractions of width and height that a mark with its value covers
_MOST_LINES = 100  # of one map; an implausible field could have millions
_MOST_TICKS = 8  # of a colour bar
_CENTRE_COLOURS = {HIGH: "#0B2F6B", LOW: "#8B0000"}
_HALO: list[AbstractPathEffect] = [withStroke(linewidth=1.5, foreground="white")]


class Panel(NamedTuple):
    """The content of one map: values in display units, title, colour map and levels.

    If `lines` are given, the map also has labelled contour lines at these values, and marks for highs and lows.
    """

    values: Float[np.ndarray, "lat lon"]
    title: str
    colours: str
    levels: Float[np.ndarray, " level"]
    lines: Float[np.ndarray, " line"] | None = None


def levels_for(values: np.ndarray, *, diverging: bool) -> Float[np.ndarray, " level"]:
    """Round numbers over the central 99 % of the values; if diverging, they are symmetric and zero is inside a band."""
    low, high = np.percentile(values, [0.5, 99.5])
    if diverging:
        high = max(abs(low), abs(high))
        low = -high
    if high - low < 1e-9 * max(abs(high), abs(low), 1e-30):
        low, high = low - 0.5, high + 0.5
    levels = np.asarray(MaxNLocator(12, steps=[1, 2, 2.5, 5, 10], symmetric=diverging).tick_values(low, high))
    # Zero is not a level, so values near zero share one white band and do not speckle the map.
    return levels[np.abs(levels) > 1e-9 * np.abs(levels).max()] if diverging and len(levels) > 4 else levels


def lines_for(values: np.ndarray, apart: float) -> Float[np.ndarray, " line"]:
    """Multiples of `apart` over the range of the values; `apart` is halved until there are about three lines."""
    low, high = float(values.min()), float(values.max())
    while high > low and (high - low) / apart < _FEWEST_LINES and apart > 1e-6 * max(abs(low), abs(high)):
        apart /= 2
    apart *= max(1.0, np.ceil((high - low) / apart / _MOST_LINES))
    return apart * np.arange(np.ceil(low / apart), np.floor(high / apart) + 1)


def bar_ticks(levels: Float[np.ndarray, " level"]) -> list[float]:
    """The levels with a tick in the colour bar; symmetric about zero if the levels are."""
    apart = -(-len(levels) // _MOST_TICKS)
    if not np.allclose(levels, -levels[::-1]):
        return list(levels[::apart])
    above = levels[levels > 0][::-apart][::-1]
    return [*-above[::-1], *above]


def clock(time) -> str:
    """The time as `2025-12-24 06 UTC`, with minutes if they are not zero."""
    text = np.datetime_as_string(time.astype("datetime64[m]")).replace("T", " ")
    return f"{text.removesuffix(':00')} UTC"


def empty_figure(grid: Grid, rows: int, columns: int) -> Figure:
    """An empty figure for maps with the aspect ratio of the grid; it fits a screen if the maps stay readable."""
    aspect = _aspect(grid)
    most = max((_SCREEN - _ABOVE) / rows - _BETWEEN, _LOWEST_MAP)
    height = min(_WIDEST_MAP * aspect, most)
    width = min(max(height / aspect, _NARROWEST_MAP), _WIDEST_MAP)
    return Figure(figsize=(width * columns + 1.8, (height + _BETWEEN) * rows + _ABOVE), layout="constrained")


def rows_on_a_screen(grid: Grid) -> int:
    """The number of rows of readable maps on a screen."""
    return int((_SCREEN - _ABOVE) / (min(_WIDEST_MAP * _aspect(grid), _LOWEST_MAP) + _BETWEEN))


def _aspect(grid: Grid) -> float:
    """The ratio of height to width of a map."""
    if grid.is_global:
        return 0.5
    rows, columns = grid.shape
    middle = np.cos(np.mean(grid.latitude_radians))
    return rows * grid.latitude_spacing / (columns * grid.longitude_spacing * middle)


def draw_map(axes: Axes, panel: Panel, grid: Grid, centre: float | int):
    """Draws a map; returns the filled contours for the colour bar."""
    _frame(axes, grid, centre)  # first, because the labels of lines need the limits of the frame
    values, latitude, longitude = _closed(panel.values, grid, centre)
    filled = axes.contourf(longitude, latitude, values, levels=panel.levels, cmap=panel.colours, extend="both")
    coast = coastline()
    for turn in (-360, 0, 360):
        axes.plot(coast[:, 0] + turn, coast[:, 1], color="0.25", linewidth=0.6, scalex=False, scaley=False)
    if panel.lines is not None and len(panel.lines):
        axes.contour(longitude, latitude, values, levels=panel.lines, colors="black", linewidths=0.6)
        marked = _mark_centres(axes, panel, grid, centre)
        _label_lines(axes, panel.lines[:: 2 if grid.is_global else 1], (longitude, latitude, values), marked)
    axes.set_title(panel.title, fontsize="medium")
    return filled


def _label_lines(axes: Axes, lines: np.ndarray, field: tuple[np.ndarray, ...], marked: list[tuple[float, float]]):
    """Labels the contour lines, away from the frame of the map, from its marks and from other labels."""
    longitude, latitude, values = field
    columns, rows = (
        (along >= low + _RIM * (high - low)) & (along <= high - _RIM * (high - low))
        for along, (low, high) in ((longitude, axes.get_xlim()), (latitude, axes.get_ylim()))
    )
    if columns.sum() < 2 or rows.sum() < 2:
        return
    inner = axes.contour(longitude[columns], latitude[rows], values[rows][:, columns], levels=lines, linewidths=0)
    size = np.array([longitude[-1] - longitude[0], latitude[-1] - latitude[0]])
    labelled: list[tuple[float, float]] = []
    for text in axes.clabel(inner, fmt="%g", fontsize=6, inline=False, colors="black"):
        text.set_path_effects(_HALO)
        place = text.get_position()
        near = [(other, size * _COVERED) for other in marked] + [(other, size * _COVERED / 2) for other in labelled]
        if any(np.all(np.abs(np.subtract(place, other)) < reach) for other, reach in near):
            text.remove()
        else:
            labelled.append(place)


def _mark_centres(axes: Axes, panel: Panel, grid: Grid, centre: float | int) -> list[tuple[float, float]]:
    """Marks highs and lows with their values; returns their places on the map.

    A centre on a global map must stand out by the interval of the contour lines, on a regional map by half of it.
    """
    assert panel.lines is not None
    distance = panel.lines[1] - panel.lines[0] if len(panel.lines) > 1 else np.inf
    least, apart = (distance, _APART_ON_A_GLOBE) if grid.is_global else (distance / 2, _APART_IN_A_BOX)
    places = []
    for one in centres(panel.values, grid, least, apart=apart):
        longitude = (one.longitude - centre + 180) % 360 + centre - 180 if grid.is_global else one.longitude
        places.append((longitude, one.latitude))
        _write_mark(axes, one.kind, f"{one.value:.0f}", *places[-1])
    return places


def _write_mark(axes: Axes, kind: str, value: str, longitude: float, latitude: float) -> None:
    """Writes a letter at its place and the value below or above it; near the frame, the letter is shifted inwards."""
    (west, east), (south, north) = axes.get_xlim(), axes.get_ylim()
    x, up = (longitude - west) / (east - west), (latitude - south) / (north - south)
    across = "left" if x < 0.07 else "right" if x > 0.93 else "center"
    along = "bottom" if up < 0.05 else "top" if up > 0.95 else "center"
    style = {"color": _CENTRE_COLOURS[kind], "ha": across, "path_effects": _HALO, "clip_on": True}
    axes.text(longitude, latitude, kind, va=along, fontsize=9, fontweight="bold", **style)
    above = up < 0.14
    offset = {"bottom": 10, "center": 5 if above else -5, "top": -10}[along]
    style |= {"xycoords": "data", "textcoords": "offset points", "annotation_clip": True}
    axes.annotate(value, (longitude, latitude), (0, offset), fontsize=6, va="bottom" if above else "top", **style)


def mark_place(
    axes: Axes, grid: Grid, latitude: tuple[float, float], longitude: tuple[float, float], centre: float | int
) -> None:
    """Draws a cross at a place, or the outline of a box, from (south, north) and (west, east) [degrees]."""
    first = float(grid.longitude[0]) if not grid.is_global else centre - 180
    west = (longitude[0] - first) % 360 + first
    east = west + (longitude[1] - longitude[0])
    if (latitude[0], west) == (latitude[1], east):
        axes.plot(west, latitude[0], "x", color="black", markersize=7, clip_on=False, path_effects=_HALO, zorder=5)
        return
    for turn in (-360, 0, 360):
        x, y = np.array([west, east, east, west, west]) + turn, np.asarray(latitude)[[0, 0, 1, 1, 0]]
        axes.plot(x, y, color="black", linewidth=1.2, path_effects=_HALO, scalex=False, scaley=False, zorder=5)


def place_text(latitude: float, longitude: float) -> str:
    """A place as text, such as `60°N, 10°W`."""
    return f"{_degrees(latitude, 'S', 'N')}, {_degrees((longitude + 180) % 360 - 180, 'W', 'E')}"


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
    return f"{round(abs(value), 1):g}°{side}"


def _closed(values: np.ndarray, grid: Grid, centre: float | int):
    """Extends a global field to the edges of the map: one column on each side, and rows at the poles."""
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
    """Longitude and latitude [degrees] of the coastlines, separated by NaN (Natural Earth, public domain)."""
    with resources.files("pinnwx.reporting").joinpath("coastline.csv").open(encoding="utf-8") as file:
        return np.genfromtxt(file, delimiter=",", skip_header=1)
