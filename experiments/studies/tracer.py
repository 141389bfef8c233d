"""A passive tracer in thirty days of weather: what of its mass, its sign and its shape a transport scheme keeps.

    python -m experiments.studies.tracer             what is not stored yet; about two minutes
    python -m experiments.studies.tracer --again     everything
    python -m experiments.studies.tracer --tables    only write the table

A cosine bell of radius 2,000 km over Asia is carried by the rotational part of the winds at 850 hPa of the GCM archive,
August 2001, each for six hours: the mean of two analyses. The rotational wind has nearly no divergence, so flux form
and advective form have nearly the same solution. The reference is a run with four times the resolution each way
(conservative semi-Lagrangian, steps of 1.5 h), of which the means over the coarse cells are taken. `centred` is what a
network is often given: differences of the cell centres, -v . grad q. It has no polar groups, so it needs more sub-
steps.

Measured are the mass over that of the start, the lowest and highest value, the variance over that of the reference, and
the root of the mean square difference from the reference over its standard deviation. Figures go to
experiments/results/tracer.json, the table to experiments/README.md, the picture to experiments/results/tracer.png.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.figure import Figure

import pinnwx
from experiments.studies.harness import DATA, README, RESULTS, StoredFigures, markdown_table, splice, study_parser
from pinnwx.data.archive import Archive
from pinnwx.data.regrid import regrid
from pinnwx.grid import Grid
from pinnwx.operators.advection import advective_tendency, face_velocity
from pinnwx.operators.interpolation import Points, interpolate
from pinnwx.physics import EulerianTransport, SemiLagrangianTransport, TransportedField, rotational_wind
from pinnwx.physics.diagnostics import vorticity_and_divergence
from pinnwx.physics.integrate import integrate
from pinnwx.physics.winds import PrognosticWind
from pinnwx.reporting.style import save

GRID, FINE = Grid.parse("5.625deg"), Grid.parse("1.40625deg")
INTERVAL, DAYS = 6 * 3600.0, (5, 10, 30)
STEPS = 4 * max(DAYS)
CENTRE, RADIUS = (np.deg2rad(50.0), np.deg2rad(110.0)), 2e6 / 6.371e6
SUBSTEPS = {"limited": 4, "upwind3": 4, "centred": 48, "semi_lagrangian": 4}
LABELS = {
    "limited": "flux form, limited (conserved fields)",
    "upwind3": "advective form, third order",
    "centred": "advective form, centred",
    "semi_lagrangian": "semi-Lagrangian, conservative",
}


@cache
def winds() -> Float[np.ndarray, "step lat lon 2"]:
    """The rotational wind of each interval [m s-1]."""
    dataset = pinnwx.open_data(DATA / "gcm_t31", ["u850", "v850"], start="2001-08-01", end="2001-08-31")
    archive = Archive.from_dataset(dataset, ["u850", "v850"])
    means = 0.5 * (archive.fields[1:] + archive.fields[:-1])[:STEPS]
    vorticity, _ = vorticity_and_divergence(jnp.asarray(means[:, 0]), jnp.asarray(means[:, 1]), GRID)
    return np.stack([np.asarray(part) for part in rotational_wind(vorticity, GRID)], axis=-1)


def on_grid(grid: Grid) -> Float[np.ndarray, "step lat lon 2"]:
    """The winds at the cell centres of a finer grid, by cubic interpolation."""
    latitude, longitude = np.broadcast_arrays(grid.latitude_radians[:, None], grid.longitude_radians)
    points = Points(jnp.asarray(latitude, jnp.float32), jnp.asarray(longitude, jnp.float32))
    parts = [interpolate(jnp.asarray(winds()[..., part]), points, GRID, sign=-1.0).value for part in (0, 1)]
    return np.stack([np.asarray(part) for part in parts], axis=-1)


def bell(grid: Grid) -> Float[np.ndarray, "lat lon"]:
    """The tracer at the start: height 1, zero beyond `RADIUS`."""
    latitude, longitude = grid.latitude_radians[:, None], grid.longitude_radians
    cosine = np.sin(CENTRE[0]) * np.sin(latitude)
    cosine = cosine + np.cos(CENTRE[0]) * np.cos(latitude) * np.cos(longitude - CENTRE[1])
    distance = np.arccos(np.clip(cosine, -1, 1))
    return np.where(distance < RADIUS, 0.5 * (1 + np.cos(np.pi * distance / RADIUS)), 0.0).astype(np.float32)


def advance(scheme: str, grid: Grid, field: Array, wind: Array, substeps: int) -> Array:
    """The tracer after one interval."""
    if scheme == "centred":
        velocity = face_velocity(wind[..., 0], wind[..., 1], grid)
        return integrate(
            lambda q, v: advective_tendency(q, v, grid, "centred2"), field, INTERVAL, substeps, "heun", velocity
        )
    conserved = scheme != "upwind3"
    equation = TransportedField(
        "tracer", PrognosticWind("850"), "flux" if conserved else "advective",
        "limited" if conserved else scheme, conserved=conserved,
    )  # fmt: skip
    method = SemiLagrangianTransport if scheme == "semi_lagrangian" else EulerianTransport
    transport = method((equation,), grid, INTERVAL, substeps)
    after, increment = transport.advance(field[None], wind[None], jnp.zeros(1))
    return after[0] if conserved else field + increment[0]


def tracer_states(scheme: str, grid: Grid, air: np.ndarray, substeps: int) -> Float[np.ndarray, "day lat lon"]:
    """The tracer at the end of each of `DAYS`."""

    def step(field: Array, wind: Array) -> tuple[Array, Array]:
        after = advance(scheme, grid, field, wind, substeps)
        return after, after

    states = jax.jit(lambda start, air: jax.lax.scan(step, start, air)[1])(jnp.asarray(bell(grid)), jnp.asarray(air))
    return np.asarray(states)[[4 * day - 1 for day in DAYS]]


@cache
def reference() -> Float[np.ndarray, "day lat lon"]:
    return regrid(tracer_states("semi_lagrangian", FINE, on_grid(FINE), 4), FINE, GRID)


def measure(scheme: str) -> dict[str, Any]:
    """The figures of a scheme."""
    fields, start = tracer_states(scheme, GRID, winds(), SUBSTEPS[scheme]), bell(GRID)
    weights = GRID.area_weights

    def mean(values: np.ndarray) -> np.ndarray:
        return (weights * values).mean((-2, -1))

    spread = mean((reference() - mean(reference())[:, None, None]) ** 2)
    departures = fields - mean(fields)[:, None, None]
    return {
        "mass": (mean(fields.astype(np.float64)) / mean(start.astype(np.float64))).tolist(),
        "lowest": fields.min((-2, -1)).tolist(),
        "highest": fields.max((-2, -1)).tolist(),
        "variance": (mean(departures**2) / spread).tolist(),
        "error": np.sqrt(mean((fields - reference()) ** 2) / spread).tolist(),
    }


def table(figures: Mapping[str, Any]) -> str:
    rows = [
        [LABELS[scheme], day, *_cells(figures[scheme], row)]
        for scheme in SUBSTEPS
        if scheme in figures
        for row, day in enumerate(DAYS)
    ]
    titles = ["scheme", "days", "mass - 1", "lowest", "highest", "variance / reference", "error / spread"]
    return "\n".join([*markdown_table(titles, rows), "\n![The tracer after ten days](results/tracer.png)\n"])


def _cells(one: Mapping[str, list[float]], row: int) -> list[str]:
    texts = [f"{one['mass'][row] - 1:+.1e}", f"{one['lowest'][row]:.1e}"]
    return texts + [f"{one[key][row]:.2f}" for key in ("highest", "variance", "error")]


def figure() -> Figure:
    """Start, reference and every scheme after ten days."""
    drawn = Figure(figsize=(10, 6.5), layout="constrained")
    day = DAYS.index(10)
    panels = {"start": bell(GRID), "reference": reference()[day]}
    panels |= {LABELS[scheme]: tracer_states(scheme, GRID, winds(), SUBSTEPS[scheme])[day] for scheme in SUBSTEPS}
    limit = float(panels["reference"].max())
    for axes, (title, field) in zip(drawn.subplots(3, 2, sharex=True, sharey=True).flat, panels.items(), strict=True):
        top = 1.0 if title == "start" else limit
        image = axes.pcolormesh(GRID.longitude, GRID.latitude, field, cmap="RdBu_r", vmin=-top, vmax=top)
        axes.set_title(title, fontsize="medium")
        axes.set(xticks=range(0, 361, 60), yticks=range(-90, 91, 45))
        drawn.colorbar(image, ax=axes)
    drawn.supxlabel("longitude")
    drawn.supylabel("latitude")
    drawn.suptitle("A tracer after ten days; blue is negative", fontweight="bold")
    return drawn


def main() -> None:
    options = study_parser(__doc__, remeasure=True).parse_args()
    stored = StoredFigures(RESULTS / "tracer.json")
    if not options.tables:
        stored.measure_missing({scheme: partial(measure, scheme) for scheme in SUBSTEPS}, again=options.again)
        save(figure(), RESULTS / "tracer.png")
    splice(README, "tracer", table(stored.figures))


if __name__ == "__main__":
    main()
