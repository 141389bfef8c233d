"""Small synthetic twins of the layouts that pinnwx reads, all written from one canonical truth."""

from pathlib import Path

import numpy as np
import xarray as xr

from pinnwx.grid import Grid
from pinnwx.variables import VARIABLES, split_name

GLOBE = Grid.parse("15deg")
POLES = Grid.parse("15deg+poles")
BOX = Grid.from_coordinates(np.arange(30.0, 61.0, 5.0), np.arange(-20.0, 16.0, 5.0))  # across Greenwich

TYPICAL = {"z": 54000.0, "t": 275.0, "q": 0.005, "u": 5.0, "v": 0.0, "vo": 0.0, "msl": 101325.0, "t2m": 285.0,
           "u10": 3.0, "v10": 0.0}  # fmt: skip
SPREAD = {"z": 1500.0, "t": 10.0, "q": 0.002, "u": 10.0, "v": 8.0, "vo": 3e-5, "msl": 900.0, "t2m": 10.0,
          "u10": 5.0, "v10": 5.0}  # fmt: skip
LONG_NAMES = {"z": "geopotential", "t": "temperature", "q": "specific_humidity", "u": "u_component_of_wind",
              "v": "v_component_of_wind", "msl": "mean_sea_level_pressure", "t2m": "2m_temperature",
              "u10": "10m_u_component_of_wind", "v10": "10m_v_component_of_wind"}  # fmt: skip


def truth(names=("z500", "t850", "msl"), grid=GLOBE, steps=6, start="2020-02-27", step_hours=6, seed=0) -> xr.Dataset:
    """Plausible float32 fields in canonical form."""
    random = np.random.default_rng(seed)
    times = np.datetime64(start, "ns") + np.timedelta64(step_hours, "h") * np.arange(steps)
    shape = (steps, *grid.shape)
    data = {}
    for name in names:
        base, _ = split_name(name)
        values = TYPICAL[base] + SPREAD[base] * np.tanh(random.standard_normal(shape))
        data[name] = (("time", "latitude", "longitude"), np.abs(values).astype(np.float32))
    return xr.Dataset(data, {"time": times, "latitude": list(grid.latitude), "longitude": list(grid.longitude)})


def assert_same(found: xr.Dataset, wanted: xr.Dataset, tolerance: float = 0.0):
    """Same axes exactly; values to `tolerance` of the range of each field."""
    assert found.sizes == wanted.sizes
    for axis in ("time", "latitude", "longitude"):
        np.testing.assert_array_equal(found[axis].values, wanted[axis].values)
    for name in wanted.data_vars:
        assert found[name].dtype == np.float32
        allowed = tolerance * float(np.ptp(wanted[name].values))
        np.testing.assert_allclose(found[name].values, wanted[name].values, rtol=0, atol=allowed)


def raw(dataset: xr.Dataset, name: str) -> tuple[str, int | None, xr.DataArray]:
    """(short name, level, array without attributes)."""
    base, level = split_name(name)
    return base, level, dataset[name].drop_attrs()


def hours_since(dataset: xr.Dataset, origin: str, dtype="int32") -> tuple:
    hours = (dataset["time"].values - np.datetime64(origin, "ns")) / np.timedelta64(1, "h")
    return ("time", hours.astype(dtype), {"units": f"hours since {origin}", "calendar": "gregorian"})


def packed(values: np.ndarray) -> tuple[np.ndarray, dict]:
    """int16 with scale_factor and add_offset over the range of the values."""
    low, high = float(values.min()), float(values.max())
    scale = (high - low) / 65000 or 1.0
    offset = (low + high) / 2
    integers = np.round((values.astype(np.float64) - offset) / scale).astype(np.int16)
    return integers, {"scale_factor": scale, "add_offset": offset, "_FillValue": np.int16(-32767),
                      "missing_value": np.int16(-32767)}  # fmt: skip


def _write(dataset: xr.Dataset, path: Path, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for variable in dataset.variables.values():
        if "_FillValue" not in variable.attrs:
            variable.encoding["_FillValue"] = None
    dataset.to_netcdf(path, **options)


def cds_new(dataset: xr.Dataset, folder: Path) -> Path:
    """Climate Data Store since 2024: valid_time, pressure_level, number, expver; north to south."""
    for name in dataset.data_vars:
        base, level, array = raw(dataset, str(name))
        seconds = (dataset["time"].values - np.datetime64("1970-01-01", "ns")) // np.timedelta64(1, "s")
        array = array.isel(latitude=slice(None, None, -1)).rename(time="valid_time")
        dims = ["valid_time", "latitude", "longitude"]
        values = array.values
        coordinates = {
            "valid_time": ("valid_time", seconds, {"units": "seconds since 1970-01-01",
                                                   "calendar": "proleptic_gregorian", "standard_name": "time"}),
            "number": ((), 0, {"standard_name": "realization"}),
            "expver": ("valid_time", np.where(np.arange(seconds.size) < seconds.size // 2, "0001", "0005")),
            "latitude": ("latitude", array["latitude"].values, {"units": "degrees_north"}),
            "longitude": ("longitude", array["longitude"].values, {"units": "degrees_east"}),
        }  # fmt: skip
        if level:
            dims.insert(1, "pressure_level")
            values = values[:, None]
            coordinates["pressure_level"] = ("pressure_level", [float(level)], {"units": "hPa"})
        units = {"z": "m**2 s**-2", "u": "m s**-1", "v": "m s**-1", "q": "kg kg**-1"}.get(base, VARIABLES[base].units)
        out = xr.Dataset({base: (dims, values, {"units": units, "GRIB_paramId": np.int64(1)})}, coordinates)
        _write(out, folder / f"{base}_{level or 'surface'}_download.nc")
    return folder


def cds_old(dataset: xr.Dataset, folder: Path) -> Path:
    """Climate Data Store before 2024 and ERA-Interim: packed int16, the level in the file name only."""
    for name in dataset.data_vars:
        base, _, array = raw(dataset, str(name))
        array = array.isel(latitude=slice(None, None, -1))
        integers, attributes = packed(array.values)
        out = xr.Dataset(
            {base: (("time", "latitude", "longitude"), integers, {**attributes, "units": VARIABLES[base].units})},
            {
                "time": hours_since(dataset, "1900-01-01"),
                "latitude": ("latitude", array["latitude"].values.astype(np.float32), {"units": "degrees_north"}),
                "longitude": ("longitude", array["longitude"].values.astype(np.float32), {"units": "degrees_east"}),
            },
        )
        _write(out, folder / f"{name}_2020_era.nc")
    return folder


def ncep(dataset: xr.Dataset, folder: Path) -> Path:
    """NCEP/NCAR reanalysis: netCDF-3, lat and lon, level axis, hours since 1800, -9999 as the missing value."""
    for name in dataset.data_vars:
        base, level, array = raw(dataset, str(name))
        dims = ("time", "level", "lat", "lon") if level else ("time", "lat", "lon")
        values = array.values[:, None] if level else array.values
        own, units = {"z": ("hgt", "m"), "t": ("air", "degK"), "msl": ("slp", "millibars"),
                      "t2m": ("2T", "K")}.get(base, (base, VARIABLES[base].units))  # fmt: skip
        factor = {"hgt": 1 / 9.80665, "slp": 0.01}.get(own, 1.0)
        coordinates = {
            "time": hours_since(dataset, "1800-01-01", "float64"),
            "lat": ("lat", dataset["latitude"].values.astype(np.float32), {"units": "degrees_north"}),
            "lon": ("lon", dataset["longitude"].values.astype(np.float32) % 360, {"units": "degrees_east"}),
        }
        if level:
            coordinates["level"] = ("level", np.array([level], np.float32), {"units": "millibar"})
        attributes = {"units": units, "missing_value": np.float32(-9999.0)}
        out = xr.Dataset({own: (dims, (values * factor).astype(np.float32), attributes)}, coordinates)
        _write(out, folder / f"{own}.2020.nc", format="NETCDF3_CLASSIC", engine="scipy")
    return folder


def weatherbench1(dataset: xr.Dataset, folder: Path) -> Path:
    """WeatherBench 1: a folder a variable, a file a year, levels in the folder name or on an axis; constants."""
    for name in dataset.data_vars:
        base, level, array = raw(dataset, str(name))
        for year, part in array.groupby("time.year"):
            dims, values = ("time", "lat", "lon"), part.values
            coordinates = {
                "time": hours_since(part.to_dataset(name="x"), "1900-01-01"),
                "lat": ("lat", part["latitude"].values),
                "lon": ("lon", part["longitude"].values),
            }
            long_name = LONG_NAMES[base]
            if base == "u":
                dims, values = ("time", "level", "lat", "lon"), values[:, None]
                coordinates["level"] = ("level", np.array([level], np.int32), {"units": "millibars"})
            elif level:
                long_name = f"{long_name}_{level}"
            out = xr.Dataset({base: (dims, values, {"units": VARIABLES[base].units})}, coordinates)
            _write(out, folder / long_name / f"{long_name}_{year}_15deg.nc")
    rows, columns = dataset.sizes["latitude"], dataset.sizes["longitude"]
    constants = xr.Dataset(
        {
            "orography": (
                ("lat", "lon"),
                np.linspace(0, 4000, rows * columns, dtype=np.float32).reshape(rows, columns),
            ),
            "lsm": (("lat", "lon"), np.linspace(0, 1, rows * columns, dtype=np.float32).reshape(rows, columns)),
            "lat2d": (("lat", "lon"), np.zeros((rows, columns))),
        },
        {"lat": dataset["latitude"].values, "lon": dataset["longitude"].values},
    )
    constants["orography"].attrs["units"] = "m"
    _write(constants, folder / "constants" / "constants_15deg.nc")
    return folder


def weatherbench2(dataset: xr.Dataset, folder: Path, zarr_format: int = 2) -> Path:
    """WeatherBench 2 and ARCO-ERA5: zarr, long names, (time, level, longitude, latitude), static geopotential."""
    levels: dict[str, list[int]] = {}
    for name in dataset.data_vars:
        base, level, _ = raw(dataset, str(name))
        levels.setdefault(base, []).extend([level] if level else [])
    common = sorted({level for found in levels.values() for level in found})
    data = {}
    for base, own in levels.items():
        attributes = {"units": VARIABLES[base].units, "short_name": base}
        if own:
            cube = np.stack([dataset[f"{base}{level if level in own else own[0]}"].values for level in common], axis=1)
            data[LONG_NAMES[base]] = (("time", "level", "longitude", "latitude"), cube.swapaxes(-1, -2), attributes)
        else:
            values = dataset[base].values.swapaxes(-1, -2)
            data[LONG_NAMES[base]] = (("time", "longitude", "latitude"), values, attributes)
    shape = (dataset.sizes["longitude"], dataset.sizes["latitude"])
    surface = np.linspace(0, 3e4, shape[0] * shape[1], dtype=np.float32).reshape(shape)
    data["geopotential_at_surface"] = (("longitude", "latitude"), surface, {"units": "m**2 s**-2"})
    out = xr.Dataset(
        data,
        {"time": dataset["time"], "level": common, "longitude": dataset["longitude"], "latitude": dataset["latitude"]},
    )
    path = folder / "wb2.zarr"
    chunks = {name: {"chunks": (2, *out[name].shape[1:])} for name in data if "time" in out[name].dims}
    out.to_zarr(path, zarr_format=zarr_format, consolidated=zarr_format == 2, encoding=chunks)
    return path


def grib(dataset: xr.Dataset, folder: Path) -> Path:
    """GRIB 2, north to south, every field a message."""
    import eccodes

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "analysis.grib2"
    with path.open("wb") as file:
        for name in dataset.data_vars:
            base, level, array = raw(dataset, str(name))
            for step in range(array.sizes["time"]):
                message = eccodes.codes_grib_new_from_samples(f"regular_ll_{'pl' if level else 'sfc'}_grib2")
                north, east = array["latitude"].values[::-1], array["longitude"].values % 360
                time = array["time"].values[step].astype("datetime64[s]").item()
                keys = {
                    "centre": "ecmf", "dataDate": int(time.strftime("%Y%m%d")), "dataTime": time.hour * 100,
                    "Ni": east.size, "Nj": north.size, "bitsPerValue": 24,
                    "latitudeOfFirstGridPointInDegrees": float(north[0]),
                    "latitudeOfLastGridPointInDegrees": float(north[-1]),
                    "longitudeOfFirstGridPointInDegrees": float(east[0]),
                    "longitudeOfLastGridPointInDegrees": float(east[-1]),
                    "iDirectionIncrementInDegrees": 15.0, "jDirectionIncrementInDegrees": 15.0,
                    "shortName": {"t2m": "2t"}.get(base, base),
                }  # fmt: skip
                for key, value in keys.items():
                    eccodes.codes_set(message, key, value)
                if level:
                    eccodes.codes_set(message, "level", level)
                eccodes.codes_set_values(message, array.values[step, ::-1].astype(np.float64).ravel())
                eccodes.codes_write(message, file)
                eccodes.codes_release(message)
    return path
