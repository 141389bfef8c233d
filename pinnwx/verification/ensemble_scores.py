"""Scores of ensembles over many forecasts: `crps`, `spread` and `mean_rmse_pooled` of each variable and lead.

Squares are pooled over forecasts before the square root, so `spread / mean_rmse_pooled` is the spread-error ratio of
`pinnwx.verification.ensemble`: 1 for an ensemble whose members and truth come from one distribution.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from pinnwx.data.archive import Archive
from pinnwx.verification.ensemble import crps, mean_square_error, mean_square_spread
from pinnwx.verification.pairing import Pairs

_STATISTICS = ("crps", "square_spread", "square_error")


class EnsembleAccumulator:
    """Collects area means of ensembles, one forecast at a time; it keeps no fields.

    Args:
        archive: the truth.
        pairs: which analyses verify which forecasts.
    """

    def __init__(self, archive: Archive, pairs: Pairs) -> None:
        self._archive, self._pairs = archive, pairs
        self._rows = {int(index): row for row, index in enumerate(pairs.init_indices)}
        shape = (*pairs.truth_indices.shape, len(archive.names))
        self._statistics = {name: np.full(shape, np.nan) for name in _STATISTICS}

    def add(self, init_index: int, members: Float32[np.ndarray, "member lead field lat lon"]) -> None:
        """Adds the ensemble that starts at this index of the archive, at all leads of the pairs; again is harmless."""
        row = self._rows[init_index]
        verified = self._pairs.truth_indices[row] >= 0
        truth = self._archive.fields[self._pairs.truth_indices[row][verified]]
        members, weights = members[:, verified], self._archive.grid.area_weights
        self._statistics["crps"][row, verified] = crps(members, truth, weights)
        self._statistics["square_spread"][row, verified] = mean_square_spread(members, weights)
        self._statistics["square_error"][row, verified] = mean_square_error(members, truth, weights)

    def scores(self) -> dict[tuple[str, float], dict[str, float | None]]:
        """By variable and lead [h], in the units of the variable; None where no forecast has a truth."""
        result = {}
        for column, lead in enumerate(self._pairs.lead_hours):
            verified = self._pairs.truth_indices[:, column] >= 0
            for index, name in enumerate(self._archive.names):
                pairs = {key: values[verified, column, index] for key, values in self._statistics.items()}
                means = {key: float(values.mean()) for key, values in pairs.items()} if verified.any() else {}
                result[name, lead] = {
                    "crps": means.get("crps"),
                    "spread": float(np.sqrt(means["square_spread"])) if means else None,
                    "mean_rmse_pooled": float(np.sqrt(means["square_error"])) if means else None,
                }
        return result
