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
    probabilities      ranks, reliability and the like (`verification.ensemble_details`), and under `events` the scores
                       of probabilities (`verification.events`)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Shaped

from pinnwx.data.archive import Archive
from pinnwx.verification.ensemble import crps, mean_square_error, mean_square_spread
from pinnwx.verification.ensemble_details import ensemble_details, ensemble_statistics
from pinnwx.verification.events import Event, event_scores, probability_table
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
        events: whose probabilities are scored.
        details: whether `probabilities` are scored too; then all ensembles have the same size.
    """

    def __init__(
        self,
        archive: Archive,
        pairs: Pairs,
        baselines: Mapping[str, ProbabilityBaseline] | None = None,
        events: Sequence[Event] = (),
        *,
        details: bool = True,
    ) -> None:
        self._archive, self._pairs, self._events, self._has_details = archive, pairs, tuple(events), details
        self._parts: dict[str, np.ndarray] = {}  # of the details, (init, lead, field, part)
        self._tables: list[np.ndarray] = []  # of each event, (init, lead, 2, count)
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
        if self._has_details:
            self._add_details(row, verified, members, truth)

    def _add_details(self, row: int, verified: np.ndarray, members: np.ndarray, truth: np.ndarray) -> None:
        grid, shape = self._archive.grid, self._pairs.truth_indices.shape
        for name, parts in ensemble_statistics(members, truth, grid).items():
            if name not in self._parts:
                self._parts[name] = np.full((*shape, *parts.shape[1:]), np.nan)
            self._parts[name][row, verified] = parts
        if not self._tables:
            self._tables = [np.full((*shape, 2, len(members) + 1), np.nan) for _ in self._events]
        times = self._archive.times[self._pairs.truth_indices[row][verified]]
        for lead, (column, when) in enumerate(zip(np.flatnonzero(verified), times, strict=True)):
            for event, tables in zip(self._events, self._tables, strict=True):
                field = self._archive.names.index(event.variable)
                tables[row, column] = probability_table(
                    event, members[:, lead, field], truth[lead, field], when, grid.area_weights
                )

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

    def _entry(self, column: int, index: int) -> dict[str, Any]:
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
        entry = {name: None if value is None or np.isnan(value) else float(value) for name, value in entry.items()}
        if verified.any() and self._parts:
            entry["probabilities"] = self._details(column, index, verified, days)
        return entry

    def _details(self, column: int, index: int, verified: np.ndarray, days: np.ndarray) -> dict[str, Any]:
        lead, name = self._pairs.lead_hours[column], self._archive.names[index]
        details = ensemble_details({part: values[verified, column, index] for part, values in self._parts.items()})
        bounds = partial(_with_bounds, days, lead)
        scores = [
            event_scores(event, tables[verified, column], bounds)
            for event, tables in zip(self._events, self._tables, strict=True)
            if event.variable == name
        ]
        return details | ({"events": scores} if scores else {})

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
        return _with_bounds(days, lead_hours, lambda a, b: a / b, above, below, limits=(0.0, np.inf))


def _with_bounds(
    days: Shaped[np.ndarray, " pair"],
    lead_hours: float,
    function: Callable[..., Any],
    *values: Float[np.ndarray, " pair"],
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[float | None, ...]:
    """A function of sums over pairs, with its bounds over days."""
    unique, day = np.unique(days, return_inverse=True)
    sums = [np.bincount(day, weights=each) for each in values]
    return BlockBootstrap().estimate(function, *sums, limits=limits, overlap=overlap_days(unique, lead_hours))
