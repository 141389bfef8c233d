"""The power of fields by total wavenumber, from the eigenvectors of the grid's own Laplacian.

Minus the Laplacian has the eigenvalues n (n + 1) / a^2 on the sphere, for the total wavenumber n. Here n comes from the
discrete eigenvalues. Its bands are one wide on the globe, and on a regional grid as wide as the longest wave that fits.
The eigenvectors are orthonormal under the area-weighted inner product, so the powers of all bands add up to the area
mean of the square (Parseval), to round-off.
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
    number = np.sqrt(0.25 + eigenvalues(grid) * EARTH_RADIUS**2) - 0.5
    extent = np.pi if grid.is_global else np.ptp(grid.latitude_radians) * (1 + 1 / (grid.shape[0] - 1))
    bands = grid.shape[0]
    band = np.minimum(np.round(number / (np.pi / extent)), bands - 1).astype(int)
    return (band[..., None] == np.arange(bands)) / np.prod(grid.shape)
