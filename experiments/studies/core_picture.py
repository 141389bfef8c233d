"""The picture of the study `gcm_core`: errors of physics alone by lead, beside the simple forecasts."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from experiments.studies.harness import over_persistence
from pinnwx.reporting.style import CLIMATOLOGY_COLOUR, PART_COLOURS, PERSISTENCE_COLOUR
from pinnwx.verification.results import Scores

FIELDS = ("z500", "t500", "v500", "q500", "msl", "t850", "v850", "q850")
COLUMNS = 4
CORE = "core"
TITLES = {
    "relaxation": "no transport",
    "tracers": "transport of temperature and humidity",
    "divergence": "and of vorticity, in flux form",
    "one_level": "and of vorticity, with a radius of deformation",
    "two_levels": "two coupled levels",
    "core": "two coupled levels, with their temperature",
    "core_and_error": "and what they missed in the step before",
}
SIMPLE = {
    "damped_persistence": ("damped persistence", PERSISTENCE_COLOUR),
    "climatology": ("climatology", CLIMATOLOGY_COLOUR),
}


def figure(runs: Mapping[str, Scores]) -> Figure:
    """A panel for each field, a line for each run that is stored; RMSE over that of persistence."""
    drawn = Figure(figsize=(11, 6), layout="constrained")
    panels = drawn.subplots(-(-len(FIELDS) // COLUMNS), COLUMNS, sharex=True, sharey=True)
    leads = sorted({entry["lead_hours"] for entry in runs[CORE].scores})
    for axes, field in zip(panels.flat, FIELDS, strict=True):
        for (name, title), colour in zip(TITLES.items(), PART_COLOURS[::-1][1:], strict=False):
            if name in runs:
                ratios = [runs[name].entry(field, lead)["persistence_ratio"] for lead in leads]
                axes.plot(leads, ratios, color=colour, marker=".", label=title, linewidth=2 if name == CORE else 1)
        for name, (title, colour) in SIMPLE.items():
            ratios = [over_persistence(runs[CORE].entry(field, lead), name) for lead in leads]
            axes.plot(leads, ratios, color=colour, linestyle="--", label=title)
        axes.axhline(1, color="0.7", linewidth=0.8)
        axes.set(title=field, ylim=(0.2, 1.2), xticks=leads)
    for axes in panels[-1]:
        axes.set_xlabel("lead, h")
    drawn.supylabel("RMSE over that of persistence")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    drawn.suptitle("Physics alone on the GCM archive, August and September", fontweight="bold")
    return drawn
