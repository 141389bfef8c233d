"""Fine-tuning: a trained model goes on training on fresh windows, mixed with older ones, with early stopping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pinnwx.config import Config, Stage
from pinnwx.data.archive import Archive
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.model.interface import Forecaster
from pinnwx.training.sampling import BatchSampler, Windows
from pinnwx.training.stopping import EarlyStopping, UpdateCount, WallClock
from pinnwx.training.trainer import NO_HOOKS, Hooks, Trainer, TrainingResult
from pinnwx.training.update import copied, initial_state

WARMUP_FRACTION = 0.1  # of the updates in which the learning rate rises
EARLY_STOPPING_FRACTION = 0.2  # of the fresh windows, the newest, which are set aside for early stopping
MOST_EARLY_STOPPING_WINDOWS = 16


@dataclass(frozen=True, eq=False)
class FineTuningWindows:
    """The windows of a fine-tuning, as rows of indices into the archive.

    Attributes:
        fresh: windows that end after the training time of the model.
        replay: older ones, against forgetting; there may be none.
        early_stopping: windows that are not trained on. The training ends when their error falls no more, and its
            result is the state with their smallest error.
    """

    fresh: Windows
    replay: Windows
    early_stopping: Windows


def set_aside(windows: Windows, times: Shaped[np.ndarray, " time"], inputs: int) -> tuple[Windows, Windows]:
    """Splits windows into those to train on and the newest for early stopping.

    None of the former ends after a forecast of the latter begins. `windows` are in order of time, and hold `inputs`
    analyses before their forecast.
    """
    if not len(windows):
        return windows, windows
    newest = windows[len(windows) - max(int(EARLY_STOPPING_FRACTION * len(windows)), 1) :]
    training = windows[times[windows[:, -1]] <= times[newest[0, inputs - 1]]]
    spread = np.linspace(0, len(newest) - 1, min(MOST_EARLY_STOPPING_WINDOWS, len(newest))).round().astype(int)
    return training, newest[spread]


def fine_tune(
    model: Forecaster,
    archive: Archive,
    config: Config,
    scale: np.ndarray,
    windows: FineTuningWindows,
    *,
    optimiser: Sequence[Any] | None = None,
    deadline: float | None = None,
    hooks: Hooks = NO_HOOKS,
) -> TrainingResult:
    """Goes on training a model, at a lower learning rate (`config.retraining`).

    A model with noise goes on training on the CRPS of its members, except where `training.noise_alone` keeps the square
    error of single forecasts; early stopping looks at its single forecasts.

    Args:
        model: the trained forecaster; its own weights are left as they are.
        archive: what the windows index into.
        config: the settings of the model.
        scale: the unit of each field's error, (field, 1, 1).
        windows: what it trains on, and what stops it early.
        optimiser: the optimiser states at the end of an earlier training; fresh ones if None.
        deadline: by the clock of `hooks`, where `config.retraining.updates` is None.
        hooks: progress, a request to stop, the clock.

    Raises:
        StabilityError: the loss stays non-finite.
    """
    retraining, members = config.retraining, networks_of(model)
    config = config.with_training(
        learning_rate=config.training.learning_rate * retraining.learning_rate_factor, warmup_fraction=WARMUP_FRACTION
    )
    batches = BatchSampler.of(
        windows.fresh, windows.replay, retraining.replay, config.training.batch_size, (config.seed,)
    )
    curriculum = (Stage(steps=windows.fresh.shape[1] - config.model.input_times, fraction=1.0),)
    if retraining.updates is not None:
        updates = max(retraining.updates - retraining.updates % len(members), len(members))
        budget = UpdateCount(curriculum, updates, len(members))
    else:
        assert deadline is not None
        budget = WallClock(curriculum, deadline, len(members))
    rule = EarlyStopping(budget, windows.early_stopping)
    most = 1 if config.training.noise_alone else max(stage.members for stage in config.training.curriculum)
    trainer = Trainer(model, [archive], config, scale, [batches], rule, hooks, [most])
    states = [initial_state(member, config.training) for member in members]
    if optimiser is not None:
        states = [state._replace(optimiser=earlier) for state, earlier in zip(states, optimiser, strict=True)]
    return trainer.run(copied(states))  # a copy, because the updates take over the memory of the states
