"""Transport of fields by given winds over one coupling interval: stable for any wind, conservative in flux form, and
sign-keeping with the limited scheme.

Three things make it safe at any weights. Near the poles, neighbouring cells of a row are merged into groups at least
`SMALLEST_SPACING` wide (a reduced grid), so converging meridians do not dictate the time step. The wind out of any
cell or group is scaled down where it would empty more than the Courant limit's share of it in one sub-step. And the
diffusivity is held below the explicit limit. Where the winds are moderate, none of the three changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.config import PhysicsSettings, Transport
from pinnwx.grid import Grid
from pinnwx.operators.advection import FaceVelocity
from pinnwx.operators.polar import close_group_faces, zonal_group_mean, zonal_groups
from pinnwx.operators.stability import limit_outflow
from pinnwx.physics.integrate import integrate
from pinnwx.physics.terms import Environment, environment, terms, total

# Share of the meridional spacing that a polar group must at least be wide.
SMALLEST_SPACING = 0.5
# A limited flux keeps sign while outflow Courant number / 0.5 + diffusion number is at most 1 (operators.stability):
# 0.8 of that is the wind's, and 0.16 diffusion's, whose number is about 4 kappa dt / dx^2.
POSITIVE_COURANT = 0.4
DIFFUSION_LIMIT = 0.04  # of kappa dt / dx^2


@dataclass(frozen=True)
class TransportSolver:
    """Solves dq/dt = sum of the named terms for a stack of fields over one interval; static under jit."""

    equations: tuple[Transport, ...]
    grid: Grid
    settings: PhysicsSettings
    interval: float  # seconds

    @property
    def substep(self) -> float:
        """Seconds."""
        return self.interval / self.settings.substeps

    @cached_property
    def groups(self) -> tuple[int, ...]:
        """Cells merged into one in each row."""
        return zonal_groups(self.grid, SMALLEST_SPACING * self.grid.meridional_spacing)

    @cached_property
    def courant_limits(self) -> np.ndarray:
        """Largest outflow Courant number of each field, (field, 1, 1)."""
        limit = self.settings.courant_limit
        limits = [min(limit, POSITIVE_COURANT) if e.scheme == "limited" else limit for e in self.equations]
        return np.array(limits, dtype=np.float32)[:, None, None]

    @cached_property
    def largest_diffusivity(self) -> float:
        """m2 s-1 that the explicit sub-step allows."""
        widths = np.array(self.groups) * self.grid.zonal_spacing
        narrowest = min(widths.min(), self.grid.meridional_spacing)
        return float(DIFFUSION_LIMIT * narrowest**2 / self.substep)

    def environment(self, velocity: FaceVelocity, diffusivity: Float[Array, " field"]) -> Environment:
        """Winds and diffusivities made safe for the sub-step."""
        velocity = close_group_faces(velocity, self.grid, self.groups)
        limits = jnp.asarray(self.courant_limits, velocity.east.dtype)
        velocity = limit_outflow(velocity, self.grid, self.substep, limits, self.groups)
        diffusivity = jnp.minimum(diffusivity, self.largest_diffusivity)
        return environment(self.equations, self.grid, self.groups, velocity, diffusivity)

    def __call__(
        self,
        fields: Float[Array, "*batch field lat lon"],
        velocity: FaceVelocity,
        diffusivity: Float[Array, " field"],
        *,
        diffusive: bool,
    ) -> tuple[Float[Array, "*batch field lat lon"], Float[Array, "*batch field lat lon"]]:
        """The fields after and before the interval, both on the reduced grid; their difference is the increment.

        Each field keeps its area integral (flux form) to round-off, and a limited one its sign.
        """
        given = self.environment(velocity, diffusivity)
        tendency = total(terms(self.equations, self.grid, self.groups, diffusive=diffusive))
        before = zonal_group_mean(fields, self.grid, self.groups)
        settings = self.settings
        after = integrate(tendency, before, self.interval, settings.substeps, settings.solver, given)
        return after, before
