"""The forecast file: CF-1.11 in NetCDF-4, one variable for each field, with dimensions (time, latitude, longitude); an
ensemble has `realization` as its first dimension.

`time` is the valid time, `forecast_reference_time` the initial time, and `forecast_period` the lead time [h]. Lead
times are always computed from the two times, because some readers decode "hours" as a number and others as a duration.

Checksums of the storage layer cover the stored values but not their index, in which a single flipped bit can return
wrong values. Therefore the file also carries two SHA-256, which the reader verifies: one of its bytes, before a library
parses them (`pinnwx.data.seal`), and one of its decoded content, which survives when a program edits the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from pinnwx.config import parse_config
from pinnwx.data.calendar import duration, format_time, now
from pinnwx.data.hdf5 import require_self_contained
from pinnwx.data.netcdf_bytes import netcdf_bytes
from pinnwx.data.seal import require_seal, write_sealed
from pinnwx.errors import ConfigError, DataError, MissingInputError, OutputError, StabilityError, UsageError
from pinnwx.files import check_writable, replacing
from pinnwx.forecasting.form import FIELD_DIMENSIONS, REALIZATION, in_order, require_form
from pinnwx.forecasting.products import without_products
from pinnwx.grid import Grid
from pinnwx.variables import VARIABLES, Variable, describe
from pinnwx.version import __version__

_DIGEST = "content_sha256"
_TIME_ENCODING = {
    "units": "seconds since 1970-01-01", "calendar": "standard", "dtype": "int64", "_FillValue": None,
}  # fmt: skip


def forecast_dataset(
    fields: Float[np.ndarray, "*member lead field lat lon"],
    names: Sequence[str],
    grid: Grid,
    init_time: np.datetime64,
    lead_hours: Sequence[float | int],
    *,
    provenance: Mapping[str, object],
    variables: Mapping[str, Variable] = VARIABLES,
) -> xr.Dataset:
    """Builds a CF dataset from a forecast.

    Args:
        fields: the fields in the SI units of the variable table; an ensemble has a member axis first.
        names: the canonical names, in the order of the field axis.
        grid: the grid of the fields.
        init_time: the time of the analysis, UTC.
        lead_hours: the leads of the lead axis, positive and ascending.
        provenance: global attributes, such as model hash, data hash, versions and config; mappings and lists are
            written as JSON. `title`, `institution`, `source`, `references` and `history` replace the defaults.
        variables: the table that describes the names.

    Raises:
        DataError: a name is not in the table.
        UsageError: lead times are not ascending.
    """
    hours = np.asarray(lead_hours, np.float64)
    if (np.diff(hours) <= 0).any():
        raise UsageError(f"lead times {hours.tolist()} h are not ascending; sort them and drop duplicates")
    init_time = init_time.astype("datetime64[ns]")
    whole = np.array_equal(hours, np.round(hours))
    at = {name: np.asarray(getattr(grid, name)) for name in ("latitude", "longitude")}
    coordinates = {
        "time": ("time", init_time + duration(hours), {"standard_name": "time", "long_name": "valid time"}),
        "latitude": (
            "latitude", at["latitude"], {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"}
        ),
        "longitude": (
            "longitude", at["longitude"], {"standard_name": "longitude", "units": "degrees_east", "axis": "X"}
        ),
        "forecast_reference_time": (
            (), init_time, {"standard_name": "forecast_reference_time", "long_name": "time of the analysis"}
        ),
        "forecast_period": (
            "time", hours.astype(np.int64) if whole else hours,
            {"standard_name": "forecast_period", "long_name": "time since the analysis", "units": "hours"},
        ),
    }  # fmt: skip
    dimensions = FIELD_DIMENSIONS
    if fields.ndim > 4:
        dimensions = (REALIZATION, *FIELD_DIMENSIONS)
        number = {"standard_name": "realization", "long_name": "ensemble member", "axis": "E", "units": "1"}
        coordinates[REALIZATION] = (REALIZATION, np.arange(len(fields)), number)
    data = {
        name: (dimensions, fields[..., position, :, :].astype(np.float32), _attributes(describe(name, variables)))
        for position, name in enumerate(names)
    }
    dataset = xr.Dataset(data, coordinates, _global_attributes(init_time, provenance))
    dataset["time"].attrs["axis"] = "T"
    for name in ("time", "forecast_reference_time"):
        dataset[name].attrs["units_metadata"] = "leap_seconds: none"
        dataset[name].encoding = dict(_TIME_ENCODING)
    return dataset


def _attributes(variable: Variable) -> dict[str, object]:
    attributes: dict[str, object] = {"standard_name": variable.standard_name} if variable.standard_name else {}
    attributes |= {"long_name": variable.long_name, "units": variable.units, "cell_methods": "time: point"}
    if variable.units == "K":
        attributes["units_metadata"] = "temperature: on_scale"
    if variable.level is not None:
        attributes["pressure_level"] = np.int32(variable.level)  # hPa
    return attributes


def _global_attributes(init_time: np.datetime64, provenance: Mapping[str, object]) -> dict[str, object]:
    attributes: dict[str, object] = {
        "Conventions": "CF-1.11",
        "title": f"Weather forecast from {format_time(init_time)}",
        "institution": "not stated",
        "source": f"pinnwx {__version__}, physics-informed neural forecaster",
        "history": f"{format_time(now())} written by pinnwx {__version__}",
        "references": "pinnwx documentation, README",
    }
    for key, value in provenance.items():
        plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
        attributes[key] = value if plain else json.dumps(value, sort_keys=True, default=str)
    return attributes


def write_forecast(dataset: xr.Dataset, path: str | Path, *, force: bool = False) -> None:
    """Writes a forecast atomically, compressed and with checksums.

    Call `pinnwx.files.check_writable` before the forecast is computed.

    Raises:
        StabilityError: a value is not finite; nothing is written.
        OutputError: `path` exists and `force` is false, or the file cannot be written.
    """
    path = Path(path)
    check_writable(path, force=force)
    dataset = dataset.astype(np.float32)
    dataset.attrs[_DIGEST] = _digest(dataset)
    encoding = {}
    for name, values in dataset.data_vars.items():
        finite = np.isfinite(values.values)
        if not finite.all():
            when = dataset["time"].values[int(np.argwhere(~finite)[0][values.dims.index("time")])]
            raise StabilityError(
                f"forecast of {name} is not finite at {format_time(when)}; nothing is written, shorten the forecast"
            )
        encoding[name] = {
            "zlib": True, "complevel": 4, "shuffle": True, "fletcher32": True, "dtype": "float32", "_FillValue": None,
            "chunksizes": (*(1 for _ in values.shape[:-2]), *values.shape[-2:]),
        }  # fmt: skip
    for name, values in dataset.coords.items():
        times = _TIME_ENCODING if values.dtype.kind == "M" else {"_FillValue": None}
        encoding[name] = {**times, **({"zlib": True, "fletcher32": True} if values.ndim else {})}
    with replacing(path) as temporary:
        try:
            write_sealed(temporary, netcdf_bytes(dataset, encoding))
            read_forecast(temporary)
        except DataError as error:
            raise OutputError(f"cannot write {path}: {error}; choose another place") from error


def read_forecast(path: str | Path) -> xr.Dataset:
    """Reads a forecast file into memory, with decoded times and `forecast_period` as a number of hours.

    Raises:
        MissingInputError: there is no such file.
        DataError: the file is damaged, was edited, points to other files, or is not a forecast.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingInputError(f"no forecast file {path}")
    try:
        require_seal(path)
        require_self_contained(path)
        with xr.open_dataset(path, engine="netcdf4", decode_timedelta=False) as opened:
            dataset = opened.load()
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except Exception as error:  # a damaged file may raise any exception
        raise DataError(f"{path} cannot be read as NetCDF ({error}); write the forecast again") from error
    digest = dataset.attrs.pop(_DIGEST, None)
    if digest is not None and digest != _digest(dataset):
        raise DataError(
            f"{path} was changed after it was written (damaged or edited); write it again, or delete its attribute "
            f"{_DIGEST}"
        )
    try:
        require_form(dataset)
    except DataError as error:
        raise DataError(f"{path} is not a forecast: {error}; write it again") from None
    return in_order(dataset)


def reading_options(dataset: xr.Dataset) -> dict[str, Any]:
    """The options of `open_data` in the config of the forecast; empty if the forecast has no config.

    Raises:
        DataError: its attribute `config` is not a config.
    """
    text = dataset.attrs.get("config")
    try:
        return parse_config(text, "the config inside the forecast").reading_options() if text else {}
    except (ConfigError, UsageError) as error:
        raise DataError(f"{error}; write the forecast again") from None


def _digest(dataset: xr.Dataset) -> str:
    """SHA-256 of the decoded content: names, dimensions, values and attributes."""
    state = hashlib.sha256()

    def add_attributes(attributes: Mapping) -> None:
        plain = {str(key): np.ravel(value).tolist() for key, value in attributes.items() if key != _DIGEST}
        state.update(json.dumps(plain, sort_keys=True).encode())

    add_attributes(dataset.attrs)
    for name in sorted(dataset.variables, key=str):
        values = dataset[name].values
        values = values.astype("datetime64[ns]").astype("<i8") if values.dtype.kind == "M" else values
        state.update(repr((name, dataset[name].dims, values.shape, values.dtype.str)).encode())
        state.update(np.ascontiguousarray(values).data)
        add_attributes(dataset[name].attrs)
    return state.hexdigest()


def ensemble_mean(dataset: xr.Dataset) -> xr.Dataset:
    """The mean over the members of an ensemble, without its products; a single forecast is unchanged."""
    fields = without_products(dataset)
    return fields.mean(REALIZATION, skipna=False, keep_attrs=True) if REALIZATION in fields.dims else fields


def inside_edge(dataset: xr.Dataset) -> xr.Dataset:
    """Removes the lateral boundary cells, whose values are prescribed (attribute `boundary_width`)."""
    width = int(dataset.attrs.get("boundary_width", 0))
    part = slice(width, -width) if width else slice(None)
    return dataset.isel(latitude=part, longitude=part)


def reference_time(dataset: xr.Dataset) -> np.datetime64:
    """The time of the analysis from which a forecast starts."""
    return np.datetime64(dataset["forecast_reference_time"].values.astype("datetime64[ns]").item(), "ns")


def lead_hours(dataset: xr.Dataset) -> Float[np.ndarray, " lead"]:
    """Lead times [h] of a forecast: valid time minus reference time."""
    valid = dataset["time"].values.astype("datetime64[ns]")
    return (valid - reference_time(dataset)) / np.timedelta64(1, "h")


def weatherbench2_view(dataset: xr.Dataset) -> xr.Dataset:
    """The forecast in the layout of WeatherBench 2: `time` is the initial time, `prediction_timedelta` the lead."""
    delta = duration(lead_hours(dataset))
    view = dataset.drop_vars(("forecast_period", "forecast_reference_time"))
    view = view.rename({"time": "prediction_timedelta"}).assign_coords(prediction_timedelta=delta)
    view = view.expand_dims(time=[reference_time(dataset)])
    view["prediction_timedelta"].attrs = {"long_name": "time since the analysis"}
    view["time"].attrs = {"standard_name": "forecast_reference_time", "long_name": "time of the analysis"}
    return view


def point(dataset: xr.Dataset, latitude: float | int, longitude: float | int, method: str = "nearest") -> xr.Dataset:
    """Interpolates a forecast to one place.

    `"nearest"` uses the cell that contains the place. `"linear"` is bilinear between cell centres, also across the date
    line, and exact for fields that are linear in latitude and longitude. Between the last row of a global grid and the
    pole, the values of the row are used.

    Args:
        dataset: a forecast, or any dataset with evenly spaced ascending `latitude` and `longitude`.
        latitude: degrees north.
        longitude: degrees east; -10 and 350 are equal.
        method: `"nearest"` or `"linear"`.

    Returns:
        The dataset without its horizontal dimensions. Its scalar coordinates are those of the cell centre
        (`"nearest"`) or of the place (`"linear"`).

    Raises:
        UsageError: the place is outside the grid (for `"linear"`: outside the cell centres), or the method is unknown.
    """
    if method not in ("nearest", "linear"):
        raise UsageError(f'method "{method}" is not "nearest" or "linear"')
    grid = Grid.from_coordinates(dataset["latitude"].values, dataset["longitude"].values)
    margin = (0.5 if method == "nearest" else 0.0) + 1e-6
    south, west, spacing = grid.latitude[0], grid.longitude[0], grid.longitude_spacing
    row = (latitude - south) / grid.latitude_spacing
    # Column coordinates start at the western edge of the first cell.
    column = ((longitude - west + spacing / 2) % 360) / spacing - 0.5
    outside_rows = not -90 <= latitude <= 90 or (not grid.is_global and _leaves(row, grid.shape[0], margin))
    if outside_rows or (not grid.is_periodic and _leaves(column, grid.shape[1], margin)):
        raise UsageError(f"{latitude:g} N, {longitude:g} E is outside the grid ({grid}); choose a place inside")
    rows, row_weights = _stencil(row, grid.shape[0], method, periodic=False)
    columns, column_weights = _stencil(column, grid.shape[1], method, periodic=grid.is_periodic)
    weights = xr.DataArray(np.outer(row_weights, column_weights), dims=("latitude", "longitude"))
    corners = dataset.isel(latitude=rows, longitude=columns).drop_vars(("latitude", "longitude"))
    with xr.set_options(keep_attrs=True):
        result = (corners * weights).sum(("latitude", "longitude"), skipna=False).astype(np.float32)
    if method == "nearest":
        latitude, longitude = grid.latitude[rows[0]], grid.longitude[columns[0]]
    place = {"latitude": float(latitude), "longitude": float(longitude)}
    return result.assign_coords({name: ((), value, dataset[name].attrs) for name, value in place.items()})


def _leaves(position: float, size: int, margin: float) -> bool:
    return not -margin <= position <= size - 1 + margin


def _stencil(position: float, size: int, method: str, *, periodic: bool) -> tuple[list[int], list[float]]:
    """Indices and weights along one axis for a position in units of cells."""
    position = position if periodic else min(max(position, 0.0), size - 1.0)
    if method == "nearest":
        return [int(np.floor(position + 0.5)) % size], [1.0]
    low = int(np.floor(position))
    high = (low + 1) % size if periodic else min(low + 1, size - 1)
    return [low % size, high], [low + 1 - position, position - low]
