"""Make data/sample.nc: ten weeks of SYNTHETIC weather from a general circulation model.

Needs an environment of its own, because jcm and pinnwx want different versions of jax (Python 3.11, about
five minutes on two cores):

    python3.11 -m venv /tmp/gcm && /tmp/gcm/bin/pip install jcm==3.0.0 netCDF4
    /tmp/gcm/bin/python scripts/make_sample.py data/sample.nc

The model (jcm 3.0.0: spectral primitive equations of dinosaur at T31 with 8 sigma levels, SPEEDY physics) starts
from an isothermal atmosphere at rest, on the real orography and the monthly climatology of sea surface, ice, snow
and soil that jcm packages. After 90 days of spin-up it is sampled every 6 hours for 70 days. Pressure-level
fields are interpolated from the sigma levels; below the ground they are continued with a standard lapse rate, as
mean sea level pressure is, after Trenberth, Berry & Buja (1993), NCAR/TN-396, "Vertical interpolation and
truncation of model-coordinate data". Every value is the area mean over its 5.625 degree cell.
"""

import argparse
from datetime import UTC, datetime
from importlib import resources
from importlib.metadata import version
from pathlib import Path

import numpy as np
import xarray as xr

START = "2009-09-01T18:00"  # 90 days of spin-up, then the first sample is 1 December 00 UTC
CHUNK_DAYS, SPIN_UP_CHUNKS, SAMPLE_CHUNKS = 10, 9, 7
SPACING = 5.625
GRAVITY, GAS_CONSTANT, REFERENCE_PRESSURE = 9.81, 287.0, 1.0e5  # the values of jcm
LAPSE_RATE = 6.5e-3  # K m-1, below the ground

# name: (standard name, long name, units, quantum, offset); stored value = (x - offset) / quantum, as int16. The
# quantum is 2 to 3 % of the change in six hours, so packing costs far less than any forecast error.
FIELDS = {
    "z500": ("geopotential", "Geopotential at 500 hPa", "m2 s-2", 2.0, 52000.0),
    "t850": ("air_temperature", "Temperature at 850 hPa", "K", 0.015625, 270.0),
    "t2m": ("air_temperature", "2 metre temperature", "K", 0.015625, 270.0),
    "msl": ("air_pressure_at_mean_sea_level", "Mean sea level pressure", "Pa", 2.0, 100000.0),
    "u500": ("eastward_wind", "Eastward wind at 500 hPa", "m s-1", 0.03125, 0.0),
    "v500": ("northward_wind", "Northward wind at 500 hPa", "m s-1", 0.03125, 0.0),
    "u850": ("eastward_wind", "Eastward wind at 850 hPa", "m s-1", 0.03125, 0.0),
    "v850": ("northward_wind", "Northward wind at 850 hPa", "m s-1", 0.03125, 0.0),
}
STATIC = {
    "orography": ("surface_altitude", "Height of the surface", "m"),
    "lsm": ("land_area_fraction", "Land-sea mask", "1"),
}


def simulate():
    """Yields ten days of 6-hourly model output at a time, levels top first and spin-up left out, and the model."""
    from jcm.forcing import ForcingData
    from jcm.model import Model
    from jcm.physics.speedy.speedy_coords import get_speedy_coords
    from jcm.terrain import TerrainData

    boundary = resources.files("jcm") / "data/bc/t30/clim"
    coords = get_speedy_coords(layers=8, spectral_truncation=31)
    terrain = TerrainData.from_file(str(boundary / "terrain.nc"), coords)
    forcing = ForcingData.from_file(str(boundary / "forcing.nc"), coords=coords, align_mode="wrap_year")
    model = Model(coords=coords, terrain=terrain, start_time=START)
    for chunk in range(SPIN_UP_CHUNKS + SAMPLE_CHUNKS):
        step = model.resume if chunk else model.run
        output = step(forcing=forcing, save_interval=0.25, total_time=CHUNK_DAYS)
        days = (chunk + 1) * CHUNK_DAYS - SPIN_UP_CHUNKS * CHUNK_DAYS
        print(f"day {days} of {SAMPLE_CHUNKS * CHUNK_DAYS}", flush=True)
        if days > 0:
            yield output.to_xarray().transpose("time", "level", "lat", "lon", ...).sortby("level"), model


def surface_height(model):
    """The orography that the dynamics sees, truncated at T31 [m], (lat, lon)."""
    from dinosaur.scales import units

    height = model.coords.horizontal.to_nodal(model.dycore.primitive.orography)
    return np.asarray(model.dycore.physics_specs.dimensionalize(height, units.meter).m, dtype=np.float64).T


def bracket(log_pressure, target):
    """Positions (level above, level below) of `target` on axis 1, for np.take_along_axis."""
    below = np.clip((log_pressure < target).sum(axis=1, keepdims=True), 1, log_pressure.shape[1] - 1)
    return below - 1, below


def at_pressure(values, pressure, target):
    """Values at `target` [Pa], linear in ln p between levels (axis 1, top first); constant beyond the lowest."""
    x, wanted = np.log(pressure), np.log(target)
    (x1, y1), (x2, y2) = ([np.take_along_axis(a, k, axis=1)[:, 0] for a in (x, values)] for k in bracket(x, wanted))
    return y1 + np.clip((wanted - x1) / (x2 - x1), None, 1.0) * (y2 - y1)


def surface_state(temperature, pressure, surface_pressure):
    """T*, the temperature at the surface [K], from the lowest level and the standard lapse rate."""
    ratio = surface_pressure / pressure[:, -1]
    return temperature[:, -1] * (1 + LAPSE_RATE * GAS_CONSTANT / GRAVITY * (ratio - 1))


def temperature_at(temperature, pressure, surface_pressure, target):
    """Temperature at `target` [Pa]; below the lowest level, T* (target / p_s)^(Gamma R / g)."""
    inside = at_pressure(temperature, pressure, target)
    star = surface_state(temperature, pressure, surface_pressure)
    continued = star * (target / surface_pressure) ** (LAPSE_RATE * GAS_CONSTANT / GRAVITY)
    return np.where(pressure[:, -1] < target, continued, inside)


def geopotential_at(geopotential, temperature, pressure, target):
    """Geopotential at `target` [Pa]: the hydrostatic d phi / d ln p = -R T between two levels, T linear in ln p."""
    x, wanted = np.log(pressure), np.log(target)
    (x1, z1, t1), (x2, z2, t2) = (
        [np.take_along_axis(a, k, axis=1)[:, 0] for a in (x, geopotential, temperature)] for k in bracket(x, wanted)
    )
    straight = z1 + (wanted - x1) / (x2 - x1) * (z2 - z1)
    return straight + 0.5 * GAS_CONSTANT * (t2 - t1) / (x2 - x1) * (wanted - x1) * (x2 - wanted)


def sea_level_pressure(temperature, pressure, surface_pressure, surface_geopotential):
    """p_s exp(phi_s / (R T) (1 - x/2 + x^2/3)), x = Gamma phi_s / (g T), with the cold and warm cases of the source."""
    star = surface_state(temperature, pressure, surface_pressure)
    sea = star + LAPSE_RATE * surface_geopotential / GRAVITY
    height = np.where(np.abs(surface_geopotential) < 1.0, 1.0, surface_geopotential)
    warm = (sea > 290.5) & (surface_geopotential > 1.0)
    lapse = np.where(warm & (star <= 290.5), (290.5 - star) * GRAVITY / height, LAPSE_RATE)
    lapse = np.where(warm & (star > 290.5), 0.0, lapse)
    star = np.where(warm & (star > 290.5), 0.5 * (290.5 + star), np.where(star < 255, 0.5 * (255 + star), star))
    x = lapse * surface_geopotential / (GRAVITY * star)
    return surface_pressure * np.exp(surface_geopotential / (GAS_CONSTANT * star) * (1 - x / 2 + x**2 / 3))


def diagnose(output, surface_geopotential):
    """The fields of the sample on the model's Gaussian grid, (time, lat, lon) each."""
    t, u, v, phi = (
        np.asarray(output[name], dtype=np.float64) for name in ("temperature", "u_wind", "v_wind", "geopotential")
    )
    surface = REFERENCE_PRESSURE * np.asarray(output["normalized_surface_pressure"], dtype=np.float64)
    pressure = surface[:, None] * np.asarray(output["level"])[None, :, None, None]
    return {
        "z500": geopotential_at(phi, t, pressure, 5.0e4),
        "t850": temperature_at(t, pressure, surface, 8.5e4),
        "t2m": np.asarray(output["surface_flux.t0"], dtype=np.float64),
        "msl": sea_level_pressure(t, pressure, surface, surface_geopotential),
        "u500": at_pressure(u, pressure, 5.0e4),
        "v500": at_pressure(v, pressure, 5.0e4),
        "u850": at_pressure(u, pressure, 8.5e4),
        "v850": at_pressure(v, pressure, 8.5e4),
    }


def interpolation_matrix(source, target):
    """Linear interpolation as a matrix (target, source); `source` ascending and enclosing `target`."""
    right = np.clip(np.searchsorted(source, target), 1, len(source) - 1)
    weight = (target - source[right - 1]) / (source[right] - source[right - 1])
    rows = np.arange(len(target))
    matrix = np.zeros((len(target), len(source)))
    matrix[rows, right - 1], matrix[rows, right] = 1 - weight, weight
    return matrix


def cell_means(field, latitude, longitude, is_vector, samples=16):
    """Area means over the 5.625 degree cells of the bilinear interpolant of `field`, (..., lat, lon).

    All weights are positive, so nothing new is made near mountains. Beyond the poles the field goes on 180
    degrees away, where a vector component has the other sign.
    """
    half = len(longitude) // 2
    sign = -1.0 if is_vector else 1.0
    over = sign * np.roll(field, half, axis=-1)
    field = np.concatenate([over[..., :1, :], field, over[..., -1:, :]], axis=-2)
    field = np.concatenate([field[..., -half:], field, field[..., :half]], axis=-1)
    rows = np.concatenate([[-180 - latitude[0]], latitude, [180 - latitude[-1]]])
    columns = np.concatenate([longitude[-half:] - 360, longitude, longitude[:half] + 360])

    fine = (np.arange(round(180 / SPACING) * samples) + 0.5) * SPACING / samples - 90
    weight = np.cos(np.deg2rad(fine))
    north = (interpolation_matrix(rows, fine) * weight[:, None]).reshape(-1, samples, len(rows)).sum(axis=1)
    north /= weight.reshape(-1, samples).sum(axis=1)[:, None]
    fine = (np.arange(round(360 / SPACING) * samples) + 0.5) * SPACING / samples - SPACING / 2
    east = interpolation_matrix(columns, fine).reshape(-1, samples, len(columns)).mean(axis=1)
    return np.einsum("ij,...jk,lk->...il", north, field, east, optimize=True)


def build():
    """The whole sample as a dataset of float32."""
    parts, times = {name: [] for name in FIELDS}, []
    for output, model in simulate():
        lat, lon = np.asarray(output["lat"]), np.asarray(output["lon"])
        surface = GRAVITY * surface_height(model)
        for name, values in diagnose(output, surface).items():
            parts[name].append(cell_means(values, lat, lon, is_vector=name[0] in "uv").astype(np.float32))
        times.append(output["time"].values)
    static = {"orography": np.asarray(model.terrain.orog).T, "lsm": np.asarray(model.terrain.fmask).T}
    dataset = xr.Dataset(
        {name: (("time", "lat", "lon"), np.concatenate(values)) for name, values in parts.items()}
        | {name: (("lat", "lon"), cell_means(x, lat, lon, False).astype(np.float32)) for name, x in static.items()},
        coords={
            "time": np.concatenate(times).astype("datetime64[ns]"),
            "lat": np.arange(-90 + SPACING / 2, 90, SPACING),
            "lon": np.arange(0, 360, SPACING),
        },
    )
    for name, array in dataset.data_vars.items():
        if not np.isfinite(array).all():
            raise SystemExit(f"{name} holds values that are not finite")
    return dataset


def describe(dataset):
    """The same dataset with CF attributes, and the encoding that packs it."""
    dataset["time"].attrs = {"standard_name": "time", "axis": "T"}
    dataset["lat"].attrs = {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"}
    dataset["lon"].attrs = {"standard_name": "longitude", "units": "degrees_east", "axis": "X"}
    storage = {"zlib": True, "complevel": 9, "shuffle": True, "fletcher32": True}
    encoding = {name: {"dtype": "float64", "_FillValue": None} for name in ("lat", "lon")}
    encoding["time"] = {"dtype": "int32", "units": "hours since 2009-12-01 00:00:00", "calendar": "standard"}
    for name, (standard_name, long_name, units, quantum, offset) in FIELDS.items():
        dataset[name].attrs = {
            "standard_name": standard_name,
            "long_name": long_name,
            "units": units,
            "cell_methods": "area: mean time: point",
        }
        packing = {"dtype": "int16", "scale_factor": np.float32(quantum), "add_offset": np.float32(offset)}
        packing["_FillValue"] = np.int16(-32768)
        encoding[name] = storage | packing | {"chunksizes": dataset[name].shape}
    for name, (standard_name, long_name, units) in STATIC.items():
        dataset[name].attrs = {
            "standard_name": standard_name,
            "long_name": long_name,
            "units": units,
            "cell_methods": "area: mean",
        }
        encoding[name] = storage | {"dtype": "float32", "_FillValue": None}
    dataset.attrs = {
        "Conventions": "CF-1.11",
        "title": "SYNTHETIC weather for trying pinnwx: a simulation by a general circulation model, no observation",
        "source": f"jcm {version('jcm')} (dinosaur {version('dinosaur')} spectral core, SPEEDY physics), T31, 8 sigma "
        "levels, T30 orography and climatological boundary conditions; free-running after 90 days of spin-up",
        "history": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} scripts/make_sample.py",
        "institution": "The pinnwx developers",
        "references": "https://pypi.org/project/jcm/3.0.0/",
        "comment": "The dates are those of the model's calendar. What happened on Earth then is something else. "
        "SPEEDY's sunshine is the daily mean, so there is a seasonal but no daily cycle.",
        "license": "No restriction (CC0-1.0)",
    }
    return dataset, encoding


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    dataset, encoding = describe(build())
    temporary = output.with_suffix(".tmp")
    dataset.to_netcdf(temporary, encoding=encoding, engine="netcdf4")
    temporary.replace(output)
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
