"""Corrections that keep forecasts of weeks and months near the climate of the training time.

A network has no knowledge of what the training windows do not show, for example that the mass of air is conserved or
that an anomaly in the tropics decays. So a small error of the first days may grow for weeks. After every step, up to
four corrections apply, those that the settings name; X is the state, C(t) climatology, <.> the area mean:

    relaxation      X <- C + exp(-dt / relaxation_days) (X - C)
    smoothing       hyperdiffusion of X - C of order 4 (`operators.hyperdiffusion`): waves of two cells decay in
                    `smoothing_hours`, waves of eight cells hardly at all
    area mean       <X - C> <- exp(-dt / mean_relaxation_days) <X before the step - C>
    bounds          (1 + bound_margin) minimum <= X - C <= (1 + bound_margin) maximum, with the extreme departures of
                    the training time at each grid point

Smoothing removes the grid-scale noise of a network, which would accumulate in weeks. The correction of the area mean
removes drift, whatever the step does to it: the mass, heat and water of the atmosphere return to their climatology.
Bounds come last, so a forecast is bounded for any weights.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, ArrayLike, Float

from pinnwx.config import ClimateSettings
from pinnwx.constants import SECONDS_PER_HOUR
from pinnwx.grid import Grid
from pinnwx.model.inputs import Fixed
from pinnwx.operators.diffusion import hyperdiffusion
from pinnwx.statistics import Climatology
from pinnwx.time_features import TimeFeatures

_HOURS_OF_DAY, _DAYS_OF_YEAR = 24.0, 365.25
_ORDER, _MAXIMUM_RATIO = 4, 8.0  # of the hyperdiffusion

Fields = Float[Array, "batch field lat lon"]


class Climate(nnx.Module):
    """The corrections that the settings name."""

    def __init__(self, climatology: Climatology, grid: Grid, settings: ClimateSettings, step_hours: float):
        self.annual, self.diurnal, self.step_hours = climatology.annual, climatology.diurnal, step_hours
        self.weights = grid.area_weights.astype(np.float32)
        coefficients = np.asarray(climatology.coefficients, np.float64)
        mean = (grid.area_weights * coefficients).mean((-2, -1), keepdims=True)
        self.coefficients = Fixed.of(coefficients)
        self.mean_coefficients = Fixed.of(mean)
        self.decay = _decay(settings.relaxation_days, step_hours)
        self.mean_decay = (
            None if settings.mean_relaxation_days is None else _decay(settings.mean_relaxation_days, step_hours)
        )
        self.grid, self.smoothing_hours = grid, settings.smoothing_hours
        self.bounds = None if settings.bound_margin is None else _widened(climatology, settings.bound_margin)

    def __call__(self, after: Fields, before: Fields, time: TimeFeatures) -> Fields:
        """The corrected state `after` a step from the state `before`; `time` is the middle of the step."""
        half = self.step_hours / 2
        climatology = self.climatology(time, half)
        departure = self._smoothed(self.decay * (after - climatology))
        if self.mean_decay is not None:
            earlier = self._area_mean(before) - self._climatology(self.mean_coefficients[...], time, -half)
            departure = departure + self.mean_decay * earlier - self._area_mean(departure)
        if self.bounds is not None:
            departure = jnp.clip(departure, *self.bounds[...])
        return climatology + departure

    def _smoothed(self, departure: Fields) -> Fields:
        if self.smoothing_hours is None:
            return departure
        step, damping_time = (hours * SECONDS_PER_HOUR for hours in (self.step_hours, self.smoothing_hours))
        return hyperdiffusion(departure, self.grid, step, damping_time, _ORDER, _MAXIMUM_RATIO)

    def climatology(self, time: TimeFeatures, hours: float = 0.0) -> Fields:
        """Climatology `hours` after a time."""
        return self._climatology(self.coefficients[...], time, hours)

    def _climatology(
        self, coefficients: Float[Array, "basis field #lat #lon"], time: TimeFeatures, hours: float
    ) -> Array:
        design = jnp.stack(list(self._basis(time, hours)), axis=-1)
        return jnp.einsum("bk,k...->b...", design, coefficients)

    def _basis(self, time: TimeFeatures, hours: float) -> Iterator[Float[Array, " batch"]]:
        yield jnp.ones_like(time.sin_year)
        yield from _harmonics(time.sin_year, time.cos_year, hours / _HOURS_OF_DAY / _DAYS_OF_YEAR, self.annual)
        yield from _harmonics(time.sin_day, time.cos_day, hours / _HOURS_OF_DAY, self.diurnal)

    def _area_mean(self, fields: Fields) -> Float[Array, "batch field 1 1"]:
        return (self.weights * fields).mean((-2, -1), keepdims=True)


def _widened(climatology: Climatology, bound_margin: float) -> Fixed:
    """The minimum and the maximum allowed departure."""
    return Fixed.of((1 + bound_margin) * np.stack([climatology.minimum, climatology.maximum]))


def _decay(days: float | None, step_hours: float) -> float:
    """The fraction of a departure that remains after a step."""
    return 1.0 if days is None else float(np.exp(-step_hours / _HOURS_OF_DAY / days))


def _harmonics(sine: ArrayLike, cosine: ArrayLike, turns: float, count: int) -> Iterator[Array]:
    """cos A, sin A, cos 2A, sin 2A ... of the angle with this sine and cosine, advanced by `turns` of the circle."""
    angle = jnp.arctan2(sine, cosine) + 2 * jnp.pi * turns
    for order in range(1, count + 1):
        yield jnp.cos(order * angle)
        yield jnp.sin(order * angle)
