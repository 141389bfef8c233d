"""The picture of `experiments.studies.increments`: explained variance by latitude and by zonal wavenumber."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pinnwx.reporting.style import PART_COLOURS

# Panels of a row: fields of one experiment that are drawn together.
ROWS = {
    ("era5_hybrid", ("msl", "vo850")): "ERA5, 6 h",
    ("europe_hybrid", ("z500", "t850", "msl")): "Europe, 24 h",
    ("gcm_flux", ("z500", "t500", "t850", "q500", "q850")): "GCM, 6 h",
    ("gcm_flux", ("u500", "v500", "u850", "v850")): "GCM, 6 h, wind",
}
STYLES = (":", "-.", "--", "-")  # of the equations, the newest last


def figure(figures: Mapping[str, Mapping[str, Any]]) -> Figure:
    """A row for each group of fields; without a fitted factor, one line for each field and state of the equations."""
    drawn = Figure(figsize=(10, 3 * len(ROWS)), layout="constrained")
    panels = drawn.subplots(len(ROWS), len(SPLITS), squeeze=False)
    styles = dict(zip(figures, STYLES[-len(figures) :], strict=True))
    for row, ((name, fields), title) in zip(panels, ROWS.items(), strict=True):
        for axes, (split, draw) in zip(row, SPLITS.items(), strict=True):
            for equations, style in styles.items():
                if name in figures[equations]:
                    draw(axes, figures[equations][name][split], fields, style)
            axes.axhline(0, color="0.7", linewidth=0.8)
            axes.set(title=title, ylabel="fraction explained", ylim=(-0.5, 1))
        row[0].legend(frameon=False, fontsize="small", ncols=len(fields))
    handles = [Line2D([], [], color="0.2", linestyle=style, label=equations) for equations, style in styles.items()]
    drawn.legend(handles=handles, loc="outside lower center", frameon=False)
    drawn.suptitle("Variance of the change of a step that transport explains, no factor fitted", fontweight="bold")
    return drawn


def _draw_by_latitude(axes: Axes, bands: Mapping[str, Any], fields: Sequence[str], style: str) -> None:
    _draw_lines(axes, [(south + north) / 2 for south, north in bands["bands"]], bands, fields, style)
    axes.set_xlabel("latitude")


def _draw_by_wavenumber(axes: Axes, bands: Mapping[str, Any], fields: Sequence[str], style: str) -> None:
    places = range(len(bands["bands"]))
    _draw_lines(axes, places, bands, fields, style)
    axes.set_xticks(places, [f"{low}-{high}" if low < high else f"{low}" for low, high in bands["bands"]])
    axes.set_xlabel("zonal wavenumber")


def _draw_lines(
    axes: Axes, places: Sequence[float], bands: Mapping[str, Any], fields: Sequence[str], style: str
) -> None:
    for field, colour in zip(fields, PART_COLOURS, strict=False):
        label = field if field not in {line.get_label() for line in axes.lines} else None
        axes.plot(places, bands[field]["as_it_is"], style, color=colour, marker=".", label=label)


SPLITS = {"by_latitude": _draw_by_latitude, "by_wavenumber": _draw_by_wavenumber}
