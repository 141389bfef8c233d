"""Pictures of a long forecast: whether a model keeps the climate of its training time."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pinnwx.reporting.style import CLIMATOLOGY_COLOUR, MODEL_COLOUR, describe_or_guess, shown_units
from pinnwx.verification.drift import Drift


def drift_figure(drift: Drift) -> Figure:
    """A row for each field: its area mean day by day beside climatology, and its spectrum beside the analyses'.

    Climatology is shaded by three standard deviations of the area mean. Spectra leave out the zonal mean.
    """
    figure = Figure(figsize=(10.0, 2.1 * len(drift.names) + 0.6), layout="constrained")
    panels = figure.subplots(len(drift.names), 2, squeeze=False, width_ratios=(2, 1))
    for index, (left, right) in enumerate(panels):
        _draw_means(left, drift, index)
        _draw_spectra(right, drift, index)
    panels[0, 0].set_title("area mean", fontsize="medium")
    panels[0, 1].set_title("power by zonal wavenumber", fontsize="medium")
    panels[-1, 0].set_xlabel("day of the forecast")
    panels[-1, 1].set_xlabel("zonal wavenumber")
    panels[0, 0].legend(frameon=False, fontsize="small")
    panels[0, 1].legend(frameon=False, fontsize="small")
    figure.align_ylabels(panels[:, 0])
    return figure


def _draw_means(axes: Axes, drift: Drift, index: int) -> None:
    variable = describe_or_guess(drift.names[index])
    model, climatology = (
        means[:, index] * variable.display_factor + variable.display_offset
        for means in (drift.area_mean, drift.climatology_mean)
    )
    band = 3 * drift.sigma[index] * variable.display_factor
    axes.fill_between(
        drift.days, climatology - band, climatology + band, color=CLIMATOLOGY_COLOUR, alpha=0.2, linewidth=0
    )
    axes.plot(drift.days, climatology, ":", color=CLIMATOLOGY_COLOUR, label="climatology, three sigma")
    axes.plot(drift.days, model, color=MODEL_COLOUR, label="model")
    axes.set_ylabel(f"{drift.names[index]} [{shown_units(variable)}]".removesuffix(" []"))
    axes.set_xlim(drift.days[0], drift.days[-1])
    axes.margins(y=0.15)
    _plain(axes)


def _draw_spectra(axes: Axes, drift: Drift, index: int) -> None:
    spectra = (
        ("analyses", drift.analysis_power, CLIMATOLOGY_COLOUR, ":"),
        ("model", drift.power, MODEL_COLOUR, "-"),
    )
    for label, power, colour, style in spectra:
        spectrum = power[index, 1:]
        axes.loglog(np.arange(1, len(spectrum) + 1), spectrum, style, color=colour, label=label)
    axes.set_ylabel("power")
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.grid(color="0.85", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
