"""The wind that carries each field: v = v_physics(X) + v_network(X)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from pinnwx.config import Transport
from pinnwx.grid import Grid
from pinnwx.operators.advection import FaceVelocity, face_velocity
from pinnwx.physics.diagnostics import geostrophic_wind, geostrophic_wind_from_pressure, rotational_wind

Wind = tuple[Float[Array, "*batch lat lon"], Float[Array, "*batch lat lon"]]


def physical_wind(equation: Transport, fields: Mapping[str, Float[Array, "*batch lat lon"]], grid: Grid) -> Wind:
    """Eastward and northward wind [m s-1] at cell centres, from what the fields hold (see `config.Transport`)."""
    kind, _, source = equation.wind.partition(":")
    match kind:
        case "analysed":
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


def on_faces(winds: Float[Array, "*batch field lat lon 2"], grid: Grid) -> FaceVelocity:
    """Winds at cell centres as normal velocities on the cell faces."""
    return face_velocity(winds[..., 0], winds[..., 1], grid)
