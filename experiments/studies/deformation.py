"""What transport explains of a step's change, by form, radius of deformation and experiment; with nothing trained.

    python -m experiments.studies.deformation

Wind and geopotential follow a change of vorticity by laplacian(psi) - psi / L^2 = change. The changes are those of
`experiments.studies.increments`. The measure is the explained variance of the change with nothing fitted, in total and
by zonal wavenumber: negative where the increment makes the change worse. A further table has all equations of three
experiments, in steps of six hours and of a day with four winds. The last one has two coupled levels with other radii.
Figures go to experiments/results/deformation.json, the tables to experiments/README.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from experiments.studies.harness import (
    DATA,
    EXPERIMENTS,
    README,
    RESULTS,
    StoredFigures,
    markdown_table,
    scoring_of,
    splice,
    study_parser,
)
from experiments.studies.increments import increments_and_changes, vorticity_alone, without_network
from experiments.studies.increments_bands import Explained, by_wavenumber
from pinnwx.config import Config, load_config
from pinnwx.data.archive import Archive
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.jobs.preparation import training_archive
from pinnwx.runtime import prepare

FIELDS = {"gcm_flux": ("z500", "u500", "v500", "u850", "v850"), "europe_hybrid": ("z500", "msl")}
FORMS = ("flux", "advective")
RADII = (None, 3e6, 2e6, 1.5e6, 1e6, 7e5)  # m; None is infinite
IN_BANDS = "z500"
EXPERIMENT_NAMES = ("gcm_flux", "gcm_hybrid", "gcm_levels")
LEVELS = "gcm_levels"
STRETCHING = ((1.2e6, 6e5), (1e6, 1e6), (1e6, 8e5), (1e6, 6e5), (1e6, 5e5), (8e5, 6e5))  # m, at 500 and at 850 hPa
FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of temperature that follows thickness
STEPS: Mapping[float, Mapping[str, int]] = {6: {}, 24: {"substeps": 12, "wind_updates": 4}}  # hours; settings

Rows = Mapping[tuple[str, ...], Mapping[str, float]]


def measure(name: str) -> dict[str, Any]:
    """By form and radius: the explained variance of each field, and that of one field by zonal wavenumber."""
    config = load_config(EXPERIMENTS / f"{name}.toml")
    archive = training_archive(config, DATA / scoring_of(name).folder)
    trained = TrainedModel.initialise(vorticity_alone(config, form=FORMS[0]), archive)
    figures: dict[str, Any] = {}
    for form, radius in itertools.product(FORMS, RADII):
        equations = trained.with_config(vorticity_alone(config, form=form, deformation_radius=radius))
        increments, changes = (each - each.mean(0) for each in increments_and_changes(equations, archive))
        explained = by_wavenumber(increments, changes, archive.grid)
        figures[_title(form, radius)] = {
            "explained": {field: round(_total(explained, archive.names.index(field)), 3) for field in FIELDS[name]},
            "bands": [list(band) for band in explained.bands],
            IN_BANDS: [round(float(value), 3) for value in explained.as_it_is[archive.names.index(IN_BANDS)]],
        }
    return figures


def measure_experiment(name: str) -> dict[str, dict[str, float]]:
    """By step: the explained variance of each field that the equations of an experiment change."""
    config = load_config(EXPERIMENTS / f"{name}.toml")
    archive = training_archive(config, DATA / scoring_of(name).folder)
    return {
        f"{hours:.0f} h": explained_fields(config.with_model(step_hours=hours), archive, settings)
        for hours, settings in STEPS.items()
    }


def measure_levels() -> dict[str, dict[str, float]]:
    """By radii of stretching, and by fraction of thickness: the same, of coupled levels in steps of six hours."""
    config = load_config(EXPERIMENTS / f"{LEVELS}.toml")
    archive = training_archive(config, DATA / scoring_of(LEVELS).folder)
    figures = {}
    for upper, lower in STRETCHING:
        radii = {"vo500": {"vo850": upper}, "vo850": {"vo500": lower}}
        changes = {name: {"stretching": radius} for name, radius in radii.items()}
        figures[f"{upper / 1000:.0f} and {lower / 1000:.0f} km"] = explained_fields(
            config, archive, _changed(config, changes)
        )
    for fraction in FRACTIONS:
        changes = {name: {"hydrostatic_fraction": fraction} for name in ("t500", "t850")}
        figures[f"thickness {fraction:g}"] = explained_fields(config, archive, _changed(config, changes))
    return figures


def _changed(config: Config, changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The transport of an experiment with changes by field."""
    transport = config.model.physics.transport
    return {"transport": tuple(one.model_copy(update=dict(changes.get(one.field, {}))) for one in transport)}


def explained_fields(config: Config, archive: Archive, settings: Mapping[str, Any]) -> dict[str, float]:
    """The explained variance of each field that the equations with these settings of physics change."""
    equations = TrainedModel.initialise(without_network(config, settings), archive)
    increments, changes = (each - each.mean(0) for each in increments_and_changes(equations, archive))
    explained = by_wavenumber(increments, changes, archive.grid)
    moved = [index for index in range(len(archive.names)) if np.abs(increments[:, index]).max() > 0]
    return {archive.names[index]: round(_total(explained, index), 3) for index in moved}


def table_of_fields(titles: Sequence[str], figures: Rows) -> list[str]:
    """A row for each entry, columns for the fields; a dash where the equations do not change one."""
    fields = tuple(dict.fromkeys(field for each in figures.values() for field in each))
    rows = [
        [*names, *("-" if field not in each else f"{each[field]:.0%}" for field in fields)]
        for names, each in figures.items()
    ]
    return markdown_table([*titles, *fields], rows)


def _total(explained: Explained, field: int) -> float:
    return float((explained.as_it_is[field] * explained.share[field]).sum())


def _title(form: str, radius: float | None) -> str:
    return f"{form}, " + ("infinite" if radius is None else f"{radius / 1000:.0f} km")


def table(figures: Mapping[str, Any], name: str) -> list[str]:
    """A row for each form and radius, columns for the fields and for the bands of one field."""
    first = next(iter(figures.values()))
    bands = [f"{IN_BANDS}, {low} to {high}" if high > low else f"{IN_BANDS}, {low}" for low, high in first["bands"]]
    rows = [
        [equations, *(f"{value:.0%}" for value in (*each["explained"].values(), *each[IN_BANDS]))]
        for equations, each in figures.items()
    ]
    return markdown_table([f"{name}, radius of deformation", *first["explained"], *bands], rows)


def main() -> None:
    options = study_parser(__doc__, remeasure=True).parse_args()
    stored = StoredFigures(RESULTS / "deformation.json")
    if not options.tables:
        prepare()
        stored.measure_missing({name: partial(measure, name) for name in FIELDS}, again=options.again)
        section = stored.figures.setdefault("experiments", {})
        stored.measure_missing({LEVELS: measure_levels}, again=options.again)
        measurements = {name: partial(measure_experiment, name) for name in EXPERIMENT_NAMES}
        stored.measure_missing(measurements, section=section, again=options.again)
    tables = ["\n".join(table(stored.figures[name], name)) + "\n" for name in FIELDS]
    experiments: Rows = {
        (name, step): each for name, steps in stored.figures["experiments"].items() for step, each in steps.items()
    }
    tables.append("\n".join(table_of_fields(["experiment", "step"], experiments)) + "\n")
    levels: Rows = {(name,): each for name, each in stored.figures[LEVELS].items()}
    tables.append("\n".join(table_of_fields([f"{LEVELS}, 6 h"], levels)) + "\n")
    splice(README, "deformation", "\n".join(tables))


if __name__ == "__main__":
    main()
