"""The wind that carries each field: v = v_physics(X) + v_network(X)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.grid import Grid
from pinnwx.operators.advection import FaceVelocity, face_velocity
from pinnwx.operators.stencils import pad
from pinnwx.physics.transported_field import TransportedField


def physical_winds(
    equations: Sequence[TransportedField], fields: Mapping[str, Float[Array, "*batch lat lon"]], grid: Grid
) -> Float[Array, "*batch field lat lon 2"]:
    """The physical wind of each carried field; a wind that several fields share is computed once."""
    winds = {wind: wind(fields, grid) for wind in dict.fromkeys(equation.wind for equation in equations)}
    return jnp.stack([jnp.stack(winds[equation.wind], axis=-1) for equation in equations], axis=-4)


def on_faces(
    winds: Float[Array, "*batch field lat lon 2"], grid: Grid, equations: Sequence[TransportedField] = ()
) -> FaceVelocity:
    """Winds at cell centres as normal velocities on the cell faces.

    Beyond the edge of a box the wind continues as it is at the edge; but that of an equation whose wind is rotational
    ends there, for the streamfunction of the vorticity inside is zero beyond. With it continued, the wind would
    converge in the cells of the edge, by half of the wind over the width of a cell.
    """
    eastward, northward = winds[..., 0], winds[..., 1]
    ends = np.array([equation.wind.ends_at_edge for equation in equations])
    if grid.is_global or not ends.any():
        return face_velocity(eastward, northward, grid)
    goes_on = jnp.asarray(~ends, winds.dtype)[:, None, None]
    beyond = pad(eastward, grid, 1) * goes_on, pad(northward, grid, 1) * goes_on
    return face_velocity(eastward, northward, grid, beyond)
