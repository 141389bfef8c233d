"""Functions of the Laplacian (inverse, Helmholtz solve, exponential), exact for the Laplacian of `calculus`.

The discrete Laplacian separates into waves in longitude and, for each wave, a symmetric operator in latitude. Its
eigenvectors, the discrete spherical harmonics of the grid, are computed once for each grid. A function of the Laplacian
then needs two small matrix products for the transform and two for the inverse transform. All functions are linear,
differentiable and self-adjoint under the area-weighted inner product.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float

from pinnwx.grid import Grid
from pinnwx.operators.calculus import laplacian, zonal_distance
from pinnwx.operators.stencils import constant

_product = partial(jnp.einsum, precision=lax.Precision.HIGHEST)  # full float32 on an accelerator, not TF32


class _Modes(NamedTuple):
    """Eigenvectors of the Laplacian, float64.

    Attributes:
        zonal: (columns, waves, phases), orthonormal; two phases on a periodic grid, one on a regional one.
        analysis: (waves, rows, modes), from rows to modes.
        synthesis: (waves, rows, modes), from modes to rows.
        decay: (modes, waves, 1), eigenvalues of minus the Laplacian [m-2]; exactly zero for the constant.
    """

    zonal: np.ndarray
    analysis: np.ndarray
    synthesis: np.ndarray
    decay: np.ndarray


class LatitudeWeight(NamedTuple):
    """A positive weight of gradients that depends on latitude.

    Attributes:
        rows: at the rows, which weights the eastward derivative.
        edges: at the edges of the rows, which weights the northward derivative.
    """

    rows: tuple[float, ...]
    edges: tuple[float, ...]


def function_of_laplacian(
    field: Float[Array, "*batch lat lon"],
    grid: Grid,
    function: Callable[[Array], Array],
    fixed_edge: bool = False,
    weight: LatitudeWeight | None = None,
) -> Float[Array, "*batch lat lon"]:
    """Applies f(-laplacian) to a field, or f(-div(weight grad)).

    Args:
        field: the field; a row on a pole is replaced by its mean.
        grid: the geometry.
        function: f, from the nonnegative eigenvalues of minus the Laplacian [m-2] to factors.
        fixed_edge: on a regional grid, the field is zero beyond the edge; otherwise its normal gradient is zero.
        weight: of the gradient.
    """
    modes = _modes(grid, fixed_edge and not grid.is_global, weight)
    factors = function(jnp.asarray(modes.decay, field.dtype))
    spectrum = _analysed(field, modes)
    waves = _product("...nmp,mjn->...jmp", spectrum * factors, constant(modes.synthesis, field))
    return _product("...jmp,cmp->...jc", waves, constant(modes.zonal, field))


def to_modes(field: Float[Array, "*batch lat lon"], grid: Grid) -> Float[Array, "*batch mode wave phase"]:
    """The coefficients of a field in the eigenvectors of the Laplacian with zero normal gradient at an edge.

    The sum of their squares is the sum over all cells of the square times the area weight.
    """
    return _analysed(field, _modes(grid, False, None))


def eigenvalues(grid: Grid) -> Float[np.ndarray, "mode wave"]:
    """Those of minus the Laplacian, of the modes of `to_modes` [m-2]."""
    return _modes(grid, False, None).decay[..., 0]


def inverse_laplacian(
    field: Float[Array, "*batch lat lon"],
    grid: Grid,
    boundary: Float[Array, "*#batch padded_lat padded_lon"] | None = None,
) -> Float[Array, "*batch lat lon"]:
    """The solution x of laplacian(x) = field.

    On the globe, and on a regional grid without `boundary` (zero normal gradient), there is no solution for the area
    mean of the field, which is removed; the area mean of x is zero. With `boundary`, x has these values beyond the
    edge.
    """
    if boundary is not None and not grid.is_global:
        field = field - laplacian(jnp.zeros_like(field), grid, boundary)
    return function_of_laplacian(field, grid, _inverse, fixed_edge=boundary is not None)


def inverse_weighted_laplacian(
    field: Float[Array, "*batch lat lon"], grid: Grid, weight: LatitudeWeight
) -> Float[Array, "*batch lat lon"]:
    """The solution x of div(weight grad x) = field; on a regional grid, x is zero beyond the edge.

    On the globe, the area mean of the field is removed, and that of x is zero.
    """
    return function_of_laplacian(field, grid, _inverse, fixed_edge=True, weight=weight)


def _inverse(decay: Array) -> Array:
    return jnp.where(decay > 0, -1 / jnp.where(decay > 0, decay, 1), 0)


def solve_helmholtz(
    field: Float[Array, "*batch lat lon"],
    grid: Grid,
    coefficient: ArrayLike,
    boundary: Float[Array, "*#batch padded_lat padded_lon"] | None = None,
) -> Float[Array, "*batch lat lon"]:
    """The solution x of x - coefficient laplacian(x) = field, for a coefficient >= 0 [m2].

    It conserves the area integral on the globe, and creates no new extrema.
    """
    coefficient = jnp.asarray(coefficient, field.dtype)
    if boundary is not None and not grid.is_global:
        field = field + coefficient * laplacian(jnp.zeros_like(field), grid, boundary)
    return function_of_laplacian(
        field, grid, lambda decay: 1 / (1 + coefficient * decay), fixed_edge=boundary is not None
    )


def _analysed(field: Float[Array, "*batch lat lon"], modes: _Modes) -> Float[Array, "*batch mode wave phase"]:
    waves = _product("...jc,cmp->...jmp", field, constant(modes.zonal, field))
    return _product("...jmp,mjn->...nmp", waves, constant(modes.analysis, field))


@lru_cache(maxsize=8)
def _modes(grid: Grid, fixed_edge: bool, weight: LatitudeWeight | None) -> _Modes:
    zonal, bend = _zonal_waves(grid.shape[1], grid.is_periodic, fixed_edge)
    area = grid.cell_area
    across = grid.east_face_length / (zonal_distance(grid) * area)
    along = grid.north_face_length / grid.meridional_spacing
    if weight is not None:
        across, along = across * weight.rows, along * weight.edges
    if not fixed_edge:
        along[[0, -1]] = 0  # no flux across a closed pole, or across an edge with zero normal gradient

    # A similarity transform with the square root of the area makes the Laplacian symmetric.
    root = np.sqrt(area)
    latitude = np.diag(-(along[:-1] + along[1:]) / area)
    coupling = along[1:-1] / (root[:-1] * root[1:])
    latitude += np.diag(coupling, 1) + np.diag(coupling, -1)
    symmetric = latitude + bend[:, None, None] * np.diag(across)
    caps = [0, -1] if grid.has_pole_rows else []
    for cap in caps:  # a pole row has one value, so it has no waves
        symmetric[1:, cap, :] = symmetric[1:, :, cap] = 0
    scale = grid.meridional_spacing**2 / (1 if weight is None else max(weight.rows))
    values, vectors = np.linalg.eigh(symmetric * scale)
    decay = np.maximum(-values / scale, 0)
    for cap in caps:
        vectors[1:, cap] = 0
    if not fixed_edge:
        decay[0, -1] = 0  # the constant
    weight = root[:, None] / np.sqrt(area.mean())
    return _Modes(zonal, vectors * weight, vectors / weight, decay.T[:, :, None])


def _zonal_waves(columns: int, periodic: bool, fixed_edge: bool) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal eigenvectors (columns, waves, phases) of the second difference, and its eigenvalues (waves,)."""
    index = np.arange(columns)[:, None]
    if periodic:
        wave = np.arange(columns // 2 + 1)
        angle, phase = 2 * np.pi * wave / columns, 2 * np.pi * (index * wave % columns) / columns
        vectors = np.stack([np.cos(phase), np.sin(phase)], axis=-1)
    elif fixed_edge:
        angle = np.pi * np.arange(1, columns + 1) / (columns + 1)
        vectors = np.sin(angle * (index + 1))[..., None]
    else:
        angle = np.pi * np.arange(columns) / columns
        vectors = np.cos(angle * (index + 0.5))[..., None]
    length = np.linalg.norm(vectors, axis=0)
    vectors = np.where(length > 1e-6, vectors / np.maximum(length, 1e-6), 0)
    return vectors, -((2 * np.sin(angle / 2)) ** 2)
