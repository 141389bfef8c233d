"""Where analyses come from: one interface, `DataSource`, and a registry of sources by name.

A source of your own is a subclass of `DataSource`, made known by `@sources.register("mine")`. `fetch` finds it as
`mine` or `mine:LOCATION`.
"""

from __future__ import annotations

from pinnwx.data.fields import source_fields_in
from pinnwx.sources.base import TIMEOUT, DataSource, Offer, Request
from pinnwx.sources.era5 import ArcoEra5, WeatherBench2
from pinnwx.sources.loading import load
from pinnwx.sources.registry import SOURCES, register
from pinnwx.sources.selection import Region
from pinnwx.sources.zarr_store import ZarrStore

__all__ = [
    "SOURCES", "ArcoEra5", "DataSource", "Offer", "Region", "Request", "WeatherBench2", "ZarrStore", "find_source",
    "load", "register", "source_fields_in",
]  # fmt: skip

register("weatherbench2")(WeatherBench2)
register("arco-era5")(ArcoEra5)
register("zarr")(ZarrStore)


def find_source(text: str, timeout: float = TIMEOUT) -> DataSource:
    """The source of a name, `NAME` or `NAME:LOCATION`; of any other text the zarr store at this path or URL.

    Nothing is opened yet.

    Raises:
        ConfigError: a module that the user lists cannot be imported.
    """
    name, _, location = text.partition(":")
    source = SOURCES.find(name)
    return ZarrStore(text, timeout) if source is None else source(location, timeout)
