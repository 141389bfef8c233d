"""zarr stores, on disk or behind HTTP: the index is read first, values when they are requested."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import xarray as xr

from pinnwx.data.calendar import period_bounds
from pinnwx.data.fields import source_fields_in
from pinnwx.data.readers import first_line, reading
from pinnwx.data.source_field import SourceField
from pinnwx.data.zarr_store import check_chunks, open_contained
from pinnwx.errors import MissingInputError, PinnwxError, UnreadableError
from pinnwx.sources.base import TIMEOUT, DataSource, Offer, Request
from pinnwx.sources.registry import SOURCES
from pinnwx.sources.selection import at_times

GOOGLE = "https://storage.googleapis.com"  # serves every public bucket
_FILLED_UNTIL = "valid_time_stop"  # the attribute of ARCO-ERA5, whose time axis extends into the future


class ZarrStore(DataSource):
    """A zarr store by its path or URL (`gs://`, `https://`, `http://`)."""

    def __init__(self, location: str = "", timeout: float = TIMEOUT) -> None:
        super().__init__(location, timeout)
        self._dataset: xr.Dataset | None = None
        self._fields: list[SourceField] | None = None
        self._checked: set[str] = set()

    def offers(self) -> list[Offer]:
        return [Offer(field.name, field.times, field.grid) for field in self._opened()]

    def read(self, request: Request) -> Sequence[SourceField]:
        fields = [field for field in self._opened() if field.name in request.fields]
        unchecked = {field.raw: field.spatial_axes for field in fields if field.raw not in self._checked}
        if unchecked and Path(self.location).exists():
            with reading("this zarr store"):
                check_chunks(Path(self.location), unchecked)
        self._checked |= set(unchecked)
        return fields

    def close(self) -> None:
        if self._dataset is not None:
            self._dataset.close()
        self._dataset, self._fields, self._checked = None, None, set()

    def _opened(self) -> list[SourceField]:
        """Every field of the store, at the times that hold values."""
        if self._dataset is None:
            self._dataset = open_store(self.location, self.timeout)
        if self._fields is None:
            fields = source_fields_in(self._dataset, self.location)
            self._fields = [_filled(field, self._dataset) for field in fields]
        return self._fields


def _filled(field: SourceField, dataset: xr.Dataset) -> SourceField:
    """Without the times after the last that holds values, where the store says which that is."""
    until = dataset.attrs.get(_FILLED_UNTIL)
    if until is None or field.times is None:
        return field
    return at_times(field, field.times[field.times <= period_bounds(None, str(until))[1]])


def open_store(location: str, timeout: float = TIMEOUT) -> xr.Dataset:
    """A zarr store by its path or URL; only its index is read. Close the dataset after use.

    Raises:
        MissingInputError: there is no store, or the extra `cloud` is not installed.
        DataError: its metadata cannot be used (`pinnwx.data.zarr_metadata`).
        UnreadableError: it is not a zarr store.
        UnavailableError: its server does not answer, or the connection drops repeatedly.
    """
    with ExitStack() as on_failure, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # absent consolidated metadata are slow, but do no harm
        try:
            is_local = Path(location).is_dir()
            store: Any = open_contained(Path(location)) if is_local else _served(location, timeout)
            on_failure.callback(store.close)
            dataset = xr.open_zarr(store, chunks=None, decode_cf=False, consolidated=False if is_local else None)
        except PinnwxError:
            raise
        except FileNotFoundError as error:
            raise MissingInputError(f"no zarr store at {location}; {_named()}") from error
        except Exception as error:  # zarr raises many types on metadata that make no sense
            raise UnreadableError(f"{location} is not a readable zarr store ({first_line(error)})") from error
        on_failure.pop_all()
    dataset.set_close(store.close)
    return dataset


def _served(url: str, timeout: float) -> Any:
    """Raises:
    MissingInputError: this is not a URL, or the extra `cloud` is not installed.
    """
    scheme, _, rest = url.partition("://")
    address = {"http": url, "https": url, "gs": f"{GOOGLE}/{rest}"}.get(scheme)
    if address is None or not rest:
        raise MissingInputError(f"no zarr store at {url}; give a path or a URL (https://, http://, gs://); {_named()}")
    try:
        from pinnwx.sources.http_store import HttpStore
    except ImportError as error:
        raise MissingInputError(f'{url} needs the extra "cloud": pip install "pinnwx[cloud]" ({error})') from error
    return HttpStore(address, timeout)


def _named() -> str:
    return f"sources with a name: {', '.join(SOURCES.parts)}"
