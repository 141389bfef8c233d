"""Fits the calibration of an ensemble (`forecasting.calibration`) in the training time.

b is the mean error of the mean m of the members. r makes their spread that of the error,

    r^2 = v / s,    v the variance of t - m, s the mean of (M + 1)/M times the variance of the members

at each place (`forecasting.error_statistics`). The forecasts are those of single networks in weather that they were not
trained on (`forecasting.out_of_fold`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float

from pinnwx.forecasting.calibration import Calibration
from pinnwx.forecasting.error_statistics import local_mean_and_variance, shrunk_to_bands
from pinnwx.forecasting.out_of_fold import OutOfFoldEnsembles
from pinnwx.grid import Grid

FEWEST_FORECASTS = 16
_LARGEST = 5.0  # r, where members hardly differ


def fit_calibration(
    parts: Iterable[OutOfFoldEnsembles],
    lead_hours: Sequence[float],
    grid: Grid,
    bounds: Float[np.ndarray, "field 2"],
    exempt: Sequence[int] = (),
) -> Calibration | None:
    """Fits on ensembles of the training time; None if there are fewer than `FEWEST_FORECASTS`.

    Args:
        parts: the ensembles, at the leads.
        lead_hours: the leads.
        grid: of the fields.
        bounds: of the values of each field.
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
    low, high = bounds.T[..., None, None]
    arrays = (each.astype(np.float32) for each in (bias, factor, low, high))
    return Calibration(tuple(map(float, lead_hours)), len(times), *arrays)
