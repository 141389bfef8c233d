"""Forecasts of a trained model as arrays: compiled once, then called for any analysis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float32, Shaped

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time, time_features
from pinnwx.data.windows import match_times
from pinnwx.errors import StabilityError, UnavailableError, UsageError
from pinnwx.forecasting.trained import Trained
from pinnwx.model.rollout import rollout


def whole_steps(label: str, hours: float, step_hours: float) -> int:
    """How many steps of the model these hours are.

    Raises:
        UsageError: not a whole number of at least one; `label` says what the hours are.
    """
    steps = hours / step_hours
    if not math.isfinite(steps) or round(steps) < 1 or abs(steps - round(steps)) > 1e-6:
        raise UsageError(f"{label} {hours:g} h is no positive multiple of the model's step of {step_hours:g} h")
    return round(steps)


class Predictor:
    """Runs a trained forecaster from analyses to lead times."""

    def __init__(self, trained: Trained, lead_hours: Sequence[float]):
        """Leads are multiples of the model's step.

        Raises:
            UsageError: a lead is not positive or no multiple of the step.
        """
        step = trained.config.model.step_hours
        self.trained, self.lead_hours = trained, tuple(lead_hours)
        self._step = np.timedelta64(round(step * 3600), "s")
        self._wanted = np.array([whole_steps("lead", lead, step) - 1 for lead in lead_hours])
        graph, state = nnx.split(trained.model)
        self._run = partial(_rollout, graph, state, jnp.asarray(self._wanted))

    def __call__(
        self, analyses: Float32[np.ndarray, "batch input field lat lon"], initial_times: Shaped[np.ndarray, " batch"]
    ) -> Float32[np.ndarray, "batch lead field lat lon"]:
        """The forecasts at each lead, from analyses at `initial_times + input_offsets`.

        Not checked for finiteness: see `check_finite`.
        """
        middles = initial_times + self._step * np.arange(self._wanted.max() + 1)[:, None] + self._step // 2
        times = jnp.asarray(time_features(middles.reshape(-1)).reshape(*middles.shape, -1))
        return np.moveaxis(np.asarray(self._run(jnp.asarray(analyses), times)), 0, 1)

    @property
    def input_offsets(self) -> Shaped[np.ndarray, " input"]:
        """The analyses a forecast starts from, as time from its initial time: the last is 0."""
        return self._step * np.arange(1 - self.trained.config.model.input_times, 1)

    def from_archive(
        self, archive: Archive, initial_times: Shaped[np.ndarray, " batch"]
    ) -> Float32[np.ndarray, "batch lead field lat lon"]:
        """The forecasts from the archive's analyses.

        Raises:
            UnavailableError: the archive lacks an analysis that a forecast starts from.
        """
        needed = initial_times[:, None] + self.input_offsets
        rows = match_times(archive.times, needed)
        if (rows < 0).any():
            missing, first, last = map(format_time, (needed[rows < 0][0], *archive.times[[0, -1]]))
            raise UnavailableError(f"no analysis at {missing}; the data hold {first} to {last}")
        return self(archive.fields[rows], initial_times)


@partial(jax.jit, static_argnums=0)
def _rollout(graph, state, wanted, analyses, times):
    return rollout(nnx.merge(graph, state), analyses, times)[wanted]


def check_finite(
    forecast: Float32[np.ndarray, "lead field lat lon"], lead_hours: Sequence[float], trained: Trained
) -> None:
    """Refuses a forecast that blew up, naming the first lead, field and place.

    Raises:
        StabilityError: a value is not finite.
    """
    bad = np.argwhere(~np.isfinite(forecast))
    if bad.size:
        lead, field, row, _ = bad[0]
        raise StabilityError(
            f"{trained.names[field]} is not finite after {lead_hours[lead]:g} h at "
            f"{trained.grid.latitude[row]:g} N; nothing was written. Check the analysis, or train with more sub-steps"
        )
