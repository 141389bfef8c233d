"""Weights of 5.625 degrees on a grid of 2.8125 degrees: what of a model knows how far things move?

    python -m experiments.studies.finer_grid             the runs of `era5_latent` that are trained here and not yet
                                                         measured
    python -m experiments.studies.finer_grid --tables    only write the table

Equations and latent transport move fields by metres, so they are the same on every grid; a convolution reaches as many
cells, so half as far. Each run forecasts on the finer grid in two ways:

- `same weights`: the model of the finer grid, with normalisation and climatology from the training time there, and the
  trained weights;
- `interpolated`: the analysis of the finer grid, plus the change that the model forecasts on its own grid, interpolated
  by cubic polynomials. What the coarse grid does not see persists.

Beside them stand the equations alone, on the finer grid. The score is the RMSE there over that of persistence.

Figures go to experiments/results/finer_grid.json, the table to experiments/README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
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
from pinnwx.operators.interpolation import Points, interpolate
from pinnwx.runtime import prepare

STUDY, SEED, SPACING = "era5_latent", 1, "2.8125deg"
LEADS = (6, 24, 72)
FOLDER = DATA / scoring_of(STUDY).folder
PERSISTENCE = "persistence"

Forecasts = Float[np.ndarray, "forecast lead field lat lon"]


def of_finer_grid(config: Config) -> Config:
    return config.model_copy(update={"data": config.data.model_copy(update={"grid": SPACING})})


@cache
def finer_archive() -> Archive:
    """All analyses of the study on the finer grid."""
    config = load_config(EXPERIMENTS / f"{ablations.read_studies()[STUDY]['base']}.toml")
    return as_archive(FOLDER, config.data.fields, grid=Grid.parse(SPACING), **config.reading_options())


def with_same_weights(trained: TrainedModel) -> TrainedModel:
    """The model on the finer grid."""
    config = of_finer_grid(parse_config(trained.config_text))
    finer = TrainedModel.initialise(config, training_archive(config, FOLDER))
    nnx.update(finer.model, nnx.state(trained.model, nnx.Param))
    return finer


def equations_of(trained: TrainedModel) -> TrainedModel:
    """The equations of a model alone, on the finer grid."""
    config = without_network(of_finer_grid(parse_config(trained.config_text)), {})
    return TrainedModel.initialise(config, training_archive(config, FOLDER))


def refined(fields: Float[np.ndarray, "*batch lat lon"], coarse: Grid, fine: Grid) -> Float[np.ndarray, "*batch y x"]:
    """Fields interpolated to another grid; none may be a component of a vector, which turns at a pole."""
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


def measure(forecast: Callable[[Archive, Shaped[np.ndarray, " forecast"]], Forecasts]) -> dict[str, Any]:
    """Daily sums of the square error of each field and lead, on the finer grid."""
    archive = finer_archive()
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


def measure_model(model: TrainedModel, finer: Callable[[TrainedModel], TrainedModel]) -> dict[str, Any]:
    return measure(Predictor(finer(model), LEADS).from_archive)


def measurements() -> dict[str, Callable[[], Any]]:
    """What can be measured with the runs that are trained here, by name."""
    runs = ablations.runs_of(STUDY, ablations.read_studies()[STUDY])
    models = {
        run.name: Run.open(run.folder).load() for run in runs if run.seed == SEED and (run.folder / "live").is_file()
    }
    if not models:
        raise SystemExit(f"no run of {STUDY} is trained here: python -m experiments.studies.ablations {STUDY}")
    each: dict[str, Callable[[], Any]] = {PERSISTENCE: partial(measure, persisted)}
    for name, model in models.items():
        each[f"{name}, same weights"] = partial(measure_model, model, with_same_weights)
        each[f"{name}, interpolated"] = partial(measure, partial(interpolated, model))
    with_equations = [model for model in models.values() if model.config.model.physics.transport]
    if with_equations:
        each["equations alone"] = partial(measure_model, with_equations[0], equations_of)
    return each


def table(figures: Mapping[str, Any]) -> str:
    """A row for each forecast: its RMSE over that of persistence."""
    if PERSISTENCE not in figures:
        return "Not run yet.\n"
    reference = {(one["field"], one["lead"]): one for one in figures[PERSISTENCE]["scores"]}
    rows = []
    for name, entry in figures.items():
        own = {(one["field"], one["lead"]): one for one in entry["scores"]}
        if name != PERSISTENCE:
            rows.append([name, *(ratio_text(own[key], one, "error", key[1]) for key, one in reference.items())])
    note = f"RMSE over that of persistence on the grid of {SPACING}, with 95 % bounds over days.\n"
    titles = ["forecast", *(f"{field} {lead} h" for field, lead in reference)]
    return "\n".join([note, *markdown_table(titles, rows), ""])


def main() -> None:
    options = study_parser(__doc__, remeasure=True).parse_args()
    stored = StoredFigures(RESULTS / "finer_grid.json")
    if not options.tables:
        prepare()
        stored.measure_missing(measurements(), again=options.again)
    splice(README, "finer_grid", table(stored.figures))


if __name__ == "__main__":
    main()
