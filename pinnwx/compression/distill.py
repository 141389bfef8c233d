"""Distillation: a small student trains on forecasts of a teacher as well as on analyses.

The teacher forecasts from the analyses of the training time, and from perturbed analyses,

    X(t) + a (X(t1) - X(t2)),    a uniform in 0 ... `compression.perturbation_scale`,

with sequences of analyses t1, t2 of the same hour and the same season. Its forecasts are expectations, free of the
noise of single outcomes, and their number is unlimited (Hinton, Vinyals and Dean 2015; for a deep ensemble, model
compression: Bucila, Caruana and Niculescu-Mizil 2006). So the student sees more states than the archive holds. It
trains as any model does (`training.fit`), with a fraction of each batch from those forecasts.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace

import numpy as np
from jaxtyping import Int, Shaped

from pinnwx.data.archive import Archive
from pinnwx.data.windows import window_indices
from pinnwx.errors import StabilityError, UnavailableError, UsageError
from pinnwx.forecasting.ensemble import alike, perturbed
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.stability import is_stable
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.model.weights import count_weights

BATCH = 16
_PLAIN = 0.5  # of the trajectories, that start from analyses as they are
_FEWEST = 0.5  # of the trajectories, that must be good


def student_of(teacher: TrainedModel, size: float, updates: int | None = None) -> TrainedModel:
    """An untrained model of the teacher's settings with at most `size` of its weights.

    A deep ensemble first loses members, for one network can learn what several say; then the networks become narrower.
    It is to make so many `updates`, or as many as its time allows.

    Raises:
        UsageError: the size is no share, or no network is that small.
    """
    if not 0 < size < 1:
        raise UsageError(f"--size {size:g}: the student's share of its teacher's weights lies between 0 and 1")
    most = size * count_weights(teacher.model)
    config = teacher.config.with_training(updates=updates)
    if not config.model.closure.enabled:
        raise UsageError("the model has no network (model.closure.enabled = false): there is nothing to distil")
    members = max(int(size * config.model.networks), 1)

    def student(width: int) -> TrainedModel:
        return teacher.with_config(config.with_model(networks=members, closure=config.model.closure.narrower(width)))

    widths = range(1, config.model.closure.width + 1)
    width = bisect_right(widths, most, key=lambda width: count_weights(student(width).model))
    if not width:
        raise UsageError(f"--size {size:g}: even networks of one channel have more weights than that; ask for more")
    return student(width)


def teacher_trajectories(teacher: TrainedModel, archive: Archive) -> list[Archive]:
    """Forecasts of the teacher, each with the analyses that it started from before it.

    As many as `compression.teacher_trajectories`, half of them from analyses as they are, as long as the longest
    rollout of training, and the same for the same archive; such as blew up are left out.

    Raises:
        UnavailableError: the archive has no sequence of analyses to start from, or none to perturb it with.
        StabilityError: most of them blew up.
    """
    config, settings = teacher.config, teacher.config.compression
    inputs, steps = config.model.input_times, max(stage.steps for stage in config.training.curriculum)
    windows = window_indices(archive.times, config.model.step_hours, inputs - 1 + steps)[:, :inputs]
    generator = np.random.default_rng((config.seed, 3))
    rows = _starts(windows, settings.teacher_trajectories, generator)
    plain = round(_PLAIN * len(rows))
    one, other = _differences(rows[plain:], windows, archive.times, generator)
    size = generator.uniform(0, settings.perturbation_scale, (len(rows) - plain, 1, 1, 1, 1)).astype(np.float32)
    predictor = Predictor(teacher, [config.model.step_hours * number for number in range(1, steps + 1)])
    after = predictor.lead_offsets
    made: list[Archive] = []
    for first in range(0, len(rows), BATCH):
        chosen = np.arange(first, min(first + BATCH, len(rows)))
        filled = np.resize(chosen, BATCH)  # the last batch is filled up, so that nothing compiles anew
        analyses, starts = archive.fields[rows[filled]], archive.times[rows[filled, -1]]
        late = filled >= plain
        if late.any():
            row = filled[late] - plain
            difference = size[row] * (archive.fields[one[row]] - archive.fields[other[row]])
            analyses[late] = perturbed(teacher, analyses[late], difference)
        forecasts = predictor(analyses, starts, predictor.lateral_boundary(archive, starts))
        for place in range(len(chosen)):
            if not is_stable(forecasts[place], predictor.lead_hours, teacher, starts[place]):
                continue
            fields = np.concatenate([analyses[place], forecasts[place]])
            times = np.concatenate([archive.times[rows[chosen[place]]], starts[place] + after])
            made.append(replace(archive, times=times, fields=fields))
    if len(made) < _FEWEST * len(rows):
        raise StabilityError(
            f"{len(rows) - len(made)} of {len(rows)} forecasts of the teacher blew up; lower perturbation_scale of "
            "[compression], or teach with a model that has model.climate.bound_margin set"
        )
    return made


def _starts(
    windows: Int[np.ndarray, "window input"], count: int, generator: np.random.Generator
) -> Int[np.ndarray, "count input"]:
    """Sequences of analyses, each once before any again."""
    if not len(windows):
        raise UnavailableError("the training time has no sequence of analyses as long as the longest rollout")
    passes = [generator.permutation(len(windows)) for _ in range(-(-count // len(windows)))]
    return windows[np.concatenate(passes)[:count]]


def _differences(
    rows: Int[np.ndarray, "start input"],
    windows: Int[np.ndarray, "window input"],
    times: Shaped[np.ndarray, " time"],
    generator: np.random.Generator,
) -> tuple[Int[np.ndarray, "start input"], Int[np.ndarray, "start input"]]:
    """For each start two different sequences of its time of day."""
    pairs = []
    for start in times[rows[:, -1]]:
        usable = np.flatnonzero(alike(times[windows[:, -1]], start))
        if len(usable) < 2:
            raise UnavailableError("the training time has no two sequences of analyses of one time of day and season")
        pairs.append(windows[generator.choice(usable, 2, replace=False)])
    both = np.array(pairs, windows.dtype).reshape(len(rows), 2, windows.shape[1])
    return both[:, 0], both[:, 1]
