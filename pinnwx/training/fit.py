"""Training: a model is fitted to the analyses of its training time, and to forecasts of a teacher if there are any."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from pinnwx.config import Config, ModelSettings
from pinnwx.data.archive import Archive
from pinnwx.data.windows import window_indices
from pinnwx.errors import ConfigError, DataError
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.model.interface import Forecaster
from pinnwx.model.noise import has_layers
from pinnwx.training.cross_fitting import left_out
from pinnwx.training.recording import identity, recording
from pinnwx.training.sampling import BatchSampler
from pinnwx.training.stopping import StoppingRule, UpdateCount, WallClock
from pinnwx.training.trainer import NO_HOOKS, UPDATES_PER_TURN, Hooks, Trainer, TrainingResult
from pinnwx.training.update import initial_state

_log = logging.getLogger(__name__)


def fit(
    model: Forecaster,
    archive: Archive,
    config: Config,
    scale: np.ndarray,
    *,
    teacher_trajectories: Sequence[Archive] = (),
    deadline: float | None = None,
    folder: Path | None = None,
    resume: bool = False,
    initial_weights: str | None = None,
    hooks: Hooks = NO_HOOKS,
) -> TrainingResult:
    """Trains a model by the curriculum of `config.training`; the memory of its weights is taken over.

    Args:
        model: where training begins.
        archive: the training time.
        config: the settings of the model.
        scale: the unit of each field's error, (field, 1, 1).
        teacher_trajectories: forecasts of a teacher, each an archive that begins with the analyses it started from. Of
            each batch, `compression.teacher_fraction` are windows of those.
        deadline: by the clock of `hooks`, where `config.training.updates` is None.
        folder: the run folder, for the log and the checkpoints; if None, nothing is written.
        resume: go on from the newest checkpoint of the folder.
        initial_weights: a digest of the weights of `model`, where they do not follow from the seed.
        hooks: progress, a request to stop, the clock.

    Raises:
        ConfigError: the noise is to be trained alone, and has no layers of its own.
        DataError: no window of the training time is long enough, or the data are not those to resume with.
        CheckpointError: there is no training state to resume that fits.
        StabilityError: the loss stays non-finite.
    """
    if config.training.noise_alone and not has_layers(model):
        raise ConfigError("training.noise_alone: the network has no layers of its own for the noise; leave the key out")
    archives = [archive, *teacher_trajectories]
    batches = curriculum_batches(archives, config)
    rule = _stopping_rule(config, len(networks_of(model)), deadline)
    members = [stage.members for stage in config.training.curriculum]
    trainer = Trainer(model, archives, config, scale, batches, rule, hooks, members)
    states = [initial_state(member, config.training) for member in networks_of(model)]
    if folder is None:
        return trainer.run(states)
    with recording(folder, states, identity(archives, config, initial_weights), resume=resume) as (resumed, callbacks):
        if resumed is None:
            return trainer.run(states, callbacks=callbacks)
        done = sum(int(state.update) for state in resumed.states)
        _log.info("going on from update %s of %s", f"{done:,}", f"{resumed.plan.total:,}")
        return trainer.run(resumed.states, resumed.plan, callbacks)


def _stopping_rule(config: Config, members: int, deadline: float | None) -> StoppingRule:
    curriculum, multiple = config.training.curriculum, UPDATES_PER_TURN * members
    if config.training.updates is not None:
        return UpdateCount(curriculum, config.training.updates, multiple)
    assert deadline is not None
    return WallClock(curriculum, deadline, multiple)


def curriculum_batches(archives: Sequence[Archive], config: Config) -> list[BatchSampler]:
    """The batches of each stage: windows of the first archive, and of the others `compression.teacher_fraction`.

    Windows index into all archives, end to end; none spans two. With `training.cross_fitting_days`, each network leaves
    out its blocks of the first archive.
    """
    analyses, *forecasts = archives
    fraction, size = config.compression.teacher_fraction, config.training.batch_size
    samplers = []
    for stage, steps in enumerate(each.steps for each in config.training.curriculum):
        windows = windows_of(analyses, config.model, steps)
        others, place = [windows[:0]], len(analyses)
        for forecast in forecasts:
            own = window_indices(forecast.times, config.model.step_hours, config.model.input_times + steps - 1)
            others.append(own + np.int32(place))
            place += len(forecast)
        days = config.training.cross_fitting_days
        excluded = left_out(windows, analyses.times, days, config.model.networks) if days else None
        samplers.append(
            BatchSampler.of(windows, np.concatenate(others), fraction, size, (config.seed, stage), excluded)
        )
    return samplers


def windows_of(archive: Archive, model: ModelSettings, steps: int) -> Int32[np.ndarray, "window analysis"]:
    """The windows of the archive for a rollout of so many steps, as rows of indices.

    Raises:
        DataError: the archive has none.
    """
    analyses = model.input_times + steps
    windows = window_indices(archive.times, model.step_hours, analyses - 1)
    if not len(windows):
        raise DataError(
            f"the training time holds no {analyses} analyses in a row {model.step_hours:g} h apart; "
            f"its {len(archive.times)} analyses are {archive.step_hours:g} h apart"
        )
    return windows
