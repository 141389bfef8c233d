"""Two models compared on the same forecasts: the ratio of their errors, with paired bounds.

Days are easy or hard for both models. Therefore days are resampled together. The bounds are those of the ratio, and
they are much narrower than the bounds of either error (`significance`). Where each model has several seeds, the bounds
hold over days and seeds. A comparison of many fields and leads finds differences by chance, so each p-value is also
adjusted for their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pinnwx.errors import DataError
from pinnwx.files import write_text
from pinnwx.verification.results import Scores, in_lines
from pinnwx.verification.significance import FALSE_DISCOVERIES, BlockBootstrap, adjusted, describe, overlap_days

_ALIKE = ("grid", "weighting", "units", "lateral_boundary")


@dataclass(frozen=True, eq=False)
class Comparison:
    """The RMSE of `first` over that of `second`.

    `ratios` has one entry for each variable and lead with scores of both: `variable, lead_hours, n, n_days, n_seeds,
    first_rmse, second_rmse, ratio, ratio_low, ratio_high`; `p_value` of the ratio 1, and `p_adjusted` for the number of
    entries (Benjamini and Hochberg 1995); and `bounds_missing`, the reason why there are no bounds, or None.
    """

    first: str
    second: str
    ratios: tuple[dict[str, Any], ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """How many of the differences are significant, each alone and after the adjustment for their number."""
        tested = [entry for entry in self.ratios if entry["p_value"] is not None]
        if not tested:
            return "No comparison has bounds."

        def counts(key: str, level: float) -> str:
            better, worse = (
                sum(entry[key] <= level and sign * entry["ratio"] < sign for entry in tested) for sign in (1, -1)
            )
            return f"first better in {better}, second better in {worse}"

        alone = counts("p_value", 1 - float(self.settings["bootstrap"]["level"]))
        together = counts("p_adjusted", FALSE_DISCOVERIES)
        rate = f"a false discovery rate of {100 * FALSE_DISCOVERIES:.0f} % (Benjamini and Hochberg)"
        return f"{len(tested)} comparisons, each by its own bounds: {alone}. With {rate}: {together}."

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
    """Compares two runs that were scored on the same pairs: `compare_seeds` of one seed each.

    The bounds leave the variation between seeds out.
    """
    return compare_seeds([first], [second], bootstrap)


def compare_seeds(
    first: Sequence[Scores],
    second: Sequence[Scores],
    bootstrap: BlockBootstrap = BlockBootstrap(),  # noqa: B008
) -> Comparison:
    """Compares two models with several seeds each that were scored on the same pairs.

    The ratio is that of the errors, averaged over forecasts and seeds. With two seeds or more, its bounds hold over
    days and seeds (`significance`).

    Args:
        first: the scores of one model, one for each seed.
        second: the scores of the other model, as many, in the order of the seeds.
        bootstrap: the method of the confidence bounds.

    Raises:
        DataError: the numbers of seeds differ, the runs were scored on different pairs, or they have no variable and
            lead in common.
    """
    if not first or len(first) != len(second):
        raise DataError(f"{len(first)} and {len(second)} seeds to compare; give as many of both, at least one")
    every = [*first, *second]
    for key in _ALIKE:
        for other in every[1:]:
            if every[0].settings.get(key) != other.settings.get(key):
                raise DataError(
                    f"the scores differ in {key}: {every[0].settings.get(key)} and {other.settings.get(key)}; evaluate "
                    "both on one grid, and both with or both without a lateral boundary"
                )
    entries = [{_key(entry): entry for entry in scores.scores} for scores in every]
    shared = [key for key in entries[0] if all(key in others for others in entries)]
    if not shared:
        raise DataError("the two have no variable and lead in common; evaluate both at the same leads")
    ratios = [_ratio([by_key[key] for by_key in entries], bootstrap) for key in shared]
    for entry, p in zip(ratios, adjusted([entry["p_value"] for entry in ratios]), strict=True):
        entry["p_adjusted"] = p
    other_settings = {key: value for key, value in first[0].settings.items() if key not in ("variables", "lead_hours")}
    settings = {**other_settings, "bootstrap": describe(bootstrap), "comparisons": len(ratios)}
    return Comparison(first[0].run or "first", second[0].run or "second", tuple(ratios), settings)


def _key(entry: Mapping[str, Any]) -> tuple[str, float]:
    return entry["variable"], entry["lead_hours"]


def _ratio(entries: Sequence[Mapping[str, Any]], bootstrap: BlockBootstrap) -> dict[str, Any]:
    """The entries of one variable and lead: those of the seeds of the first, then those of the second."""
    first = entries[0]
    where = f"{first['variable']} at {first['lead_hours']:g} h"
    if any("daily" not in entry for entry in entries):
        raise DataError(f"the scores of {where} have no daily errors; write them again with evaluate")
    pairs = [[(day, n) for day, n, _ in entry["daily"]] for entry in entries]
    for entry, own in zip(entries, pairs, strict=True):
        if own != pairs[0]:
            raise DataError(
                f"{where} was scored on {first['n']} and on {entry['n']} forecasts, which differ; evaluate both on the "
                "same data and period, or compare the run folders"
            )
    counts = np.array([n for _, n in pairs[0]], np.float64)
    seeds = len(entries) // 2
    sums = np.array([counts * [rmse for *_, rmse in entry["daily"]] for entry in entries])
    overlap = overlap_days(np.array([day for day, _ in pairs[0]], "datetime64[D]"), first["lead_hours"])
    measured = bootstrap.measure(lambda a, b: a / b, sums[:seeds], sums[seeds:], overlap=overlap)
    estimate = measured.estimate(bootstrap.level, (0.0, np.inf))
    return {
        "variable": first["variable"],
        "lead_hours": first["lead_hours"],
        "n": first["n"],
        "n_days": len(counts),
        "n_seeds": seeds,
        "first_rmse": _mean_rmse(entries[:seeds]),
        "second_rmse": _mean_rmse(entries[seeds:]),
        "ratio": estimate.value,
        "ratio_low": estimate.low,
        "ratio_high": estimate.high,
        "p_value": measured.p_value(1.0),
        "bounds_missing": bootstrap.obstacle(len(counts), overlap),
    }


def _mean_rmse(entries: Sequence[Mapping[str, Any]]) -> float:
    return entries[0]["rmse"] if len(entries) == 1 else float(np.mean([entry["rmse"] for entry in entries]))
