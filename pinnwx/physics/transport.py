"""Transport of fields by given winds over one coupling interval: stable for any wind, conservative in flux form, and
sign-preserving with the limited scheme.

Three measures make it stable for any weights. Near the poles, neighbouring cells of a row are merged into groups at
least `SMALLEST_SPACING` wide (a reduced grid), so converging meridians do not determine the time step. The wind out of
a cell or group is scaled down where its outflow Courant number in one sub-step exceeds the limit. The diffusivity is
bounded by the explicit limit. With enough sub-steps for the wind only the first changes anything, near the poles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.grid import Grid
from pinnwx.operators.advection import FaceVelocity
from pinnwx.operators.polar import close_group_faces, zonal_group_mean, zonal_groups
from pinnwx.operators.stability import courant_number, limit_outflow
from pinnwx.physics.equation import Equation
from pinnwx.physics.integrate import integrate
from pinnwx.physics.terms import Advection, TermContext
from pinnwx.physics.transported_field import TransportedField
from pinnwx.time_features import TimeFeatures

# Least width of a polar group, in units of the meridional spacing.
SMALLEST_SPACING = 0.5
# A limited flux preserves the sign while outflow Courant number / 0.5 + diffusion number is at most 1
# (operators.stability): 0.8 for the wind, and 0.16 for diffusion, whose number is about 4 kappa dt / dx^2.
POSITIVE_COURANT = 0.4
DIFFUSION_LIMIT = 0.04  # of kappa dt / dx^2


class Surroundings(NamedTuple):
    """The arguments of terms besides the transported fields and the wind: see `TermContext`."""

    time: TimeFeatures | None = None
    inputs: Mapping[str, Float[Array, "*batch lat lon"]] | None = None


NOTHING = Surroundings()


@dataclass(frozen=True)
class TransportSolver:
    """Solves dq/dt = sum of the named terms for a stack of fields over one interval; static under jit.

    Attributes:
        equations: one for each field of the stack.
        grid: the geometry.
        interval: over which the wind is constant [s].
        substeps: of the interval.
        solver: a name for `integrate`.
        adjoint: the method of its gradients, a name for `integrate`.
        courant_limit: largest outflow Courant number of a sub-step; with the limited scheme at most
            `POSITIVE_COURANT`.
        right_hand_side: the terms.
    """

    equations: tuple[TransportedField, ...]
    grid: Grid
    interval: float
    substeps: int = 4
    solver: str = "heun"
    adjoint: str = "recursive_checkpoint"
    courant_limit: float = 0.9
    right_hand_side: Equation = Equation((Advection(),))  # noqa: RUF009

    @property
    def substep(self) -> float:
        """Seconds."""
        return self.interval / self.substeps

    @cached_property
    def groups(self) -> tuple[int, ...]:
        """Cells merged into one in each row."""
        return zonal_groups(self.grid, SMALLEST_SPACING * self.grid.meridional_spacing)

    @cached_property
    def courant_limits(self) -> np.ndarray:
        """Largest outflow Courant number of each field, (field, 1, 1)."""
        limit = self.courant_limit
        limits = [min(limit, POSITIVE_COURANT) if e.scheme == "limited" else limit for e in self.equations]
        return np.array(limits, dtype=np.float32)[:, None, None]

    @cached_property
    def largest_diffusivity(self) -> float:
        """The largest diffusivity that the explicit sub-step allows [m2 s-1]."""
        widths = np.array(self.groups) * self.grid.zonal_spacing
        narrowest = min(widths.min(), self.grid.meridional_spacing)
        return float(DIFFUSION_LIMIT * narrowest**2 / self.substep)

    def term_context(
        self, velocity: FaceVelocity, diffusivity: Float[Array, " field"], surroundings: Surroundings = NOTHING
    ) -> TermContext:
        """The context with winds and diffusivities limited for the sub-step."""
        return self._context(self._safe(velocity), diffusivity, surroundings)

    def _safe(self, velocity: FaceVelocity) -> FaceVelocity:
        """The wind, zero within groups and scaled down where it is too fast for the sub-step."""
        velocity = close_group_faces(velocity, self.grid, self.groups)
        limits = jnp.asarray(self.courant_limits, velocity.east.dtype)
        return limit_outflow(velocity, self.grid, self.substep, limits, self.groups)

    def slowing(self, velocity: FaceVelocity) -> Float[Array, "*batch field lat lon"]:
        """The outflow Courant number of a sub-step over its limit. Above 1, the wind is divided by it."""
        velocity = close_group_faces(velocity, self.grid, self.groups)
        limits = jnp.asarray(self.courant_limits, velocity.east.dtype)
        return courant_number(velocity, self.grid, self.substep, self.groups) / limits

    def _context(
        self, safe: FaceVelocity, diffusivity: Float[Array, " field"], surroundings: Surroundings
    ) -> TermContext:
        diffusivity = jnp.minimum(diffusivity, self.largest_diffusivity)
        return TermContext.of(self.equations, self.grid, safe, diffusivity, self.groups, *surroundings)

    def __call__(
        self,
        fields: Float[Array, "*batch field lat lon"],
        velocity: FaceVelocity,
        diffusivity: Float[Array, " field"],
        surroundings: Surroundings = NOTHING,
    ) -> tuple[Float[Array, "*batch field lat lon"], Float[Array, "*batch field lat lon"]]:
        """The fields after and before the interval, both on the reduced grid; their difference is the increment.

        In flux form the area integral of a field is preserved to round-off; the limited scheme preserves its sign.
        """
        context = self.term_context(velocity, diffusivity, surroundings)
        before = zonal_group_mean(fields, self.grid, self.groups)
        constants = context, self.right_hand_side.held(before, context)

        def tendency(fields, constants):
            return self.right_hand_side(fields, *constants)

        after = integrate(tendency, before, self.interval, self.substeps, self.solver, constants, self.adjoint)
        return after, before

    def increments(
        self,
        fields: Float[Array, "*batch field lat lon"],
        winds: Mapping[str, FaceVelocity],
        diffusivity: Float[Array, " field"],
        surroundings: Surroundings = NOTHING,
    ) -> Mapping[str, Float[Array, "*batch field lat lon"]]:
        """The increment by each named term over the interval. Their sum is the increment of a call with all winds.

        Each term is integrated along with the fields, by the same stages, so the sum differs from the increment only by
        rounding. Advection is split among the `winds`, as `advection_by_<name>`: a flux is the wind times the value
        that the sum of the winds brings to the face, hence linear in the wind as long as its direction is the same. So
        the part of each wind is the derivative of the tendency in its direction. The tendency is homogeneous of degree
        one in the wind, so the parts add up to it (Euler). Where the sum is scaled down, each wind is, by the same
        factor.
        """
        winds = {name: close_group_faces(wind, self.grid, self.groups) for name, wind in winds.items()}
        whole = jax.tree.map(lambda *parts: sum(parts[1:], parts[0]), *winds.values())
        safe = self._safe(whole)
        scaling = [jnp.where(v != 0, s / jnp.where(v != 0, v, 1), 1) for s, v in zip(safe, whole, strict=True)]
        parts = {name: FaceVelocity(wind.east * scaling[0], wind.north * scaling[1]) for name, wind in winds.items()}
        context = self._context(safe, diffusivity, surroundings)
        others, advection = self.right_hand_side.without(Advection.name), Advection()
        before = zonal_group_mean(fields, self.grid, self.groups)
        held = others.held(before, context)

        def tendencies(state, _):
            fields, _ = state

            def advected(velocity):
                return advection.tendency(fields, self._context(velocity, diffusivity, surroundings))

            terms = {f"advection_by_{name}": jax.jvp(advected, (safe,), (part,))[1] for name, part in parts.items()}
            terms |= others.tendencies(fields, context, held)
            return sum(terms.values(), jnp.zeros_like(fields)), terms

        names = [f"advection_by_{name}" for name in winds] + list(others.names)
        start = before, {name: jnp.zeros_like(before) for name in names}
        return integrate(tendencies, start, self.interval, self.substeps, self.solver, adjoint=self.adjoint)[1]
