"""The sources by name."""

from __future__ import annotations

from pinnwx.extensions import Registry, origin
from pinnwx.sources.base import DataSource

SOURCES: Registry[DataSource] = Registry("source")
register = SOURCES.register


def description(source: DataSource) -> str:
    """Name and location of a source, and the class of a source of the user's own: `mine: /data (my_parts.Mine)`."""
    place = f": {source.location}" if source.location else ""
    own = origin(source)
    return f"{SOURCES.kind_of(source)}{place}" + (f" ({own})" if own else "")
