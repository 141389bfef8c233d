"""Measures a semi-Lagrangian step against the Eulerian sub-steps that cover the same time, at Courant numbers 1 to 20.

    python -m experiments.studies.semi_lagrangian_cost            what is not stored yet; about two minutes
    python -m experiments.studies.semi_lagrangian_cost --again    everything

A cosine bell goes over both poles, half a revolution, on 64 x 128 cells in float32 (Williamson et al. 1992, case 1).
The Courant number is that of a step at the equator. The Eulerian schemes take as many sub-steps as the limits of the
model need, in its flux form: with polar groups at least half a row spacing wide, and Heun's method. The semi-Lagrangian
steps compute their departure points in every step, for `FIELDS` fields that share one wind. Functions run in turns;
medians are quoted. Figures go to experiments/results/semi_lagrangian_cost.json, the table to docs/speed.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.studies.harness import RESULTS, SPEED_PAGE, StoredFigures, markdown_table, splice, study_parser
from experiments.studies.stopwatch import time_in_turns
from pinnwx.constants import EARTH_RADIUS
from pinnwx.grid import Grid
from pinnwx.operators.advection import FaceVelocity, face_velocity, flux_divergence
from pinnwx.operators.departure import departure_points
from pinnwx.operators.polar import close_group_faces, zonal_group_mean, zonal_groups
from pinnwx.operators.semi_lagrangian import VARIANTS, semi_lagrangian_step
from pinnwx.operators.stability import largest_safe_step
from pinnwx.physics.integrate import integrate
from pinnwx.physics.transport.eulerian import POSITIVE_COURANT, SMALLEST_SPACING
from pinnwx.runtime import keep_freed_memory

GRID = Grid.parse("2.8125deg")
COURANT_NUMBERS = (1, 2, 5, 10, 20)
FIELDS = 8
PERIOD = 12 * 86400.0  # of a revolution [s]
SPEED = 2 * np.pi * EARTH_RADIUS / PERIOD
LIMITS = {"upwind3": 0.9, "limited": POSITIVE_COURANT}  # of the outflow Courant number


def wind() -> tuple[Array, Array]:
    """Solid-body rotation straight over the poles [m s-1]."""
    latitude, longitude = np.broadcast_arrays(GRID.latitude_radians[:, None], GRID.longitude_radians)
    east, north = np.cos(longitude) * np.sin(latitude), -np.sin(longitude)
    return jnp.asarray(SPEED * east, jnp.float32), jnp.asarray(SPEED * north, jnp.float32)


def bell(longitude: float) -> np.ndarray:
    """The cosine bell on the equator, of radius a/3 and height 1."""
    cosine = np.cos(GRID.latitude_radians)[:, None] * np.cos(GRID.longitude_radians - longitude)
    distance = np.arccos(np.clip(cosine, -1, 1))
    return np.where(distance < 1 / 3, 0.5 * (1 + np.cos(3 * np.pi * distance)), 0.0)


def eulerian(fields: Array, velocity: FaceVelocity, scheme: str, interval: float, substeps: int) -> Array:
    """The fields after an interval in the model's flux form: Heun's method on the reduced grid."""
    groups = zonal_groups(GRID, SMALLEST_SPACING * GRID.meridional_spacing)

    def tendency(q: Array, velocity: FaceVelocity) -> Array:
        return flux_divergence(q, velocity, GRID, scheme, groups=groups)

    return integrate(tendency, zonal_group_mean(fields, GRID, groups), interval, substeps, "heun", velocity)


def substeps_of(scheme: str, interval: float) -> int:
    """The sub-steps of an interval that no limit of the wind touches."""
    groups = zonal_groups(GRID, SMALLEST_SPACING * GRID.meridional_spacing)
    velocity = close_group_faces(face_velocity(*wind(), GRID), GRID, groups)
    return math.ceil(interval / largest_safe_step(velocity, GRID, LIMITS[scheme], groups=groups).seconds)


def semi_lagrangian(fields: Array, components: tuple[Array, Array], variant: str, interval: float) -> Array:
    points = departure_points(*components, GRID, interval)
    return semi_lagrangian_step(fields, points, GRID, variant)


def measure(courant: int) -> dict[str, Any]:
    """Seconds of a step forward and with its gradient, and the error after half a revolution, of every scheme."""
    steps = round(GRID.shape[1] / 2 / courant)
    interval = 0.5 * PERIOD / steps
    start = jnp.broadcast_to(jnp.asarray(bell(1.5 * np.pi), jnp.float32), (FIELDS, *GRID.shape))
    advances: dict[str, tuple[Callable[..., Array], Any, int]] = {}
    for scheme in LIMITS:
        substeps = substeps_of(scheme, interval)
        advance = partial(eulerian, scheme=scheme, interval=interval, substeps=substeps)
        advances[scheme] = advance, face_velocity(*wind(), GRID), substeps
    for variant in VARIANTS:
        advances[variant] = partial(semi_lagrangian, variant=variant, interval=interval), wind(), 1
    forward = {name: partial(jax.jit(advance), start, air) for name, (advance, air, _) in advances.items()}
    backward = {name: partial(gradient(advance), start, air) for name, (advance, air, _) in advances.items()}
    times, gradients = time_in_turns(forward), time_in_turns(backward)
    exact = bell(0.5 * np.pi)
    return {
        name: {
            "substeps": substeps,
            "forward": times[name],
            "gradient": gradients[name],
            "error": l2(half_revolution(advance, start[:1], air, steps), exact),
        }
        for name, (advance, air, substeps) in advances.items()
    }


def gradient(advance: Callable[..., Array]) -> Callable[..., object]:
    """Value and gradient in fields and wind."""
    return jax.jit(jax.value_and_grad(lambda fields, air: jnp.sum(advance(fields, air) ** 2), argnums=(0, 1)))


def half_revolution(advance: Callable[..., Array], fields: Array, air: Any, steps: int) -> np.ndarray:
    whole = jax.jit(lambda q, air: jax.lax.scan(lambda q, _: (advance(q, air), None), q, length=steps)[0])
    return np.asarray(whole(fields, air))[0]


def l2(field: np.ndarray, exact: np.ndarray) -> float:
    """The normalised error (Williamson et al. 1992)."""
    return float(np.sqrt(np.mean((field - exact) ** 2 * GRID.area_weights) / np.mean(exact**2 * GRID.area_weights)))


def table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Milliseconds of a step, with its gradient in parentheses, and errors."""
    rows = []
    for courant, entry in sorted(figures.items(), key=lambda item: int(item[0])):
        row = [courant, f"{entry['upwind3']['substeps']}, {entry['limited']['substeps']}"]
        for one in entry.values():
            forward, backward = (1e3 * one[kind]["median"] for kind in ("forward", "gradient"))
            row.append(f"{forward:.1f} ({backward:.0f}), {one['error']:.3f}")
        rows.append(row)
    names = next(iter(figures.values()))
    return "\n".join(markdown_table(["Courant number", "sub-steps of upwind3, limited", *names], rows)) + "\n"


def main() -> None:
    options = study_parser(__doc__, remeasure=True).parse_args()
    keep_freed_memory()
    stored = StoredFigures(RESULTS / "semi_lagrangian_cost.json")
    measurements = {str(number): partial(measure, number) for number in COURANT_NUMBERS}
    if not options.tables:
        stored.measure_missing(measurements, again=options.again)
    splice(SPEED_PAGE, "semi-Lagrangian", table(stored.figures))


if __name__ == "__main__":
    main()
