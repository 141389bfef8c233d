"""Stores of analyses elsewhere: what is wanted of them is chosen before anything is transferred."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pinnwx.data.fields import DatasetReader
from pinnwx.data.readers import first_line, reading
from pinnwx.data.source_field import SourceField
from pinnwx.data.zarr_store import open_contained
from pinnwx.errors import DataError, GridError, MissingInputError, PinnwxError, UnreadableError, UsageError
from pinnwx.grid import Grid
from pinnwx.variables import VARIABLES, Variable

# Public, no account needed. The first is ERA5 averaged onto 5.625 degrees, 1959 to 2023; the other is whole, hourly.
STORES = {
    "weatherbench2": "gs://weatherbench2/datasets/era5/1959-2023_01_10-6h-64x32_equiangular_conservative.zarr",
    "arco-era5": "gs://gcp-public-data-arco-era5/ar/full_37-1h-0p25deg-chunk-1.zarr-v3",
}
GOOGLE = "https://storage.googleapis.com"  # where every public bucket is served
PATIENCE = 30.0  # seconds
KEPT = "what was fetched so far is kept, so start it again later"
_HOUR = np.timedelta64(1, "h")
_FEWEST = 3  # rows or columns of a grid


@dataclass(frozen=True)
class Region:
    """A box in degrees; `west` may exceed `east` where the meridian that longitudes are counted from is inside."""

    north: float
    west: float
    south: float
    east: float

    def __post_init__(self) -> None:
        if not -90 <= self.south < self.north <= 90 or not all(-360 <= one <= 360 for one in (self.west, self.east)):
            raise UsageError(
                f"region {self.north:g},{self.west:g},{self.south:g},{self.east:g}: give north,west,south,east in "
                "degrees, the south below the north"
            )

    def columns(self, longitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the longitudes inside, from west to east, and their values, ascending from `west`."""
        width = (self.east - self.west) % 360 or 360
        eastward = (longitude - self.west) % 360
        inside = np.flatnonzero(eastward <= width)
        order = inside[np.argsort(eastward[inside])]
        return order, self.west + eastward[order]


def open_store(source: str, patience: float = PATIENCE) -> xr.Dataset:
    """A zarr store by its name in `STORES`, its URL (`gs://`, `https://`) or its path; nothing but its index is read.

    `patience`: in how many seconds a server must send something, else it has failed. Close the dataset after use.

    Raises:
        MissingInputError: there is no store, or the extra `cloud` is not installed.
        DataError: its metadata are not to be used (`pinnwx.data.zarr_metadata`).
        UnreadableError: it is no zarr store.
        UnavailableError: its server does not answer, or breaks off again and again.
    """
    url = STORES.get(source, source)
    with ExitStack() as on_failure, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are no consolidated metadata, which is slow but no harm
        try:
            is_local = Path(url).is_dir()
            store: Any = open_contained(Path(url)) if is_local else _served(url, patience)
            on_failure.callback(store.close)
            dataset = xr.open_zarr(store, chunks=None, decode_cf=False, consolidated=False if is_local else None)
        except PinnwxError:
            raise
        except FileNotFoundError as error:
            raise MissingInputError(f"no zarr store at {url}; stores with a name: {', '.join(STORES)}") from error
        except Exception as error:  # whatever makes no sense in metadata
            raise UnreadableError(f"{url} is no zarr store that can be read ({first_line(error)})") from error
        on_failure.pop_all()
    dataset.set_close(store.close)
    return dataset


def _served(url: str, patience: float) -> Any:
    """Raises:
    MissingInputError: this is no address, or what speaks HTTP is not installed.
    """
    scheme, _, rest = url.partition("://")
    address = {"http": url, "https": url, "gs": f"{GOOGLE}/{rest}"}.get(scheme)
    if address is None or not rest:
        raise MissingInputError(
            f"no zarr store at {url}; give a path, a URL (https://, http://, gs://), or a name: {', '.join(STORES)}"
        )
    try:
        from pinnwx.data.zarr_http import HttpStore
    except ImportError as error:
        raise MissingInputError(f'{url} needs the extra "cloud": pip install "pinnwx[cloud]" ({error})') from error
    return HttpStore(address, patience)


def source_fields_in(
    dataset: xr.Dataset,
    source: str,
    variables: Mapping[str, Variable] = VARIABLES,
    levels: Mapping[str, int] | None = None,
) -> list[SourceField]:
    """The canonical fields of a store, each of which reads itself when asked.

    Raises:
        DataError: it holds none, only forecasts or fields that cannot be used as they stand.
    """
    reader = DatasetReader(dataset, Path(source), source, variables, levels or {})
    with reading("its layout"):
        reader.scan()
    reasons = [*reader.unresolved, *reader.left_out]
    if reasons and not reader.source_fields:
        raise DataError(f"nothing to read in {source}: {reasons[0]}")
    return reader.source_fields


def every(source_field: SourceField, hours: float) -> SourceField:
    """Of a field that moves, the steps at multiples of `hours` since midnight alone."""
    if source_field.times is None:
        return source_field
    since_midnight = (source_field.times - source_field.times.astype("datetime64[D]")) / _HOUR
    chosen = np.flatnonzero(np.abs(since_midnight / hours - np.round(since_midnight / hours)) < 1e-6)
    preliminary = None if source_field.preliminary is None else source_field.preliminary[chosen]
    array = source_field.array.isel({source_field.dims[0]: chosen})
    return replace(source_field, array=array, times=source_field.times[chosen], preliminary=preliminary)


def inside(source_field: SourceField, region: Region) -> SourceField:
    """The rows and columns of a region alone.

    Raises:
        GridError: fewer than three of either are in it.
    """
    latitude, longitude = (np.asarray(getattr(source_field.grid, name)) for name in ("latitude", "longitude"))
    rows = np.flatnonzero((latitude >= region.south) & (latitude <= region.north))
    columns, eastward = region.columns(longitude)
    if min(len(rows), len(columns)) < _FEWEST:
        raise GridError(
            f"the region holds {len(rows)} x {len(columns)} points of {source_field.grid}; ask for a larger one"
        )
    array, places = source_field.array, []
    for dim, wanted in (
        (source_field.dims[1], source_field.rows[rows]),
        (source_field.dims[2], source_field.columns[columns]),
    ):
        stored = np.sort(wanted)  # stores are read forwards
        array = array.isel({dim: stored})
        places.append(np.searchsorted(stored, wanted))
    grid = Grid.from_coordinates(latitude[rows], eastward)
    return replace(source_field, array=array, grid=grid, rows=places[0], columns=places[1], repeated=())
