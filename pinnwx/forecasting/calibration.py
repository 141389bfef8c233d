"""Calibration of an ensemble, member by member (Van Schaeybroeck and Vannitsem 2015, QJRMS 141, 807-818):

    x_i <- m + b + r (x_i - m),    m the mean of the members x_i

at each place, by field and lead; b corrects the mean, and r the spread (`verification.calibrating` fits them). All
members are scaled alike, so they keep their order at each place and their relations between places, fields and leads:
they stay weather, as by ensemble copula coupling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

Members = Float[np.ndarray, "member lead field lat lon"]
Local = Float32[np.ndarray, "lead field lat lon"]


@dataclass(frozen=True, eq=False)
class Calibration:
    """A correction of the members at some leads.

    Attributes:
        lead_hours: the leads.
        forecasts: the number of forecasts that it was fitted on.
        bias: b.
        factor: r.
        low: the lower bound of each field.
        high: the upper bound.
    """

    lead_hours: tuple[float, ...]
    forecasts: int
    bias: Local
    factor: Local
    low: Float[np.ndarray, "field 1 1"]
    high: Float[np.ndarray, "field 1 1"]

    def __call__(self, members: Members, lead_hours: Sequence[float]) -> Members:
        """The calibrated members, within the bounds of the fields; leads without a calibration stay as they are."""
        result = members.copy()
        for row, lead in enumerate(map(float, lead_hours)):
            if lead in self.lead_hours:
                own, here = self.lead_hours.index(lead), members[:, row]
                mean = here.mean(axis=0)
                calibrated = mean + self.bias[own] + self.factor[own] * (here - mean)
                result[:, row] = np.clip(calibrated, self.low, self.high)
        return result
