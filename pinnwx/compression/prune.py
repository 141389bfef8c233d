"""Pruning by attribution: score the channels of every layer, remove the least, learn on; again.

What comes out is a model of the same architecture with narrower layers (`compression.widths`): of each group of
channels (`compression.channels`) those that matter most. So arrays really shrink, nothing is masked, and the run is
read, retrained and exported like any other. The members of a deep ensemble are scored each for itself, and keep equal
widths. The network of a learned wind is small, and stays.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from pinnwx.compression.channels import remove_channels
from pinnwx.compression.importance import Importance, importance
from pinnwx.compression.substitution import capture_activations, substitutes
from pinnwx.compression.widths import COMPARABLE, uniformly, widths
from pinnwx.config import Config
from pinnwx.config import config_text as text_of
from pinnwx.data.archive import Archive
from pinnwx.data.windows import window_indices
from pinnwx.errors import UnavailableError, UsageError
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.model.closures import closure_class
from pinnwx.model.deep_ensemble import give_weights, networks_of
from pinnwx.model.weights import named_weights, set_weights
from pinnwx.training.fit import Progress, Training, device_archive
from pinnwx.training.sampling import WindowSampler
from pinnwx.training.update import make_gradient

BATCHES = 32  # of windows of one step, that channels are scored on
SEEN = 32  # windows of one step, on which it is seen what channels have in common
BETWEEN = 0.15  # `fraction_between`,
MOST_BETWEEN = 0.5  # and of all of those rounds together at most


@dataclass(frozen=True, eq=False)
class Round:
    """What one round did.

    Attributes:
        widths: of each layer, how many channels stayed.
        importance: of the channels there were before, of each member.
        updates: made after it, of all members together; of the last round none, for that is left to do.
    """

    widths: Mapping[str, int]
    importance: tuple[Importance, ...]
    updates: int


def prune(
    trained: TrainedModel,
    archive: Archive,
    scale: np.ndarray,
    keep: float,
    criterion: str,
    *,
    updates: int | None = None,
    deadline: float | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[TrainedModel, list[Round]]:
    """A smaller model, which has to learn on still, and how it came about; `trained` is left as it is.

    Each of `compression.rounds` keeps about the same share of the channels there are, and `keep` stays of all.

    Args:
        trained: the model.
        archive: its training time.
        scale: the unit of each field's error, (field, 1, 1).
        keep: the share of channels that stays.
        criterion: which stay, one of `importance.CRITERIA`.
        updates: of the whole pruning, the learning after it too.
        deadline: `time.monotonic()` before which all of that must be done, where `updates` is None.
        progress: called as it learns between the rounds.
        stop: returning true ends it at the next check.

    Raises:
        UsageError: the model has nothing to prune, `keep` is no share, or nothing would go.
        UnavailableError: the training time is too short to learn from.
    """
    whole = require_prunable(trained, keep)
    _require_windows(trained, archive)
    count, began, pruned, rounds = trained.config.compression.rounds, time.monotonic(), trained, []
    between = fraction_between(count)
    for number in range(count):
        pruned, scores, kept = narrowed(pruned, archive, scale, criterion, keep ** ((number + 1) / count), whole)
        made = 0
        if number + 1 < count and not stop():
            few = None if updates is None else max(round(between * updates), 1)
            until = None
            if deadline is not None:
                until = min(time.monotonic() + between * (deadline - began), deadline)
            made = _fine_tune(pruned, archive, scale, few, until, progress, stop)
        rounds.append(Round(kept, scores, made))
        if stop():
            break
    if rounds[-1].widths == whole:
        raise _keeps_all(keep, whole)
    left = None if updates is None else max(updates - sum(one.updates for one in rounds), 1)
    config = pruned.config.with_training(updates=left)
    return replace(pruned, config=config, config_text=text_of(config)), rounds


def fraction_between(rounds: int) -> float:
    """Of the updates, or of the time, that each round but the last learns on for."""
    return min(BETWEEN, MOST_BETWEEN / max(rounds - 1, 1))


def require_prunable(trained: TrainedModel, keep: float) -> dict[str, int]:
    """How many channels each layer of the model has.

    Raises:
        UsageError: there is nothing to prune, or `keep` is no share, or so large that nothing would go.
    """
    if not 0 < keep < 1:
        raise UsageError(f"--keep {keep:g}: the share of channels that stay lies between 0 and 1")
    whole = {group.layer: group.size for group in trained.model.channel_groups()}
    if uniformly(whole, keep) == whole:
        raise _keeps_all(keep, whole)
    return whole


def _keeps_all(keep: float, whole: Mapping[str, int]) -> UsageError:
    return UsageError(f"--keep {keep:g} leaves all channels of all {len(whole)} layers; keep less")


def _require_windows(trained: TrainedModel, archive: Archive) -> None:
    """Raises:
    UnavailableError: the archive has no window as long as the longest rollout of training.
    """
    model, longest = trained.config.model, max(stage.steps for stage in trained.config.training.curriculum)
    analyses = model.input_times + longest
    if not len(window_indices(archive.times, model.step_hours, analyses - 1)):
        raise UnavailableError(
            f"the training time holds no {analyses} analyses in a row {model.step_hours:g} h apart, to learn on from; "
            "give --data that hold more of it"
        )


def _fine_tune(
    pruned: TrainedModel,
    archive: Archive,
    scale: np.ndarray,
    updates: int | None,
    deadline: float | None,
    progress: Callable[[Progress], None],
    stop: Callable[[], bool],
) -> int:
    """Lets it learn on from short forecasts; returns the updates made."""
    first = pruned.config.training.curriculum[0].model_copy(update={"fraction": 1.0})
    config = pruned.config.with_training(curriculum=(first,), updates=updates)
    with tempfile.TemporaryDirectory() as folder:
        training = Training(
            pruned.model, archive, config, scale, Path(folder), deadline=deadline, progress=progress, stop=stop
        )
        give_weights(pruned.model, training.run())
    return training.updates


def narrowed(
    trained: TrainedModel, archive: Archive, scale: np.ndarray, criterion: str, keep: float, whole: Mapping[str, int]
) -> tuple[TrainedModel, tuple[Importance, ...], dict[str, int]]:
    """The model with the channels of `trained` that matter most, a share `keep` of those that there were at first,
    `whole` in each layer; the scores of all; and how many each layer kept.
    """
    config, members, scores = trained.config, networks_of(trained.model), []
    groups = members[0].channel_groups()
    source = device_archive(archive, config.model.step_hours)
    of_weights = make_gradient(members[0], archive.grid, scale)
    windows = window_indices(archive.times, config.model.step_hours, config.model.input_times)
    sampler, size = WindowSampler(windows, (config.seed,)), config.training.batch_size

    def gradient(weights: Any, batch: Any) -> tuple[Any, Any]:
        return of_weights(weights, batch, source)

    for number, member in enumerate(members):
        batches = [jnp.asarray(sampler.rows(place * size, size, number)) for place in range(BATCHES)]
        generator = np.random.default_rng((config.seed, number, config.model.closure.width))
        scores.append(importance(criterion, member, groups, gradient, batches, generator))
    kept = widths(shared_by(config, criterion), groups, scores, named_weights(members[0]), keep, whole)
    closure = config.model.closure
    closure = closure_class(closure.resolved_kind).with_widths(closure, kept)
    found = trained.with_config(config.with_model(closure=closure))
    capture = capture_activations(members[0], groups)
    seen = [jnp.asarray(sampler.rows(place * size, size, len(members))) for place in range(-(-SEEN // size))]
    for own, member, narrow in zip(scores, members, networks_of(found.model), strict=True):
        chosen = {
            group.name: np.sort(np.argsort(-own[group.name], kind="stable")[: kept[group.layer]]) for group in groups
        }
        weights = named_weights(member)
        given = capture(member, source, seen)
        set_weights(narrow, remove_channels(weights, groups, chosen, substitutes(groups, chosen, given, weights)))
    return found, tuple(scores), kept


def shared_by(config: Config, criterion: str) -> str:
    """How layers share what may stay, by this criterion."""
    return config.compression.widths if criterion in COMPARABLE else "uniform"
