"""Fits an ensemble in the training time: the scales of what makes members differ, and a calibration of the members.

The ensembles are those of single networks in weather that they were not trained on (`forecasting.out_of_fold`).

The scales are those of the lowest mean, over fields and leads, of the logarithm of the fair CRPS; so no field counts
more because its numbers are larger. Each scale in turn goes up or down a ladder as long as the CRPS falls.

The calibration (`forecasting.calibration`) has the mean error of the mean m of the members as b, and

    r^2 = (v - s / M) / s,    v the variance of t - m, s the mean variance of the M members

at each place (`forecasting.error_statistics`): for any number of members, their spread is then that of the error. The
ensembles of the fit have one network each. Those of a forecast have all of them, which adds a little spread and takes a
little error from the mean, so scales and r are a little too large there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from pinnwx.data.calendar import format_time
from pinnwx.errors import StabilityError
from pinnwx.forecasting.calibration import Calibration
from pinnwx.forecasting.error_statistics import local_mean_and_variance, shrunk_to_bands
from pinnwx.forecasting.out_of_fold import OutOfFoldEnsembles
from pinnwx.grid import Grid
from pinnwx.verification.ensemble import crps

FEWEST_FORECASTS = 16
LADDERS = ((0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4), (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5))
_LARGEST = 5.0  # r, where members hardly differ


class Amplitudes(NamedTuple):
    """Of what makes members differ (`forecasting.ensemble`)."""

    perturbation: float
    model_error: float


def fit_scales(
    ensembles: Callable[[Amplitudes], Iterable[OutOfFoldEnsembles]], grid: Grid, first: Amplitudes
) -> Amplitudes:
    """The scales on `LADDERS` of the lowest CRPS that is reached from the `first`; a scale of `first` that is zero
    stays so.

    Args:
        ensembles: of given scales, always from the same times.
        grid: of the fields.
        first: on the ladders.

    Raises:
        StabilityError: a member is not finite.
    """

    @cache
    def score(scales: Amplitudes) -> float:
        each = [
            crps(part.members[:, row], part.truth[row], grid.area_weights)
            for part in map(_finite, ensembles(scales))
            for row in range(len(part.truth))
        ]
        means = np.mean(each, axis=0) if each else np.zeros(0)
        return float(np.log(means[means > 0]).mean()) if (means > 0).any() else np.inf

    best, before = first, None
    while best != before:
        before = best
        for number, ladder in enumerate(LADDERS):
            if first[number]:
                best = _lowest_on(ladder, best, number, score)
    return best


def _lowest_on(
    ladder: Sequence[float], start: Amplitudes, number: int, score: Callable[[Amplitudes], float]
) -> Amplitudes:
    """Goes from rung to rung as long as the score falls."""

    def at(rung: int) -> Amplitudes:
        values = list(start)
        values[number] = ladder[rung]
        return Amplitudes(*values)

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
    scales: Amplitudes,
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

    Raises:
        StabilityError: a member is not finite.
    """
    times, errors, variances, size = [], [], [], 0
    for part in map(_finite, parts):
        times.append(part.initial_times)
        errors.append(part.truth - part.members.mean(axis=0))
        variances.append(part.members.var(axis=0, ddof=1, dtype=np.float64).sum(axis=0))
        size = len(part.members)
    count = sum(map(len, times))
    if count < FEWEST_FORECASTS:
        return None
    bias, variance = local_mean_and_variance(np.concatenate(errors), np.concatenate(times), grid)
    # Unlike an error, the spread is known from every forecast, so each counts as a period of its own.
    spread = shrunk_to_bands(np.sum(variances, axis=0) / count, count, grid)
    variance = np.maximum(variance - spread / size, 0.0)
    factor = np.sqrt(np.minimum(variance, _LARGEST**2 * spread) / np.where(spread > 0, spread, np.inf))
    bias[:, list(exempt)], factor[:, list(exempt)] = 0.0, 1.0
    return Calibration(
        tuple(names), tuple(map(float, lead_hours)), count, bias.astype(np.float32), factor.astype(np.float32),
        *scales,
    )  # fmt: skip


def _finite(part: OutOfFoldEnsembles) -> OutOfFoldEnsembles:
    """Raises:
    StabilityError: a member is not finite.
    """
    finite = np.isfinite(part.members).all(axis=(0, 2, 3, 4, 5))
    if not finite.all():
        when = format_time(part.initial_times[~finite][0])
        raise StabilityError(
            f"an ensemble of the training time, from {when}, is not finite; nothing is fitted: train for longer, or "
            "with longer rollouts"
        )
    return part
