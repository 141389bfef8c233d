"""What holds a long forecast near the climate it was trained on.

A network knows the weather it has seen. Nothing it was shown tells it, say, that air is neither made nor lost, or that
a tropical anomaly fades; so what an error of a few days leaves behind may grow for weeks. After every step, four
corrections can be made, each if the settings ask for it; X is the state, C(t) climatology, <.> the area mean, dy the
grid spacing:

    relaxation      X <- C + exp(-dt / relaxation_days) (X - C)
    smoothing       X <- C + exp(-dt / smoothing_hours (-(dy / 2)^2 laplacian)^4) (X - C)
    area mean       <X - C> <- exp(-dt / mean_relaxation_days) <X before the step - C>, whatever the step made of it
    bounds          (1 + bound_margin) minimum <= X - C <= (1 + bound_margin) maximum, the departures of the training
    time at the place

Smoothing (hyperdiffusion) takes the shortest waves, of two cells in one direction, which fade in `smoothing_hours`, and
next to nothing of those of eight cells: what a network makes of single cells would pile up in weeks. The third leaves
no drift: the mean of the air, of its heat and of its water go back to what they usually are at the date. Bounds are
last, so that a forecast is bounded whatever the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from pinnwx.config import ClimateSettings
from pinnwx.grid import Grid
from pinnwx.model.inputs import Fixed
from pinnwx.operators.poisson import function_of_laplacian

_HOURS_OF_DAY, _DAYS_OF_YEAR = 24.0, 365.25
_ORDER, _SHORTEST = 4, 8.0

Fields = Float[Array, "batch field lat lon"]
Time = Float[Array, "batch 5"]


@dataclass(frozen=True)
class ModelClimatology:
    """Climatology fitted on the training time, in the fields' units.

    `coefficients` (basis, field, lat, lon) belong to 1, cos Y, sin Y, cos 2Y ... up to the harmonic `annual` of the
    year, and cos H, sin H ... up to `diurnal` of the UTC day; `minimum` and `maximum` (field, lat, lon) are the extreme
    departures from it.
    """

    coefficients: np.ndarray
    annual: int
    diurnal: int
    minimum: np.ndarray
    maximum: np.ndarray


class Climate(nnx.Module):
    """The corrections; `settings` say which."""

    def __init__(self, climatology: ModelClimatology, grid: Grid, settings: ClimateSettings, step_hours: float):
        self.annual, self.diurnal, self.step_hours = climatology.annual, climatology.diurnal, step_hours
        self.weights = grid.area_weights.astype(np.float32)
        coefficients = np.asarray(climatology.coefficients, np.float64)
        mean = (grid.area_weights * coefficients).mean((-2, -1), keepdims=True)
        self.coefficients = Fixed(jnp.asarray(coefficients, jnp.float32))
        self.mean_coefficients = Fixed(jnp.asarray(mean, jnp.float32))
        self.decay = _decay(settings.relaxation_days, step_hours)
        self.mean_decay = (
            None if settings.mean_relaxation_days is None else _decay(settings.mean_relaxation_days, step_hours)
        )
        self.grid, self.smoothing_hours = grid, settings.smoothing_hours
        self.bounds = None if settings.bound_margin is None else _widened(climatology, settings.bound_margin)

    def __call__(self, after: Fields, before: Fields, time: Time) -> Fields:
        """The state `after` a step from the state `before`, corrected; `time` describes the middle of the step."""
        half = self.step_hours / 2
        climatology = self.climatology(time, half)
        departure = self._smoothed(self.decay * (after - climatology))
        if self.mean_decay is not None:
            was = self._area_mean(before) - self._climatology(self.mean_coefficients[...], time, -half)
            departure = departure + self.mean_decay * was - self._area_mean(departure)
        if self.bounds is not None:
            departure = jnp.clip(departure, *self.bounds[...])
        return climatology + departure

    def _smoothed(self, departure: Fields) -> Fields:
        if self.smoothing_hours is None:
            return departure
        rate, shortest = self.step_hours / self.smoothing_hours, (2 / self.grid.meridional_spacing) ** 2

        def damping(eigenvalue: Array) -> Array:
            # Near the poles there are shorter waves still, and the power of their eigenvalue would overflow.
            return jnp.exp(-rate * jnp.minimum(eigenvalue / shortest, _SHORTEST) ** _ORDER)

        return function_of_laplacian(departure, self.grid, damping)

    def climatology(self, time: Time, hours: float = 0.0) -> Fields:
        """Climatology some hours after a time."""
        return self._climatology(self.coefficients[...], time, hours)

    def _climatology(self, coefficients: Float[Array, "basis field #lat #lon"], time: Time, hours: float) -> Array:
        design = jnp.stack(list(self._basis(time, hours)), axis=-1)
        return jnp.einsum("bk,k...->b...", design, coefficients)

    def _basis(self, time: Time, hours: float) -> Iterator[Float[Array, " batch"]]:
        yield jnp.ones_like(time[:, 0])
        sin_year, cos_year, sin_hour, cos_hour = (time[:, i] for i in range(4))
        yield from _harmonics(sin_year, cos_year, hours / _HOURS_OF_DAY / _DAYS_OF_YEAR, self.annual)
        yield from _harmonics(sin_hour, cos_hour, hours / _HOURS_OF_DAY, self.diurnal)

    def _area_mean(self, fields: Fields) -> Float[Array, "batch field 1 1"]:
        return (self.weights * fields).mean((-2, -1), keepdims=True)


def _widened(climatology: ModelClimatology, bound_margin: float) -> Fixed:
    """The minimum and the maximum departure allowed."""
    return Fixed(jnp.asarray((1 + bound_margin) * np.stack([climatology.minimum, climatology.maximum]), jnp.float32))


def _decay(days: float | None, step_hours: float) -> float:
    """The fraction of a departure that is left after a step."""
    return 1.0 if days is None else float(np.exp(-step_hours / _HOURS_OF_DAY / days))


def _harmonics(sine: Array, cosine: Array, turns: float, count: int) -> Iterator[Array]:
    """cos A, sin A, cos 2A, sin 2A ... of the angle with this sine and cosine, turned on by a share of the circle."""
    angle = jnp.arctan2(sine, cosine) + 2 * jnp.pi * turns
    for order in range(1, count + 1):
        yield jnp.cos(order * angle)
        yield jnp.sin(order * angle)
