"""Scores of ensembles: the error of the distribution, and the relation of its spread to the error of its mean.

With M members x_i and the truth t, at each place, and A the area mean:

    crps      A [ 1/M sum |x_i - t| - 1/(2 M (M - 1)) sum sum |x_i - x_j| ]      fair: the same for any M on average
    spread    sqrt A [ (M + 1)/M  1/(M - 1) sum (x_i - mean)^2 ]
    error     sqrt A (mean - t)^2

For a normal distribution of mean m and standard deviation s about the forecast, with z = (t - m) / s, phi and Phi the
standard normal density and distribution (Gneiting et al. 2005),

    crps      A s [ z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi) ]

For a single forecast, `crps` is the mean absolute error. If members and truth come from one distribution, spread and
error agree when both are pooled over many forecasts (Fortin et al. 2014). A smaller spread means an under-dispersed
ensemble.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Members = Float[np.ndarray, "member *batch lat lon"]
Fields = Float[np.ndarray, "*#batch #lat #lon"]
Truth = Float[np.ndarray, "*batch lat lon"]
Weights = Float[np.ndarray, "lat 1"]


def crps(members: Members, truth: Truth, weights: Weights) -> Float[np.ndarray, "*batch"]:
    """The fair continuous ranked probability score (Ferro 2014), in the units of the field.

    `weights` are the cell areas divided by their mean (`Grid.area_weights`), also in the other functions.
    """
    count = len(members)
    error = np.abs(members - truth).mean(axis=0, dtype=np.float64)
    # Of sorted members, x_(i) is the larger one of i pairs and the smaller one of M - 1 - i.
    rank = (2 * np.arange(count) - (count - 1)).reshape(-1, *(1 for _ in truth.shape))
    apart = (rank * np.sort(members, axis=0).astype(np.float64)).sum(axis=0) / (count * max(count - 1, 1))
    return (weights * (error - apart)).mean((-2, -1))


def gaussian_crps(mean: Fields, std: Fields, truth: Truth, weights: Weights) -> Float[np.ndarray, "*batch"]:
    """The CRPS of a normal distribution at each place; without spread, the mean absolute error."""
    from scipy.special import ndtr  # takes a tenth of a second to import

    apart = (truth - mean).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = apart / std
        density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
        score = std * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return (weights * np.where(std > 0, score, np.abs(apart))).mean((-2, -1))


def mean_square_spread(members: Members, weights: Weights) -> Float[np.ndarray, "*batch"]:
    """The square of `spread`, which is pooled over forecasts before the square root."""
    inflation = (len(members) + 1) / len(members)
    return inflation * (weights * members.var(axis=0, ddof=1, dtype=np.float64)).mean((-2, -1))


def mean_square_error(members: Members, truth: Truth, weights: Weights) -> Float[np.ndarray, "*batch"]:
    """The square of `error`, the error of the ensemble mean."""
    return (weights * (members.mean(axis=0, dtype=np.float64) - truth) ** 2).mean((-2, -1))
