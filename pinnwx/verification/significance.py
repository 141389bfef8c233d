"""Confidence bounds of scores by a block bootstrap over days.

Errors of successive days are correlated, so blocks of consecutive days are resampled (Kuensch 1989). The days form a
circle, so that every day is drawn equally often (Politis and Romano 1992). All series of one call are resampled
together, so every comparison is paired: the ratio of a series to itself is 1 with bounds 1.

The interval is value -+ t * s * sqrt(m / (m - 1)): `s` is the standard deviation of the resampled values, `m` the
number of blocks, and `t` the quantile of Student's distribution for m - 1 degrees of freedom. Both corrections widen
bootstrap intervals, which are too narrow for small samples (Hesterberg 2015, The American Statistician 69, 371-386).

The fraction of 3,000 autoregressive series whose true mean lies inside the 95 % bounds, by day-to-day correlation:

    days      0.0    0.3    0.5    0.7
       8     0.98   0.94   0.90   0.78
      30     0.98   0.97   0.96   0.91
     365     0.95   0.95   0.94   0.92
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

MINIMUM_BLOCKS = 3


class Estimate(NamedTuple):
    """A statistic with its confidence bounds; `None` marks an undefined or unknown value."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class BlockBootstrap:
    """The settings of the bootstrap. With `block_days = None`, a block has 2 n^(1/3) of n days, but at most n / 3."""

    level: float = 0.95
    resamples: int = 2000
    seed: int = 0
    block_days: int | None = None

    def block_length(self, n_days: int) -> int:
        """The number of days in a block."""
        if self.block_days is not None:
            return self.block_days
        return max(2, min(n_days // MINIMUM_BLOCKS, math.ceil(2 * n_days ** (1 / 3))))

    def obstacle(self, n_days: int) -> str | None:
        """The reason why there are no bounds, or `None` if there are."""
        needed = MINIMUM_BLOCKS * self.block_length(n_days)
        if n_days >= needed:
            return None
        return f"only {n_days} day(s); bounds need {needed}, {MINIMUM_BLOCKS} blocks of {needed // MINIMUM_BLOCKS}"

    def estimate(
        self,
        statistic: Callable[..., np.ndarray],
        *day_sums: Float[np.ndarray, " day"],
        limits: tuple[float, float] = (-math.inf, math.inf),
    ) -> Estimate:
        """Estimates a statistic of sums over days, with its bounds.

        Args:
            statistic: takes one array for each series (the sums over all drawn days) and returns an array of the same
                shape. A mean is `lambda total, count: total / count`.
            day_sums: the sum of each series over the forecasts of a day, in the order of the days.
            limits: the range of possible values; the bounds are clipped to it.

        Returns:
            The value over all days and its bounds. A bound is `None` with too few days (see `obstacle`) or if the
            statistic is undefined (0 / 0).
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            value = float(statistic(*(np.asarray(series.sum()) for series in day_sums)))
            if not math.isfinite(value):
                return Estimate(None, None, None)
            n_days = len(day_sums[0])
            if self.obstacle(n_days):
                return Estimate(value, None, None)
            block = self.block_length(n_days)
            draws = _multiplicities(n_days, block, self.resamples, self.seed)
            # One product for each series, so that equal series give bit-identical sums.
            drawn = statistic(*(draws @ series for series in day_sums))
        if not np.isfinite(drawn).all():
            return Estimate(value, None, None)
        blocks = n_days / block
        quantile = float(stdtrit(blocks - 1, 0.5 + self.level / 2))
        reach = quantile * float(drawn.std()) * math.sqrt(blocks / (blocks - 1))
        return Estimate(value, max(value - reach, limits[0]), min(value + reach, limits[1]))


@lru_cache(maxsize=8)
def _multiplicities(n_days: int, block: int, resamples: int, seed: int) -> Float[np.ndarray, "resample day"]:
    """The number of times that each day is drawn; every row sums to `n_days`."""
    generator = np.random.default_rng(seed)
    starts = generator.integers(0, n_days, (resamples, -(-n_days // block)))
    days = (starts[..., None] + np.arange(block)) % n_days
    days = days.reshape(resamples, -1)[:, :n_days]
    cells = days + n_days * np.arange(resamples)[:, None]
    return np.bincount(cells.ravel(), minlength=resamples * n_days).reshape(resamples, n_days).astype(np.float64)
