"""The power of fields by total wavenumber, from the eigenvectors of the grid's own Laplacian.

The eigenvectors are the discrete spherical harmonics. Those of zonal wavenumber m, ordered by their eigenvalues, have
the total wavenumbers m, m + 1, ... On a regional grid, the wavenumber comes from the eigenvalue, in units of half a
wave in the extent from south to north. The eigenvectors are orthonormal under the area-weighted inner product, so the
powers of all bands add up to the area mean of the square (Parseval), to round-off.
"""

from __future__ import annotations

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.constants import EARTH_RADIUS
from pinnwx.grid import Grid
from pinnwx.operators.poisson import eigenvalues, to_modes
from pinnwx.operators.stencils import constant


def band_power(field: Float[Array, "*batch lat lon"], grid: Grid) -> Float[Array, "*batch band"]:
    """The area mean of the square of a field, by bands of total wavenumber from long to short waves."""
    squares = to_modes(field, grid) ** 2
    return jnp.einsum("...nmp,nmb->...b", squares, constant(_membership(grid), field))


@lru_cache(maxsize=8)
def _membership(grid: Grid) -> np.ndarray:
    """(modes, waves, bands): the reciprocal of the number of cells where a mode belongs to a band, and else 0."""
    bands = grid.shape[0]
    band = np.clip(np.round(_wavenumbers(grid)), 0, bands - 1)
    return (band[..., None] == np.arange(bands)) / np.prod(grid.shape)


def _wavenumbers(grid: Grid) -> np.ndarray:
    """The total wavenumber of each mode, (modes, waves); on a regional grid, in units of half a wave in its extent."""
    decay = eigenvalues(grid)
    modes, waves = decay.shape
    if not grid.is_global:
        extent = modes * np.deg2rad(grid.latitude_spacing)
        return np.sqrt(decay) * EARTH_RADIUS * extent / np.pi
    # The modes of zonal wavenumber m have the degrees m, m + 1, ...: from the last mode on, which decays slowest. Pole
    # rows have no waves, so the last two modes are empty there.
    zonal = np.arange(waves)
    empty = 2 * grid.has_pole_rows * (zonal > 0)
    return zonal + np.arange(modes)[::-1, None] - empty
