"""Fits an ensemble in the training time: the scales of what makes members differ, and a calibration of the members.

The ensembles are those of single networks in weather that they were not trained on (`forecasting.out_of_fold`).

The scales are those of the lowest mean, over fields and leads, of the logarithm of the fair CRPS; so no field counts
more because its numbers are larger. Each scale in turn goes up or down a ladder as long as the CRPS falls.

The calibration (`forecasting.calibration`) has the mean error of the mean m of the members as b, and

    r^2 = v / s,    v the variance of t - m, s the mean of (M + 1)/M times the variance of the members

at each place (`forecasting.error_statistics`), so that the spread is that of the error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from pinnwx.forecasting.calibration import Calibration
from pinnwx.forecasting.error_statistics import local_mean_and_variance, shrunk_to_bands
from pinnwx.forecasting.out_of_fold import OutOfFoldEnsembles
from pinnwx.grid import Grid
from pinnwx.verification.ensemble import crps

FEWEST_FORECASTS = 16
LADDERS = ((0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4), (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5))
_LARGEST = 5.0  # r, where members hardly differ


class Scales(NamedTuple):
    """Of what makes members differ (`forecasting.ensemble`)."""

    perturbation: float
    model_error: float


def fit_scales(ensembles: Callable[[Scales], Iterable[OutOfFoldEnsembles]], grid: Grid, first: Scales) -> Scales:
    """The scales on `LADDERS` of the lowest CRPS that is reached from the `first`; a scale of `first` that is zero
    stays so.

    Args:
        ensembles: of given scales, always from the same times.
        grid: of the fields.
        first: on the ladders.
    """

    @cache
    def score(scales: Scales) -> float:
        each = [
            crps(part.members[:, row], part.truth[row], grid.area_weights)
            for part in ensembles(scales)
            for row in range(len(part.truth))
        ]
        return float(np.log(np.mean(each, axis=0)).mean()) if each else np.inf

    best, before = first, None
    while best != before:
        before = best
        for number, ladder in enumerate(LADDERS):
            if first[number]:
                best = _lowest_on(ladder, best, number, score)
    return best


def _lowest_on(ladder: Sequence[float], start: Scales, number: int, score: Callable[[Scales], float]) -> Scales:
    """Goes from rung to rung as long as the score falls."""

    def at(rung: int) -> Scales:
        values = list(start)
        values[number] = ladder[rung]
        return Scales(*values)

    rung = ladder.index(start[number])
    for direction in (1, -1):
        while 0 <= rung + direction < len(ladder) and score(at(rung + direction)) < score(at(rung)):
            rung += direction
    return at(rung)


def fit_calibration(
    parts: Iterable[OutOfFoldEnsembles],
    names: Sequence[str],
    lead_hours: Sequence[float],
    grid: Grid,
    scales: Scales,
    exempt: Sequence[int] = (),
) -> Calibration | None:
    """Fits on ensembles of the training time; None if there are fewer than `FEWEST_FORECASTS`.

    Args:
        parts: the ensembles, at the leads.
        names: of the fields.
        lead_hours: the leads, ascending.
        grid: of the fields.
        scales: of the ensembles.
        exempt: fields that stay as they are, because they are conserved.
    """
    ensembles = list(parts)
    if sum(len(part.initial_times) for part in ensembles) < FEWEST_FORECASTS:
        return None
    times, truth = (np.concatenate([each[place] for each in ensembles]) for place in (0, 2))
    members = np.concatenate([part.members for part in ensembles], axis=1)
    count, mean = len(members), members.mean(axis=0)
    bias, variance = local_mean_and_variance(truth - mean, times, grid)
    spread = (count + 1) / count * members.var(axis=0, ddof=1, dtype=np.float64).mean(axis=0)
    spread = shrunk_to_bands(spread, len(times), grid)  # it is no error, so every forecast tells it
    factor = np.sqrt(np.minimum(variance, _LARGEST**2 * spread) / np.where(spread > 0, spread, np.inf))
    bias[:, list(exempt)], factor[:, list(exempt)] = 0.0, 1.0
    return Calibration(
        tuple(names), tuple(map(float, lead_hours)), len(times), bias.astype(np.float32), factor.astype(np.float32),
        *scales,
    )  # fmt: skip
