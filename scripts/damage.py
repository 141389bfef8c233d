"""What quality control finds: damage put into real analyses, and what it says of analyses without damage.

    python scripts/damage.py                    every archive
    python scripts/damage.py --archives uk      only this one
    python scripts/damage.py --tables           only write the table anew

Every trial damages one field at one random step in one random place, with a seed of its own, and asks
`pinnwx.data.suspicion` about that step, as a forecast from it would. Found means that anything is said. The alarms are
what is said of all steps as they are. Figures go to experiments/results/damage.json, the table to
experiments/README.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from trial import DATA, EXPERIMENTS, RESULTS, splice

from pinnwx.data.archive import Archive
from pinnwx.data.open import open_data
from pinnwx.data.suspicion import suspicions, suspicions_of
from pinnwx.variables import describe

STORED = RESULTS / "damage.json"
SEED, TRIALS = 20261128, 40
EARLIEST, HISTORY = 16, 80  # steps before the damaged one, from which the usual is known: at least, at most


@dataclass(frozen=True)
class Case:
    """Fields of an archive, one step in `every`."""

    folder: str
    fields: tuple[str, ...]
    every: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)


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
# What one cell is off by, in SI units: from what may be weather to what no weather is.
OFFSETS = {
    "msl": (2000, 4000, 8000), "z500": (1000, 2000, 4000), "vo850": (3e-4, 1e-3, 3e-3), "q850": (6e-3, 1.2e-2, 2e-2),
    "q500": (3e-3, 6e-3, 1e-2),
}  # fmt: skip
_OFFSETS = (10, 20, 40)  # K or m s-1

Damage = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def cell(offset: float) -> Damage:
    """One cell is off by this much, up or down."""

    def damaged(values: np.ndarray, dice: np.random.Generator) -> np.ndarray:
        values[dice.integers(values.shape[0]), dice.integers(values.shape[1])] += dice.choice((-1, 1)) * offset
        return values

    return damaged


def shaped(rows: int | None, columns: int | None) -> Damage:
    """A patch of this size is off by two standard deviations of the field; None is the whole length."""

    def damaged(values: np.ndarray, dice: np.random.Generator) -> np.ndarray:
        height, width = rows or values.shape[0], columns or values.shape[1]
        row = dice.integers(max(values.shape[0] - height, 0) + 1)
        column = dice.integers(max(values.shape[1] - width, 0) + 1)
        values[row : row + height, column : column + width] += dice.choice((-2, 2)) * values.std()
        return values

    return damaged


def shifted(values: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """Columns land three further east."""
    return np.roll(values, 3, axis=1)


def scaled(values: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """The departures from the mean are a tenth too large."""
    return values.mean() + 1.1 * (values - values.mean())


def flipped(values: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """North is south."""
    return values[::-1].copy()


def trials(values: np.ndarray, archive: Archive, name: str, damage: Damage | None, dice: np.random.Generator) -> int:
    """How many of the trials are found; without a `damage` the step is swapped for another time's."""
    found = 0
    for _ in range(TRIALS):
        step = int(dice.integers(EARLIEST, len(values)))
        near = slice(max(step - HISTORY, 0), step + 1)
        damaged, times = values[near].copy(), archive.times[near]
        if damage is None:
            damaged[-1] = values[(step + dice.integers(len(values) // 4, 3 * len(values) // 4)) % len(values)]
        else:
            damaged[-1] = damage(damaged[-1].copy(), dice)
        found += bool(suspicions_of(damaged, times, archive.grid, describe(name), times[-1], times[-1]))
    return found


def study(case: Case, number: int) -> dict[str, dict]:
    """Of each field: false alarms, and the share of each damage that is found."""
    opened = open_data(DATA / case.folder, case.fields, **case.options)
    whole = Archive.from_dataset(opened, case.fields)
    part = slice(None, None, case.every)
    archive = Archive(whole.times[part], whole.fields[part], whole.names, whole.grid)
    rows = {}
    for index, name in enumerate(case.fields):
        values = np.ascontiguousarray(archive.fields[:, index])
        damages: dict[str, Damage | None] = {
            f"cell {size}": cell(offset)
            for size, offset in zip(("small", "middle", "large"), OFFSETS.get(name, _OFFSETS), strict=True)
        }
        damages |= {
            "row": shaped(1, None), "column": shaped(None, 1), "3 x 3 cells": shaped(3, 3), "8 x 8 cells": shaped(8, 8),
            "shifted": shifted, "scaled": scaled, "flipped": flipped, "another time": None,
        }  # fmt: skip
        alarms = suspicions(values, archive.times, archive.grid, describe(name))
        rows[name] = {"steps": len(values), "alarms": [one.text for one in alarms], "trials": TRIALS, "found": {}}
        for kind, damage in damages.items():
            dice = np.random.default_rng([SEED, number, index, *kind.encode()])
            rows[name]["found"][kind] = trials(values, archive, name, damage, dice)
        print(name, len(alarms), rows[name]["found"], flush=True)
    return rows


def table(stored: Mapping[str, Mapping[str, dict]]) -> str:
    """What was found, as Markdown."""
    lines = []
    for title, rows in stored.items():
        kinds = list(next(iter(rows.values()))["found"])
        lines.append(f"| {title} | alarms in all steps | " + " | ".join(kinds) + " |")
        lines.append("| --- |" + " --- |" * (len(kinds) + 1))
        for name, row in rows.items():
            shares = " | ".join(f"{100 * count / row['trials']:.0f}" for count in row["found"].values())
            lines.append(f"| {name} | {len(row['alarms'])} of {row['steps']} | {shares} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archives", nargs="+", default=[""], help="parts of the titles of archives; all, if none")
    parser.add_argument("--tables", action="store_true", help="only write the table anew")
    given = parser.parse_args()
    stored = json.loads(STORED.read_text()) if STORED.is_file() else {}
    for number, (title, case) in enumerate(CASES.items()):
        if not given.tables and any(part.lower() in title.lower() for part in given.archives):
            print(title, flush=True)
            stored[title] = study(case, number)
            STORED.write_text(json.dumps(stored, indent=1) + "\n")
    splice(EXPERIMENTS / "README.md", "damage", table(stored))


if __name__ == "__main__":
    main()
