"""Forecasts of a cross-fitted deep ensemble in its training time, of each network in the blocks that it left out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from flax import nnx
from jaxtyping import Float32, Int, Shaped

from pinnwx.data.archive import Archive
from pinnwx.data.windows import window_indices
from pinnwx.forecasting.ensemble import NO_DRAWS, Draws, Ensemble
from pinnwx.forecasting.model_errors import ModelErrors
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.training.cross_fitting import unseen

CROSS_FITTED = "cross_fitted"  # in the manifest of a version whose networks still do not know their own blocks
MOST_BYTES = 32 * 2**20  # of the stored errors
FEWEST_ERRORS = 32  # of a sample that is stored
DAYS_TOGETHER = 5  # of successive errors, where not all are stored
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


class OutOfFoldEnsembles(NamedTuple):
    """Some ensembles of one network in weather that it has not seen.

    Attributes:
        initial_times: of the forecasts.
        members: at each lead.
        truth: the analyses of the valid times.
    """

    initial_times: Shaped[np.ndarray, " batch"]
    members: Float32[np.ndarray, "member batch lead field lat lon"]
    truth: Float32[np.ndarray, "batch lead field lat lon"]


def out_of_fold_ensembles(ensemble: Ensemble, training: Archive, most: int) -> Iterator[OutOfFoldEnsembles]:
    """At most `most` ensembles in batches, as `out_of_fold_forecasts`; they are not calibrated.

    The members are as many as those of `ensemble`, in the views of its networks, with perturbations, model errors and
    noise as it.
    """
    trained, leads = ensemble.trained, ensemble.lead_hours
    step = trained.config.model.step_hours
    windows, owner = _unseen_windows(trained, training, round(max(leads) / step))
    chosen = np.random.default_rng(trained.config.seed).permutation(len(windows))[:most]
    windows, owner = windows[chosen], owner[chosen]

    def of_member(number: int) -> Iterator[OutOfFold]:
        changes = partial(ensemble.draws_in_training, number), partial(ensemble.perturbed_in_training, number, training)
        return _forecasts(trained, training, leads, windows, owner, number, *changes)

    for same in zip(*map(of_member, range(ensemble.size)), strict=True):
        yield OutOfFoldEnsembles(same[0].initial_times, np.stack([one.forecasts for one in same]), same[0].truth)


def out_of_fold_forecasts(
    trained: TrainedModel, training: Archive, lead_hours: Sequence[float], most: int
) -> Iterator[OutOfFold]:
    """At most `most` forecasts in batches, from random times of the training time.

    A forecast does not leave the block that its network left out. Leads of a block or longer have no forecasts.
    """
    step = trained.config.model.step_hours
    windows, owner = _unseen_windows(trained, training, round(max(lead_hours) / step))
    chosen = np.random.default_rng(trained.config.seed).permutation(len(windows))[:most]
    yield from _forecasts(trained, training, lead_hours, windows[chosen], owner[chosen])


def out_of_fold_errors(trained: TrainedModel, training: Archive, until: float = math.inf) -> ModelErrors | None:
    """The errors of one step in the training time; None if there are fewer than `FEWEST_ERRORS`, or one is not finite.

    Of more than `MOST_BYTES`, days are chosen that are spread evenly over the training time, so that successive errors
    stay together. The computing ends after the batch in which `until` comes, a value of `time.monotonic()`.
    """
    windows, owner = _unseen_windows(trained, training, 1)
    most = MOST_BYTES // (2 * math.prod(training.fields.shape[1:]))
    chosen = _whole_days(training.times[windows[:, -2]], most)
    step = trained.config.model.step_hours
    starts, errors = [], []
    for part in _forecasts(trained, training, [step], windows[chosen], owner[chosen], first_view=0):
        starts.append(part.initial_times)
        errors.append((part.truth - part.forecasts)[:, 0])
        if time.monotonic() > until:
            break
    if sum(map(len, starts)) < FEWEST_ERRORS or not all(np.isfinite(each).all() for each in errors):
        return None
    times = np.concatenate(starts)
    order = np.argsort(times)
    return ModelErrors(trained.names, times[order], np.concatenate(errors)[order])


def _unseen_windows(
    trained: TrainedModel, training: Archive, steps: int
) -> tuple[Int[np.ndarray, "window time"], Int[np.ndarray, " window"]]:
    """The windows of so many steps inside a block, and the network that left the block out."""
    model, days = trained.config.model, trained.config.training.cross_fitting_days
    windows = window_indices(training.times, model.step_hours, model.input_times - 1 + steps)
    return unseen(windows, training.times, days, model.networks)


def _forecasts(
    trained: TrainedModel,
    training: Archive,
    lead_hours: Sequence[float],
    windows: Int[np.ndarray, "window time"],
    owner: Int[np.ndarray, " window"],
    first_view: int | None = None,
    draws: Callable[[Shaped[np.ndarray, " batch"]], Draws] = lambda _: NO_DRAWS,
    perturbed: Callable[[np.ndarray, np.ndarray], np.ndarray] = lambda _, analyses: analyses,
) -> Iterator[OutOfFold]:
    """The forecasts of these windows.

    With `first_view`, each batch uses one view, the next of that before it, as a member of an ensemble does. `draws`
    are what members add to forecasts from these times, and `perturbed` are the analyses that they start from.
    """
    predictor, inputs = Predictor(trained, lead_hours), trained.config.model.input_times
    places = predictor.lead_offsets // predictor.step_ends[0] - 1
    networks = [nnx.split(network) for network in networks_of(trained.model)]
    views = networks_of(trained.model)[0].views
    batches = _batches(owner)
    order = np.random.default_rng(trained.config.seed).permutation(len(batches))  # a part of them spans all the time
    for number, batch in enumerate(batches[place] for place in order):
        own = windows[np.resize(batch, _BATCH)]  # batches are filled, so that one program serves all
        starts, after = training.times[own[:, inputs - 1]], training.fields[own[:, inputs:]]
        view = None if first_view is None else views[(first_view + number) % len(views)]
        forecasts = predictor.run(
            networks[0][0], networks[owner[batch[0]]][1], perturbed(starts, training.fields[own[:, :inputs]]), starts,
            view, after if trained.model.has_lateral_boundary else None, *draws(starts),
        )  # fmt: skip
        count = len(batch)
        yield OutOfFold(starts[:count], forecasts[:count], after[:count, places])


def _batches(owner: Int[np.ndarray, " window"]) -> list[Int[np.ndarray, " row"]]:
    """The rows of each batch, of one network each."""
    by_network = [np.flatnonzero(owner == network) for network in np.unique(owner)]
    return [own[first : first + _BATCH] for own in by_network for first in range(0, len(own), _BATCH)]


def _whole_days(times: Shaped[np.ndarray, " time"], most: int) -> Int[np.ndarray, " row"]:
    """At most `most` rows: runs of successive days, spread evenly, if they do not all fit."""
    if len(times) <= most:
        return np.arange(len(times))
    days = times.astype("datetime64[D]").astype(np.int64)
    runs = (days - days[0]) // DAYS_TOGETHER
    numbers, sizes = np.unique(runs, return_counts=True)
    count = max(int(most / sizes.mean()), 1)
    chosen = numbers[np.linspace(0, len(numbers) - 1, count).round().astype(int)]
    return np.flatnonzero(np.isin(runs, chosen))[:most]
