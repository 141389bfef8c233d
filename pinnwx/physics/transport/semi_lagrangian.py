"""Semi-Lagrangian transport: the value at the arrival point is the one at the departure point.

No Courant number limits the sub-step h, and no cells near the poles are merged. In each sub-step, with the wind v of
the interval, its divergence D and the departure point x_d of each cell centre x:

    q(x, t + h) = (q + p)(x_d, t) exp(-h (D(x_d) + D(x)) / 2) - p(x),    D = 0 in advective form,

where p is planetary vorticity for fields that are transported as absolute vorticity, else zero. The factor is that of
the flux form along a trajectory. Then come the other terms (diffusion, and those of settings) over the interval, by
explicit sub-steps on the reduced grid of `physics.transport.eulerian`, in which there is no advection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.constants import EARTH_RADIUS
from pinnwx.operators.calculus import face_divergence
from pinnwx.operators.departure import LARGEST_ANGLE, departure_points
from pinnwx.operators.interpolation import Points
from pinnwx.operators.polar import close_group_faces
from pinnwx.operators.semi_lagrangian import semi_lagrangian_step
from pinnwx.operators.stencils import entries
from pinnwx.physics.terms import PlanetaryVorticity
from pinnwx.physics.transport.base import NOTHING, AbstractTransport, Fields, Surroundings, Winds
from pinnwx.physics.transport.eulerian import EulerianTransport
from pinnwx.physics.transported_field import TransportedField
from pinnwx.physics.velocity import face_winds

LARGEST_EXPONENT = 2.0  # of the divergence factor of a sub-step, far beyond that of any weather; keeps it finite
VARIANTS = {"upwind3": "cubic", "limited": "quasi_monotone"}  # of `operators.semi_lagrangian`, by the name of a scheme


@dataclass(frozen=True)
class SemiLagrangianTransport(AbstractTransport):
    """Departure points on great circles, cubic interpolation there, and explicit sub-steps of the other terms.

    Scheme "upwind3" is the cubic variant and "limited" the quasi-monotone one, without new extrema. A conserved field
    takes the conservative one with its mass fixer: its area integral is kept to round-off and its extrema are not
    exceeded, in any wind; its divergence factor is left out, because the fixer keeps the integral.
    """

    @cached_property
    def _others(self) -> EulerianTransport:
        """The terms that are not along trajectories; its advection is not used."""
        terms = self.right_hand_side.without(PlanetaryVorticity.name)
        return EulerianTransport(
            self.equations,
            self.grid,
            self.interval,
            self.substeps,
            self.solver,
            self.adjoint,
            self.courant_limit,
            right_hand_side=terms,
        )

    @property
    def largest_diffusivity(self) -> float:
        return self._others.largest_diffusivity

    def slowing(self, winds: Winds) -> Fields:
        """Half of the trajectory of a sub-step over `departure.LARGEST_ANGLE`."""
        speed = jnp.sqrt(jnp.sum(winds**2, axis=-1))
        return speed * (0.5 * self.substep / EARTH_RADIUS / LARGEST_ANGLE)

    def advance(
        self, fields: Fields, winds: Winds, diffusivity: Float[Array, " field"], surroundings: Surroundings = NOTHING
    ) -> tuple[Fields, Fields]:
        moved = self._moved(fields, winds, self._planetary_vorticity)
        others = self._other_increments(moved, winds, diffusivity, surroundings)
        after = sum(others.values(), moved)
        return after, after - fields

    def increments(
        self,
        fields: Fields,
        winds: Mapping[str, Winds],
        diffusivity: Float[Array, " field"],
        surroundings: Surroundings = NOTHING,
    ) -> dict[str, Fields]:
        """See the base class. The part of the first wind is that of it alone; each further one adds the rest."""
        parts: dict[str, Array] = {}
        before, whole = fields, jnp.zeros_like(next(iter(winds.values())))
        for name, wind in winds.items():
            whole = whole + wind
            after = self._moved(fields, whole, np.zeros_like(self._planetary_vorticity))
            parts[f"advection_by_{name}"] = after - before
            before = after
        if PlanetaryVorticity.name in self.right_hand_side.names:
            after = self._moved(fields, whole, self._planetary_vorticity)
            parts[PlanetaryVorticity.name] = after - before
            before = after
        return parts | self._other_increments(before, whole, diffusivity, surroundings)

    def _moved(self, fields: Fields, winds: Winds, background: np.ndarray) -> Fields:
        """The fields after the interval by advection of their sum with a background, (field, lat, lon)."""
        groups = self._fields_of_one_wind
        values = fields + jnp.asarray(background, fields.dtype)
        parts = [self._along_trajectories(entries(values, rows), winds[..., rows[0], :, :, :], rows) for rows in groups]
        order = np.argsort([row for rows in groups for row in rows])
        return entries(jnp.concatenate(parts, axis=-3), order) - jnp.asarray(background, fields.dtype)

    @cached_property
    def _planetary_vorticity(self) -> np.ndarray:
        """The Coriolis parameter for fields that are transported as absolute vorticity, else zero."""
        absolute = np.array([one.absolute_vorticity for one in self.equations])[:, None, None]
        return absolute * np.broadcast_to(self.grid.coriolis, self.grid.shape)

    @cached_property
    def _fields_of_one_wind(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the fields with the same wind, which share departure points."""
        groups: dict[object, list[int]] = {}
        for row, one in enumerate(self.equations):
            groups.setdefault(one.wind if one.learned_wind is None else row, []).append(row)
        return tuple(map(tuple, groups.values()))

    def _along_trajectories(
        self, values: Fields, wind: Float[Array, "*batch lat lon 2"], rows: Sequence[int]
    ) -> Fields:
        """The values of the fields `rows`, which this wind transports, after the interval."""
        points = departure_points(wind[..., 0], wind[..., 1], self.grid, self.substep)
        points = Points(*(part[..., None, :, :] for part in points))
        equations = [self.equations[row] for row in rows]
        flux_form = np.array([one.form == "flux" and not one.conserved for one in equations])[:, None, None]
        factor = jnp.where(flux_form, self._divergence_factor(wind, points), 1) if flux_form.any() else 1.0

        def substep(values: Array, _: None) -> tuple[Array, None]:
            moved = [
                semi_lagrangian_step(values[..., [place], :, :], points, self.grid, _variant(one))
                for place, one in enumerate(equations)
            ]
            return jnp.concatenate(moved, axis=-3) * factor, None

        return jax.lax.scan(substep, values, length=self.substeps)[0]

    def _divergence_factor(self, wind: Float[Array, "*batch lat lon 2"], points: Points) -> Array:
        """exp(-h (D(x_d) + D(x)) / 2) of each cell, (*batch, 1, lat, lon); D of groups of cells near the poles."""
        velocity = close_group_faces(face_winds(wind[..., None, :, :, :], self.grid), self.grid, self._others.groups)
        divergence = face_divergence(velocity, self.grid, self._others.groups)
        there = semi_lagrangian_step(divergence, points, self.grid, "quasi_monotone")
        exponent = -0.5 * self.substep * (there + divergence)
        return jnp.exp(jnp.clip(exponent, -LARGEST_EXPONENT, LARGEST_EXPONENT))

    def _other_increments(
        self, fields: Fields, winds: Winds, diffusivity: Float[Array, " field"], surroundings: Surroundings
    ) -> dict[str, Fields]:
        velocity = face_winds(winds, self.grid, self.equations)
        return self._others.other_increments(fields, velocity, diffusivity, surroundings)


def _variant(equation: TransportedField) -> str:
    return "conservative" if equation.conserved else VARIANTS[equation.scheme]
