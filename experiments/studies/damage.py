"""What quality control finds: in real analyses with damage put into them, and in the same analyses without damage.

    python -m experiments.studies.damage                    every archive
    python -m experiments.studies.damage --archives uk      only this one
    python -m experiments.studies.damage --tables           only write the table

Each trial damages one field at one random step in one random place, with a seed of its own. It then asks
`pinnwx.data.suspicion` about that step, as a forecast from it would. The damage is found if any suspicion is raised.
Alarms are the suspicions about all undamaged steps. Figures go to experiments/results/damage.json, the table to
experiments/README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.studies.harness import (
    DATA,
    README,
    RESULTS,
    StoredFigures,
    markdown_table,
    splice,
    study_parser,
)
from pinnwx.data.archive import Archive
from pinnwx.data.open import open_data
from pinnwx.data.suspicion import suspicions, suspicions_of
from pinnwx.variables import describe

SEED, TRIALS = 20261128, 40
EARLIEST, HISTORY = 16, 80  # the least and the most steps before the damaged one, from which normal values are known


@dataclass(frozen=True)
class Case:
    """Fields of an archive, one step in `every`."""

    folder: str
    fields: tuple[str, ...]
    every: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)

    def archive(self) -> Archive:
        """The analyses of the case."""
        whole = Archive.from_dataset(open_data(DATA / self.folder, self.fields, **self.options), self.fields)
        steps = slice(None, None, self.every)
        return Archive(whole.times[steps], whole.fields[steps], whole.names, whole.grid)


GCM = ("z500", "t500", "t850", "u500", "u850", "v500", "v850", "q500", "q850", "t2m", "u10", "v10", "msl")
CASES = {
    "ERA5, 2.5 degrees, 6-hourly": Case("era5_global", ("msl", "vo850")),
    "ERA5, 2.5 degrees, daily": Case("era5_global", ("msl", "vo850"), 4),
    "ERA5, 5.6 degrees, 6-hourly": Case("era5_global", ("msl", "vo850"), 1, {"grid": "5.625deg"}),
    "ERA5, 5.6 degrees, daily": Case("era5_global", ("msl", "vo850"), 4, {"grid": "5.625deg"}),
    "ERA5, United Kingdom, 0.25 degrees, hourly": Case("era5_uk", ("t2m",)),
    "ERA-Interim, Europe, 1.5 degrees, daily": Case("erainterim_europe", ("msl", "z500", "t850")),
    "NCEP, Atlantic, 2.5 degrees, daily": Case("ncep_atlantic", ("msl",)),
    "NCEP, Iberia, 2.5 degrees, daily": Case("ncep_iberia", ("msl", "z500", "t850", "q850", "t2m")),
    "GCM, 5.6 degrees, 6-hourly": Case("gcm_t31", GCM),
    "GCM, 5.6 degrees, daily": Case("gcm_t31", GCM, 4),
}
# The error of one cell in SI units: from one that may be weather to one that cannot be.
OFFSETS = {
    "msl": (2000, 4000, 8000), "z500": (1000, 2000, 4000), "vo850": (3e-4, 1e-3, 3e-3), "q850": (6e-3, 1.2e-2, 2e-2),
    "q500": (3e-3, 6e-3, 1e-2),
}  # fmt: skip
OTHER_OFFSETS = (10, 20, 40)  # K or m s-1

Field = Float[np.ndarray, "lat lon"]
Damage = Callable[[Field, np.random.Generator], Field]


def cell(offset: float) -> Damage:
    """One cell is off by this much, up or down."""

    def damaged(values: Field, random: np.random.Generator) -> Field:
        values[random.integers(values.shape[0]), random.integers(values.shape[1])] += random.choice((-1, 1)) * offset
        return values

    return damaged


def patch(rows: int | None, columns: int | None) -> Damage:
    """A patch of this size is off by two standard deviations of the field; None is the whole length."""

    def damaged(values: Field, random: np.random.Generator) -> Field:
        height, width = rows or values.shape[0], columns or values.shape[1]
        row = random.integers(max(values.shape[0] - height, 0) + 1)
        column = random.integers(max(values.shape[1] - width, 0) + 1)
        values[row : row + height, column : column + width] += random.choice((-2, 2)) * values.std()
        return values

    return damaged


def shifted(values: Field, _: np.random.Generator) -> Field:
    """Columns land three further east."""
    return np.roll(values, 3, axis=1)


def scaled(values: Field, _: np.random.Generator) -> Field:
    """The departures from the mean are a tenth too large."""
    return values.mean() + 1.1 * (values - values.mean())


def flipped(values: Field, _: np.random.Generator) -> Field:
    """North and south are exchanged."""
    return values[::-1].copy()


def damages_of(name: str) -> dict[str, Damage | None]:
    """The kinds of damage to a field; None exchanges the step for that of another time."""
    offsets = OFFSETS.get(name, OTHER_OFFSETS)
    damages: dict[str, Damage | None] = {
        f"cell {size}": cell(offset) for size, offset in zip(("small", "middle", "large"), offsets, strict=True)
    }
    return damages | {
        "row": patch(1, None), "column": patch(None, 1), "3 x 3 cells": patch(3, 3), "8 x 8 cells": patch(8, 8),
        "shifted": shifted, "scaled": scaled, "flipped": flipped, "another time": None,
    }  # fmt: skip


def count_detections(
    values: Float[np.ndarray, "time lat lon"],
    archive: Archive,
    name: str,
    damage: Damage | None,
    random: np.random.Generator,
) -> int:
    """The number of trials in which the damage raises a suspicion."""
    detections = 0
    for _ in range(TRIALS):
        step = int(random.integers(EARLIEST, len(values)))
        near = slice(max(step - HISTORY, 0), step + 1)
        damaged, times = values[near].copy(), archive.times[near]
        if damage is None:
            damaged[-1] = values[(step + random.integers(len(values) // 4, 3 * len(values) // 4)) % len(values)]
        else:
            damaged[-1] = damage(damaged[-1].copy(), random)
        detections += bool(suspicions_of(damaged, times, archive.grid, describe(name), times[-1], times[-1]))
    return detections


def measure(case: Case, number: int) -> dict[str, dict[str, Any]]:
    """For each field: alarms in undamaged steps, and the number of detections of each kind of damage."""
    archive, rows = case.archive(), {}
    for index, name in enumerate(case.fields):
        values = np.ascontiguousarray(archive.fields[:, index])
        alarms = suspicions(values, archive.times, archive.grid, describe(name))
        detections = {
            kind: count_detections(
                values, archive, name, damage, np.random.default_rng([SEED, number, index, *kind.encode()])
            )
            for kind, damage in damages_of(name).items()
        }
        texts = [alarm.text for alarm in alarms]
        rows[name] = {"steps": len(values), "alarms": texts, "trials": TRIALS, "found": detections}
        print(name, len(alarms), detections, flush=True)
    return rows


def table(figures: Mapping[str, Mapping[str, dict[str, Any]]]) -> str:
    """A table for each archive, with the percentage of trials in which each kind of damage is found."""
    lines = []
    for title, by_field in figures.items():
        kinds = next(iter(by_field.values()))["found"]
        rows = [
            [
                name,
                f"{len(row['alarms'])} of {row['steps']}",
                *(f"{100 * count / row['trials']:.0f}" for count in row["found"].values()),
            ]
            for name, row in by_field.items()
        ]
        lines += [*markdown_table([title, "alarms in all steps", *kinds], rows), ""]
    return "\n".join(lines)


def main() -> None:
    parser = study_parser(__doc__, remeasure=True)
    parser.add_argument("--archives", nargs="+", default=[""], help="parts of the titles of archives; default: all")
    options = parser.parse_args()
    stored = StoredFigures(RESULTS / "damage.json")
    chosen = {
        title: partial(measure, case, number)
        for number, (title, case) in enumerate(CASES.items())
        if any(part.lower() in title.lower() for part in options.archives)
    }
    if not options.tables:
        stored.measure_missing(chosen, again=options.again)
    splice(README, "damage", table(stored.figures))


if __name__ == "__main__":
    main()
