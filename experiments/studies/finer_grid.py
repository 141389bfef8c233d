"""Weights of 5.625 degrees on a grid of 2.8125 degrees: which parts of a model carry over to another spacing?

    python -m experiments.studies.finer_grid             the runs of `era5_latent` that are trained here and not yet
                                                         measured
    python -m experiments.studies.finer_grid --tables    only write the table

Equations and latent transport move fields by metres; a convolution reaches as many cells, so half as far, and sees
scales that it was not trained on. Each run forecasts on the finer grid in two ways:

- `same weights`: the model of the finer grid, with twice as many sub-steps, normalisation and climatology from the
  training time there, and the trained weights;
- `interpolated`: the analysis of the finer grid, plus the change that the model forecasts on its own grid, interpolated
  by cubic polynomials. What the coarse grid does not see persists.

Beside them stand the equations alone, on both grids. The score is the RMSE on the grid of the forecast over that of
persistence there.

Figures go to experiments/results/finer_grid.json, the table to experiments/README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from experiments.studies import ablations
from experiments.studies.error_by_scale import daily_sums, ratio_text
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
from experiments.studies.increments import without_network
from pinnwx.config import Config, load_config, parse_config
from pinnwx.data.archive import Archive
from pinnwx.data.inputs import as_archive
from pinnwx.forecasting.matching import matching_archive
from pinnwx.forecasting.predictor import Predictor, require_times
from pinnwx.forecasting.runs import Run
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.grid import Grid
from pinnwx.jobs.preparation import training_archive
from pinnwx.model.weights import named_weights, set_weights
from pinnwx.operators.interpolation import Points, interpolate
from pinnwx.runtime import prepare

STUDY, SEED, SPACING = "era5_latent", 1, "2.8125deg"
LEADS = (6, 24, 72)
FOLDER = DATA / scoring_of(STUDY).folder
PERSISTENCE, NETWORK = "persistence", "neural"

Forecasts = Float[np.ndarray, "forecast lead field lat lon"]


def of_finer_grid(config: Config) -> Config:
    """The settings on the finer grid, where the same wind crosses twice as many cells."""
    physics = config.model.physics
    if physics.transport:
        assert isinstance(physics.substeps, int)
        config = config.with_model(physics=physics.model_copy(update={"substeps": 2 * physics.substeps}))
    return config.model_copy(update={"data": config.data.model_copy(update={"grid": SPACING})})


@cache
def analyses(spacing: str = SPACING) -> Archive:
    """All analyses of the study on a grid."""
    config = load_config(EXPERIMENTS / f"{ablations.read_studies()[STUDY]['base']}.toml")
    return as_archive(FOLDER, config.data.fields, grid=Grid.parse(spacing), **config.reading_options())


def with_same_weights(trained: TrainedModel) -> TrainedModel:
    """The model on the finer grid."""
    config = of_finer_grid(parse_config(trained.config_text))
    finer = TrainedModel.initialise(config, training_archive(config, FOLDER))
    own, weights = named_weights(finer.model), named_weights(trained.model)
    assert {name: each.shape for name, each in own.items()} == {name: each.shape for name, each in weights.items()}
    set_weights(finer.model, weights)
    return finer


def equations_of(config: Config) -> TrainedModel:
    """The equations of a model alone, before training."""
    return TrainedModel.initialise(without_network(config, {}), training_archive(config, FOLDER))


def refined(fields: Float[np.ndarray, "*batch lat lon"], coarse: Grid, fine: Grid) -> Float[np.ndarray, "*batch y x"]:
    """Fields interpolated to another grid. None is a component of a vector, which turns at a pole."""
    latitude, longitude = np.meshgrid(fine.latitude_radians, fine.longitude_radians, indexing="ij")
    points = Points(*(jnp.asarray(values, jnp.float32) for values in (latitude, longitude)))
    return np.asarray(interpolate(jnp.asarray(fields), points, coarse).value)


def starts_of(archive: Archive) -> Shaped[np.ndarray, " forecast"]:
    """The analyses of the scoring time whose forecasts can be verified."""
    scoring = scoring_of(STUDY)
    within = archive.select(scoring.start, scoring.end).times
    return within[within <= archive.times[-1] - np.timedelta64(max(LEADS), "h")]


def persisted(archive: Archive, starts: Shaped[np.ndarray, " forecast"]) -> Forecasts:
    state = archive.fields[require_times(archive.times, starts)]
    return np.repeat(state[:, None], len(LEADS), axis=1)


def interpolated(trained: TrainedModel, archive: Archive, starts: Shaped[np.ndarray, " forecast"]) -> Forecasts:
    """The analysis of the finer grid, plus the interpolated change of the forecast on the grid of the model."""
    coarse = matching_archive(trained, FOLDER)
    change = Predictor(trained, LEADS).from_archive(coarse, starts) - persisted(coarse, starts)
    return persisted(archive, starts) + refined(change, coarse.grid, archive.grid)


def measure(
    forecast: Callable[[Archive, Shaped[np.ndarray, " forecast"]], Forecasts], spacing: str = SPACING
) -> dict[str, Any]:
    """Daily sums of the square error of each field and lead."""
    archive = analyses(spacing)
    starts = starts_of(archive)
    valid = starts[:, None] + np.array(LEADS, "timedelta64[h]")
    truth = archive.fields[require_times(archive.times, valid)]
    square = (archive.grid.area_weights * (forecast(archive, starts) - truth) ** 2).mean((-2, -1), dtype=np.float64)
    scores = [
        {"field": field, "lead": lead, "daily": {"error": daily_sums(square[:, row, place], starts)}}
        for place, field in enumerate(archive.names)
        for row, lead in enumerate(LEADS)
    ]
    return {"starts": len(starts), "first": str(starts[0])[:16], "scores": scores}


def measure_same_weights(trained: TrainedModel) -> dict[str, Any]:
    return measure(Predictor(with_same_weights(trained), LEADS).from_archive)


def measure_equations(config: Config) -> dict[str, Any]:
    return measure(Predictor(equations_of(config), LEADS).from_archive, config.data.grid)


def measurements() -> dict[str, Callable[[], Any]]:
    """What can be measured with the runs that are trained here, by name."""
    models = {run.name: Run.open(run.folder).load() for run in ablations.trained_runs(STUDY, seed=SEED)}
    each: dict[str, Callable[[], Any]] = {PERSISTENCE: partial(measure, persisted)}
    for name, model in models.items():
        each[f"{name}, same weights"] = partial(measure_same_weights, model)
        each[f"{name}, interpolated"] = partial(measure, partial(interpolated, model))
    with_equations = [
        parse_config(model.config_text) for model in models.values() if model.config.model.physics.transport
    ]
    for config in with_equations[:1]:
        each["equations alone"] = partial(measure_equations, of_finer_grid(config))
        each[f"equations alone, {config.data.grid}"] = partial(measure_equations, config)
        each[f"{PERSISTENCE}, {config.data.grid}"] = partial(measure, persisted, config.data.grid)
    return each


def table(figures: Mapping[str, Any]) -> str:
    """A row for each forecast: its RMSE over that of persistence."""
    if PERSISTENCE not in figures:
        return "Not run yet.\n"
    by_name = {name: {(one["field"], one["lead"]): one for one in entry["scores"]} for name, entry in figures.items()}
    rows = []
    for name, own in by_name.items():
        what, _, spacing = name.partition(", ")
        reference = by_name.get(f"{PERSISTENCE}, {spacing}", by_name[PERSISTENCE])
        if what != PERSISTENCE:
            rows.append([name, *_ratios(own, reference)])
    same = {name.partition(", ")[0]: own for name, own in by_name.items() if name.endswith(", same weights")}
    network = same.pop(NETWORK, None)
    if network is not None:
        rows += [[f"{name} over {NETWORK}, same weights", *_ratios(own, network)] for name, own in same.items()]
    note = (
        f"RMSE over that of persistence on the grid of {SPACING} unless another is told, with 95 % bounds over days; "
        "at 72 h there are too few days for bounds. One seed.\n"
    )
    titles = ["forecast", *(f"{field} {lead} h" for field, lead in by_name[PERSISTENCE])]
    return "\n".join([note, *markdown_table(titles, rows), ""])


def _ratios(own: Mapping[Any, Any], reference: Mapping[Any, Any]) -> list[str]:
    return [ratio_text(own[key], one, "error", key[1]) for key, one in reference.items()]


def main() -> None:
    options = study_parser(__doc__, remeasure=True).parse_args()
    stored = StoredFigures(RESULTS / "finer_grid.json")
    if not options.tables:
        prepare()
        stored.measure_missing(measurements(), again=options.again)
    splice(README, "finer_grid", table(stored.figures))


if __name__ == "__main__":
    main()
