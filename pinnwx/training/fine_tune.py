"""Learning on from trained weights: fresh windows mixed with older ones, for as long as it helps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from pinnwx.config import Config
from pinnwx.data.archive import Archive
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.model.interface import Forecaster
from pinnwx.training.devices import Devices
from pinnwx.training.fit import UPDATES_PER_DISPATCH, Progress, device_archive, seconds_per_update
from pinnwx.training.sampling import BatchSampler, Windows
from pinnwx.training.update import copied, initial_state, make_loss, make_update

CHECKS = 10  # times that early stopping is checked in a fine-tuning that is not stopped
PATIENCE = 3  # checks without a smaller error after which it is, but not before half of the way: a learning rate that
# rises again first makes errors larger
WARMUP_FRACTION = 0.1  # of the updates in which the learning rate rises
EARLY_STOPPING_FRACTION = 0.2  # of the windows, the newest, which only tell which weights to take
MOST_EARLY_STOPPING_WINDOWS = 16


@dataclass(frozen=True, eq=False)
class FineTuningWindows:
    """What to learn on from, as rows of indices into the archive.

    Attributes:
        fresh: windows that end in what the model has not seen.
        replay: older ones, so that it does not forget; there may be none.
        early_stopping: windows that are never learned from. Learning ends when their error falls no more, and the
            weights are
            taken from when it was least.
    """

    fresh: Windows
    replay: Windows
    early_stopping: Windows


def set_aside(windows: Windows, times: Shaped[np.ndarray, " time"], inputs: int) -> tuple[Windows, Windows]:
    """The windows to learn from, and the newest for early stopping: none of the former ends after a forecast of those
    begins.

    `windows` are in order of time, and hold `inputs` analyses before their forecast.
    """
    if not len(windows):
        return windows, windows
    newest = windows[len(windows) - max(int(EARLY_STOPPING_FRACTION * len(windows)), 1) :]
    learned = windows[times[windows[:, -1]] <= times[newest[0, inputs - 1]]]
    few = np.linspace(0, len(newest) - 1, min(MOST_EARLY_STOPPING_WINDOWS, len(newest))).round().astype(int)
    return learned, newest[few]


@dataclass(frozen=True, eq=False)
class FineTuned:
    """What came of it.

    Attributes:
        parameters: averaged parameters of each member, from the check with the least error.
        optimiser: the state of each member's optimiser then.
        updates: of all members together.
        early_stopping_errors: the error on the windows of early stopping before, and at each check.
        ended: why learning ended.
    """

    parameters: list[Any]
    optimiser: list[Any]
    updates: int
    early_stopping_errors: tuple[float, ...]
    ended: str = ""

    @property
    def helped(self) -> bool:
        """Whether any check saw a smaller error than there was before."""
        return min(self.early_stopping_errors[1:], default=np.inf) < self.early_stopping_errors[0]


def fine_tune(
    model: Forecaster,
    archive: Archive,
    config: Config,
    scale: np.ndarray,
    fine_tuning_windows: FineTuningWindows,
    *,
    optimiser: Sequence[Any] | None = None,
    deadline: float | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> FineTuned:
    """Goes on training the members of a model in turn, at a lower learning rate (`config.retraining`).

    Args:
        model: the trained forecaster; its own weights are left as they are.
        archive: what the windows index into.
        config: the settings of the model.
        scale: the unit of each field's error, (field, 1, 1).
        fine_tuning_windows: what it trains on.
        optimiser: the states in which an earlier training left the optimiser; fresh ones if None.
        deadline: `time.monotonic()` value before which it must be done, where `config.retraining.updates` is None.
        progress: called after each check, for a progress bar.
        stop: returning true ends it at the next check.
    """
    retraining = config.retraining
    settings = config.training.model_copy(
        update={
            "learning_rate": config.training.learning_rate * retraining.learning_rate_factor,
            "warmup_fraction": WARMUP_FRACTION,
        }
    )
    devices, members = Devices(), networks_of(model)
    devices.require_even_shares(settings.batch_size)
    source = devices.on_all(device_archive(archive, config.model.step_hours))
    update = make_update(members[0], archive.grid, scale, settings, devices)
    loss = make_loss(members[0], archive.grid, scale)
    states = [initial_state(member, settings) for member in members]
    if optimiser is not None:
        states = [state._replace(optimiser=left) for state, left in zip(states, optimiser, strict=True)]
    states = copied(devices.on_all(states))  # an update gives its state away, and these may share the model's memory
    seed, size = (config.seed,), settings.batch_size
    sampler = BatchSampler.of(fine_tuning_windows.fresh, fine_tuning_windows.replay, retraining.replay, size, seed)

    early_stopping = devices.on_all(jnp.asarray(fine_tuning_windows.early_stopping))

    def early_stopping_error(averages: Sequence[Any]) -> float:
        return float(np.mean([loss(average, early_stopping, source) for average in averages]))

    best = copied(states)
    history = [early_stopping_error([state.average for state in states])]
    total = retraining.updates
    if total is None:
        assert deadline is not None
        first = [devices.shared_out(sampler.batch(number)) for number in range(UPDATES_PER_DISPATCH)]
        seconds, began = seconds_per_update(update, states[0], first, source), time.monotonic()
        early_stopping_error([state.average for state in states])
        checks = CHECKS * (time.monotonic() - began)
        total = int((deadline - time.monotonic() - checks) / seconds)
    each = max(total // len(members), 1)
    chunk = -(-each // CHECKS)
    began, ended = time.monotonic(), f"all {each * len(members)} planned updates were made"
    while (done := int(states[0].update)) < each:
        metrics = None
        for member in range(len(members)):
            for number in range(done, min(done + chunk, each)):
                windows = devices.shared_out(sampler.batch(number, member))
                states[member], metrics = update(states[member], windows, source, each)
        history.append(early_stopping_error([state.average for state in states]))
        if history[-1] < min(history[:-1]):
            best = copied(states)
        now, together = time.monotonic(), int(states[0].update) * len(members)
        rate = together / (now - began)
        assert metrics is not None
        left = (each * len(members) - together) / rate
        progress(Progress(together, each * len(members), float(metrics.loss), rate, left, retraining.steps))
        if len(history) > PATIENCE + max(int(np.argmin(history)), CHECKS // 2):
            made = f"{together} of {each * len(members)} planned updates were made"
            ended = f"the error of early stopping fell no more, {made}"
            break
        if stop() or (deadline is not None and now > deadline):
            ended = f"its time was up, {together} of {each * len(members)} planned updates were made"
            break
    updates = sum(int(state.update) for state in states)
    return FineTuned([one.average for one in best], [one.optimiser for one in best], updates, tuple(history), ended)
