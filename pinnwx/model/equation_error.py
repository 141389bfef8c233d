"""The error that the equations made over the step before: what they lack, seen in the last two analyses.

    e = X(t) - X(t - dt) - transport(X(t - dt))

It is the part of the last change that the equations do not explain: heating, friction, vertical motion, levels that are
not in the data. Much of it lasts longer than a step and belongs to weather systems that move, so the forecaster adds it
to the next step too, times a gate, where it was or where the wind has carried it:

    kept          e
    transported   e at the departure point of the wind over the step (`operators.departure`, cubic interpolation)

The eastward and the northward component of a vector are carried together (`operators.departure.carried_vector`). For a
field that no equation changes, e is its last change. In a forecast, the carried state holds the change by transport
over the last step, so the equations are evaluated once for each step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.grid import Grid
from pinnwx.model.interface import Fields
from pinnwx.model.transported_fields import scattered
from pinnwx.operators.departure import carried_vector, cartesian, departure_points
from pinnwx.operators.interpolation import Points, interpolate
from pinnwx.operators.polar import cap_groups, zonal_group_mean
from pinnwx.physics.transported_field import TransportedField
from pinnwx.physics.velocity import stacked_winds
from pinnwx.physics.winds import AbstractWind, NoWind

_ITERATIONS = 2  # of the departure point: second order in the step


@dataclass(frozen=True)
class EquationError:
    """Fields whose error of the last step is used again, and the winds that carry it; static under jit.

    Attributes:
        names: of the forecast fields.
        vectors: pairs of an eastward and a northward component among them.
        winds: of each field whose error is used, by name; None for an error that stays.
        grid: of all fields.
        interval: of a step [s].
    """

    names: tuple[str, ...]
    vectors: tuple[tuple[str, str], ...]
    winds: tuple[tuple[str, AbstractWind | None], ...]
    grid: Grid
    interval: float

    @property
    def moves(self) -> bool:
        """Whether a wind carries any error."""
        return any(wind is not None for _, wind in self.winds)

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Positions among the forecast fields of those whose error is used."""
        return tuple(self.names.index(name) for name, _ in self.winds)

    def of(self, before: Fields, after: Fields, change: Fields) -> Float[Array, "batch used lat lon"]:
        """The error of a step: the change from `before` to `after` without that by transport."""
        return (after - before - change)[:, np.array(self.rows)]

    def carried(self, error: Float[Array, "batch used lat lon"], fields: Fields) -> Float[Array, "batch used lat lon"]:
        """The error where the winds of these fields carry it within a step."""
        named = {name: fields[:, row] for row, name in enumerate(self.names)}
        errors = {name: error[:, place] for place, (name, _) in enumerate(self.winds)}
        parts: dict[str, Array] = {}
        for wind in dict.fromkeys(wind for _, wind in self.winds):
            own = {name: errors[name] for name, its_wind in self.winds if its_wind == wind}
            parts |= own if wind is None else self._moved(own, stacked_winds([wind], named, self.grid))
        return jnp.stack([parts[name] for name, _ in self.winds], axis=1)

    def scatter_to_state(self, error: Float[Array, "batch used lat lon"]) -> Fields:
        """The error of every forecast field: zero for those whose error is not used."""
        return scattered(error, self.rows, len(self.names))

    def _moved(self, errors: Mapping[str, Array], wind: Float[Array, "batch 1 lat lon 2"]) -> dict[str, Array]:
        """The errors that this wind carries: scalars, and vectors by their Cartesian components."""
        points = departure_points(wind[..., 0], wind[..., 1], self.grid, self.interval, _ITERATIONS)
        vectors = [pair for pair in self.vectors if set(pair) <= set(errors)]
        scalars = [name for name in errors if not any(name in pair for pair in vectors)]
        components = [cartesian(errors[eastward], errors[northward], self.grid) for eastward, northward in vectors]
        together = jnp.concatenate([*(errors[name][:, None] for name in scalars), *components], axis=1)
        together = zonal_group_mean(together, self.grid, cap_groups(self.grid))  # a row on a pole is one point
        there = interpolate(together, points, self.grid).value
        moved = {name: there[:, place] for place, name in enumerate(scalars)}
        here = Points(*(coordinate[:, 0] for coordinate in points))
        for number, pair in enumerate(vectors):
            first = len(scalars) + 3 * number
            moved |= dict(zip(pair, carried_vector(there[:, first : first + 3], here, self.grid), strict=True))
        return moved


def carrying_winds(
    names: Sequence[str], equations: Sequence[TransportedField], others: Mapping[str, AbstractWind]
) -> dict[str, AbstractWind]:
    """The wind that carries the error of each field: that of the equation which changes it, or one of `others`."""
    own = {name: one.wind for one in equations for name in one.targets(names) if not isinstance(one.wind, NoWind)}
    winds = own | dict(others)
    return {name: winds[name] for name in names if name in winds}
