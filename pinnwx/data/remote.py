"""Stores of analyses elsewhere: what is wanted of them is chosen before anything is transferred."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from pinnwx.data.fields import DatasetReader
from pinnwx.data.piece import Piece
from pinnwx.data.readers import first_line, reading
from pinnwx.data.zarr_store import open_contained
from pinnwx.errors import DataError, GridError, MissingInputError, PinnwxError, UnreadableError, UsageError
from pinnwx.grid import Grid
from pinnwx.variables import VARIABLES, Variable

# Public, no account needed. The first is ERA5 averaged onto 5.625 degrees, 1959 to 2023; the other is whole, hourly.
STORES = {
    "weatherbench2": "gs://weatherbench2/datasets/era5/1959-2023_01_10-6h-64x32_equiangular_conservative.zarr",
    "arco-era5": "gs://gcp-public-data-arco-era5/ar/full_37-1h-0p25deg-chunk-1.zarr-v3",
}
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


def open_store(source: str) -> xr.Dataset:
    """A zarr store by its name in `STORES`, its URL (`gs://`, `https://`) or its path; nothing but its index is read.

    Raises:
        MissingInputError: there is no store, or the extra `cloud` is not installed.
        UnreadableError: it did not answer.
    """
    url = STORES.get(source, source)
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it logs what it raises, with a traceback
    options = {"storage_options": {"token": "anon"}} if url.startswith("gs://") else {}
    try:
        store = open_contained(Path(url)) if Path(url).is_dir() else url
        return xr.open_zarr(store, chunks=None, decode_cf=False, **options)  # type: ignore[arg-type]
    except PinnwxError:
        raise
    except ImportError as error:
        raise MissingInputError(f'{source} needs the extra "cloud": pip install "pinnwx[cloud]" ({error})') from error
    except FileNotFoundError as error:
        raise MissingInputError(f"no zarr store at {url}; stores with a name: {', '.join(STORES)}") from error
    except Exception as error:  # every file system has its own
        raise UnreadableError(
            f"{url} did not answer ({first_line(error)}); is it a zarr store, and is there a network?"
        ) from error


def pieces_in(
    dataset: xr.Dataset,
    source: str,
    variables: Mapping[str, Variable] = VARIABLES,
    levels: Mapping[str, int] | None = None,
) -> list[Piece]:
    """The canonical fields of a store, each of which reads itself when asked.

    Raises:
        DataError: it holds none, only forecasts or fields that cannot be used as they stand.
    """
    reader = DatasetReader(dataset, Path(source), source, variables, levels or {})
    with reading("its layout"):
        reader.survey()
    reasons = [*reader.unresolved, *reader.left_out]
    if reasons and not reader.pieces:
        raise DataError(f"nothing to read in {source}: {reasons[0]}")
    return reader.pieces


def every(piece: Piece, hours: float) -> Piece:
    """Of a field that moves, the steps at multiples of `hours` since midnight alone."""
    if piece.times is None:
        return piece
    since_midnight = (piece.times - piece.times.astype("datetime64[D]")) / _HOUR
    chosen = np.flatnonzero(np.abs(since_midnight / hours - np.round(since_midnight / hours)) < 1e-6)
    preliminary = None if piece.preliminary is None else piece.preliminary[chosen]
    array = piece.array.isel({piece.dims[0]: chosen})
    return replace(piece, array=array, times=piece.times[chosen], preliminary=preliminary)


def inside(piece: Piece, region: Region) -> Piece:
    """The rows and columns of a region alone.

    Raises:
        GridError: fewer than three of either are in it.
    """
    latitude, longitude = (np.asarray(getattr(piece.grid, name)) for name in ("latitude", "longitude"))
    rows = np.flatnonzero((latitude >= region.south) & (latitude <= region.north))
    columns, eastward = region.columns(longitude)
    if min(len(rows), len(columns)) < _FEWEST:
        raise GridError(f"the region holds {len(rows)} x {len(columns)} points of {piece.grid}; ask for a larger one")
    array, places = piece.array, []
    for dim, wanted in ((piece.dims[1], piece.rows[rows]), (piece.dims[2], piece.columns[columns])):
        stored = np.sort(wanted)  # stores are read forwards
        array = array.isel({dim: stored})
        places.append(np.searchsorted(stored, wanted))
    grid = Grid.from_coordinates(latitude[rows], eastward)
    return replace(piece, array=array, grid=grid, rows=places[0], columns=places[1], repeated=())
