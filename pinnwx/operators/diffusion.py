"""Diffusion: explicit with a variable coefficient; implicit, exact and scale-selective with a constant coefficient."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from pinnwx.grid import Grid
from pinnwx.operators.calculus import face_divergence, face_gradient, face_mean
from pinnwx.operators.poisson import function_of_laplacian, inverse_laplacian, solve_helmholtz
from pinnwx.operators.stencils import FaceVector


def diffusive_tendency(
    field: Float[Array, "*batch lat lon"],
    diffusivity: float | Float[Array, "*cells"],
    grid: Grid,
    boundary: Float[Array, "*#batch padded_lat padded_lon"] | None = None,
    groups: tuple[int, ...] | None = None,
) -> Float[Array, "*batch lat lon"]:
    """div(kappa grad q) in flux form [units of q per second].

    It conserves the area integral on the globe. An explicit Euler step creates no new extrema if
    `stability.diffusion_number` is at most 1.

    Args:
        field: q.
        diffusivity: kappa >= 0 [m2 s-1], a number or an array `(*batch, lat, lon)` at the cell centres; the value at a
            face is the mean of the adjacent cells.
        grid: the geometry.
        boundary: q around a regional grid.
        groups: see `polar.zonal_groups`; the field must have one value in each group.
    """
    slope = face_gradient(field, grid, boundary, groups)
    if jnp.ndim(diffusivity) == 0:
        flux = FaceVector(diffusivity * slope.east, diffusivity * slope.north)
    else:
        at_faces = face_mean(jnp.asarray(diffusivity), grid)
        flux = FaceVector(at_faces.east * slope.east, at_faces.north * slope.north)
    return face_divergence(flux, grid, groups)


def implicit_diffusion(
    field: Float[Array, "*batch lat lon"],
    diffusivity: ArrayLike,
    grid: Grid,
    dt: ArrayLike,
    boundary: Float[Array, "*#batch padded_lat padded_lon"] | None = None,
) -> Float[Array, "*batch lat lon"]:
    """One backward Euler step of diffusion with constant kappa >= 0 [m2 s-1]; stable for any `dt` [s].

    It conserves the area integral on the globe, and preserves signs and bounds.
    """
    return solve_helmholtz(field, grid, jnp.asarray(diffusivity, field.dtype) * dt, boundary)


def exact_diffusion(
    field: Float[Array, "*batch lat lon"],
    diffusivity: ArrayLike,
    grid: Grid,
    dt: ArrayLike,
    boundary: Float[Array, "*#batch padded_lat padded_lon"] | None = None,
) -> Float[Array, "*batch lat lon"]:
    """Diffusion over a time `dt` [s] with constant kappa >= 0 [m2 s-1], exact in time.

    The result is exp(kappa dt laplacian) q. It conserves the area integral on the globe, and preserves signs and
    bounds. Two half steps equal one step.
    """
    exponent = jnp.asarray(diffusivity, field.dtype) * dt
    steady = 0.0 if boundary is None or grid.is_global else inverse_laplacian(jnp.zeros_like(field), grid, boundary)
    return steady + function_of_laplacian(
        field - steady, grid, lambda decay: jnp.exp(-exponent * decay), fixed_edge=boundary is not None
    )


def hyperdiffusion(
    field: Float[Array, "*batch lat lon"],
    grid: Grid,
    dt: ArrayLike,
    damping_time: float,
    order: int = 2,
    maximum_ratio: float = np.inf,
) -> Float[Array, "*batch lat lon"]:
    """Decay by -(-laplacian)^order over a time `dt` [s], without error in time.

    A wave with the eigenvalue lambda of -laplacian decays by exp(-dt / damping_time (lambda / lambda_2)^order), with
    the eigenvalue lambda_2 of waves of two rows. The area integral on the globe is conserved. With an order above 1,
    small new extrema are possible.

    Args:
        field: q.
        grid: the geometry.
        dt: the time [s].
        damping_time: time in which waves of two rows decay by the factor e [s].
        order: of the hyperdiffusion.
        maximum_ratio: upper bound of lambda / lambda_2. Zonal waves near the poles are much shorter than two rows, and
            a high power of their ratio overflows in float32.
    """
    two_rows = (2 / grid.meridional_spacing) ** 2
    rate = dt / damping_time

    def damping(eigenvalue: Array) -> Array:
        return jnp.exp(-rate * jnp.minimum(eigenvalue / two_rows, maximum_ratio) ** order)

    return function_of_laplacian(field, grid, damping)
