"""The part of the analysis that a number in the forecast comes from.

The target J is the area mean of one field over a place at the end of a forecast, such as the pressure here in 24 h.
The adjoint of the whole rollout gives two answers for all values of the analysis at once:

    sensitivity    dJ/dX at the analysis X: the change of J for a small change of X
    attribution    (X - C) * mean over a in (0, 1) of dJ/dX at C + a (X - C): integrated gradients (Sundararajan, Taly
                   and Yan 2017) from climatology C: the contribution of this analysis, relative to climatology, to J

Attribution is complete: its sum is J(X) - J(C), except for the quadrature over a, whose gap is reported. A
climatological state has climatological winds, so the effect of the wind is part of the attribution. Equations that
training treats as constants (`model.physics.backpropagate`) are differentiated here, because a forecast depends on
them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from flax import nnx

from pinnwx.data.archive import Archive
from pinnwx.errors import StabilityError, UsageError
from pinnwx.explaining.reading import ATTRIBUTION, SENSITIVITY, TARGET
from pinnwx.forecasting.cf import forecast_dataset
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.stability import require_bounded
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.grid import Grid
from pinnwx.model.deep_ensemble import networks_of
from pinnwx.model.forecaster import TransportForecaster
from pinnwx.model.interface import Forecaster
from pinnwx.model.rollout import rollout
from pinnwx.variables import Variable, describe

POINTS = 16  # of the Gauss-Legendre quadrature along the path from climatology to the analysis
_TARGET = re.compile(r"(?P<field>[^@]+)@(?P<numbers>[-+.\d]+(?:,[-+.\d]+)*)")


@dataclass(frozen=True)
class Target:
    """The area mean of a field over a box in degrees; a point stands for its cell."""

    field: str
    north: float
    west: float
    south: float
    east: float

    @classmethod
    def parse(cls, text: str) -> Target:
        """Parses `msl@52,10` (latitude, longitude) or `msl@60,-10,40,20` (north, west, south, east).

        Raises:
            UsageError: the text has neither form.
        """
        match = _TARGET.fullmatch(text)
        try:
            numbers = [float(number) for number in match["numbers"].split(",")] if match else []
        except ValueError:
            numbers = []
        if not match or len(numbers) not in (2, 4):
            raise UsageError(f'target "{text}" is neither FIELD@LATITUDE,LONGITUDE nor FIELD@NORTH,WEST,SOUTH,EAST')
        latitude, longitude = numbers[:2]
        return cls(match["field"], latitude, longitude, *(numbers[2:] or (latitude, longitude)))

    def __str__(self) -> str:
        if (self.north, self.west) == (self.south, self.east):
            return f"{self.field} at {self.north:g} N, {self.west:g} E"
        return f"{self.field} at {self.south:g} to {self.north:g} N, {self.west:g} to {self.east:g} E"

    def weights(self, grid: Grid) -> np.ndarray:
        """The weight of each cell in the area mean, (lat, lon); the weights sum to 1.

        Raises:
            UsageError: no cell of the grid is in the box.
        """
        latitude, longitude = np.asarray(grid.latitude)[:, None], np.asarray(grid.longitude)
        if self.north == self.south and self.west == self.east:
            apart = np.abs((longitude - self.west + 180) % 360 - 180)
            off = np.abs(latitude - self.north)
            inside = (off == off.min()) & (apart == apart.min())
            inside &= (off <= grid.latitude_spacing / 2 + 1e-6) & (apart <= grid.longitude_spacing / 2 + 1e-6)
            inside = (
                np.cumsum(inside.ravel()).reshape(inside.shape) * inside == 1
            )  # the first of two equally near cells
        else:
            eastward, width = (longitude - self.west) % 360, self.east - self.west
            width = 360.0 if width >= 360 else width % 360
            inside = (latitude <= self.north) & (latitude >= self.south) & (eastward <= width)
        if not inside.any():
            raise UsageError(f"no cell of the grid ({grid}) is at {self}")
        weights = np.where(inside, np.broadcast_to(grid.area_weights, grid.shape), 0.0)
        return weights / weights.sum()


def attribution(
    trained: TrainedModel,
    archive: Archive,
    when: np.datetime64,
    hours: float,
    target: Target,
    *,
    points: int = POINTS,
    provenance: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Sensitivity and attribution of a target to the input analyses of a forecast.

    The variables have the dimensions (time, latitude, longitude), where `time` are the times of the analyses:
    `<field>_sensitivity` [units of the target per unit of the field in one cell] and `<field>_attribution` [units of
    the target]. The attributes are `target`, `target_forecast` J(X), `target_ordinary` J(C) and `completeness_gap`,
    which is J(X) - J(C) minus the sum of the attributions.

    Raises:
        UsageError: the model does not forecast the field, no cell is at the place, the hours are not a multiple of the
            step of the model, or the model has a lateral boundary.
        UnavailableError: the archive lacks an analysis.
        StabilityError: the forecast or its adjoint is unstable.
    """
    if target.field not in trained.names:
        raise UsageError(f"the model does not forecast {target.field}; it forecasts {', '.join(trained.names)}")
    if trained.model.has_lateral_boundary:
        raise UsageError(
            "the target of a model with a lateral boundary also depends on the boundary; choose a model without one"
        )
    predictor, starts = Predictor(trained, [hours]), np.array([when])
    analyses, weights = predictor.analyses(archive, starts), target.weights(trained.grid)
    ordinary, place = trained.climatology.at(when + predictor.input_offsets)[None], trained.names.index(target.field)
    # The target is computed as a departure from this offset, for precision in float32.
    offset = float(np.float32((weights * ordinary[0, -1, place].astype(np.float64)).sum()))
    graph, state = nnx.split(_differentiable(trained.model))
    times, cell_weights = predictor.times(starts), jnp.asarray(weights, jnp.float32)

    def evaluate(inputs: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        (value, forecast), gradient = _value_and_gradient(
            graph, place, state, times, cell_weights, jnp.asarray(inputs), offset
        )
        return float(value), np.asarray(gradient), np.asarray(forecast)

    value, sensitivity, forecast = evaluate(analyses)
    require_bounded(forecast, [hours], trained, when, archive)
    base = evaluate(ordinary)[0]
    mean = np.zeros(analyses.shape)
    for node, weight in zip(*np.polynomial.legendre.leggauss(points), strict=True):
        mean += weight / 2 * evaluate(ordinary + (1 + node) / 2 * (analyses - ordinary))[1]
    contribution = mean * (analyses.astype(np.float64) - ordinary)
    if not (np.isfinite(contribution).all() and np.isfinite(sensitivity).all()):
        raise StabilityError(f"the adjoint of {hours:g} h is not finite; choose a shorter forecast")
    known = trained.config.variable_table()
    target_field = describe(target.field, known)
    variables: dict[str, Variable] = {}
    values = []
    for kind, array in ((SENSITIVITY, sensitivity), (ATTRIBUTION, contribution)):
        for index, name in enumerate(trained.names):
            field = describe(name, known)
            units = target_field.units if kind == ATTRIBUTION else f"{target_field.units} ({field.units})-1"
            label = f"{field.long_name}: {kind.strip('_')} of the target"
            variables[f"{name}{kind}"] = Variable(f"{name}{kind}", "", label, units, -np.inf, np.inf, diverging=True)
            values.append(array[0, :, index])
    attributes = {
        "title": "Attribution of a forecast to its analyses",
        TARGET: f"{target} after {hours:g} h",
        "target_units": target_field.units,
        "target_forecast": value + offset,
        "target_ordinary": base + offset,
        "completeness_gap": value - base - contribution.sum(),
    }
    ages = (predictor.input_offsets / np.timedelta64(1, "h")).tolist()
    return forecast_dataset(
        np.stack(values, axis=1), list(variables), trained.grid, when, ages,
        provenance={**attributes, **(provenance or {})}, variables={**known, **variables},
    )  # fmt: skip


def _differentiable(model: Forecaster) -> Forecaster:
    """A copy of the forecaster in which the equations are differentiated."""
    model = nnx.clone(model)
    for member in networks_of(model):
        if isinstance(member, TransportForecaster):
            member.backpropagate = True
    return model


@partial(jax.jit, static_argnums=(0, 1))
def _value_and_gradient(graph, place, state, times, weights, analyses, offset):
    """(J minus the offset, the forecast (1, field, lat, lon)), and the gradient of J with respect to the analyses."""

    def value(analyses):
        forecast = rollout(nnx.merge(graph, state), analyses, times, remember=False)[-1]
        return jnp.sum(weights * (forecast[0, place] - offset)), forecast

    return jax.value_and_grad(value, has_aux=True)(analyses)
