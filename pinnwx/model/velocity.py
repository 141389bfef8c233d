"""The wind that carries each field: v = v_physics(X) + v_network(X)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinnwx.config import Transport
from pinnwx.grid import Grid
from pinnwx.operators.advection import FaceVelocity, face_velocity
from pinnwx.operators.stencils import pad
from pinnwx.physics.diagnostics import geostrophic_wind, geostrophic_wind_from_pressure, rotational_wind

Wind = tuple[Float[Array, "*batch lat lon"], Float[Array, "*batch lat lon"]]


def physical_wind(equation: Transport, fields: Mapping[str, Float[Array, "*batch lat lon"]], grid: Grid) -> Wind:
    """Eastward and northward wind [m s-1] at cell centres, from what the fields hold (see `config.Transport`)."""
    kind, _, source = equation.wind.partition(":")
    match kind:
        case "prognostic":
            eastward, northward = equation.inputs
            return fields[eastward], fields[northward]
        case "rotational":
            return rotational_wind(fields[source], grid)
        case "geostrophic" if source == "msl":
            return geostrophic_wind_from_pressure(fields[source], grid)
        case "geostrophic":
            return geostrophic_wind(fields[source], grid)
        case _:
            calm = jnp.zeros_like(fields[equation.field])
            return calm, calm


def physical_winds(
    equations: Sequence[Transport], fields: Mapping[str, Float[Array, "*batch lat lon"]], grid: Grid
) -> Float[Array, "*batch field lat lon 2"]:
    """The physical wind of each carried field; a wind that several fields share is computed once."""
    by_source: dict[str, Wind] = {}
    for equation in equations:
        if equation.wind == "none" or equation.wind not in by_source:
            by_source[equation.wind] = physical_wind(equation, fields, grid)
    winds = [by_source[equation.wind] for equation in equations]
    return jnp.stack([jnp.stack(wind, axis=-1) for wind in winds], axis=-4)


def on_faces(
    winds: Float[Array, "*batch field lat lon 2"], grid: Grid, equations: Sequence[Transport] = ()
) -> FaceVelocity:
    """Winds at cell centres as normal velocities on the cell faces.

    Beyond the edge of a box the wind continues as it is at the edge; but that of an equation whose wind is rotational
    ends there, for the streamfunction of the vorticity inside is zero beyond. With it continued, the wind would
    converge in the cells of the edge, by half of the wind over the width of a cell.
    """
    eastward, northward = winds[..., 0], winds[..., 1]
    ends = np.array([equation.wind.startswith("rotational") for equation in equations])
    if grid.is_global or not ends.any():
        return face_velocity(eastward, northward, grid)
    goes_on = jnp.asarray(~ends, winds.dtype)[:, None, None]
    beyond = pad(eastward, grid, 1) * goes_on, pad(northward, grid, 1) * goes_on
    return face_velocity(eastward, northward, grid, beyond)
