"""Eulerian transport by fluxes through the faces of cells: stable for any wind, conservative in flux form, and
sign-preserving with the limited scheme.

Three measures make it stable for any weights. Near the poles, neighbouring cells of a row are merged into groups at
least `SMALLEST_SPACING` wide (a reduced grid), so converging meridians do not determine the time step. The wind out of
a cell or group is scaled down where its outflow Courant number in one sub-step exceeds the limit. The diffusivity is
bounded by the explicit limit. With enough sub-steps for the wind only the first changes anything, near the poles.
Where nothing moves a field between cells but user-defined terms, such as a core of another library, cells need not be
merged (`merges_cells`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.operators.advection import FaceVelocity
from pinnwx.operators.polar import cap_groups, close_group_faces, zonal_group_mean, zonal_groups
from pinnwx.operators.stability import courant_number, limit_outflow
from pinnwx.physics.integrate import integrate
from pinnwx.physics.polar_structure import has_polar_structure, polar_structure_change
from pinnwx.physics.terms import Advection, TermContext
from pinnwx.physics.transport.base import NOTHING, AbstractTransport, Fields, Surroundings, Winds
from pinnwx.physics.velocity import face_winds

# Least width of a polar group, in units of the meridional spacing.
SMALLEST_SPACING = 0.5
# A limited flux preserves the sign while outflow Courant number / 0.5 + diffusion number is at most 1
# (operators.stability): 0.8 for the wind, and 0.16 for diffusion, whose number is about 4 kappa dt / dx^2.
POSITIVE_COURANT = 0.4
DIFFUSION_LIMIT = 0.04  # of kappa dt / dx^2


@dataclass(frozen=True)
class EulerianTransport(AbstractTransport):
    """Explicit sub-steps of flux divergences. With the limited scheme the Courant limit is at most `POSITIVE_COURANT`.

    `advance` and `increments` take winds at the cell centres. A call takes winds at the faces.

    Attributes:
        merges_cells: whether cells near the poles are merged. If not, the sub-step must fit the narrowest cell.
    """

    merges_cells: bool = True

    @cached_property
    def groups(self) -> tuple[int, ...]:
        """Cells merged into one in each row; on a row of a pole, which is one point, all."""
        if not self.merges_cells:
            return cap_groups(self.grid)
        return zonal_groups(self.grid, SMALLEST_SPACING * self.grid.meridional_spacing)

    @cached_property
    def courant_limits(self) -> np.ndarray:
        """Largest outflow Courant number of each field, (field, 1, 1)."""
        limit = self.courant_limit
        limits = [min(limit, POSITIVE_COURANT) if e.scheme == "limited" else limit for e in self.equations]
        return np.array(limits, dtype=np.float32)[:, None, None]

    @property
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

    def slowing(self, winds: Winds) -> Fields:
        """The outflow Courant number of a sub-step over its limit. Above 1, the wind is divided by it."""
        velocity = close_group_faces(self._faces(winds), self.grid, self.groups)
        limits = jnp.asarray(self.courant_limits, velocity.east.dtype)
        return courant_number(velocity, self.grid, self.substep, self.groups) / limits

    def _context(
        self, safe: FaceVelocity, diffusivity: Float[Array, " field"], surroundings: Surroundings
    ) -> TermContext:
        diffusivity = jnp.minimum(diffusivity, self.largest_diffusivity)
        return TermContext.of(self.equations, self.grid, safe, diffusivity, self.groups, *surroundings)

    def advance(
        self, fields: Fields, winds: Winds, diffusivity: Float[Array, " field"], surroundings: Surroundings = NOTHING
    ) -> tuple[Fields, Fields]:
        """The fields after the interval on the reduced grid, and their increment on the full grid."""
        after, before = self(fields, self._faces(winds), diffusivity, surroundings)
        return after, after - before + self._structure(fields, winds)

    def increments(
        self,
        fields: Fields,
        winds: Mapping[str, Winds],
        diffusivity: Float[Array, " field"],
        surroundings: Surroundings = NOTHING,
    ) -> dict[str, Fields]:
        """The increments of the terms, of the structure inside polar groups, and of the mean over them.

        `polar_mean` is what a conserved field loses because it is replaced by its means over groups of cells.
        """
        faces = {name: self._faces(wind) for name, wind in winds.items()}
        parts = dict(self.term_increments(fields, faces, diffusivity, surroundings))
        if has_polar_structure(self.grid, self.groups):
            parts["polar_structure"] = self._structure(fields, jnp.sum(jnp.stack([*winds.values()]), 0))
        if self.conserved.any():
            means = zonal_group_mean(fields, self.grid, self.groups) - fields
            parts["polar_mean"] = jnp.where(self.conserved, means, 0)
        return parts

    def _faces(self, winds: Winds) -> FaceVelocity:
        return face_winds(winds, self.grid, self.equations)

    def _structure(self, fields: Fields, winds: Winds) -> Array:
        """The increment of the structure inside groups of cells; zero for conserved fields."""
        if not has_polar_structure(self.grid, self.groups):
            return jnp.zeros((), fields.dtype)
        change = polar_structure_change(fields, winds, self.grid, self.groups, self.interval)
        return jnp.where(self.conserved, 0, change)

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

    def term_increments(
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
        closed = [close_group_faces(wind, self.grid, self.groups) for wind in winds.values()]
        stacked = jax.tree.map(lambda *each: jnp.stack(each), *closed)
        whole = jax.tree.map(lambda each: each.sum(0), stacked)
        safe = self._safe(whole)
        scaling = [jnp.where(v != 0, s / jnp.where(v != 0, v, 1), 1) for s, v in zip(safe, whole, strict=True)]
        parts = FaceVelocity(stacked.east * scaling[0], stacked.north * scaling[1])
        names = [f"advection_by_{name}" for name in winds]
        context = self._context(safe, diffusivity, surroundings)
        others, advection = self.right_hand_side.without(Advection.name), Advection()
        before = zonal_group_mean(fields, self.grid, self.groups)
        held = others.held(before, context)

        def terms_of(fields):
            def advected(velocity):
                return advection.tendency(fields, self._context(velocity, diffusivity, surroundings))

            if len(names) == 1:  # the derivative in its own direction
                return {names[0]: advected(safe)} | others.tendencies(fields, context, held)
            tangents = jax.vmap(lambda part: jax.jvp(advected, (safe,), (part,))[1])(parts)
            return dict(zip(names, tangents, strict=True)) | others.tendencies(fields, context, held)

        return self._integrated(before, terms_of, names + list(others.names))

    def other_increments(
        self,
        fields: Fields,
        velocity: FaceVelocity,
        diffusivity: Float[Array, " field"],
        surroundings: Surroundings = NOTHING,
    ) -> dict[str, Fields]:
        """The increments by the terms besides advection over the interval, if there is no advection."""
        others = self.right_hand_side.without(Advection.name)
        if not others.terms:
            return {}
        context = self.term_context(velocity, diffusivity, surroundings)
        before = zonal_group_mean(fields, self.grid, self.groups)
        held = others.held(before, context)
        return self._integrated(before, lambda fields: others.tendencies(fields, context, held), others.names)

    def _integrated(
        self, before: Fields, terms_of: Callable[[Fields], Mapping[str, Fields]], names: Sequence[str]
    ) -> dict[str, Fields]:
        """The increment by each of the named terms, integrated along with the fields that they change together."""

        def tendencies(state, _):
            terms = terms_of(state[0])
            return sum(terms.values(), jnp.zeros_like(before)), terms

        start = before, {name: jnp.zeros_like(before) for name in names}
        return integrate(tendencies, start, self.interval, self.substeps, self.solver, adjoint=self.adjoint)[1]
