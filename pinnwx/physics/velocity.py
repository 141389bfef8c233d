"""The wind that transports each field, v = v_physics + v_learned, at the cell centres and at the faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.grid import Grid
from pinnwx.operators.advection import FaceVelocity, face_velocity
from pinnwx.operators.stencils import pad
from pinnwx.physics.transported_field import TransportedField
from pinnwx.physics.winds import AbstractWind

Fields = Mapping[str, Float[Array, "*batch lat lon"]]


def stacked_winds(winds: Sequence[AbstractWind], fields: Fields, grid: Grid) -> Float[Array, "*batch wind lat lon 2"]:
    """The eastward and northward components of these winds [m s-1]. A wind that occurs twice is computed once."""
    components = {wind: wind(fields, grid) for wind in dict.fromkeys(winds)}
    return jnp.stack([jnp.stack(components[wind], axis=-1) for wind in winds], axis=-4)


def face_winds(
    winds: Float[Array, "*batch field lat lon 2"], grid: Grid, transported: Sequence[TransportedField] = ()
) -> FaceVelocity:
    """Winds at cell centres as normal velocities on the cell faces.

    Beyond the edge of a regional grid the wind continues with its value at the edge. A rotational wind is zero there,
    because the streamfunction of the vorticity inside is zero beyond the edge. If it continued, it would converge in
    the cells at the edge, by half of the wind over the width of a cell.
    """
    eastward, northward = winds[..., 0], winds[..., 1]
    ends = np.array([one.wind.ends_at_edge for one in transported])
    if grid.is_global or not ends.any():
        return face_velocity(eastward, northward, grid)
    continues = jnp.asarray(~ends, winds.dtype)[:, None, None]
    beyond = pad(eastward, grid, 1) * continues, pad(northward, grid, 1) * continues
    return face_velocity(eastward, northward, grid, beyond)
