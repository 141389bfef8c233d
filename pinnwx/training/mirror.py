"""Weather reflected in the equator, half a year away, as further weather to learn from.

The equations of motion are symmetric under this reflection: scalars keep their sign, northward wind and vorticity
change it, and latitude, on which the laws depend, stays what it is. So what is learned in one hemisphere is learned for
both. Land and sea are not symmetric; their maps are reflected with the weather.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pinnwx.errors import ConfigError
from pinnwx.grid import Grid

_SEASONS_SWAPPED = np.array([-1, -1, 1, 1, -1], np.float32)  # sine and cosine of the day, hour kept, declination


def require_symmetric_rows(grid: Grid) -> None:
    """Raises:
    ConfigError: the rows of the grid are not their own mirror image.
    """
    latitude = np.asarray(grid.latitude)
    if not grid.is_global or not np.allclose(latitude, -latitude[::-1], atol=1e-6):
        raise ConfigError(f"training.mirror = true needs a global grid that is symmetric about the equator, not {grid}")


def mirror(
    model: Any,
    fields: Float[Array, "batch times field lat lon"],
    time: Float[Array, "steps batch 5"],
    mirrored: Bool[Array, ""],
) -> tuple[Float[Array, "batch times field lat lon"], Float[Array, "steps batch 5"]]:
    """Fields and time features, reflected where `mirrored`; the maps in the model's inputs are changed with them."""
    model.inputs.mirror(mirrored)
    signs = jnp.asarray(model.inputs.mirror_signs, fields.dtype)[:, None, None]
    fields = jnp.where(mirrored, signs * fields[..., ::-1, :], fields)
    return fields, jnp.where(mirrored, time * _SEASONS_SWAPPED, time)
