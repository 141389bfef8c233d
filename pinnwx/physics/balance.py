"""The geopotential in balance with a rotational wind.

On the globe, linear balance (Lorenz 1960, Tellus 12):

    laplacian(Phi) = div(f grad psi),    area mean of Phi zero.

It is the divergence equation without its time derivative, its nonlinear terms and the divergent wind. It holds at the
equator. On a regional grid, the inverse of the geostrophic relation:

    div(1/f grad Phi) = laplacian(psi),    Phi zero beyond the edge, as psi is.

So the vorticity of the geostrophic wind of Phi is that of psi. This requires that f keeps its sign. A regional grid
that reaches into the tropics uses linear balance instead, with Phi zero beyond the edge.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.constants import DRY_AIR_GAS_CONSTANT, EARTH_ROTATION
from pinnwx.grid import Grid
from pinnwx.operators.calculus import face_divergence, face_gradient, laplacian
from pinnwx.operators.poisson import LatitudeWeight, inverse_laplacian, inverse_weighted_laplacian
from pinnwx.operators.stencils import FaceVector, constant, zero_beyond_edge

Field = Float[Array, "*batch lat lon"]

EQUATORIAL_LATITUDE = 10.0  # degrees, where the geostrophic relation ends; as in `diagnostics.geostrophic_wind`


def balanced_geopotential(streamfunction: Field, grid: Grid) -> Field:
    """Phi [m2 s-2] in balance with a streamfunction [m2 s-1], which is zero beyond the edge of a regional grid."""
    latitude = np.abs(np.rad2deg(np.append(grid.latitude_radians, grid.latitude_edges)))
    if grid.is_global or latitude.min() < EQUATORIAL_LATITUDE:
        return linear_balance(streamfunction, grid)
    return inverse_geostrophic_balance(streamfunction, grid)


def linear_balance(streamfunction: Field, grid: Grid) -> Field:
    """The solution Phi [m2 s-2] of laplacian(Phi) = div(f grad psi), for psi [m2 s-1]; second order.

    On the globe, the area mean of Phi is zero. On a regional grid, psi and Phi are zero beyond the edge.
    """
    beyond = zero_beyond_edge(streamfunction, grid)
    return inverse_laplacian(_weighted_laplacian(streamfunction, grid, _coriolis(grid), beyond), grid, beyond)


def inverse_geostrophic_balance(streamfunction: Field, grid: Grid) -> Field:
    """The solution Phi [m2 s-2] of div(1/f grad Phi) = laplacian(psi), for psi [m2 s-1], on a regional grid.

    psi and Phi are zero beyond the edge. The Coriolis parameter f must keep its sign within the grid.
    """
    coriolis = _coriolis(grid)
    inverse = LatitudeWeight(*(tuple((1 / np.abs(values)).tolist()) for values in coriolis))
    vorticity = laplacian(streamfunction, grid, zero_beyond_edge(streamfunction, grid))
    return float(np.sign(coriolis.rows[0])) * inverse_weighted_laplacian(vorticity, grid, inverse)


def layer_temperature(thickness: Field, upper: float, lower: float) -> Field:
    """The mean temperature [K] of the layer between two pressures, of this thickness [m2 s-2], in hydrostatic balance.

    T = thickness / (R ln(lower / upper)), for the pressures of the upper and the lower level in one unit.
    """
    return thickness / (DRY_AIR_GAS_CONSTANT * float(np.log(lower / upper)))


def geostrophic_vorticity(geopotential: Field, grid: Grid) -> Field:
    """div(F grad Phi) [s-1], with F = 1/f bounded near the equator as in `diagnostics.geostrophic_wind`.

    Beyond the edge of a regional grid, Phi continues linearly, so that the geostrophic wind continues with its value.
    """
    bound = 2 * EARTH_ROTATION * np.sin(np.deg2rad(EQUATORIAL_LATITUDE))
    bounded = (np.asarray(f) / np.maximum(np.abs(f), bound) ** 2 for f in _coriolis(grid))
    inverse = LatitudeWeight(*(tuple(values.tolist()) for values in bounded))
    width = [(0, 0)] * (geopotential.ndim - 2) + [(1, 1), (1, 1)]
    beyond = None if grid.is_global else jnp.pad(geopotential, width, mode="reflect", reflect_type="odd")
    return _weighted_laplacian(geopotential, grid, inverse, beyond)


def _coriolis(grid: Grid) -> LatitudeWeight:
    angles = grid.latitude_radians, grid.latitude_edges
    return LatitudeWeight(*(tuple((2 * EARTH_ROTATION * np.sin(angle)).tolist()) for angle in angles))


def _weighted_laplacian(field: Field, grid: Grid, weight: LatitudeWeight, beyond: Array | None) -> Field:
    """div(weight grad q); `beyond` holds q around a regional grid."""
    rows, edges = (np.asarray(values)[:, None] for values in weight)
    slope = face_gradient(field, grid, beyond)
    flux = FaceVector(slope.east * constant(rows, field), slope.north * constant(edges, field))
    return face_divergence(flux, grid)
