"""One raw dataset into pieces: canonical fields that know how to read themselves.

A piece is lazy. Reading a block of it decodes packing, merges preliminary data, converts units, turns the axes to
(time, latitude, longitude) ascending and returns float32; every step is element by element, so the same field in
another order or orientation gives the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float32

from pinnwx.data.conventions import (
    canonical_name,
    conversion,
    coordinate_role,
    level_from_text,
    level_in_hectopascals,
    recognise,
)
from pinnwx.data.readers import reading
from pinnwx.errors import DataError, GridError
from pinnwx.grid import Grid
from pinnwx.variables import Variable

_BLOCK_VALUES = 8_000_000  # read at once: 64 MB in float64
_CALENDARS = ("standard", "gregorian", "proleptic_gregorian", "")
_LEAD_TIMES = ("step", "prediction_timedelta", "lead_time")


@dataclass(frozen=True, eq=False)
class Piece:
    """One canonical field of one file. `times` is None for a static field.

    `selection` fixes the level and the dimensions of length one; `rows` and `columns` put latitude and longitude in
    canonical order; `factor` and `offset` convert units.
    """

    variable: Variable
    raw: str
    file: str
    array: xr.DataArray
    selection: Mapping[str, int]
    dims: tuple[str | None, str, str]
    times: np.ndarray | None
    grid: Grid
    rows: np.ndarray
    columns: np.ndarray
    factor: float = 1.0
    offset: float = 0.0

    @property
    def name(self) -> str:
        return self.variable.name

    @property
    def precision(self) -> float:
        """Half a step of integer packing, in canonical units: two files of the same data may differ by it."""
        if not np.issubdtype(self.array.dtype, np.integer):
            return 0.0
        return 0.5 * abs(float(self.array.attrs.get("scale_factor", 1.0)) * self.factor)

    def blocks(self, first: int, last: int) -> Iterator[slice]:
        """Slices of time from `first` to before `last`, small enough to read at once."""
        length = max(1, _BLOCK_VALUES // (self.rows.size * self.columns.size))
        for start in range(first, last, length):
            yield slice(start, min(start + length, last))

    def read(self, block: slice) -> Float32[np.ndarray, "time lat lon"]:
        """Canonical values of these time steps (of the only one, for a static field).

        Raises:
            DataError: the file is damaged.
        """
        time, latitude, longitude = self.dims
        lazy = self.array.isel(dict(self.selection))
        if time is not None:
            lazy = lazy.isel({time: block})
        lazy = lazy.transpose("expver", ..., time, latitude, longitude, missing_dims="ignore")
        with reading(self.raw):
            raw = lazy.to_numpy()
        values = decode(raw, self.array.attrs)
        if "expver" in lazy.dims:
            values = _first_present(values, lazy["expver"].values if "expver" in lazy.coords else None)
        values = values.reshape(-1, *values.shape[-2:])[:, self.rows[:, None], self.columns]
        if (self.factor, self.offset) != (1.0, 0.0):
            values = values.astype(np.float64) * self.factor + self.offset
        with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which the quality check refuses
            return np.ascontiguousarray(values, dtype=np.float32)


def decode(raw: np.ndarray, attributes: Mapping[Any, Any]) -> np.ndarray:
    """Values of a packed array: raw * scale_factor + add_offset, NaN where raw is `_FillValue` or `missing_value`.

    Done here rather than by xarray, which drops a fill value that does not fit the packed type.
    """
    if raw.dtype.kind not in "fiu":
        raise DataError(f"values of type {raw.dtype} are not numbers")
    if raw.dtype.kind == "i" and str(attributes.get("_Unsigned", "")).lower() == "true":
        raw = raw.view(f"u{raw.dtype.itemsize}")
    absent = np.zeros(raw.shape, dtype=bool)
    for key in ("_FillValue", "missing_value"):
        for fill in np.atleast_1d(np.asarray(attributes.get(key, []), dtype=np.float64)):
            absent |= raw == (raw.dtype.type(fill) if raw.dtype.kind == "f" else fill)
    packed = raw.dtype.kind in "iu" or "scale_factor" in attributes or "add_offset" in attributes
    values = raw
    if packed:
        values = raw * np.float64(attributes.get("scale_factor", 1.0)) + np.float64(attributes.get("add_offset", 0.0))
    return np.where(absent, np.asarray(np.nan, values.dtype), values) if absent.any() else values


def _first_present(values: np.ndarray, versions: np.ndarray | None) -> np.ndarray:
    """Merges ERA5 (expver 1) and ERA5T (expver 5) along the first axis: the final value where there is one."""
    order = np.argsort(versions.astype(int)) if versions is not None else np.arange(values.shape[0])
    merged = values[order[0]]
    for index in order[1:]:
        merged = np.where(np.isnan(merged), values[index], merged)
    return merged


@dataclass
class Survey:
    """What one file holds: readable pieces, and recognised variables that cannot be used, with the reason."""

    pieces: list[Piece] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    unresolved: dict[str, str] = field(default_factory=dict)
    normalised: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if text not in self.normalised:
            self.normalised.append(text)


def survey(
    dataset: xr.Dataset, path: Path, file: str, variables: Mapping[str, Variable], levels: Mapping[str, int]
) -> Survey:
    """Every field of the table that the dataset holds.

    Raises:
        DataError: the coordinates of a recognised variable cannot be used.
    """
    found = Survey()
    coordinates = {name for name in dataset.variables if name in dataset.dims or dataset[name].ndim < 2}
    for name in dataset.variables:
        if name in coordinates:
            continue
        array = dataset[name]
        axes = _axes(dataset, array)
        recognised = recognise(str(name), array.attrs, "level" in axes, variables)
        if recognised is None or "latitude" not in axes or "longitude" not in axes:
            found.ignored.append(str(name))
            continue
        try:
            found.pieces += _pieces(dataset, array, axes, recognised, path, file, variables, levels, found)
        except GridError:
            raise
        except DataError as error:
            found.unresolved[recognised[0]] = f"{name}: {error}"
    return found


def _axes(dataset: xr.Dataset, array: xr.DataArray) -> dict[str, tuple[str, xr.DataArray]]:
    """role -> (dimension, its coordinate), whatever the names; valid time wins over other times."""
    axes: dict[str, tuple[str, xr.DataArray]] = {}
    for dim in map(str, array.dims):
        along = [name for name in map(str, dataset.variables) if dataset[name].dims == (dim,)]
        for name in sorted(along, key=lambda name: (name != "valid_time", name != dim)):
            role = coordinate_role(name, dataset[name].attrs)
            if role is not None and role not in axes:
                axes[role] = (dim, dataset[name])
                break
    return axes


def _pieces(
    dataset: xr.Dataset,
    array: xr.DataArray,
    axes: Mapping[str, tuple[str, xr.DataArray]],
    recognised: tuple[str, int | None],
    path: Path,
    file: str,
    variables: Mapping[str, Variable],
    levels: Mapping[str, int],
    found: Survey,
) -> Iterator[Piece]:
    base, level = recognised
    entry = variables[base]
    grid, rows, columns = _grid(axes["latitude"][1], axes["longitude"][1], found)
    times, time_dim = _times(dataset, axes, entry, found)
    selection = _singletons(array, axes, entry)
    dims = (time_dim, axes["latitude"][0], axes["longitude"][0])
    _note_order(array, dims, found)
    factor, offset = _conversion(array, entry, found)
    for index, hectopascals in _levels(dataset, array, axes, base, level, path, variables, levels, found):
        chosen = {**selection, axes["level"][0]: index} if index is not None else selection
        yield Piece(
            canonical_name(base, hectopascals, variables), str(array.name), file, array, chosen, dims, times, grid,
            rows, columns, factor, offset,
        )  # fmt: skip


def _grid(latitude: xr.DataArray, longitude: xr.DataArray, found: Survey) -> tuple[Grid, np.ndarray, np.ndarray]:
    """The canonical grid, and the orders of raw rows and columns that give it."""
    with reading("the coordinates"):
        north, east = (decode(axis.to_numpy(), axis.attrs).astype(np.float64) for axis in (latitude, longitude))
    if not (np.isfinite(north).all() and np.isfinite(east).all()):
        raise GridError("a latitude or longitude is not a number; fetch the file again")
    rows = np.argsort(north, kind="stable")
    columns, meridians = canonical_longitude(east)
    if rows.size > 1 and rows[0] > rows[-1]:
        found.note("latitude turned to ascending")
    if columns.size < east.size:
        found.note(f"{east.size - columns.size} repeated longitude column(s) dropped")
    if not np.allclose(east[columns], meridians, atol=1e-3):
        found.note(f"longitude {east.min():g} to {east.max():g} wrapped to {meridians[0]:g} to {meridians[-1]:g}")
    return Grid.from_coordinates(north[rows], meridians), rows, columns


def canonical_longitude(east: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(order, degrees): ascending in [0, 360) around the globe; on a box contiguous, starting in [-180, 180).

    The box starts after the widest gap between its columns, so it may run across Greenwich or the date line. A
    repeated meridian (0 and 360) is kept once.
    """
    wrapped = np.round(east, 4) % 360
    order = np.argsort(wrapped, kind="stable")
    fresh = np.append(True, np.diff(wrapped[order]) > 1e-3)
    if order.size > 1 and wrapped[order[0]] + 360 - wrapped[order[-1]] < 1e-3:
        fresh[-1] = False
    order = order[fresh]
    wrapped = wrapped[order]
    gaps = np.diff(wrapped, append=wrapped[0] + 360)
    widest = int(gaps.argmax())
    if gaps[widest] <= 1.5 * np.median(gaps):
        return order, wrapped
    order, wrapped = np.roll(order, -widest - 1), np.roll(wrapped, -widest - 1)
    start = (wrapped[0] + 180) % 360 - 180
    return order, start + (wrapped - wrapped[0]) % 360


def _times(
    dataset: xr.Dataset, axes: Mapping[str, tuple[str, xr.DataArray]], entry: Variable, found: Survey
) -> tuple[np.ndarray | None, str | None]:
    """(times, time dimension); times are None for a static variable."""
    if "time" not in axes:
        scalars = [name for name in ("valid_time", "time") if name in dataset.variables and dataset[name].ndim == 0]
        if entry.static:
            return None, None
        if not scalars:
            raise DataError("has no time coordinate, and is no static field")
        axis, dim = dataset[scalars[0]], None
    else:
        dim, axis = axes["time"]
    for lead in _LEAD_TIMES:
        if lead in dataset.variables and axis.name != "valid_time" and np.any(dataset[lead].to_numpy().astype(float)):
            raise DataError(f"holds forecasts ({lead}), whose valid times are not given; analyses are needed")
    if entry.static:
        return None, dim
    times = decode_times(axis)
    if axis.attrs.get("calendar", "") == "" and axis.dtype.kind != "M":
        found.note("calendar not stated, taken as standard")
    if np.any(np.diff(times) < np.timedelta64(0)):
        found.warnings.append("times are not in order; sorted")
    if "expver" in dataset.variables and dataset["expver"].size > 1:
        versions = np.unique(dataset["expver"].to_numpy().astype(int))
        if versions.size > 1:
            found.note(f"expver {' and '.join(map(str, versions))} merged: the later part is preliminary (ERA5T)")
    return times, dim


def decode_times(axis: xr.DataArray) -> np.ndarray:
    """UTC instants of a time coordinate to the nearest second, 1-D.

    Raises:
        DataError: another calendar than the Gregorian one, no usable units, or a time that is missing.
    """
    values = np.atleast_1d(axis.to_numpy())
    if values.dtype.kind != "M":
        calendar = str(axis.attrs.get("calendar", "")).lower()
        if calendar not in _CALENDARS:
            raise DataError(
                f'times are in the calendar "{calendar}", which has no counterpart in real dates; '
                "convert them to the standard calendar first (xarray: convert_calendar)"
            )
        units = str(axis.attrs.get("units", ""))
        if " since " not in units:
            raise DataError(f'time has units "{units}"; "hours since 1900-01-01" or the like is needed')
        raw = xr.Dataset({"t": ("t", values, {"units": units, "calendar": calendar or "standard"})})
        with reading("the times"):
            values = xr.decode_cf(raw)["t"].to_numpy()
        if values.dtype.kind != "M":
            raise DataError(f'times "{units}" reach outside the years 1678 to 2262')
    if np.isnat(values).any():
        raise DataError("a time is missing; fetch the file again")
    seconds = np.round(values.astype("datetime64[ns]").astype(np.int64) / 1e9).astype(np.int64)
    return (seconds * 1_000_000_000).astype("datetime64[ns]")


def _singletons(array: xr.DataArray, axes: Mapping[str, tuple[str, xr.DataArray]], entry: Variable) -> dict[str, int]:
    """Dimensions without a role, which must have length one (`expver` is merged when read)."""
    used = {dim for dim, _ in axes.values()} | {"expver"}
    extra = {str(dim): array.sizes[dim] for dim in array.dims if dim not in used}
    for dim, size in extra.items():
        if size > 1:
            raise DataError(f'has {size} values along "{dim}"; select one of them first')
    selection = dict.fromkeys(extra, 0)
    if entry.static and "time" in axes:
        selection[axes["time"][0]] = 0
    return selection


def _levels(
    dataset: xr.Dataset,
    array: xr.DataArray,
    axes: Mapping[str, tuple[str, xr.DataArray]],
    base: str,
    level: int | None,
    path: Path,
    variables: Mapping[str, Variable],
    levels: Mapping[str, int],
    found: Survey,
) -> list[tuple[int | None, int | None]]:
    """(index along the level dimension, level in hPa): from the coordinate, the name, the path, then the option."""
    has_dim = "level" in axes
    if not variables[base].on_pressure_levels:
        if has_dim and axes["level"][1].size > 1:
            raise DataError(f"has {axes['level'][1].size} levels, but {base} has none")
        return [(0 if has_dim else None, None)]
    scalar = [
        dataset[name]
        for name in dataset.variables
        if dataset[name].ndim == 0 and coordinate_role(str(name), dataset[name].attrs) == "level"
    ]
    coordinate = axes["level"][1] if has_dim else (scalar[0] if scalar else None)
    if coordinate is not None:
        values = np.atleast_1d(coordinate.to_numpy()).astype(float)
        units = coordinate.attrs.get("units")
        numbers = [level_in_hectopascals(value, units, str(coordinate.name)) for value in values]
        return [(index if has_dim else None, number) for index, number in enumerate(numbers)]
    if level is not None:
        return [(None, level)]
    for place, text in (("file", path.stem), ("folder", path.parent.name)):
        number = level_from_text(text, str(array.name), base, variables)
        if number is not None:
            found.note(f"level {number} hPa of {base} from the {place} name")
            return [(None, number)]
    if base in levels:
        found.note(f"level {levels[base]} hPa of {base} as given")
        return [(None, levels[base])]
    raise DataError(f'the level of "{base}" is in no coordinate, file or folder name; give it, as levels {base}=500')


def _conversion(array: xr.DataArray, entry: Variable, found: Survey) -> tuple[float, float]:
    units = array.attrs.get("units")
    if units is None or not str(units).strip():
        if entry.units != "1":
            found.warnings.append(f"{array.name} has no units; taken as {entry.units} if the range allows")
        return 1.0, 0.0
    factor, offset = conversion(str(units), entry)
    if (factor, offset) != (1.0, 0.0):
        found.note(f"{array.name} converted from {units} to {entry.units}")
    return factor, offset


def _note_order(array: xr.DataArray, dims: tuple[str | None, str, str], found: Survey) -> None:
    kept = [str(dim) for dim in array.dims if dim in dims]
    if kept != [dim for dim in dims if dim in kept]:
        found.note(f"transposed from ({', '.join(map(str, array.dims))})")
    if "scale_factor" in array.attrs or "add_offset" in array.attrs:
        found.note(f"unpacked from {array.dtype}")
    elif array.dtype != np.float32:
        found.note(f"{array.dtype} to float32")
