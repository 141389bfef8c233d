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

POINTS = 16  # of the quadrature over the way from climatology to the analysis (Gauss-Legendre)
_TARGET = re.compile(r"(?P<field>[^@]+)@(?P<numbers>[-+.\d]+(?:,[-+.\d]+)*)")


@dataclass(frozen=True)
class Target:
    """The area mean of a field over a box in degrees; a point is the cell that holds it."""

    field: str
    north: float
    west: float
    south: float
    east: float

    @classmethod
    def parse(cls, text: str) -> Target:
        """`msl@52,10` (latitude, longitude) or `msl@60,-10,40,20` (north, west, south, east).

        Raises:
            UsageError: it is neither.
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
        """What each cell counts, (lat, lon); they add up to 1.

        Raises:
            UsageError: no cell of the grid is in the box.
        """
        latitude, longitude = np.asarray(grid.latitude)[:, None], np.asarray(grid.longitude)
        if self.north == self.south and self.west == self.east:
            apart = np.abs((longitude - self.west + 180) % 360 - 180)
            off = np.abs(latitude - self.north)
            inside = (off == off.min()) & (apart == apart.min())
            inside &= (off <= grid.latitude_spacing / 2 + 1e-6) & (apart <= grid.longitude_spacing / 2 + 1e-6)
            inside = np.cumsum(inside.ravel()).reshape(inside.shape) * inside == 1  # of two as near, the first
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
    """Sensitivity and attribution of a target to the analyses that the forecast starts from.

    Variables along (time, latitude, longitude), `time` being those of the analyses: `<field>_sensitivity` [units of the
    target per unit of the field, of one cell] and `<field>_attribution` [units of the target]. Attributes: `target`,
    `target_forecast` J(X), `target_ordinary` J(C) and `completeness_gap`, J(X) - J(C) less the sum of attributions.

    Raises:
        UsageError: the model does not forecast the field, no cell is at the place, or the hours are no multiple of the
            model's step, or the model has a lateral boundary.
        UnavailableError: the archive lacks an analysis.
        StabilityError: the forecast blew up, or its adjoint did.
    """
    if target.field not in trained.names:
        raise UsageError(f"the model does not forecast {target.field}; it forecasts {', '.join(trained.names)}")
    if trained.model.has_lateral_boundary:
        raise UsageError(
            "the model is told its edge, which a target may come from too; take one without a lateral boundary"
        )
    predictor, starts = Predictor(trained, [hours]), np.array([when])
    analyses, weights = predictor.analyses(archive, starts), target.weights(trained.grid)
    require_bounded(predictor(analyses, starts)[0], [hours], trained, when, archive)
    ordinary, place = trained.climatology.at(when + predictor.input_offsets)[None], trained.names.index(target.field)
    # Taken away from the target, which is a small departure from it.
    offset = float(np.float32((weights * ordinary[0, -1, place].astype(np.float64)).sum()))
    graph, state = nnx.split(_differentiable(trained.model))
    times, counted = jnp.asarray(predictor.times(starts)), jnp.asarray(weights, jnp.float32)

    def ask(given: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = _value_and_gradient(graph, place, state, times, counted, jnp.asarray(given), offset)
        return float(value), np.asarray(gradient)

    (value, sensitivity), (base, _) = ask(analyses), ask(ordinary)
    mean = np.zeros(analyses.shape)
    for node, share in zip(*np.polynomial.legendre.leggauss(points), strict=True):
        mean += share / 2 * ask(ordinary + (1 + node) / 2 * (analyses - ordinary))[1]
    contribution = mean * (analyses.astype(np.float64) - ordinary)
    if not (np.isfinite(contribution).all() and np.isfinite(sensitivity).all()):
        raise StabilityError(f"the adjoint of {hours:g} h is not finite; ask for a shorter forecast")
    known = trained.config.variable_table()
    of = describe(target.field, known)
    variables: dict[str, Variable] = {}
    values = []
    for kind, array in ((SENSITIVITY, sensitivity), (ATTRIBUTION, contribution)):
        for index, name in enumerate(trained.names):
            field = describe(name, known)
            units = of.units if kind == ATTRIBUTION else f"{of.units} ({field.units})-1"
            label = f"{field.long_name}: {kind.strip('_')} of the target"
            variables[f"{name}{kind}"] = Variable(f"{name}{kind}", "", label, units, -np.inf, np.inf, diverging=True)
            values.append(array[0, :, index])
    attributes = {
        "title": "What a forecast comes from",
        TARGET: f"{target} after {hours:g} h",
        "target_units": of.units,
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
    """The same forecaster, whose equations are not taken as given."""
    model = nnx.clone(model)
    for member in networks_of(model):
        if isinstance(member, TransportForecaster):
            member.backpropagate = True
    return model


@partial(jax.jit, static_argnums=(0, 1))
def _value_and_gradient(graph, place, state, times, weights, analyses, offset):
    """J less the offset, and its derivative by the analyses."""

    def value(analyses):
        forecast = rollout(nnx.merge(graph, state), analyses, times, remember=False)[-1, 0, place]
        return jnp.sum(weights * (forecast - offset))

    return jax.value_and_grad(value)(analyses)
