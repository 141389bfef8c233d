"""A plume: the forecast at a place against time, of an ensemble with its members and quantiles."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.dates
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pinnwx.errors import DataError, UsageError
from pinnwx.forecasting.form import REALIZATION
from pinnwx.reporting.panel import clock
from pinnwx.reporting.style import MODEL_COLOUR, PERSISTENCE_COLOUR, describe_or_guess, model_name, shown_units

_MOST_ROWS = 8
_BANDS = ((0.1, 0.9, 0.25), (0.25, 0.75, 0.35))  # quantiles, and the opacity between them


def plume_figure(dataset: xr.Dataset, variables: Sequence[str] | None = None) -> Figure:
    """The forecast at a place (`pinnwx.point`), one panel for each variable.

    Args:
        dataset: fields along `time`, of an ensemble along `realization` too.
        variables: by default all, at most the first 8.

    Raises:
        UsageError: the forecast lacks a variable.
        DataError: it has no field, or a value that is not finite.
    """
    known = [str(name) for name in dataset.data_vars]
    names = known if variables is None else list(variables)
    if lacking := [name for name in names if name not in known]:
        raise UsageError(f"the forecast has no {lacking[0]}; it has {', '.join(known)}")
    if variables is not None and len(names) > _MOST_ROWS:
        raise UsageError(f"{len(names)} variables are more than {_MOST_ROWS}, which fit into a picture; give fewer")
    names = names[:_MOST_ROWS]
    if not names:
        raise DataError("the forecast has no field; nothing to draw")
    figure = Figure(figsize=(9.0, 1.9 * len(names) + 1.0), layout="constrained")
    panels = figure.subplots(len(names), 1, squeeze=False, sharex=True)[:, 0]
    for axes, name in zip(panels, names, strict=True):
        _panel(axes, dataset[name])
    panels[0].legend(loc="upper left", fontsize="x-small", ncols=4, frameon=False)
    place = ", ".join(
        f"{abs(float(dataset[axis])):.4g}°{ends[float(dataset[axis]) < 0]}"
        for axis, ends in (("latitude", "NS"), ("longitude", "EW"))
    )
    model = model_name(dataset.attrs)
    start = clock(dataset["forecast_reference_time"].values)
    figure.suptitle(f"{model + ': ' if model else ''}{place}, forecast from {start}", fontweight="bold")
    return figure


def _panel(axes: Axes, field: xr.DataArray) -> None:
    variable = describe_or_guess(str(field.name), field.attrs)
    times = field["time"].values
    values = variable.display(field.transpose(..., "time").values.astype(np.float64))
    if not np.isfinite(values).all():
        raise DataError(f"{field.name} holds values that are not finite; a plume would hide them")
    if REALIZATION in field.dims:
        axes.plot(times, values.T, color="0.6", linewidth=0.5, alpha=0.6, zorder=1)
        for low, high, opacity in _BANDS:
            edges = np.quantile(values, (low, high), axis=0)
            label = f"{100 * low:.0f} to {100 * high:.0f} % of {len(values)} members"
            axes.fill_between(times, *edges, color=MODEL_COLOUR, alpha=opacity, linewidth=0, label=label, zorder=2)
        axes.plot(times, np.median(values, axis=0), color=PERSISTENCE_COLOUR, linewidth=1.5, label="median", zorder=3)
    else:
        axes.plot(times, values, color=MODEL_COLOUR, linewidth=1.5, label="forecast")
    axes.set_title(variable.long_name, fontsize="medium", loc="left")
    axes.set_ylabel(f"[{shown_units(variable)}]".removesuffix("[]"), fontsize="small")
    axes.xaxis.set_major_formatter(matplotlib.dates.ConciseDateFormatter(matplotlib.dates.AutoDateLocator()))
    axes.tick_params(labelsize="small")
    axes.grid(color="0.85", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.01)
