"""What a linear model makes of the same analyses over Europe: the least that a network has to beat in a day.

    python scripts/ridge.py        half a minute

With x the standardised fields at all cells,

    x(t + 1) - x(t) = c + B [x(t), x(t - 1)]                      free
    x(t + 1) - x(t) = c + B [x(t), x(t - 1), edge of x(t + 1)]    told, as `europe_driven_hybrid` is

and B by ridge regression; its penalty is chosen on the last training year, and B then fitted on all of them. Beside it
persistence plus the harmonic extension of what the edge is told (`pinnwx.model.lateral_boundary`), which learns
nothing. Figures go to experiments/results/ridge.json, the table to experiments/README.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from trial import DATA, EXPERIMENTS, RESULTS, scoring_of, splice

from pinnwx.config import load_config
from pinnwx.data.archive import Archive
from pinnwx.data.calendar import period_mask
from pinnwx.data.open import open_data
from pinnwx.model.lateral_boundary import LateralBoundary

EXPERIMENT = "europe_driven_hybrid"
DAY_BEFORE = "2007-01-03"  # the first scored initial time is the day after
PENALTIES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)


@dataclass(frozen=True, eq=False)
class Days:
    """Standardised fields, and rows of them: the day before, the day, and the day after."""

    fields: Float[np.ndarray, "time field lat lon"]
    rows: Int[np.ndarray, "day 3"]

    @property
    def change(self) -> Float[np.ndarray, "day field lat lon"]:
        """From each day to the next."""
        return self.fields[self.rows[:, 2]] - self.fields[self.rows[:, 1]]

    def predictors(self, told: np.ndarray | None) -> Float[np.ndarray, "day predictor"]:
        """What the regression sees; `told` says which cells of the next day."""
        seen = [self.fields[self.rows[:, 1]], self.fields[self.rows[:, 0]]]
        if told is not None:
            seen.append(self.fields[self.rows[:, 2]][..., told])
        return np.concatenate([part.reshape(len(self.rows), -1) for part in seen], axis=1)

    def of(self, chosen: np.ndarray) -> Days:
        """Some of the days."""
        return replace(self, rows=self.rows[chosen])


def rows_within(archive: Archive, start: str, end: str | None) -> np.ndarray:
    """Three days in a row, all of a period; the archive is daily and without gaps."""
    rows = np.flatnonzero(period_mask(archive.times, start, end))
    return np.stack([rows[:-2], rows[1:-1], rows[2:]], axis=1)


def ridge(learned: Days, scored: Days, told: np.ndarray | None, penalty: float) -> np.ndarray:
    """The changes of the scored days, by c and B of min |y - c - x B|^2 + penalty |B|^2 over the learned ones.

    By the dual problem, for there are fewer days than cells.
    """
    x, y = learned.predictors(told), learned.change.reshape(len(learned.rows), -1)
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    weights = np.linalg.solve((x - x_mean) @ (x - x_mean).T + penalty * np.eye(len(x)), y - y_mean)
    made = y_mean + (scored.predictors(told) - x_mean) @ ((x - x_mean).T @ weights)
    return made.reshape(-1, *learned.fields.shape[1:])


def ratios(change: np.ndarray, days: Days, weights: np.ndarray) -> list[float]:
    """RMSE over that of persistence of each field, root per day and then the mean, with these weights of the cells."""
    rmse, usual = (
        np.sqrt((weights * error**2).sum((-2, -1)) / weights.sum()).mean(axis=0)
        for error in (change - days.change, days.change)
    )
    return (rmse / usual).tolist()


def main() -> None:
    config, scoring = load_config(EXPERIMENTS / f"{EXPERIMENT}.toml"), scoring_of(EXPERIMENT)
    names, train = config.data.fields, config.data.train
    archive = Archive.from_dataset(open_data(DATA / scoring.folder, names), names)
    edge = LateralBoundary(archive.grid, config.model.boundary_width)
    rows, physical = rows_within(archive, train.start, train.end), archive.fields.astype(np.float64)
    mean, std = (f(physical[rows[:, 1]], axis=(0, 2, 3), keepdims=True) for f in (np.mean, np.std))
    learned = Days((physical - mean) / std, rows)
    scored = replace(learned, rows=rows_within(archive, DAY_BEFORE, None))
    last_year = archive.times[rows[:, 0]] >= np.datetime64(train.end, "Y")
    cells = archive.grid.area_weights * np.ones(archive.grid.shape)

    def best(told: np.ndarray | None) -> tuple[float, np.ndarray]:
        earlier, later = learned.of(~last_year), learned.of(last_year)
        tried = {p: np.mean(ratios(ridge(earlier, later, told, p), later, cells)) for p in PENALTIES}
        penalty = min(tried, key=tried.__getitem__)
        return penalty, ridge(learned, scored, told, penalty)

    extended = np.asarray(edge.extended(jnp.asarray(scored.change, jnp.float32)))
    found = {}
    for name, (penalty, change) in {
        "ridge, no boundary": best(None),
        "ridge, lateral boundary": best(edge.outer),
        "persistence and harmonic extension, lateral boundary": (None, extended),
    }.items():
        found[name] = {
            "penalty": penalty,
            "days": len(scored.rows),
            "whole domain": ratios(change, scored, cells),
            "inside the boundary": ratios(change, scored, cells * ~edge.outer),
        }
        print(name, found[name])
    (RESULTS / "ridge.json").write_text(json.dumps({"fields": names, "ratios": found}, indent=1) + "\n")
    splice(EXPERIMENTS / "README.md", "ridge", table(names, found))


def table(names: tuple[str, ...], found: dict) -> str:
    """RMSE over that of persistence at 24 h."""
    columns = [f"{name}, {where}" for where in ("whole domain", "inside the boundary") for name in names]
    lines = ["| 24 h, over persistence | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
    for name, entry in found.items():
        cells = [f"{value:.2f}" for where in ("whole domain", "inside the boundary") for value in entry[where]]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
