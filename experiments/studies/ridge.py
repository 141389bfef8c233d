"""A linear model of the same analyses over Europe: the least that a network has to beat at one day.

    python -m experiments.studies.ridge        half a minute

With x the standardised fields at all cells,

    x(t + 1) - x(t) = c + B [x(t), x(t - 1)]                              no boundary
    x(t + 1) - x(t) = c + B [x(t), x(t - 1), boundary cells of x(t + 1)]  lateral boundary, as in `europe_driven_hybrid`

and B from ridge regression. The penalty is chosen on the last training year; B is then fitted on all training years.
Beside them stands persistence plus the harmonic extension of the boundary's change (`pinnwx.model.lateral_boundary`),
which is not fitted. Figures go to experiments/results/ridge.json, the table to experiments/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

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
from pinnwx.config import load_config
from pinnwx.data.archive import Archive
from pinnwx.data.calendar import period_mask
from pinnwx.data.open import open_data
from pinnwx.model.lateral_boundary import LateralBoundary

EXPERIMENT = "europe_driven_hybrid"
DAY_BEFORE = "2007-01-03"  # the first scored initial time is the day after
PENALTIES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
REGIONS = ("whole domain", "inside the boundary")

Cells = Float[np.ndarray, "lat lon"]
Boundary = Bool[np.ndarray, "lat lon"] | None


@dataclass(frozen=True, eq=False)
class Days:
    """Standardised fields, and rows of them: the day before, the day, and the day after."""

    fields: Float[np.ndarray, "time field lat lon"]
    rows: Int[np.ndarray, "day 3"]

    @property
    def change(self) -> Float[np.ndarray, "day field lat lon"]:
        """From each day to the next."""
        return self.fields[self.rows[:, 2]] - self.fields[self.rows[:, 1]]

    def predictors(self, boundary: Boundary) -> Float[np.ndarray, "day predictor"]:
        """The fields of the day and the day before, and those of the next day in the cells of the boundary."""
        parts = [self.fields[self.rows[:, 1]], self.fields[self.rows[:, 0]]]
        if boundary is not None:
            parts.append(self.fields[self.rows[:, 2]][..., boundary])
        return np.concatenate([part.reshape(len(self.rows), -1) for part in parts], axis=1)

    def subset(self, chosen: Bool[np.ndarray, " day"]) -> Days:
        """Some of the days."""
        return replace(self, rows=self.rows[chosen])


def rows_within(archive: Archive, start: str, end: str | None) -> Int[np.ndarray, "day 3"]:
    """Three days in a row, all in a period; the archive is daily and has no gaps."""
    rows = np.flatnonzero(period_mask(archive.times, start, end))
    return np.stack([rows[:-2], rows[1:-1], rows[2:]], axis=1)


def ridge(training: Days, scored: Days, boundary: Boundary, penalty: float) -> Float[np.ndarray, "day field lat lon"]:
    """The changes of the scored days; c and B minimise |y - c - x B|^2 + penalty |B|^2 over the training days.

    The dual problem is solved, because there are fewer days than cells.
    """
    x, y = training.predictors(boundary), training.change.reshape(len(training.rows), -1)
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    weights = np.linalg.solve((x - x_mean) @ (x - x_mean).T + penalty * np.eye(len(x)), y - y_mean)
    changes = y_mean + (scored.predictors(boundary) - x_mean) @ ((x - x_mean).T @ weights)
    return changes.reshape(-1, *training.fields.shape[1:])


def ratios(changes: Float[np.ndarray, "day field lat lon"], days: Days, weights: Cells) -> list[float]:
    """RMSE of each field over that of persistence, root for each day and then the mean, with these cell weights."""
    rmse, persistence_rmse = (
        np.sqrt((weights * error**2).sum((-2, -1)) / weights.sum()).mean(axis=0)
        for error in (changes - days.change, days.change)
    )
    return (rmse / persistence_rmse).tolist()


def best_penalty(training: Days, last_year: Bool[np.ndarray, " day"], boundary: Boundary, cells: Cells) -> float:
    """The penalty whose fit on the earlier years has the least error in the last one."""
    earlier, later = training.subset(~last_year), training.subset(last_year)
    errors = {p: np.mean(ratios(ridge(earlier, later, boundary, p), later, cells)) for p in PENALTIES}
    return min(errors, key=errors.__getitem__)


def measure() -> dict[str, Any]:
    """The ratios of the three models, by region."""
    config, scoring = load_config(EXPERIMENTS / f"{EXPERIMENT}.toml"), scoring_of(EXPERIMENT)
    names, period = config.data.fields, config.data.train
    archive = Archive.from_dataset(open_data(DATA / scoring.folder, names), names)
    edge = LateralBoundary(archive.grid, config.model.boundary_width)
    rows, fields = rows_within(archive, period.start, period.end), archive.fields.astype(np.float64)
    mean, std = (f(fields[rows[:, 1]], axis=(0, 2, 3), keepdims=True) for f in (np.mean, np.std))
    training = Days((fields - mean) / std, rows)
    scored = replace(training, rows=rows_within(archive, DAY_BEFORE, None))
    last_year = archive.times[rows[:, 0]] >= np.datetime64(period.end, "Y")
    cells = archive.grid.area_weights * np.ones(archive.grid.shape)
    extension = np.asarray(edge.extended(jnp.asarray(scored.change, jnp.float32)))
    forecasts: dict[str, tuple[float | None, np.ndarray]] = {}
    for name, boundary in (("ridge, no boundary", None), ("ridge, lateral boundary", edge.outer)):
        penalty = best_penalty(training, last_year, boundary, cells)
        forecasts[name] = penalty, ridge(training, scored, boundary, penalty)
    forecasts["persistence and harmonic extension, lateral boundary"] = None, extension
    return {
        name: {
            "penalty": penalty,
            "days": len(scored.rows),
            "whole domain": ratios(changes, scored, cells),
            "inside the boundary": ratios(changes, scored, cells * ~edge.outer),
        }
        for name, (penalty, changes) in forecasts.items()
    }


def table(names: Sequence[str], figures: Mapping[str, Mapping[str, list[float]]]) -> str:
    """RMSE over that of persistence at 24 h."""
    titles = ["24 h, over persistence", *(f"{name}, {region}" for region in REGIONS for name in names)]
    rows = [
        [name, *(f"{value:.2f}" for region in REGIONS for value in entry[region])] for name, entry in figures.items()
    ]
    return "\n".join(markdown_table(titles, rows)) + "\n"


def main() -> None:
    options = study_parser(__doc__, remeasure=True).parse_args()
    stored = StoredFigures(RESULTS / "ridge.json")
    fields = load_config(EXPERIMENTS / f"{EXPERIMENT}.toml").data.fields
    if not options.tables:
        measurements = {"fields": lambda: list(fields), "ratios": measure}
        stored.measure_missing(measurements, again=options.again)
    splice(README, "ridge", table(stored.figures["fields"], stored.figures["ratios"]))


if __name__ == "__main__":
    main()
