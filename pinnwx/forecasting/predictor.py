"""Forecasts of a trained model as arrays: compiled once, then called for any analysis."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float32, Shaped

from pinnwx.data.calendar import time_features
from pinnwx.errors import StabilityError, UsageError
from pinnwx.forecasting.trained import Trained
from pinnwx.model.rollout import rollout


class Predictor:
    """Runs a trained forecaster from analyses to lead times."""

    def __init__(self, trained: Trained, lead_hours: Sequence[float]):
        """Leads are multiples of the model's step.

        Raises:
            UsageError: a lead is not positive or no multiple of the step.
        """
        step = trained.config.model.step_hours
        for lead in lead_hours:
            if lead <= 0 or abs(lead / step - round(lead / step)) > 1e-6:
                raise UsageError(f"lead {lead:g} h is no positive multiple of the model's step of {step:g} h")
        self.trained, self.lead_hours = trained, tuple(lead_hours)
        self._wanted = np.array([round(lead / step) - 1 for lead in lead_hours])
        graph, state = nnx.split(trained.model)
        self._run = partial(_rollout, graph, state, jnp.asarray(self._wanted))

    def __call__(
        self, analyses: Float32[np.ndarray, "batch field lat lon"], initial_times: Shaped[np.ndarray, " batch"]
    ) -> Float32[np.ndarray, "batch lead field lat lon"]:
        """The forecasts at each lead. Not checked for finiteness: see `check_finite`."""
        step = np.timedelta64(round(self.trained.config.model.step_hours * 3600), "s")
        middles = initial_times + step * np.arange(self._wanted.max() + 1)[:, None] + step // 2
        times = jnp.asarray(time_features(middles.reshape(-1)).reshape(*middles.shape, -1))
        return np.moveaxis(np.asarray(self._run(jnp.asarray(analyses), times)), 0, 1)


@partial(jax.jit, static_argnums=0)
def _rollout(graph, state, wanted, fields, times):
    return rollout(nnx.merge(graph, state), fields, times)[wanted]


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
