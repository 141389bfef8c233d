"""Confidence bounds of scores: a block bootstrap over days.

Errors of neighbouring days are alike, so days are drawn in blocks of consecutive days (Kuensch 1989), on a
circle so that every day is drawn equally often (Politis and Romano 1992). All series of one call are drawn
together, which makes every comparison a paired one: the ratio of a series to itself is 1 with bounds 1.

The interval is value -+ t * s * sqrt(m / (m - 1)): `s` is the standard deviation of the drawn values, `m` the number
of blocks, `t` Student's quantile for m - 1 degrees of freedom. Both corrections undo the known narrowness of
bootstrap intervals in small samples (Hesterberg 2015, The American Statistician 69, 371-386).

Share of 3,000 autoregressive series whose true mean lies inside the 95 % bounds, by day-to-day correlation:

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
    """A statistic with its confidence bounds; `None` stands for what is undefined or cannot be told."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class BlockBootstrap:
    """How bounds are drawn. `block_days = None` lets the number of days n decide: 2 n^(1/3), and n / 3 at most."""

    level: float = 0.95
    resamples: int = 2000
    seed: int = 0
    block_days: int | None = None

    def block_length(self, n_days: int) -> int:
        """Days in a block."""
        if self.block_days is not None:
            return self.block_days
        return max(2, min(n_days // MINIMUM_BLOCKS, math.ceil(2 * n_days ** (1 / 3))))

    def obstacle(self, n_days: int) -> str | None:
        """Why there can be no bounds, or `None` where they can be given."""
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
        """A statistic of sums over days, with bounds.

        Args:
            statistic: takes one array per series, the sums over all drawn days, and returns an array of the same
                shape: a mean is `lambda total, count: total / count`.
            day_sums: the sum of each series over the forecasts of a day, in the order of the days.
            limits: values the statistic cannot leave; bounds are cut there.

        Returns:
            The value over all days and its bounds; a bound is `None` with too few days (see `obstacle`) or
            where the statistic is undefined, such as 0 / 0.
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
            # One product per series: the same series then gives the same sums to the last bit.
            drawn = statistic(*(draws @ series for series in day_sums))
        if not np.isfinite(drawn).all():
            return Estimate(value, None, None)
        blocks = n_days / block
        quantile = float(stdtrit(blocks - 1, 0.5 + self.level / 2))
        reach = quantile * float(drawn.std()) * math.sqrt(blocks / (blocks - 1))
        return Estimate(value, max(value - reach, limits[0]), min(value + reach, limits[1]))


@lru_cache(maxsize=8)
def _multiplicities(n_days: int, block: int, resamples: int, seed: int) -> Float[np.ndarray, "resample day"]:
    """How often each day is drawn; every row sums to `n_days`."""
    generator = np.random.default_rng(seed)
    starts = generator.integers(0, n_days, (resamples, -(-n_days // block)))
    days = (starts[..., None] + np.arange(block)) % n_days
    days = days.reshape(resamples, -1)[:, :n_days]
    cells = days + n_days * np.arange(resamples)[:, None]
    return np.bincount(cells.ravel(), minlength=resamples * n_days).reshape(resamples, n_days).astype(np.float64)
