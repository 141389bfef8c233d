"""Cross-fitting: each network of a deep ensemble leaves out its own blocks of the training time.

The time is cut into blocks of `training.cross_fitting_days`, counted from 1970, and the networks take turns to leave
one out. So every analysis of the training time is unknown to one network, and the error of that network there is the
error of a forecast of other weather (cross-fitting: Chernozhukov et al. 2018, Econometrics Journal 21, C1).

A network trains on no analysis within `GAP` of its blocks, because weather changes little from one analysis to the
next. Of K networks with blocks of D days, each trains on a fraction 1 - (D + 2) / (K D) of the days.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int, Shaped

from pinnwx.errors import DataError
from pinnwx.training.sampling import Windows

GAP = np.timedelta64(1, "D")


def left_out_by(times: Shaped[np.ndarray, "*shape"], block_days: float, networks: int) -> Int[np.ndarray, "*shape"]:
    """The number of the network that leaves out each time."""
    return block_numbers(times, block_days) % networks


def block_numbers(times: Shaped[np.ndarray, "*shape"], block_days: float) -> Int[np.ndarray, "*shape"]:
    """The number of the block of each time."""
    return times.astype("datetime64[s]").astype(np.int64) // round(86_400 * block_days)


def left_out(
    windows: Windows, times: Shaped[np.ndarray, " time"], block_days: float, networks: int
) -> Bool[np.ndarray, "network window"]:
    """True for the windows that a network does not train on: one of their analyses is within `GAP` of its blocks.

    Raises:
        DataError: a network would have no window.
    """
    near = np.stack([left_out_by(times + shift, block_days, networks) for shift in (-GAP, 0 * GAP, GAP)])
    excluded = np.stack([(near[:, windows] == network).any(axis=(0, 2)) for network in range(networks)])
    if excluded.all(axis=1).any():
        number = int(excluded.all(axis=1).argmax()) + 1
        raise DataError(
            f"no window of the training time is free of the blocks of network {number}; training.cross_fitting_days = "
            f"{block_days:g} needs more days of training, or other blocks, or shorter rollouts"
        )
    return excluded


def unseen(
    windows: Windows, times: Shaped[np.ndarray, " time"], block_days: float, networks: int
) -> tuple[Windows, Int[np.ndarray, " window"]]:
    """The windows whose analyses are all in blocks of one network, and the number of that network.

    It has trained on none of their analyses.
    """
    owner = left_out_by(times[windows], block_days, networks)
    within = (owner == owner[:, :1]).all(axis=1)
    return windows[within], owner[within, 0]
