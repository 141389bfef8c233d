"""Two runs compared on the same forecasts: the ratio of their errors, with paired bounds.

Days are easy or hard for both runs. Therefore days are resampled together. The bounds are those of the ratio, and they
are much narrower than the bounds of either error (`significance`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pinnwx.errors import DataError
from pinnwx.files import write_text
from pinnwx.verification.results import Scores, in_lines
from pinnwx.verification.significance import BlockBootstrap

_ALIKE = ("grid", "weighting", "units", "lateral_boundary")


@dataclass(frozen=True, eq=False)
class Comparison:
    """The RMSE of `first` over that of `second`.

    `ratios` has one entry for each variable and lead with scores of both: `variable, lead_hours, n, n_days, first_rmse,
    second_rmse, ratio, ratio_low, ratio_high`, and `bounds_missing`, the reason why there are no bounds, or None.
    """

    first: str
    second: str
    ratios: tuple[dict[str, Any], ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "first": self.first,
            "second": self.second,
            "ratios": [dict(entry) for entry in self.ratios],
            "settings": dict(self.settings),
        }

    def save(self, path: str | Path) -> None:
        """Writes JSON atomically: the file is the old one or the complete new one.

        Raises:
            OutputError: the file cannot be written.
        """
        write_text(path, in_lines(self.to_dict(), "ratios"))


def compare_scores(first: Scores, second: Scores, bootstrap: BlockBootstrap = BlockBootstrap()) -> Comparison:  # noqa: B008
    """Compares two runs that were scored on the same pairs.

    Raises:
        DataError: they were scored on different pairs, or have no variable and lead in common.
    """
    for key in _ALIKE:
        if first.settings.get(key) != second.settings.get(key):
            raise DataError(
                f"the scores differ in {key}: {first.settings.get(key)} and {second.settings.get(key)}; evaluate both "
                "on one grid, and both with or both without a lateral boundary"
            )
    others = {_key(entry): entry for entry in second.scores}
    ratios = [_ratio(entry, others[_key(entry)], bootstrap) for entry in first.scores if _key(entry) in others]
    if not ratios:
        raise DataError("the two have no variable and lead in common; evaluate both at the same leads")
    settings = {key: value for key, value in first.settings.items() if key not in ("variables", "lead_hours")}
    return Comparison(first.run or "first", second.run or "second", tuple(ratios), settings)


def _key(entry: Mapping[str, Any]) -> tuple[str, float]:
    return entry["variable"], entry["lead_hours"]


def _ratio(first: Mapping[str, Any], second: Mapping[str, Any], bootstrap: BlockBootstrap) -> dict[str, Any]:
    where = f"{first['variable']} at {first['lead_hours']:g} h"
    if "daily" not in first or "daily" not in second:
        raise DataError(f"the scores of {where} have no daily errors; write them again with evaluate")
    pairs = [[(day, n) for day, n, _ in entry["daily"]] for entry in (first, second)]
    if pairs[0] != pairs[1]:
        raise DataError(
            f"{where} was scored on {first['n']} and on {second['n']} forecasts, which differ; evaluate both on the "
            "same data and period, or compare the run folders"
        )
    counts = np.array([n for _, n in pairs[0]], np.float64)
    sums = [counts * [rmse for *_, rmse in entry["daily"]] for entry in (first, second)]
    estimate = bootstrap.estimate(lambda a, b: a / b, *sums, limits=(0.0, np.inf))
    return {
        "variable": first["variable"],
        "lead_hours": first["lead_hours"],
        "n": first["n"],
        "n_days": len(counts),
        "first_rmse": first["rmse"],
        "second_rmse": second["rmse"],
        "ratio": estimate.value,
        "ratio_low": estimate.low,
        "ratio_high": estimate.high,
        "bounds_missing": bootstrap.obstacle(len(counts)),
    }
