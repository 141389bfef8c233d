"""Damped persistence: the departure from climatology decays, by field and lead.

    x(t + tau) = c(t + tau) + a(tau) (x(t) - c(t)),    a(tau) = sum <x'(t) x'(t + tau)> / sum <x'(t)^2>

c is the climatology, x' the departure from it, < > the area mean. The factor a is the regression coefficient of a later
departure on the present one over the training time, one number for each field and lead. It is the lagged correlation of
the departures if their variance does not change. Damped persistence is a better baseline than persistence and than
climatology at every lead (Murphy 1992, Weather and Forecasting 7, 692-698).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from pinnwx.data.archive import Archive
from pinnwx.verification.baselines import ClimatologyLike, damping, departures
from pinnwx.verification.pairing import LaggedPairs

_MOST_PAIRS = 250  # of one lead: more hardly change a factor that all cells share
_FEWEST_PAIRS = 20


@dataclass(frozen=True, eq=False)
class DampedPersistence:
    """The factor of each field, by lead [h]."""

    factors: Mapping[float, Float64[np.ndarray, " field"]]

    @classmethod
    def fit(cls, training: Archive, climatology: ClimatologyLike, lead_hours: Sequence[float]) -> DampedPersistence:
        """Fits the factors on an archive that holds the training time only; leads with few pairs have none."""
        factors = {}
        for lead in lead_hours:
            pairs = LaggedPairs.of(training, lead)
            if len(pairs.now) >= _FEWEST_PAIRS:
                before, after = (departures(climatology, training, rows) for rows in pairs.at_most(_MOST_PAIRS))
                factors[float(lead)] = damping(before, after, training.grid.area_weights)
        return cls(factors)

    def __call__(
        self,
        departures: Float[np.ndarray, "pair field lat lon"],
        climatology: Float[np.ndarray, "pair field lat lon"],
        lead_hours: float,
        /,
    ) -> Float[np.ndarray, "pair field lat lon"] | None:
        """See `pinnwx.verification.baselines.Baseline`."""
        factor = self.factors.get(float(lead_hours))
        return None if factor is None else climatology + factor[:, None, None] * departures
