"""Simulates weather with a general circulation model, as an archive like `gcm_t31`, for a climate of your choice.

    pip install jcm                                                  beside pinnwx, at least jcm 3
    python -m experiments.studies.simulate_climate --warming 4       runs/climate/sst+4, about 10 minutes on two cores
    python -m experiments.studies.simulate_climate --warming 0       the control, runs/climate/sst+0

The model is jcm (spectral core, SPEEDY physics, T31, 8 levels, real orography, climatological sea surface). `--warming`
[K] is added to its sea surface temperature; the surface of the land, sea ice and carbon dioxide stay as they are. The
first `SPIN_UP_DAYS` after `--start` are left out. States of every six hours are interpolated from model levels to
pressure levels (linear in ln p) and averaged onto 5.625 degrees. Fields below the ground have the value of the lowest
level. Pressure is reduced to sea level from the lowest level. Each variable is one file in the layout of WeatherBench,
so every verb of pinnwx reads the folder.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from experiments.studies.harness import RUNS
from pinnwx.constants import DRY_AIR_GAS_CONSTANT, STANDARD_GRAVITY
from pinnwx.data.regrid import conservative_weights
from pinnwx.grid import Grid

SPIN_UP_DAYS, CHUNK_DAYS, STEP_DAYS = 120, 30, 0.25
LAPSE_RATE = 0.0065  # K m-1, below the lowest level
REFERENCE_PRESSURE = 1e5  # Pa, of the normalised surface pressure of jcm
LEVELS = {"z": (500,), "t": (500, 850), "u": (500, 850), "v": (500, 850), "q": (500, 850)}
ON_LEVELS = {"z": "geopotential", "t": "temperature", "u": "u_wind", "v": "v_wind", "q": "specific_humidity"}
AT_THE_SURFACE = {"t2m": "surface_flux.t0", "u10": "surface_flux.u0", "v10": "surface_flux.v0"}
UNITS = {"z": "m2 s-2", "t": "K", "u": "m s-1", "v": "m s-1", "q": "kg kg-1", "msl": "Pa"}


def simulated(start: str, days: float, warming: float) -> Iterator[xr.Dataset]:
    """The states of every six hours of successive chunks, on the grid and the levels of the model."""
    from importlib.resources import files  # jcm is needed here alone

    from jcm.forcing import ForcingData
    from jcm.model import Model
    from jcm.physics.speedy.speedy_coords import get_speedy_coords
    from jcm.terrain import TerrainData

    conditions = files("jcm") / "data" / "bc" / "t30" / "clim"
    coordinates = get_speedy_coords()
    with xr.open_dataset(str(conditions / "forcing.nc")) as surface:
        surface = surface.load()
    surface["sst"] = surface["sst"] + warming
    forcing = ForcingData.from_dataset(surface, coords=coordinates, align_mode="wrap_year")
    terrain = TerrainData.from_file(str(conditions / "terrain.nc"), coords=coordinates)
    model = Model(coords=coordinates, terrain=terrain, start_time=start)
    advance, done = model.run, 0.0
    while done < days:
        length = min(CHUNK_DAYS, days - done)
        states = advance(forcing=forcing, save_interval=STEP_DAYS, total_time=length).to_xarray()
        advance, done = model.resume, done + length
        print(f"{done:.0f} of {days:.0f} days", flush=True)
        yield states.sortby("level").transpose("time", "level", "lat", "lon", ...)  # the lowest level last


def at_pressure(
    values: Float[np.ndarray, "time level lat lon"], ln_pressure: Float[np.ndarray, "time level lat lon"], level: float
) -> Float[np.ndarray, "time lat lon"]:
    """Values at a pressure [hPa], linear in ln p between levels; beyond the lowest or highest level, its value."""
    target = np.log(100 * level)
    above = np.clip((ln_pressure < target).sum(axis=1, keepdims=True) - 1, 0, values.shape[1] - 2)
    (low, high), (q_low, q_high) = (
        [np.take_along_axis(each, above + step, axis=1)[:, 0] for step in (0, 1)] for each in (ln_pressure, values)
    )
    fraction = np.clip((target - low) / (high - low), 0, 1)
    return (1 - fraction) * q_low + fraction * q_high


def fields_of(states: xr.Dataset) -> dict[str, Float[np.ndarray, "time lat lon"]]:
    """The canonical fields of states of the model, on its grid."""
    surface_pressure = REFERENCE_PRESSURE * states["normalized_surface_pressure"].values
    sigma = states["level"].values[:, None, None]
    ln_pressure = np.log(sigma * surface_pressure[:, None])
    fields = {
        f"{name}{level}": at_pressure(states[source].values, ln_pressure, level)
        for name, source in ON_LEVELS.items()
        for level in LEVELS[name]
    }
    fields |= {name: states[source].values for name, source in AT_THE_SURFACE.items()}
    # From the lowest level, because the surface of the spectral core is smoother than the orography file.
    lowest, height = states["temperature"].values[:, -1], states["geopotential"].values[:, -1] / STANDARD_GRAVITY
    exponent = STANDARD_GRAVITY / (DRY_AIR_GAS_CONSTANT * LAPSE_RATE)
    fields["msl"] = np.exp(ln_pressure[:, -1]) * (1 + LAPSE_RATE * height / lowest) ** exponent
    return fields


def averaged(states: xr.Dataset, target: Grid) -> dict[str, np.ndarray]:
    """The fields as means over the cells of a grid. The rows of the model are Gaussian: their areas are the weights of
    the quadrature, from pole to pole."""
    sines, areas = np.polynomial.legendre.leggauss(states.sizes["lat"])
    np.testing.assert_allclose(np.sin(np.deg2rad(states["lat"].values)), sines, atol=1e-4)
    edges = np.concatenate([[-1.0], np.cumsum(areas) - 1.0])
    wanted = np.sin(target.latitude_edges)
    overlap = np.minimum(wanted[1:, None], edges[None, 1:]) - np.maximum(wanted[:-1, None], edges[None, :-1])
    rows = np.clip(overlap, 0, None) / np.diff(wanted)[:, None]
    _, columns = conservative_weights(Grid.parse(f"{360 / states.sizes['lon']}deg"), target)
    return {name: np.einsum("Ii,tij,Jj->tIJ", rows, values, columns) for name, values in fields_of(states).items()}


def write_archive(chunks: Sequence[Mapping[str, np.ndarray]], times: np.ndarray, target: Grid, folder: Path) -> None:
    """One file a variable in the layout of WeatherBench."""
    for name in chunks[0]:
        values = np.concatenate([chunk[name] for chunk in chunks]).astype(np.float32)
        short = name.rstrip("0123456789") if name not in AT_THE_SURFACE else name
        units = UNITS.get(short, "K" if name == "t2m" else "m s-1")
        dataset = xr.Dataset(
            {short: (("time", "lat", "lon"), values, {"units": units})},
            {"time": times, "lat": list(target.latitude), "lon": list(target.longitude)},
        )
        if short != name and short in LEVELS:
            dataset = dataset.expand_dims(level=[int(name.removeprefix(short))], axis=1)
        (folder / name).mkdir(parents=True, exist_ok=True)
        dataset.to_netcdf(folder / name / f"{name}_5.625deg.nc")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warming", type=float, default=4.0, help="of the sea surface [K], default 4")
    parser.add_argument("--start", default="2001-04-01", help="of the simulation, default 2001-04-01")
    parser.add_argument("--days", type=float, default=185.0, help="of the simulation, spin-up included, default 185")
    parser.add_argument("--out", type=Path, help="folder of the archive, default runs/climate/sst+WARMING")
    options = parser.parse_args(arguments)
    folder = options.out or RUNS / "climate" / f"sst+{options.warming:g}"
    target, first_time = Grid.parse("5.625deg"), np.datetime64(options.start) + np.timedelta64(SPIN_UP_DAYS, "D")
    chunks: list[dict[str, Any]] = []
    times: list[np.ndarray] = []
    for states in simulated(options.start, options.days, options.warming):
        states = states.isel(time=states["time"].values >= first_time)
        if states.sizes["time"]:
            chunks.append(averaged(states, target))
            times.append(states["time"].values.astype("datetime64[ns]"))
    write_archive(chunks, np.concatenate(times), target, folder)


if __name__ == "__main__":
    main()
