"""Forecasts of a cross-fitted deep ensemble in its training time, of each network in the blocks that it left out."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from flax import nnx
from jaxtyping import Float32, Shaped

from pinnwx.data.archive import Archive
from pinnwx.forecasting.model_errors import ModelErrors
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.training.cross_fitting import unseen
from pinnwx.training.fit import windows_of

MOST_BYTES = 32 * 2**20  # of the stored errors
_BATCH = 16


class OutOfFold(NamedTuple):
    """Some forecasts of one network in weather that it has not seen.

    Attributes:
        initial_times: of the forecasts.
        forecasts: at each lead.
        truth: the analyses of the valid times.
    """

    initial_times: Shaped[np.ndarray, " batch"]
    forecasts: Float32[np.ndarray, "batch lead field lat lon"]
    truth: Float32[np.ndarray, "batch lead field lat lon"]


def out_of_fold_forecasts(
    trained: TrainedModel, training: Archive, lead_hours: Sequence[float], most: int, *, one_view: bool = False
) -> Iterator[OutOfFold]:
    """At most `most` forecasts in batches, from random times; the networks take turns. Nothing without cross-fitting.

    A forecast does not leave the block that its network left out, so there are none of leads as long as a block.
    `one_view` is for networks as the members of an ensemble use them: each batch is in one of their views.
    """
    settings = trained.config
    days = settings.training.cross_fitting_days
    if not days:
        return
    predictor, inputs = Predictor(trained, lead_hours), settings.model.input_times
    steps = predictor.lead_offsets // predictor.step_ends[0]
    windows, owner = unseen(
        windows_of(training, settings.model, int(steps.max())), training.times, days, settings.model.networks
    )
    networks = [nnx.split(network) for network in networks_of(trained.model)]
    views = networks_of(trained.model)[0].views
    chosen = np.random.default_rng(settings.seed).permutation(len(windows))[:most]
    for number, batch in enumerate(_batches(chosen, owner[chosen])):
        own = windows[np.resize(batch, _BATCH)]  # batches are filled, so that one program serves all
        starts, after = training.times[own[:, inputs - 1]], training.fields[own[:, inputs:]]
        forecasts = predictor.run(
            networks[0][0], networks[owner[batch[0]]][1], training.fields[own[:, :inputs]], starts,
            views[number // len(networks) % len(views)] if one_view else None,
            after if trained.model.has_lateral_boundary else None,
        )  # fmt: skip
        count = len(batch)
        yield OutOfFold(starts[:count], forecasts[:count], after[:count, steps - 1])


def out_of_fold_errors(trained: TrainedModel, training: Archive, until: float = math.inf) -> ModelErrors | None:
    """The errors of one step in a sample of the training time of at most `MOST_BYTES`; None without cross-fitting.

    There are fewer if `until`, a value of `time.monotonic()`, comes first. The result is None if there are none, or if
    one is not finite.
    """
    if time.monotonic() > until:
        return None
    most = MOST_BYTES // (2 * math.prod(training.fields.shape[1:]))
    starts, errors = [], []
    for part in out_of_fold_forecasts(trained, training, [trained.config.model.step_hours], most, one_view=True):
        starts.append(part.initial_times)
        errors.append((part.truth - part.forecasts)[:, 0])
        if time.monotonic() > until:
            break
    if not errors or not all(np.isfinite(each).all() for each in errors):
        return None
    times = np.concatenate(starts)
    order = np.argsort(times)
    return ModelErrors(trained.names, times[order], np.concatenate(errors)[order])


def _batches(chosen: np.ndarray, owner: np.ndarray) -> list[np.ndarray]:
    """Groups windows of one network each; the networks take turns, so that a part of the list serves all of them."""
    by_network = [chosen[owner == network] for network in np.unique(owner)]
    cut = [[own[first : first + _BATCH] for first in range(0, len(own), _BATCH)] for own in by_network]
    return [one[turn] for turn in range(max(map(len, cut), default=0)) for one in cut if turn < len(one)]
