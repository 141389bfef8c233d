"""Pruning by attribution: score the channels of every layer, remove the least, learn on; again.

What comes out is a model of the same architecture with narrower layers (`compression.widths`): of each group of
channels (`compression.channels`) those that matter most. So arrays really shrink, nothing is masked, and the run is
read, retrained and exported like any other. The members of a deep ensemble are scored each for itself, and keep equal
widths. The network of a learned wind is small, and stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from pinnwx.training.fit import fit
from pinnwx.training.sampling import WindowSampler
from pinnwx.training.trainer import NO_HOOKS, Hooks
from pinnwx.training.update import device_archive, make_gradient

BATCHES = 32  # of windows of one step, that channels are scored on
CAPTURED = 32  # windows of one step, whose activations tell what channels have in common
BETWEEN = 0.15  # of the budget, that fine-tuning takes after each round but the last,
MOST_BETWEEN = 0.5  # and after all of them together at most


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
    hooks: Hooks = NO_HOOKS,
) -> tuple[TrainedModel, list[Round]]:
    """Returns a smaller model, which is not yet fine-tuned after the last round, and the rounds.

    Each of `compression.rounds` keeps about the same fraction of the remaining channels. `trained` is left as it is.

    Args:
        trained: the model.
        archive: its training time.
        scale: the unit of each field's error, (field, 1, 1).
        keep: the fraction of all channels that stays.
        criterion: which channels stay, one of `importance.CRITERIA`.
        updates: of the whole pruning, with the fine-tuning after it.
        deadline: by the clock of `hooks`, of all of that, where `updates` is None.
        hooks: progress of the fine-tuning between the rounds, a request to stop, the clock.

    Raises:
        UsageError: the model has nothing to prune, `keep` is no fraction, or no channel would go.
        UnavailableError: the training time is shorter than the longest rollout.
    """
    whole = require_prunable(trained, keep)
    _require_windows(trained, archive)
    count, began, pruned, rounds = trained.config.compression.rounds, hooks.clock(), trained, []
    between = fraction_between(count)
    for number in range(count):
        pruned, scores, sizes = narrowed(pruned, archive, scale, criterion, keep ** ((number + 1) / count), whole)
        done = 0
        if number + 1 < count and not hooks.stop():
            few = None if updates is None else max(round(between * updates), 1)
            until = None
            if deadline is not None:
                until = min(hooks.clock() + between * (deadline - began), deadline)
            done = _fine_tune(pruned, archive, scale, few, until, hooks)
        rounds.append(Round(sizes, scores, done))
        if hooks.stop():
            break
    if rounds[-1].widths == whole:
        raise _keeps_all(keep, whole)
    left = None if updates is None else max(updates - sum(one.updates for one in rounds), 1)
    config = pruned.config.with_training(updates=left)
    return replace(pruned, config=config, config_text=text_of(config)), rounds


def fraction_between(rounds: int) -> float:
    """The fraction of the updates, or of the time, for the fine-tuning after each round but the last."""
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
    hooks: Hooks,
) -> int:
    """Trains on the rollouts of the first stage; returns the updates done."""
    first = pruned.config.training.curriculum[0].model_copy(update={"fraction": 1.0})
    config = pruned.config.with_training(curriculum=(first,), updates=updates)
    result = fit(pruned.model, archive, config, scale, deadline=deadline, hooks=hooks)
    give_weights(pruned.model, result.parameters)
    return result.updates


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
    seen = [jnp.asarray(sampler.rows(place * size, size, len(members))) for place in range(-(-CAPTURED // size))]
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
