"""Scores of ensembles over many forecasts, for each variable and lead, with those of probabilistic baselines.

An entry has

    crps               of the members, fair (`pinnwx.verification.ensemble`)
    spread             squares are pooled over forecasts before the square root, also of `mean_rmse_pooled`
    mean_rmse_pooled   of the ensemble mean; spread / mean_rmse_pooled is 1 for an ensemble whose members and truth come
                       from one distribution
    single_rmse_pooled of the single forecast, where there is one
    dressed_crps       of the dressed single forecast (`pinnwx.verification.probability_baselines`)
    climatology_crps   of climatology
    *_crps_ratio       crps over that of the baseline, with `_low` and `_high` bounds over days
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Shaped

from pinnwx.data.archive import Archive
from pinnwx.verification.ensemble import crps, mean_square_error, mean_square_spread
from pinnwx.verification.pairing import Pairs
from pinnwx.verification.probability_baselines import Case, ProbabilityBaseline
from pinnwx.verification.results import Scores
from pinnwx.verification.significance import BlockBootstrap, overlap_days

_BOUNDS = ("", "_low", "_high")


class EnsembleAccumulator:
    """Collects area means of ensembles, one forecast at a time; it keeps no fields.

    Args:
        archive: the truth.
        pairs: which analyses verify which forecasts.
        baselines: by name, such as `dressed`.
    """

    def __init__(
        self, archive: Archive, pairs: Pairs, baselines: Mapping[str, ProbabilityBaseline] | None = None
    ) -> None:
        self._archive, self._pairs = archive, pairs
        self._baselines = {f"{name}_crps": baseline for name, baseline in (baselines or {}).items()}
        self._rows = {int(index): row for row, index in enumerate(pairs.init_indices)}
        names = ("crps", "square_spread", "square_error", "square_error_single", *self._baselines)
        shape = (*pairs.truth_indices.shape, len(archive.names))
        self._statistics = {name: np.full(shape, np.nan) for name in names}

    def add(
        self,
        init_index: int,
        members: Float32[np.ndarray, "member lead field lat lon"],
        single: Float32[np.ndarray, "lead field lat lon"] | None = None,
    ) -> None:
        """Adds the ensemble that starts at this index of the archive, at all leads of the pairs; again is harmless.

        `single` is the single forecast from the same analysis.
        """
        row = self._rows[init_index]
        verified = self._pairs.truth_indices[row] >= 0
        rows = self._pairs.truth_indices[row][verified]
        truth, weights = self._archive.fields[rows], self._archive.grid.area_weights
        members, single = members[:, verified], None if single is None else single[verified]
        values = {
            "crps": crps(members, truth, weights),
            "square_spread": mean_square_spread(members, weights),
            "square_error": mean_square_error(members, truth, weights),
        }
        if single is not None:
            values["square_error_single"] = mean_square_error(single[None], truth, weights)
        leads = np.array(self._pairs.lead_hours)[verified].tolist()
        for name, baseline in self._baselines.items():
            values[name] = baseline(Case(single, truth, self._archive.times[init_index], leads))
        for name, value in values.items():
            self._statistics[name][row, verified] = value

    def added_to(self, scores: Scores) -> Scores:
        """The scores of the ensemble means, with those of the members in each entry."""
        own = self.scores()
        entries = ({**entry, **own[entry["variable"], entry["lead_hours"]]} for entry in scores.scores)
        return replace(scores, scores=tuple(entries))

    def scores(self) -> dict[tuple[str, float], dict[str, float | None]]:
        """By variable and lead [h], in the units of the variable; None where no forecast has a truth."""
        return {
            (name, lead): self._entry(column, index)
            for column, lead in enumerate(self._pairs.lead_hours)
            for index, name in enumerate(self._archive.names)
        }

    def _entry(self, column: int, index: int) -> dict[str, float | None]:
        verified = self._pairs.truth_indices[:, column] >= 0
        pairs = {name: values[verified, column, index] for name, values in self._statistics.items()}
        means = {name: float(values.mean()) if len(values) else np.nan for name, values in pairs.items()}
        entry: dict[str, Any] = {
            "crps": means["crps"],
            "spread": np.sqrt(means["square_spread"]),
            "mean_rmse_pooled": np.sqrt(means["square_error"]),
            "single_rmse_pooled": np.sqrt(means["square_error_single"]),
        }
        days = self._archive.times[self._pairs.init_indices[verified]].astype("datetime64[D]")
        for name in self._baselines:
            known = np.isfinite(pairs[name])
            entry[name] = pairs[name][known].mean() if known.any() else None
            ratio = self._ratio(pairs["crps"][known], pairs[name][known], days[known], self._pairs.lead_hours[column])
            entry |= {f"{name}_ratio{end}": value for end, value in zip(_BOUNDS, ratio, strict=True)}
        return {name: None if value is None or np.isnan(value) else float(value) for name, value in entry.items()}

    @staticmethod
    def _ratio(
        above: Float[np.ndarray, " pair"],
        below: Float[np.ndarray, " pair"],
        days: Shaped[np.ndarray, " pair"],
        lead_hours: float,
    ) -> tuple[float | None, ...]:
        """The ratio of the sums, with its bounds over days."""
        if not len(days):
            return None, None, None
        unique, day = np.unique(days, return_inverse=True)
        sums = [np.bincount(day, weights=values) for values in (above, below)]
        bootstrap, overlap = BlockBootstrap(), overlap_days(unique, lead_hours)
        return bootstrap.estimate(lambda a, b: a / b, *sums, limits=(0.0, np.inf), overlap=overlap)
