"""One map: values on a grid in colours, coastlines over them, and how large a figure of several is."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from pinnwx.grid import Grid
from pinnwx.reporting.centres import HIGH, LOW, centres

# Sizes on paper [inch], at `style.DOTS_PER_INCH`.
_SCREEN = 9.6  # the height of a common screen, 1080 dots, less the frame of a window
_WIDEST_MAP, _NARROWEST_MAP, _LOWEST_MAP = 4.3, 2.6, 1.9
_ABOVE, _BETWEEN = 0.6, 0.35  # the title of a figure, and of each row
_FEWEST_LINES = 3
_APART_ON_A_GLOBE, _APART_IN_A_BOX = 2.0e6, 1.2e6  # m, between two highs, or two lows
_CENTRE_COLOURS = {HIGH: "#0B2F6B", LOW: "#8B0000"}
_HALO = [withStroke(linewidth=1.5, foreground="white")]


class Panel(NamedTuple):
    """What one map shows: values in display units on a grid, the colours for them, and what is written above.

    Where `lines` are given, they are drawn and labelled, and so are the highs and lows that stand out from them.
    """

    values: Float[np.ndarray, "lat lon"]
    title: str
    colours: str
    levels: Float[np.ndarray, " level"]
    lines: Float[np.ndarray, " line"] | None = None


def levels_for(values: np.ndarray, *, diverging: bool) -> Float[np.ndarray, " level"]:
    """Round numbers over all but the outermost hundredth of the values; symmetric about zero where diverging, which is
    then in the middle of a band."""
    low, high = np.percentile(values, [0.5, 99.5])
    if diverging:
        high = max(abs(low), abs(high))
        low = -high
    if high - low < 1e-9 * max(abs(high), abs(low), 1e-30):
        low, high = low - 0.5, high + 0.5
    levels = np.asarray(MaxNLocator(12, steps=[1, 2, 2.5, 5, 10], symmetric=diverging).tick_values(low, high))
    # Without zero the band about it is one, in white: numbers of either sign next to nothing would speckle the map.
    return levels[np.abs(levels) > 1e-9 * np.abs(levels).max()] if diverging and len(levels) > 4 else levels


def lines_for(values: np.ndarray, apart: float) -> Float[np.ndarray, " line"]:
    """Multiples of `apart` over the values; of a half, a quarter ... of it where they are too even for three."""
    low, high = float(values.min()), float(values.max())
    while high > low and (high - low) / apart < _FEWEST_LINES and apart > 1e-6 * max(abs(low), abs(high)):
        apart /= 2
    return apart * np.arange(np.ceil(low / apart), np.floor(high / apart) + 1)


def clock(time) -> str:
    """`2025-12-24 06 UTC`; minutes only where there are any."""
    text = np.datetime_as_string(time.astype("datetime64[m]")).replace("T", " ")
    return f"{text.removesuffix(':00')} UTC"


def empty_figure(grid: Grid, rows: int, columns: int) -> Figure:
    """A figure for maps of the grid, each in the shape of its area; it fits a screen while they stay readable."""
    aspect = _aspect(grid)
    most = max((_SCREEN - _ABOVE) / rows - _BETWEEN, _LOWEST_MAP)
    height = min(_WIDEST_MAP * aspect, most)
    width = min(max(height / aspect, _NARROWEST_MAP), _WIDEST_MAP)
    return Figure(figsize=(width * columns + 1.8, (height + _BETWEEN) * rows + _ABOVE), layout="constrained")


def rows_on_a_screen(grid: Grid) -> int:
    """How many rows of readable maps a screen holds."""
    return int((_SCREEN - _ABOVE) / (min(_WIDEST_MAP * _aspect(grid), _LOWEST_MAP) + _BETWEEN))


def _aspect(grid: Grid) -> float:
    """Height of a map over its width."""
    if grid.is_global:
        return 0.5
    rows, columns = grid.shape
    middle = np.cos(np.mean(grid.latitude_radians))
    return rows * grid.latitude_spacing / (columns * grid.longitude_spacing * middle)


def draw_map(axes: Axes, panel: Panel, grid: Grid, centre: float | int):
    """One map; returns what a colour bar needs."""
    _frame(axes, grid, centre)  # first: labels of lines find their room in the frame
    values, latitude, longitude = _closed(panel.values, grid, centre)
    filled = axes.contourf(longitude, latitude, values, levels=panel.levels, cmap=panel.colours, extend="both")
    coast = coastline()
    for turn in (-360, 0, 360):
        axes.plot(coast[:, 0] + turn, coast[:, 1], color="0.25", linewidth=0.6, scalex=False, scaley=False)
    if panel.lines is not None and len(panel.lines):
        drawn = axes.contour(longitude, latitude, values, levels=panel.lines, colors="black", linewidths=0.6)
        labelled = panel.lines[:: 2 if grid.is_global else 1]
        axes.clabel(drawn, labelled, fmt="%g", fontsize=6, inline_spacing=2)
        _mark_centres(axes, panel, grid, centre)
    axes.set_title(panel.title, fontsize="medium")
    return filled


def _mark_centres(axes: Axes, panel: Panel, grid: Grid, centre: float | int) -> None:
    """H and L with the value below: on a globe the main ones, in a box those that half the distance of lines shows."""
    assert panel.lines is not None
    distance = panel.lines[1] - panel.lines[0] if len(panel.lines) > 1 else np.inf
    least, apart = (distance, _APART_ON_A_GLOBE) if grid.is_global else (distance / 2, _APART_IN_A_BOX)
    for one in centres(panel.values, grid, least, apart=apart):
        longitude = (one.longitude - centre + 180) % 360 + centre - 180 if grid.is_global else one.longitude
        style = {"color": _CENTRE_COLOURS[one.kind], "ha": "center", "path_effects": _HALO, "clip_on": True}
        axes.text(longitude, one.latitude, one.kind, va="center", fontsize=9, fontweight="bold", **style)
        below = {"xycoords": "data", "textcoords": "offset points", "va": "top", "annotation_clip": True}
        axes.annotate(f"{one.value:.0f}", (longitude, one.latitude), (0, -5), fontsize=6, **below, **style)


def mark_place(
    axes: Axes, grid: Grid, latitude: tuple[float, float], longitude: tuple[float, float], centre: float | int
) -> None:
    """A cross at a place, or the outline of a box: south and north, west and east [degrees]."""
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
    """`60°N, 10°W`."""
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
