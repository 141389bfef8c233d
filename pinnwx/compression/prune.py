"""Pruning by attribution: score the channels of every layer, remove the least, learn on; again.

What comes out is a model of the same architecture whose `model.closure.width` is smaller: of each group of channels
(`compression.channels`) it has as many as a network of that width has, the ones that matter most. (Of fine ones that is
half of the width, but no less than 16.) So arrays really shrink, nothing is masked, and the run is read, retrained and
exported like any other. The members of a committee are scored and pruned each for itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from pinnwx.compression.channels import groups_of, without
from pinnwx.compression.importance import Importance, importance
from pinnwx.config import Config
from pinnwx.data.archive import Archive
from pinnwx.data.windows import window_indices
from pinnwx.errors import UnavailableError, UsageError
from pinnwx.forecasting.trained import Trained, resized
from pinnwx.model.committee import give_weights, members_of
from pinnwx.model.weights import named_weights, set_weights
from pinnwx.training.fit import Report, device_archive
from pinnwx.training.lessons import Lessons
from pinnwx.training.refit import Material, refit, set_aside
from pinnwx.training.update import make_gradient

BATCHES = 32  # of windows of one step, that channels are scored on


@dataclass(frozen=True, eq=False)
class Pruned:
    """A pruned model and how it came about.

    Attributes:
        trained: the model.
        rounds: what each did.
        optimiser: the state in which the last left the optimiser, of each member.
    """

    trained: Trained
    rounds: tuple[Round, ...]
    optimiser: list[Any]


@dataclass(frozen=True, eq=False)
class Round:
    """What one round did.

    Attributes:
        width: `model.closure.width` after it.
        importance: of the channels there were before, of each member.
        updates: made after it, of all members together.
    """

    width: int
    importance: tuple[Importance, ...]
    updates: int


def prune(
    trained: Trained,
    archive: Archive,
    scale: np.ndarray,
    settings: Sequence[Config],
    order: str,
    *,
    deadline: float | None = None,
    report: Callable[[Report], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Pruned:
    """A smaller model; `trained` is left as it is.

    Args:
        trained: the model.
        archive: its training time.
        scale: the unit of each field's error, (field, 1, 1).
        settings: of the model after each round, as `rounds_of` makes them.
        order: which to keep, one of `importance.ORDERS`.
        deadline: `time.monotonic()` before which it must be done, where `compression.updates` is None.
        report: called as it learns on.
        stop: returning true ends it at the next check.

    Raises:
        UsageError: the model has nothing to prune.
        UnavailableError: the training time is too short to learn on from.
    """
    material, rounds, pruned, optimiser = _material(trained.config, archive), [], trained, []
    for number, config in enumerate(settings):
        until = None if deadline is None else _part_of(deadline, len(settings) - number)
        pruned, scores = narrowed(pruned, archive, scale, config, order, material.fresh.max())
        learning = _learning_on(config)
        refitted = refit(pruned.model, archive, learning, scale, material, deadline=until, report=report, stop=stop)
        give_weights(pruned.model, refitted.parameters)
        rounds.append(Round(config.model.closure.width, scores, refitted.updates))
        optimiser = refitted.optimiser
        if stop():
            break
    return Pruned(pruned, tuple(rounds), optimiser)


def _part_of(deadline: float, rounds: int) -> float:
    """When one of so many rounds ends that have until `deadline`."""
    now = time.monotonic()
    return now + (deadline - now) / rounds


def narrowed(
    trained: Trained, archive: Archive, scale: np.ndarray, config: Config, order: str, last: int | np.integer
) -> tuple[Trained, tuple[Importance, ...]]:
    """The model of the narrower settings `config` with the channels of `trained` that matter most, and their scores.

    `last` is the last analysis of the archive that channels are scored on, by its place.
    """
    found, members, scores = resized(trained, config), members_of(trained.model), []
    source = device_archive(archive, config.model.step_hours)
    of_weights = make_gradient(members[0], archive.grid, scale)
    windows = window_indices(archive.times, config.model.step_hours, config.model.input_times)
    lessons, size = Lessons(windows[windows[:, -1] <= last], (config.seed,)), config.training.batch_size

    def gradient(weights: Any, batch: Any) -> tuple[Any, Any]:
        return of_weights(weights, batch, source)

    for number, (member, narrow) in enumerate(zip(members, members_of(found.model), strict=True)):
        groups, smaller = groups_of(member), groups_of(narrow)
        batches = [jnp.asarray(lessons.rows(place * size, size, number)) for place in range(BATCHES)]
        generator = np.random.default_rng((config.seed, number, config.model.closure.width))
        own = importance(order, member, groups, gradient, batches, generator)
        kept = {
            group.name: np.sort(np.argsort(-own[group.name], kind="stable")[: few.size])
            for group, few in zip(groups, smaller, strict=True)
        }
        set_weights(narrow, without(named_weights(member), groups, kept))
        scores.append(own)
    return found, tuple(scores)


def rounds_of(config: Config, keep: float) -> list[Config]:
    """The settings after each round of pruning to a share `keep` of the width, which falls by the same share each time.

    Raises:
        UsageError: it is no share, or so large that nothing would go.
    """
    if not 0 < keep < 1:
        raise UsageError(f"--keep {keep:g}: the share of channels that stay lies between 0 and 1")
    closure, rounds = config.model.closure, config.compression.rounds
    learned = any(equation.learned_wind for equation in config.model.physics.transport)
    widths = {"width": closure.width} | ({"learned_wind_width": closure.learned_wind_width} if learned else {})
    found = []
    for number in range(1, rounds + 1):
        fewer = {name: max(round(width * keep ** (number / rounds)), 1) for name, width in widths.items()}
        found.append(config.with_model(closure=closure.model_copy(update=fewer)))
    if found[-1].model.closure.width == closure.width:
        raise UsageError(f"--keep {keep:g} leaves all {closure.width} channels; keep less")
    return found


def _learning_on(config: Config) -> Config:
    """With the settings of one round as those of learning on."""
    own = config.compression
    updates = None if own.updates is None else max(own.updates // own.rounds, 1)
    changes = {"learning_rate_share": own.learning_rate_share, "steps": own.steps, "updates": updates}
    return config.model_copy(update={"retraining": config.retraining.model_copy(update=changes)})


def _material(config: Config, archive: Archive) -> Material:
    """The windows to learn on from, and to watch."""
    inputs, steps = config.model.input_times, config.compression.steps
    windows = window_indices(archive.times, config.model.step_hours, inputs - 1 + steps)
    learned, watched = set_aside(windows, archive.times, inputs)
    if not len(learned):
        raise UnavailableError(
            f"the training time holds {len(windows)} windows of {inputs + steps} analyses, too few to learn from and "
            "to watch; lower steps of [compression]"
        )
    return Material(learned, windows[:0], watched)
