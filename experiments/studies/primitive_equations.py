"""The primitive equations of `dinosaur` as a term of the equation: an existing core behind our interface.

    pip install jcm                                       beside pinnwx; it brings dinosaur
    python -m experiments.studies.primitive_equations     simulates an archive, forecasts it, about ten minutes

The archive holds what the general circulation model jcm itself holds: wind, temperature and humidity on its 8 sigma
levels and the surface pressure, every six hours, on 64 x 128 cells from its spectral coefficients (T31). The term
computes the adiabatic tendencies of all these fields by spherical harmonics: momentum with pressure gradient and
Coriolis force, thermodynamics, continuity, vertical motion, moisture as a tracer. It is an ordinary
`[[model.physics.terms]]` of a model without network: 33 fields, no transport by us, sub-steps of 7.5 minutes. What
the archive has and the term lacks is the physics of jcm: radiation, convection, friction, diffusion.

Scores of forecasts beside persistence go to experiments/results/primitive_equations.json, the table to
experiments/README.md.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from experiments.studies.harness import README, RESULTS, RUNS, StoredFigures, markdown_table, splice, study_parser
from experiments.studies.plain_scores import plain_scores
from experiments.studies.simulate_climate import REFERENCE_PRESSURE, SPIN_UP_DAYS, simulated
from pinnwx.config import Config
from pinnwx.data.archive import Archive
from pinnwx.forecasting.predictor import Predictor
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.grid import Grid
from pinnwx.jobs.evaluate import score_from
from pinnwx.physics import terms

EDGES = (0.0, 0.05, 0.14, 0.26, 0.42, 0.60, 0.77, 0.90, 1.0)  # of the sigma levels
LEVELS = (25, 95, 200, 340, 510, 685, 835, 950)  # 1,000 sigma, from the top
WAVENUMBER, GRID = 31, "2.8125deg"
QUANTITIES = ("u", "v", "t", "q")
FIELDS = (*(f"{name}{level}" for name in QUANTITIES for level in LEVELS), "ps")
REFERENCE_TEMPERATURE = 288.0  # K
START, DAYS, LEADS = "2001-04-01", SPIN_UP_DAYS + 16, (6, 12, 24)
ARCHIVE = RUNS / "climate" / "sigma_levels"
SHOWN = ("u340", "t340", "u510", "v510", "t510", "q685", "t835", "v835", "u950", "t950", "ps")


@cache
def core(spacing: str, rows: int) -> tuple[Any, Any]:
    """The coordinates of dinosaur with 2 x `rows` columns, and its units."""
    from dinosaur.coordinate_systems import CoordinateSystem
    from dinosaur.sigma_coordinates import SigmaCoordinates
    from dinosaur.spherical_harmonic import Grid as SpectralGrid
    from dinosaur.units import SimUnits

    horizontal = SpectralGrid.construct(max_wavenumber=WAVENUMBER, gaussian_nodes=rows // 2, latitude_spacing=spacing)
    return CoordinateSystem(horizontal, SigmaCoordinates(np.array(EDGES))), SimUnits.from_si()


@terms.register("primitive_equations")
@dataclass(frozen=True)
class PrimitiveEquations(terms.AbstractTerm):
    """d(u, v, T, q, p_s)/dt of moist adiabatic motion on sigma levels; the stack has the order of `FIELDS`."""

    name: ClassVar[str] = "primitive_equations"
    inputs: ClassVar[tuple[str, ...]] = ("orography",)

    def tendency(self, fields: Array, context: terms.TermContext) -> Array:
        assert context.names == FIELDS
        orography = context.inputs["orography"]
        return jax.vmap(lambda one: adiabatic_tendency(one, orography))(fields)

    def stability_rate(self, context: terms.TermContext) -> Array:  # noqa: ARG002
        return jnp.full((1, 1, 1), 1.5e-3)  # the external gravity wave of wavenumber 31


def adiabatic_tendency(fields: Array, orography: Array) -> Array:
    """Tendencies [per second] of the fields of one time, (field, lat, lon), by the equations of dinosaur."""
    from dinosaur import primitive_equations, scales
    from dinosaur.spherical_harmonic import uv_nodal_to_vor_div_modal, vor_div_to_uv_nodal

    coordinates, units = core("equiangular", fields.shape[-2])
    grid, count = coordinates.horizontal, len(LEVELS)
    speed = units.nondimensionalize(1.0 * scales.units.m / scales.units.s)
    second = units.nondimensionalize(1.0 * scales.units.s)
    kelvin = units.nondimensionalize(1.0 * scales.units.degK)
    pascal = units.nondimensionalize(1.0 * scales.units.pascal)
    metre = units.nondimensionalize(1.0 * scales.units.m)
    turned = jnp.swapaxes(fields, -1, -2)  # dinosaur has longitude first
    u, v, temperature, humidity = (turned[k * count : (k + 1) * count] for k in range(4))
    vorticity, divergence = uv_nodal_to_vor_div_modal(grid, speed * u, speed * v)
    state = primitive_equations.State(
        vorticity,
        divergence,
        grid.to_modal(kelvin * (temperature - REFERENCE_TEMPERATURE)),
        grid.to_modal(jnp.log(pascal * turned[-1:])),
        {"specific_humidity": grid.to_modal(humidity)},
    )
    height = primitive_equations.truncated_modal_orography(
        metre * jnp.swapaxes(jnp.asarray(orography), -1, -2), coordinates, wavenumbers_to_clip=2
    )
    equations = primitive_equations.PrimitiveEquationsSigma(
        np.full(count, kelvin * REFERENCE_TEMPERATURE), height, coordinates, units, humidity_key="specific_humidity"
    )
    change = equations.explicit_terms(state) + equations.implicit_terms(state)
    du, dv = vor_div_to_uv_nodal(grid, change.vorticity, change.divergence)
    parts = [
        du / speed,
        dv / speed,
        grid.to_nodal(change.temperature_variation) / kelvin,
        grid.to_nodal(change.tracers["specific_humidity"]),
        turned[-1:] * grid.to_nodal(change.log_surface_pressure),
    ]
    return jnp.swapaxes(jnp.concatenate(parts) * second, -1, -2)


def simulate() -> None:
    """Writes the archive: states after the spin-up, and the orography."""
    times, values = [], []
    for states in simulated(START, DAYS, 0.0):
        late = states.isel(time=states["time"].values >= np.datetime64(START) + np.timedelta64(SPIN_UP_DAYS, "D"))
        if late.sizes["time"]:
            times.append(late["time"].values.astype("datetime64[ns]"))
            values.append(exact_on_grid(late))
    grid = Grid.parse(GRID)
    at = {"time": np.concatenate(times), "latitude": list(grid.latitude), "longitude": list(grid.longitude)}
    stacked = np.concatenate(values)
    dataset = xr.Dataset({name: (tuple(at), stacked[:, row]) for row, name in enumerate(FIELDS)}, at)
    dataset["orography"] = (("latitude", "longitude"), orography_on_grid())
    ARCHIVE.mkdir(parents=True, exist_ok=True)
    dataset.to_netcdf(ARCHIVE / "states.nc")


def exact_on_grid(states: xr.Dataset) -> np.ndarray:
    """The fields on the grid from their spectral coefficients, (time, field, lat, lon)."""
    from dinosaur.spherical_harmonic import uv_nodal_to_vor_div_modal, vor_div_to_uv_nodal

    (source, _), (target, _) = core("gauss", states.sizes["lat"]), core("equiangular", Grid.parse(GRID).shape[0])
    source, target = source.horizontal, target.horizontal

    def read(name: str) -> Array:
        return jnp.asarray(states[name].transpose("time", ..., "lon", "lat").values)

    def moved(values: Array) -> Array:
        return target.to_nodal(source.to_modal(values))

    vorticity, divergence = uv_nodal_to_vor_div_modal(source, read("u_wind"), read("v_wind"))
    winds = vor_div_to_uv_nodal(target, vorticity, divergence)
    pressure = REFERENCE_PRESSURE * jnp.exp(moved(jnp.log(read("normalized_surface_pressure"))))
    parts = [*winds, moved(read("temperature")), moved(read("specific_humidity")), pressure[:, None]]
    return np.asarray(jnp.swapaxes(jnp.concatenate(parts, axis=1), -1, -2), np.float32)


def orography_on_grid() -> np.ndarray:
    """The orography of the model [m]."""
    from importlib.resources import files

    (source, _), (target, _) = core("gauss", 48), core("equiangular", Grid.parse(GRID).shape[0])
    with xr.open_dataset(str(files("jcm") / "data" / "bc" / "t30" / "clim" / "terrain.nc")) as terrain:
        height = jnp.asarray(terrain["orog"].transpose("lon", "lat").values)
    moved = target.horizontal.to_nodal(source.horizontal.to_modal(height))
    return np.asarray(jnp.swapaxes(moved, -1, -2), np.float32)


def settings() -> dict[str, Any]:
    """The model: the term, and nothing else."""
    return {
        "name": "primitive_equations",
        "data": {
            "fields": list(FIELDS), "static": ["orography"], "grid": "native",
            "train": {"start": "2001-01-01", "end": "2001-12-31"},
        },
        "variables": {
            "t": {
                "units": "K", "minimum": 100.0, "maximum": 350.0, "standard_name": "air_temperature",
                "on_pressure_levels": True,
            },  # the highest level of jcm is colder than any of the atmosphere
            "ps": {"units": "Pa", "minimum": 4e4, "maximum": 1.2e5, "standard_name": "surface_air_pressure"},
        },
        "model": {
            "step_hours": 6, "networks": 1, "closure": {"enabled": False},
            "physics": {
                "substeps": 48, "solver": "ssprk3", "terms": [{"kind": "primitive_equations"}],
                "transport": [{"field": name, "wind": "none", "gated": False} for name in FIELDS],
            },
        },
        "training": {"updates": 1},
    }  # fmt: skip


def measure() -> dict[str, Any]:
    """Scores of forecasts from 00 UTC of every day."""
    config = Config.model_validate(settings())
    with xr.open_dataset(ARCHIVE / "states.nc") as states:
        archive = Archive.from_dataset(states, config.data.fields, config.data.static)
    trained = TrainedModel.initialise(config, archive)
    predictor = Predictor(trained, LEADS)
    midnights = archive.times[archive.times == archive.times.astype("datetime64[D]")]
    scores = score_from(predictor, archive, midnights, predictor.needed_offsets)
    return plain_scores(scores)


def table(figures: Mapping[str, Any]) -> str:
    if not figures:
        return "Not run yet.\n"
    entries = {(one["variable"], one["lead_hours"]): one for one in figures["adiabatic"]["scores"]}
    rows = [
        [name, *(f"{entries[name, h]['rmse'] / entries[name, h]['persistence_rmse']:.3f}" for h in LEADS)]
        for name in SHOWN
    ]
    count = next(iter(entries.values()))["n"]
    note = f"RMSE over that of persistence, {count} forecasts at the first lead; names give 1,000 sigma.\n"
    return "\n".join([note, *markdown_table(["field", *(f"{lead} h" for lead in LEADS)], rows), ""])


def main(arguments: Sequence[str] | None = None) -> None:
    options = study_parser(__doc__, remeasure=True).parse_args(arguments)
    stored = StoredFigures(RESULTS / "primitive_equations.json")
    if not options.tables:
        if not (ARCHIVE / "states.nc").is_file():
            simulate()
        stored.measure_missing({"adiabatic": measure}, again=options.again)
    splice(README, "primitive_equations", table(stored.figures))


if __name__ == "__main__":
    main()
