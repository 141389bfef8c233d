"""Distillation: a small student trains on forecasts of a teacher as well as on analyses.

The teacher makes forecasts from the analyses of the training time, and from perturbed analyses,

    X(t) + a (X(t1) - X(t2)),    a uniform in 0 ... `compression.perturbation_scale`,

with sequences of analyses t1, t2 of the same hour and the same season. These forecasts are expectations, without the
noise of single outcomes, and their number is unlimited (Hinton, Vinyals and Dean 2015; for a deep ensemble, model
compression: Bucila, Caruana and Niculescu-Mizil 2006). The student therefore trains on more states than the archive
holds. It trains like any model (`training.fit`), with a fraction of each batch from these forecasts.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int, Shaped

from pinnwx.config import NoiseSettings
from pinnwx.data.archive import Archive
from pinnwx.data.calendar import same_hour_and_season
from pinnwx.data.windows import window_indices
from pinnwx.errors import StabilityError, UnavailableError, UsageError
from pinnwx.forecasting.ensemble import perturbed
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.stability import is_stable
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.model.weights import count_weights

BATCH = 16
_UNPERTURBED = 0.5  # of the trajectories, that start from analyses
_FEWEST = 0.5  # of the trajectories, that must be stable


def student_of(teacher: TrainedModel, size: float, updates: int | None = None) -> TrainedModel:
    """An untrained model with the settings of the teacher and at most a fraction `size` of its weights.

    A deep ensemble first loses members, because one network can learn the mean of several; then the networks become
    narrower. It has no noise. `updates` of its training are fixed, or its budget determines them.

    Raises:
        UsageError: `size` is no fraction, or no network is that small.
    """
    if not 0 < size < 1:
        raise UsageError(f"--size {size:g}: the student's fraction of the teacher's weights lies between 0 and 1")
    most = size * count_weights(teacher.model)
    # The teacher has seen all days, and its forecasts have no noise.
    curriculum = tuple(stage.model_copy(update={"members": 1}) for stage in teacher.config.training.curriculum)
    config = teacher.config.with_training(
        updates=updates, cross_fitting_days=0.0, curriculum=curriculum, noise_alone=False
    )
    config = config.with_model(noise=NoiseSettings())
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
    """Forecasts of the teacher, each an archive that begins with the analyses it started from.

    There are `compression.teacher_trajectories` of them, as long as the longest rollout of the curriculum. Half of them
    start from unperturbed analyses. The same archive gives the same forecasts. Unstable forecasts are left out.

    Raises:
        UnavailableError: the archive has no sequence of analyses to start from, or none to perturb it with.
        StabilityError: most of the forecasts are unstable.
    """
    model, steps = teacher.config.model, max(stage.steps for stage in teacher.config.training.curriculum)
    windows = window_indices(archive.times, model.step_hours, model.input_times - 1 + steps)[:, : model.input_times]
    starts = _Starts.drawn(teacher, archive, windows)
    predictor = Predictor(teacher, [model.step_hours * number for number in range(1, steps + 1)])
    count, archives = len(starts.rows), []
    for first in range(0, count, BATCH):
        chosen = np.arange(first, min(first + BATCH, count))
        filled = np.resize(chosen, BATCH)  # the last batch is filled up, so that its shape needs no new compilation
        analyses, times = starts.analyses(teacher, archive, filled), archive.times[starts.rows[filled, -1]]
        forecasts = predictor(analyses, times, predictor.lateral_boundary(archive, times))
        for place, row in enumerate(starts.rows[chosen]):
            if is_stable(forecasts[place], predictor.lead_hours, teacher, times[place]):
                fields = np.concatenate([analyses[place], forecasts[place]])
                valid = np.concatenate([archive.times[row], times[place] + predictor.lead_offsets])
                archives.append(replace(archive, times=valid, fields=fields))
    if len(archives) < _FEWEST * count:
        raise StabilityError(
            f"{count - len(archives)} of {count} forecasts of the teacher blew up; lower perturbation_scale of "
            "[compression], or use a teacher that has model.climate.bound_margin set"
        )
    return archives


@dataclass(frozen=True, eq=False)
class _Starts:
    """What the trajectories start from; the first are unperturbed.

    Attributes:
        rows: indices of the analyses of each start.
        one, other: the sequences whose difference is the perturbation, for the last starts.
        size: the factor of the difference.
    """

    rows: Int[np.ndarray, "start input"]
    one: Int[np.ndarray, "perturbed input"]
    other: Int[np.ndarray, "perturbed input"]
    size: Float[np.ndarray, "perturbed 1 1 1 1"]

    @classmethod
    def drawn(cls, teacher: TrainedModel, archive: Archive, windows: Int[np.ndarray, "window input"]) -> _Starts:
        """The starts of a teacher, from sequences of analyses."""
        settings, generator = teacher.config.compression, np.random.default_rng((teacher.config.seed, 3))
        rows = _starts(windows, settings.teacher_trajectories, generator)
        unperturbed = round(_UNPERTURBED * len(rows))
        one, other = _differences(rows[unperturbed:], windows, archive.times, generator)
        size = generator.uniform(0, settings.perturbation_scale, (len(one), 1, 1, 1, 1))
        return cls(rows, one, other, size.astype(np.float32))

    def analyses(
        self, teacher: TrainedModel, archive: Archive, numbers: Int[np.ndarray, " number"]
    ) -> Float[np.ndarray, "number input field lat lon"]:
        """The analyses of the starts with these numbers."""
        analyses, unperturbed = archive.fields[self.rows[numbers]], len(self.rows) - len(self.one)
        late = numbers >= unperturbed
        if late.any():
            row = numbers[late] - unperturbed
            difference = self.size[row] * (archive.fields[self.one[row]] - archive.fields[self.other[row]])
            analyses[late] = perturbed(teacher, analyses[late], difference)
        return analyses


def _starts(
    windows: Int[np.ndarray, "window input"], count: int, generator: np.random.Generator
) -> Int[np.ndarray, "count input"]:
    """Sequences of analyses in random order; each occurs once before any occurs again."""
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
    """For each start two different sequences of its time of day and season."""
    pairs = []
    for start in times[rows[:, -1]]:
        usable = np.flatnonzero(same_hour_and_season(times[windows[:, -1]], start))
        if len(usable) < 2:
            raise UnavailableError("the training time has no two sequences of analyses of one time of day and season")
        pairs.append(windows[generator.choice(usable, 2, replace=False)])
    both = np.array(pairs, windows.dtype).reshape(len(rows), 2, windows.shape[1])
    return both[:, 0], both[:, 1]
