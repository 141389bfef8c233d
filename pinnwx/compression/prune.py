"""Pruning by attribution, in rounds: score the channels of every layer, remove the least important ones, fine-tune.

The result is a model of the same architecture with narrower layers (`compression.widths`), which hold the most
important channels of each group (`compression.channels`). The arrays become smaller; nothing is masked. The run is
read, retrained and exported like any other. The members of a deep ensemble have their own scores and equal widths. The
small network of a learned wind is not pruned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
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
from pinnwx.model.closures.channels import ChannelGroup
from pinnwx.model.deep_ensemble import give_weights, networks_of
from pinnwx.model.weights import named_weights, set_weights
from pinnwx.training.fit import fit
from pinnwx.training.sampling import WindowSampler
from pinnwx.training.trainer import NO_HOOKS, Hooks
from pinnwx.training.update import Source, device_archive, make_gradient

BATCHES = 32  # of windows of one step, for the scores of the channels
CAPTURED = 32  # windows of one step, for the activations that substitutes are fitted to
BETWEEN = 0.15  # of the budget for the fine-tuning after each round but the last,
MOST_BETWEEN = 0.5  # and at most this much for all of these


@dataclass(frozen=True, eq=False)
class Round:
    """The result of one round.

    Attributes:
        widths: the number of channels that stay in each layer.
        importance: of the channels before the round, for each member.
        updates: of the fine-tuning after the round, of all members together; 0 after the last round, whose fine-tuning
            is left to the caller.
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
    few = None if updates is None else max(round(between * updates), 1)
    for number in range(count):
        pruned, scores, sizes = narrowed(pruned, archive, scale, criterion, keep ** ((number + 1) / count), whole)
        done = 0
        if number + 1 < count and not hooks.stop():
            until = None if deadline is None else min(hooks.clock() + between * (deadline - began), deadline)
            done = _fine_tune(pruned, archive, scale, few, until, hooks)
        rounds.append(Round(sizes, scores, done))
        if hooks.stop():
            break
    if rounds[-1].widths == whole:
        raise _keeps_all(keep, whole)
    left = None if updates is None else max(updates - sum(one.updates for one in rounds), 1)
    config = pruned.config.with_training(updates=left, cross_fitting_days=0.0)
    return replace(pruned, config=config, config_text=text_of(config)), rounds


def fraction_between(rounds: int) -> float:
    """The fraction of the updates, or of the time, for the fine-tuning after each round but the last."""
    return min(BETWEEN, MOST_BETWEEN / max(rounds - 1, 1))


def require_prunable(trained: TrainedModel, keep: float) -> dict[str, int]:
    """The number of channels of each layer of the model.

    Raises:
        UsageError: the model has nothing to prune, `keep` is no fraction, or no channel would go.
    """
    if not 0 < keep < 1:
        raise UsageError(f"--keep {keep:g}: the fraction of channels that stays lies between 0 and 1")
    whole = {group.layer: group.size for group in trained.model.channel_groups()}
    if uniformly(whole, keep) == whole:
        raise _keeps_all(keep, whole)
    return whole


def _keeps_all(keep: float, whole: Mapping[str, int]) -> UsageError:
    return UsageError(f"--keep {keep:g} leaves all channels of all {len(whole)} layers; keep less")


def _require_windows(trained: TrainedModel, archive: Archive) -> None:
    """Raises:
    UnavailableError: the archive has no window as long as the longest rollout of the curriculum.
    """
    model, longest = trained.config.model, max(stage.steps for stage in trained.config.training.curriculum)
    analyses = model.input_times + longest
    if not len(window_indices(archive.times, model.step_hours, analyses - 1)):
        raise UnavailableError(
            f"the training time holds no {analyses} analyses in a row {model.step_hours:g} h apart; "
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
    config = pruned.config.with_training(curriculum=(first,), updates=updates, cross_fitting_days=0.0)
    result = fit(pruned.model, archive, config, scale, deadline=deadline, hooks=hooks)
    give_weights(pruned.model, result.parameters)
    return result.updates


def narrowed(
    trained: TrainedModel, archive: Archive, scale: np.ndarray, criterion: str, keep: float, whole: Mapping[str, int]
) -> tuple[TrainedModel, tuple[Importance, ...], dict[str, int]]:
    """One round: the most important channels of `trained` stay.

    Args:
        trained: the model, which is left as it is.
        archive: its training time.
        scale: the unit of each field's error, (field, 1, 1).
        criterion: of importance.
        keep: the fraction that stays of the channels before the first round.
        whole: the number of these in each layer.

    Returns:
        The narrower model, the importance of all channels for each member, and the new widths of the layers.
    """
    config, members = trained.config, networks_of(trained.model)
    groups = members[0].channel_groups()
    source = device_archive(archive, config.model.step_hours)
    windows = window_indices(archive.times, config.model.step_hours, config.model.input_times)
    sampler, size = WindowSampler(windows, (config.seed,)), config.training.batch_size
    scores = _scores(trained, groups, criterion, sampler, make_gradient(members[0], archive.grid, scale), source)
    sizes = widths(shared_by(config, criterion), groups, scores, named_weights(members[0]), keep, whole)
    closure = config.model.closure
    closure = closure_class(closure.resolved_kind).with_widths(closure, sizes)
    narrow = trained.with_config(config.with_model(closure=closure))
    capture = capture_activations(members[0], groups)
    batches = [jnp.asarray(sampler.rows(place * size, size, len(members))) for place in range(-(-CAPTURED // size))]
    for own, member, narrow_member in zip(scores, members, networks_of(narrow.model), strict=True):
        chosen = {
            group.name: np.sort(np.argsort(-own[group.name], kind="stable")[: sizes[group.layer]]) for group in groups
        }
        weights, activations = named_weights(member), capture(member, source, batches)
        fitted = substitutes(groups, chosen, activations, weights)
        set_weights(narrow_member, remove_channels(weights, groups, chosen, fitted))
    return narrow, scores, sizes


def _scores(
    trained: TrainedModel,
    groups: Sequence[ChannelGroup],
    criterion: str,
    sampler: WindowSampler,
    gradient: Callable[[Any, Any, Source], tuple[Any, Any]],
    source: Source,
) -> tuple[Importance, ...]:
    """The importance of all channels for each member, on batches of its own."""
    config, scores = trained.config, []
    size = config.training.batch_size
    for number, member in enumerate(networks_of(trained.model)):
        batches = [jnp.asarray(sampler.rows(place * size, size, number)) for place in range(BATCHES)]
        generator = np.random.default_rng((config.seed, number, config.model.closure.width))
        gradient_of = partial(_gradient_on, gradient, source)
        scores.append(importance(criterion, member, groups, gradient_of, batches, generator))
    return tuple(scores)


def _gradient_on(gradient: Callable[..., tuple[Any, Any]], source: Source, weights: Any, batch: Any) -> tuple[Any, Any]:
    return gradient(weights, batch, source)


def shared_by(config: Config, criterion: str) -> str:
    """How the layers share the channels that stay, for this criterion: "global" or "uniform"."""
    return config.compression.widths if criterion in COMPARABLE else "uniform"
