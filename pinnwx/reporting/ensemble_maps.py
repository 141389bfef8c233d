"""Maps of an ensemble: the probability of an event, and stamps, one small map for each member."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from pinnwx.errors import UsageError
from pinnwx.forecasting.cf import REALIZATION, lead_hours
from pinnwx.forecasting.products import without_products
from pinnwx.forecasting.thresholds import Threshold
from pinnwx.grid import Grid
from pinnwx.reporting.maps import default_leads, field_panels, field_values, lead_index, variable_of
from pinnwx.reporting.panel import Panel, bar_ticks, clock, draw_map, empty_figure, levels_for
from pinnwx.reporting.style import model_name, shown_units
from pinnwx.text import three_digits

_LEVELS = np.array([0.05, 0.2, 0.4, 0.6, 0.8, 0.95])
_COLOURS = "YlOrRd"
_MOST_EVENTS, _MOST_STAMPS = 6, 60
_STAMP_INCHES = 2.0  # the width of a stamp


def probability_figure(
    dataset: xr.Dataset,
    thresholds: Sequence[str],
    *,
    leads: Sequence[float | int] | None = None,
    centre: float | int = 0.0,
) -> Figure:
    """Maps of the fraction of the members in which an event happens; one row for each event.

    Args:
        dataset: a forecast of an ensemble.
        thresholds: the events, such as `t2m<273.15` in SI units.
        leads: the lead times [h]; by default, up to three, whole days if possible, including the last.
        centre: the central longitude of a global map.

    Raises:
        UsageError: the forecast is no ensemble, a threshold is not one of its fields, there are too many, or a lead is
            not in the forecast.
        DataError: a value is not finite.
    """
    fields, grid, title = _ensemble(dataset)
    if not 0 < len(thresholds) <= _MOST_EVENTS:
        raise UsageError(f"{len(thresholds)} thresholds: a picture has 1 to {_MOST_EVENTS}")
    events = [Threshold.parse(text, map(str, fields.data_vars)) for text in thresholds]
    available = lead_hours(fields)
    chosen = default_leads(available) if leads is None else [lead_index(available, lead) for lead in leads]
    times = fields["time"].values[chosen]
    figure = empty_figure(grid, len(events), len(chosen))
    figure.suptitle(f"{title}: probability", fontsize="x-large", fontweight="bold")
    axes = figure.subplots(len(events), len(chosen), squeeze=False)
    drawn = []
    for row, event in zip(axes, events, strict=True):
        shares = event.happens(field_values(fields, event.variable, times, "forecast")).mean(axis=0)
        for column, (each, share) in enumerate(zip(row, shares, strict=True)):
            when = f"+{available[chosen[column]]:g} h  ·  {clock(times[column])}"
            drawn.append(draw_map(each, Panel(share, when, _COLOURS, _LEVELS), grid, centre))
            each.tick_params(labelleft=column == 0, labelbottom=row is axes[-1])
        row[0].set_ylabel(_event_text(fields, event))
    bar = figure.colorbar(drawn[-1], ax=axes, fraction=0.04, pad=0.01, aspect=20)
    bar.set_ticks(_LEVELS.tolist(), labels=[f"{100 * level:.0f} %" for level in _LEVELS])
    return figure


def stamp_figure(
    dataset: xr.Dataset,
    *,
    variable: str | None = None,
    lead: float | None = None,
    centre: float | int = 0.0,
) -> Figure:
    """One field of every member at one time, all with the same colour scale, after their mean and their spread.

    Args:
        dataset: a forecast of an ensemble of at most 60 members.
        variable: the field; by default the first.
        lead: the lead time [h]; by default the last.
        centre: the central longitude of a global map.

    Raises:
        UsageError, DataError: as `probability_figure`.
    """
    fields, grid, title = _ensemble(dataset)
    count = fields.sizes[REALIZATION]
    if count > _MOST_STAMPS:
        raise UsageError(f"{count} members are more than {_MOST_STAMPS}, which fit into a picture")
    name = next(map(str, fields.data_vars)) if variable is None else variable
    available = lead_hours(fields)
    place = len(available) - 1 if lead is None else lead_index(available, lead)
    when, described = fields["time"].values[place], variable_of(fields, name)
    values = described.display(field_values(fields, name, np.array([when]), "forecast")[:, 0])
    levels = levels_for(values, diverging=described.diverging)
    spread = values.std(axis=0, ddof=1)
    stamps = field_panels(
        [values.mean(axis=0), *values],
        ["mean", *(f"member {number + 1}" for number in range(count))],
        described,
        levels,
    )
    stamps.insert(1, Panel(spread, "spread", "Purples", levels_for(spread, diverging=False)))
    columns = min(int(np.ceil(np.sqrt(1.5 * len(stamps)))), 9)
    rows = -(-len(stamps) // columns)
    figure = empty_figure(grid, rows, columns)
    width = _STAMP_INCHES * columns + 1.2
    figure.set_size_inches(width, width * figure.get_figheight() / figure.get_figwidth())
    figure.suptitle(
        f"{title}: {described.long_name}, +{available[place]:g} h  ·  {clock(when)}", fontsize="x-large",
        fontweight="bold",
    )  # fmt: skip
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    drawn = [
        draw_map(each, stamp._replace(lines=None), grid, centre) for each, stamp in zip(axes, stamps, strict=False)
    ]
    for each in axes:
        each.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
        each.title.set_fontsize("x-small")
    for each in axes[len(stamps) :]:
        each.set_axis_off()
    axes[1].set_title(f"spread, at most {three_digits(spread.max())}", fontsize="x-small")
    bar = figure.colorbar(drawn[0], ax=axes, fraction=0.03, pad=0.01, aspect=25)
    bar.set_ticks(bar_ticks(levels))
    bar.set_label(shown_units(described))
    return figure


def _ensemble(dataset: xr.Dataset) -> tuple[xr.Dataset, Grid, str]:
    """The fields of an ensemble, their grid, and the beginning of a title.

    Raises:
        UsageError: the forecast is no ensemble.
    """
    if REALIZATION not in dataset.dims:
        raise UsageError("the forecast has no members; make it with --members")
    fields = without_products(dataset)
    grid = Grid.from_coordinates(fields["latitude"].values, fields["longitude"].values)
    name, start = model_name(dataset.attrs), clock(dataset["forecast_reference_time"].values)
    return fields, grid, f"{name + ', ' if name else ''}{dataset.sizes[REALIZATION]} members from {start}"


def _event_text(fields: xr.Dataset, event: Threshold) -> str:
    """As `2 m temperature < 0 °C`."""
    variable = variable_of(fields, event.variable)
    limit = float(variable.display(np.array(event.limit)))
    return f"{variable.long_name} {'>' if event.above else '<'} {limit:.6g} {shown_units(variable)}".strip()
