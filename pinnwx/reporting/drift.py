"""Pictures of a long rollout: whether a model keeps the climate it has learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pinnwx.reporting.style import CLIMATOLOGY_COLOUR, MODEL_COLOUR, describe_or_guess, shown_units

Means = Mapping[str, Float[np.ndarray, "day field"]]
Power = Mapping[str, Float[np.ndarray, "field wavenumber"]]


def drift_figure(
    names: Sequence[str],
    days: Float[np.ndarray, " day"],
    means: Means,
    sigma: Float[np.ndarray, " field"],
    power: Power,
) -> Figure:
    """A row a field: its area mean day by day beside climatology, and its spectrum beside that of the analyses.

    Args:
        names: of the fields.
        days: since the start.
        means: area means in SI units, of the "model" and of the "climatology", which is shaded by three sigma.
        sigma: standard deviation of the area mean about climatology, in training time.
        power: by zonal wavenumber from 0 on, of the "model" and of the "analyses".
    """
    figure = Figure(figsize=(10.0, 2.1 * len(names) + 0.6), layout="constrained")
    panels = figure.subplots(len(names), 2, squeeze=False, width_ratios=(2, 1))
    for position, (name, (left, right)) in enumerate(zip(names, panels, strict=True)):
        variable = describe_or_guess(name)
        model, usual = (
            means[kind][:, position] * variable.display_factor + variable.display_offset
            for kind in ("model", "climatology")
        )
        spread = 3 * sigma[position] * variable.display_factor
        left.fill_between(days, usual - spread, usual + spread, color=CLIMATOLOGY_COLOUR, alpha=0.2, linewidth=0)
        left.plot(days, usual, ":", color=CLIMATOLOGY_COLOUR, label="climatology, three sigma")
        left.plot(days, model, color=MODEL_COLOUR, label="model")
        left.set_ylabel(f"{name} [{shown_units(variable)}]".removesuffix(" []"))
        left.set_xlim(days[0], days[-1])
        left.margins(y=0.15)
        for kind, colour, style in (("analyses", CLIMATOLOGY_COLOUR, ":"), ("model", MODEL_COLOUR, "-")):
            spectrum = power[kind][position, 1:]
            right.loglog(np.arange(1, len(spectrum) + 1), spectrum, style, color=colour, label=kind)
        right.set_ylabel("power")
        for axes in (left, right):
            _plain(axes)
    panels[0, 0].set_title("area mean", fontsize="medium")
    panels[0, 1].set_title("power by zonal wavenumber", fontsize="medium")
    panels[-1, 0].set_xlabel("day of the rollout")
    panels[-1, 1].set_xlabel("zonal wavenumber")
    panels[0, 0].legend(frameon=False, fontsize="small")
    panels[0, 1].legend(frameon=False, fontsize="small")
    figure.align_ylabels(panels[:, 0])
    return figure


def _plain(axes: Axes) -> None:
    axes.grid(color="0.85", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
